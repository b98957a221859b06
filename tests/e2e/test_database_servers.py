"""Real databases: right, wrong and locked passwords are told apart, with one attempt each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from checking import credential, engine, loopback
from database_servers import mariadb, postgres, redis

from unsprawl.placeholders import fill
from unsprawl.records import Check, Validity
from unsprawl.validity.engine import Engine, Result

pytestmark = pytest.mark.servers

RIGHT = fill("<alnum:20>", "right")
WRONG = fill("<alnum:20>", "wrong")
ODD = "p@ss/w%rd:" + fill("<alnum:8>", "odd")


def checker(folder: Path, *, trusted: bool = True, **settings: object) -> Engine:
    files = (str(folder / "server.pem"),) if trusted else ()
    return engine(
        loopback(hosts=("localhost",), authorities=files, attempts=9, **settings), resolve=this_machine
    )


def this_machine(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def ask(one: Engine, scheme: str, port: int, user: str, password: str) -> Result:
    place = {"scheme": scheme, "host": f"localhost:{port}", "account": user}
    return one.check(credential("database.url", password, **place))


def told(one: Engine, scheme: str, port: int, users: Mapping[str, str]) -> dict[str, Check]:
    return {user: ask(one, scheme, port, user, password).check for user, password in users.items()}


# --- PostgreSQL --------------------------------------------------------------------------------------

ROLES = f"""
CREATE ROLE app LOGIN PASSWORD '{RIGHT}';
CREATE ROLE boss SUPERUSER LOGIN PASSWORD '{RIGHT}';
CREATE ROLE locked NOLOGIN PASSWORD '{RIGHT}';
CREATE ROLE late LOGIN PASSWORD '{RIGHT}' VALID UNTIL '2020-01-01';
CREATE ROLE odd LOGIN PASSWORD '{ODD}';
CREATE ROLE open LOGIN;
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pg")


@pytest.fixture(scope="module")
def pg(folder: Path) -> Iterator[int]:
    with postgres(folder, ROLES) as port:
        yield port


def attempts(folder: Path, user: str) -> int:
    """How often the server refused ``user`` a login."""
    log = (folder / "log").read_text("utf-8", "replace")
    return log.count(f'password authentication failed for user "{user}"')


def test_postgres(folder: Path, pg: int) -> None:
    one = checker(folder)
    users = {"app": RIGHT, "boss": RIGHT, "locked": RIGHT, "late": RIGHT, "nobody": RIGHT, "open": RIGHT}
    checks = told(one, "postgres", pg, users)
    wrong = ask(checker(folder), "postgresql", pg, "app", WRONG).check
    assert checks["app"].validity is Validity.ACTIVE
    assert (checks["boss"].validity, checks["boss"].privilege) == (Validity.ACTIVE, "admin: superuser")
    assert wrong.validity is checks["late"].validity is checks["nobody"].validity is Validity.INACTIVE
    assert "28P01" in wrong.evidence
    assert checks["locked"].validity is Validity.UNKNOWN
    assert checks["locked"].evidence.startswith("locked: ")
    assert checks["open"].evidence == "localhost asks open for no password"
    assert attempts(folder, "late") == 1


def test_escapes_of_an_address_are_undone(folder: Path, pg: int) -> None:
    from urllib.parse import quote

    assert ask(checker(folder), "postgres", pg, "odd", quote(ODD, safe="")).check.validity is Validity.ACTIVE


def test_nothing_is_sent_to_a_server_that_is_not_trusted(folder: Path, pg: int) -> None:
    check = ask(checker(folder, trusted=False), "postgres", pg, "app", RIGHT).check
    assert check.evidence == "the certificate of localhost is not trusted"


def test_a_database_is_called_only_where_its_owner_lists_it(pg: int) -> None:
    result = ask(engine(loopback(), resolve=this_machine), "postgres", pg, "app", RIGHT)
    assert "is not listed in checks.hosts" in result.check.evidence
    assert not result.asked


def test_an_account_is_not_locked_by_trying(folder: Path, pg: int) -> None:
    one = engine(
        loopback(hosts=("localhost",), authorities=(str(folder / "server.pem"),), attempts=2),
        resolve=this_machine,
    )
    results = [ask(one, "postgres", pg, "app", f"{WRONG}{n}") for n in range(5)]
    assert [result.asked for result in results] == [True, True, False, False, False]
    assert "another might lock it" in results[-1].check.evidence


@pytest.mark.parametrize("method", ["md5", "password"])
def test_postgres_of_older_days(tmp_path: Path, method: str) -> None:
    with postgres(tmp_path, f"CREATE ROLE app LOGIN PASSWORD '{RIGHT}';", method=method) as port:
        one = checker(tmp_path)
        assert ask(one, "postgres", port, "app", RIGHT).check.validity is Validity.ACTIVE
        assert ask(one, "postgres", port, "app", WRONG).check.validity is Validity.INACTIVE


def test_postgres_without_encryption(tmp_path: Path) -> None:
    with postgres(tmp_path, f"CREATE ROLE app LOGIN PASSWORD '{RIGHT}';", tls=False) as port:
        strict = ask(checker(tmp_path), "postgres", port, "app", RIGHT).check
        allowed = ask(checker(tmp_path, unencrypted=("localhost",)), "postgres", port, "app", RIGHT).check
    assert strict.evidence.startswith("localhost offers no encryption: nothing was sent")
    assert allowed.validity is Validity.ACTIVE


# --- MariaDB -----------------------------------------------------------------------------------------

GRANTS = f"""
CREATE USER app@'%' IDENTIFIED BY '{RIGHT}';
CREATE USER locked@'%' IDENTIFIED BY '{RIGHT}' ACCOUNT LOCK;
CREATE USER late@'%' IDENTIFIED BY '{RIGHT}' PASSWORD EXPIRE;
CREATE USER once@'%' IDENTIFIED BY '{RIGHT}';
"""


def test_mariadb(tmp_path: Path) -> None:
    with mariadb(tmp_path, GRANTS) as port:
        one = checker(tmp_path)
        checks = told(one, "mysql", port, dict.fromkeys(("app", "locked", "late", "nobody"), RIGHT))
        wrong = ask(one, "mariadb", port, "app", WRONG).check
        # One attempt each: three wrong ones would block the user, and after two it is still let in.
        for number in range(2):
            ask(one, "mysql", port, "once", f"{WRONG}{number}")
        assert ask(one, "mysql", port, "once", RIGHT).check.validity is Validity.ACTIVE
        for number in range(3):
            ask(one, "mysql", port, "once", f"{WRONG}{number}")
        blocked = ask(one, "mysql", port, "once", RIGHT).check
    assert checks["app"].validity is Validity.ACTIVE
    assert wrong.validity is checks["nobody"].validity is Validity.INACTIVE
    assert "1045" in wrong.evidence
    for check in (checks["locked"], blocked):
        assert check.validity is Validity.UNKNOWN
        assert check.evidence.startswith("locked: ")
    # Its password has to be changed, which whoever has it can do.
    assert checks["late"].validity is Validity.ACTIVE


def test_mariadb_without_encryption(tmp_path: Path) -> None:
    with mariadb(tmp_path, GRANTS, tls=False) as port:
        strict = ask(checker(tmp_path), "mysql", port, "app", RIGHT).check
        allowed = ask(checker(tmp_path, unencrypted=("localhost",)), "mysql", port, "app", RIGHT).check
    assert "offers no encryption" in strict.evidence
    assert allowed.validity is Validity.ACTIVE


# --- Redis -------------------------------------------------------------------------------------------

USERS = (
    f"user default on >{RIGHT} ~* &* +@all",
    f"user app on >{RIGHT} +@all",
    f"user locked off >{RIGHT} +@all",
    f"user mute on >{RIGHT} -@all +auth",
)


@pytest.mark.parametrize("tls", [True, False])
def test_redis(tmp_path: Path, tls: bool) -> None:
    with redis(tmp_path, USERS, tls=tls) as port:
        one = checker(tmp_path, unencrypted=() if tls else ("localhost",))
        checks = told(one, "redis", port, dict.fromkeys(("", "app", "locked", "mute", "nobody"), RIGHT))
        wrong = ask(one, "redis", port, "app", WRONG).check
    assert checks[""].validity is checks["app"].validity is Validity.ACTIVE
    assert checks["mute"].privilege == "none: may not even greet"
    # Redis answers alike for a wrong password and a user that is switched off, and says so.
    assert wrong.validity is checks["locked"].validity is checks["nobody"].validity is Validity.INACTIVE
    assert wrong.evidence.endswith("or has disabled the user")


def test_redis_without_a_password_proves_nothing(tmp_path: Path) -> None:
    with redis(tmp_path, (), tls=True) as port:
        check = ask(checker(tmp_path), "rediss", port, "", RIGHT).check
    assert check.evidence == "localhost asks the default user for no password"
