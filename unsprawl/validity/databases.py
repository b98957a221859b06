"""Passwords of databases: which server they are for, and whether it may be asked.

A database is called only where its owner lists it (``checks.hosts``), encrypted unless the owner allows
otherwise, once for a password, and only as far as its greeting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote

from unsprawl.config import Checks
from unsprawl.records import Check
from unsprawl.secret import Secret
from unsprawl.validity import mongodb, mysql, postgres, redis
from unsprawl.validity.addresses import allowed, place_of
from unsprawl.validity.credential import Credential, Refused
from unsprawl.validity.line import Line
from unsprawl.validity.probe import Probe

__all__ = ["driver_address", "pgpass", "url"]

_Ask = Callable[[Line, str, int, str, str], Check]
#: Scheme to its usual port and who greets.
_KINDS: Final[Mapping[str, tuple[str, int, _Ask]]] = {
    "postgres": ("postgres", 5432, postgres.ask),
    "postgresql": ("postgres", 5432, postgres.ask),
    "cockroachdb": ("postgres", 26257, postgres.ask),
    "mysql": ("mysql", 3306, mysql.ask),
    "mariadb": ("mysql", 3306, mysql.ask),
    "redis": ("redis", 6379, redis.ask),
    "rediss": ("redis", 6379, redis.ask),
    "mongodb": ("mongodb", 27017, mongodb.ask),
}


def url(credential: Credential, checks: Checks) -> Probe:
    """``postgres://app:…@db.acme.test:5432/shop`` and its like."""
    scheme, _, driver = credential.need("scheme", "kind of database").lower().partition("+")
    if driver == "srv":
        raise Refused("its servers are named by DNS service records, which are not looked up")
    # In an address both are written with escapes.
    plain = {**credential.companions, "account": Secret(unquote(credential.text("account")))}
    secret = Secret(unquote(credential.secret.text()))
    return _probe(scheme, replace(credential, secret=secret, companions=plain), checks)


def pgpass(credential: Credential, checks: Checks) -> Probe:
    return _probe("postgres", credential, checks)


def driver_address(credential: Credential, checks: Checks) -> Probe:
    """Go's ``app:…@tcp(db.acme.test:3306)``; Oracle's own syntax is not spoken."""
    if "/" in credential.need("host") or credential.text("host").startswith("@"):
        raise Refused("there is no harmless question to ask about it")
    return _probe("mysql", credential, checks)


def _probe(scheme: str, credential: Credential, checks: Checks) -> Probe:
    if scheme not in _KINDS:
        raise Refused(f"nobody here speaks {scheme if re.fullmatch('[a-z0-9]{1,20}', scheme) else 'that'}")
    kind, usual, ask = _KINDS[scheme]
    host, port = place_of(credential.need("host"), usual)
    if not allowed(host, checks.hosts):
        raise Refused(
            f"{host[:80]} is not listed in checks.hosts: databases are called only where it names them"
        )
    user = credential.text("account")
    if not user and kind != "redis":
        raise Refused("its account was not found beside it")
    password = credential.secret.text()
    if "\0" in user + password or len(password) > 512 or len(user) > 256:
        raise Refused("it is no login that a server would take")
    named = f"[{host}]" if ":" in host else host

    def run(line: Line) -> Check:
        return ask(line, host, port, user, password)

    return Probe(
        f"{kind} {host}:{port}",
        frozenset({host}),
        (f"{kind} greeting at {named}:{port} as {user or 'the default user'}",),
        run,
        f"{kind}/{host}:{port}/{user}",
    )
