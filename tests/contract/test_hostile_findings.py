"""Ten thousand findings that want to be sent elsewhere: a resolver and a socket guard count every way out."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from checking import credential, engine

from unsprawl.config import Checks
from unsprawl.detectors.rules import load
from unsprawl.placeholders import fill
from unsprawl.records import Validity
from unsprawl.validity.budgets import Budgets
from unsprawl.validity.credential import Credential

MANY = 10_000
RULES = load().by_id
SECRET = fill("<alnum:24>", "hostile")
#: The whole of what may be called in this world, said once more and plainly.
OWN = ("db.acme.test", "a.lists.acme.test", "rebind.lists.acme.test")
PROVIDERS = (
    "acme.billomat.net",
    "moved.billomat.net",
    "acme.campayn.com",
    "moved.campayn.com",
    "api.github.com",
    "api.stripe.com",
)
PUBLIC = {name: f"203.0.114.{n}" for n, name in enumerate((*OWN, *PROVIDERS, "moved.acme.test"), 1)}
TWO_FACED = {
    "localhost": ["127.0.0.1", "::1"],
    "inner.lists.acme.test": ["10.0.0.5"],
    "mixed.lists.acme.test": ["203.0.114.99", "127.0.0.1"],
    "linked.lists.acme.test": ["169.254.169.254"],
    "six.lists.acme.test": ["::ffff:127.0.0.1"],
    "nat.lists.acme.test": ["64:ff9b::a9fe:a9fe"],
    "azure.lists.acme.test": ["168.63.129.16"],
    "none.lists.acme.test": [],
    "odd.lists.acme.test": ["2130706433"],
}
HOSTS = (
    *OWN,
    *TWO_FACED,
    "DB.acme.TEST.",
    "db.acme.test:6379",
    "db.acme.test@evil.test",
    "db.acme.test:x@evil.test",
    "evil.test#db.acme.test",
    "evil.test?db.acme.test",
    "evil.test/db.acme.test",
    "evil.test\\db.acme.test",
    "db.acme.test.evil.test",
    "xdb.acme.test",
    "db-acme.test",
    "db。acme。test",
    "d\uff42.acme.test",
    "db.acme.test%00.evil.test",
    "db.acme.test\0.evil.test",
    "db.acme.test\r\nevil.test",
    "db.acme.test evil.test",
    "db.acme.test:99999",
    "db.acme.test:0",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "①②⑦.0.0.1",
    "::1",
    "[::1]",
    "[::1]:5432",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::80ff:fffe]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[fd00:ec2::254]",
    "[::]",
    "0.0.0.0",
    "0",
    "10.0.0.5",
    "192.168.1.1:5432",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "metadata.google.internal",
    "*.acme.test",
    "*",
    "",
    ".",
    "-",
    "a" * 300,
    "evil.test",
    "203.0.114.200",
)
ACCOUNTS = (
    "acme",
    "moved",
    "evil.test/",
    "evil.test#",
    "evil.test?",
    "evil.test\\",
    "evil.test:443/",
    "x@evil.test/",
    "evil.test%2f",
    "evil.test%23",
    "evil.test\r\nHost: acme",
    "evil.test\n",
    "evil.test\0",
    "evil。test/",
    "127.0.0.1/",
    "[::1]/",
    "0x7f000001/",
    "2130706433#",
    "..",
    "",
    " ",
    "*",
    "a" * 300,
)


class Guard:
    """Resolves names and opens sockets in a world of its own, and remembers whom it was asked for."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self.opened: Counter[tuple[str, int]] = Counter()
        self.lock = threading.Lock()

    def resolve(self, name: str, _port: int) -> list[str]:
        with self.lock:
            self.names[name] += 1
            again = self.names[name] > 1
        if name.startswith("rebind") and again:
            return ["127.0.0.1"]
        return list(TWO_FACED.get(name, [PUBLIC.get(name, "203.0.114.250")]))

    def connect(self, address: str, port: int, _seconds: float) -> socket.socket:
        with self.lock:
            self.opened[address, port] += 1
        ours, theirs = socket.socketpair()
        place = (
            "http://169.254.169.254/latest" if address == PUBLIC["moved.acme.test"] else "https://evil.test/"
        )
        head = f"HTTP/1.1 302 Found\r\nlocation: {place}\r\nset-cookie: a=b\r\n"
        theirs.sendall(f"{head}content-length: 0\r\n\r\n".encode())
        theirs.shutdown(socket.SHUT_WR)
        threading.Timer(0.2, theirs.close).start()
        return ours


class Patient(Budgets):
    """Leaves nobody alone, so that every finding gets as far as it can."""

    def failed(self, provider: str) -> None:
        pass

    def busy(self, provider: str, seconds: float | None) -> None:
        pass

    def attempt(self, account: str) -> None:
        pass


def findings() -> Iterator[Credential]:
    draw = random.Random(20261121)
    schemes = (
        "postgres",
        "mysql",
        "redis",
        "rediss",
        "mongodb",
        "mongodb+srv",
        "POSTGRESQL",
        "mysql+pymysql",
        "file",
        "",
    )
    for _ in range(MANY):
        kind = draw.randrange(10)
        if kind < 5:
            place = {"scheme": draw.choice((*schemes, "")), "account": "app", "host": draw.choice(HOSTS)}
            yield credential("database.url", SECRET, **place)
        elif kind < 7:
            rule = draw.choice(("database.pgpass", "database.driver-address"))
            yield credential(
                rule, SECRET, account=draw.choice(("app", "a\0b", "x" * 999)), host=draw.choice(HOSTS)
            )
        elif kind < 9:
            rule = draw.choice(("billomat.api-key", "campayn.api-key"))
            yield credential(rule, SECRET, account=draw.choice(ACCOUNTS))
        else:
            secret = draw.choice(
                (SECRET, f"{SECRET}\r\nHost: evil.test", f"{SECRET} x", "\0", "ü" * 9, "/../" * 9)
            )
            yield credential(
                draw.choice(("github.personal-token", "stripe.secret-key")), secret, host="evil.test"
            )


@pytest.fixture(scope="module")
def guard() -> Guard:
    guard = Guard()
    checks = Checks(
        # The owner was careless with hosts, not with networks.
        hosts=(*OWN, "*.lists.acme.test", "127.0.0.1", "::1", "localhost", "169.254.169.254", "2130706433"),
        unencrypted=("*",),
        endpoints={
            "moved.billomat.net": "http://moved.acme.test/a",
            "api.github.com": "http://api.github.com",
            "acme.campayn.com": "http://acme.campayn.com",
        },
        interval=0,
        timeout=5,
        concurrency=16,
    )
    one = engine(checks, RULES, resolve=guard.resolve, connect=guard.connect, budgets=Patient(0, 9))
    results = Counter(str(result.check.validity) for result in one.check_all(findings()))
    assert results == {str(Validity.UNKNOWN): MANY}
    return guard


def test_no_name_is_asked_for_that_is_on_no_list(guard: Guard) -> None:
    lists = {*OWN, *PROVIDERS, *TWO_FACED, "moved.acme.test"}
    assert set(guard.names) - lists == set()
    assert "evil.test" not in guard.names


def test_no_connection_leaves_the_list(guard: Guard) -> None:
    may = {PUBLIC[name] for name in (*OWN, *PROVIDERS, "moved.acme.test")}
    assert sum(count for (address, _), count in guard.opened.items() if address not in may) == 0
    assert all(ip_address(address).is_global for address, _ in guard.opened)


def test_the_guard_sees_what_is_allowed(guard: Guard) -> None:
    """Else it would count nothing, and nothing would be proven."""
    asked = {address for address, _ in guard.opened}
    for name in (*OWN, "acme.billomat.net", "moved.acme.test", "api.github.com", "acme.campayn.com"):
        assert PUBLIC[name] in asked, name
    assert guard.opened[PUBLIC["db.acme.test"], 6379] > 0
    assert sum(guard.opened.values()) > 300


def test_a_name_is_resolved_once_and_never_again(guard: Guard) -> None:
    assert guard.names["rebind.lists.acme.test"] == 1
    assert max(guard.names.values()) == 1
