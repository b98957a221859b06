"""The audit log: who did what, to what, when and from where, in a chain that cannot be rewritten unseen.

    seal of row n = HMAC(key, seal of row n-1 ‖ row n)          row 1 says that the log began
    the head      = the number and seal of the last row, sealed once more

Who holds the file without the key cannot change, drop, move or add a row, nor cut off the end. A whole file
put back to an earlier day is consistent in itself: the anchor that every report carries shows it.
"""

from __future__ import annotations

import contextlib
import getpass
import hmac
import os
import platform
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from unsprawl.errors import ConfigError, StoreError
from unsprawl.printable import printable
from unsprawl.secret import Keys
from unsprawl.store.connection import transaction
from unsprawl.store.prepare import json_text, plain
from unsprawl.store.rows import timestamp

__all__ = [
    "BEGUN",
    "Anchor",
    "Verdict",
    "anchor",
    "begin",
    "bind",
    "entries",
    "origin",
    "person",
    "record",
    "verify",
]

#: The action of the first row.
BEGUN: Final = "audit.begun"

_FIRST: Final = bytes(32)
_LONGEST: Final = 4096
_MOST_ROWS: Final = 1 << 62
_FIELDS: Final = ("id", "at", "who", "origin", "action", "subject", "detail")


@dataclass(frozen=True, slots=True)
class Anchor:
    """How long the log was at a moment, and the seal it had there: ``12:9f3c…`` as text."""

    number: int
    seal: str

    def __str__(self) -> str:
        return f"{self.number}:{self.seal}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """The anchor written as ``text``. ``ConfigError`` when it is none."""
        number, _, seal = text.strip().partition(":")
        if not (number.isdecimal() and len(number) < 19 and len(seal) == 64 and set(seal) <= _HEX):
            raise ConfigError(
                f"{printable(text.strip()[:80])!r} is no anchor of an audit log",
                hint="it looks like 12:9f3c… with 64 hex digits; reports and `audit verify` show it",
            )
        return cls(int(number), seal)


_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``faults`` are in the order in which they were met; none: nothing was tampered with."""

    rows: int
    anchor: Anchor | None
    faults: tuple[str, ...]

    @property
    def intact(self) -> bool:
        return not self.faults


def bind(connection: sqlite3.Connection, keys: Keys, clock: Callable[[], datetime]) -> None:
    """Teach a connection to seal: whoever writes to it records in the same transaction."""

    def seal(previous: bytes, *fields: object) -> bytes:
        return _mac(keys, b"row", previous, *(_bytes(field) for field in fields))

    connection.create_function("audit_seal", 1 + len(_FIELDS), seal, deterministic=True)
    connection.create_function(
        "audit_head_seal", 2, lambda number, seal: _head_seal(keys, number, seal), deterministic=True
    )
    connection.create_function("audit_now", 0, lambda: timestamp(clock()))


def record(db: sqlite3.Connection, action: str, *, who: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Add one row, within the caller's transaction if there is one.

    ``db`` is a connection of an open store (:meth:`Store.record` for who has the store). ``action`` is
    ``area.verb`` (``triage.decided``), ``subject`` what it was done to, most often a finding's id. Texts are
    stored as they are: no value of a secret may stand in ``detail``.
    """
    within = contextlib.nullcontext() if db.in_transaction else transaction(db)
    with within:
        _append(db, action, who, subject, detail)


def begin(db: sqlite3.Connection) -> None:
    """The first row of a new log, within the caller's transaction."""
    _append(db, BEGUN, person(), "", {})


def entries(db: sqlite3.Connection, *, subject: str = "", action: str = "") -> Iterator[dict[str, Any]]:
    """The rows in order, without seals; only those of a subject, or whose action begins like ``action``."""
    import msgspec

    for row in db.execute(
        f"SELECT {', '.join(_FIELDS)} FROM audit WHERE (? = '' OR subject = ?)"
        " AND substr(action, 1, length(?)) = ? ORDER BY id",
        (subject, subject, action, action),
    ):
        entry = dict(zip(_FIELDS, row, strict=True))
        try:
            entry["detail"] = msgspec.json.decode(entry["detail"])
        except (msgspec.DecodeError, TypeError):
            entry["detail"] = {}  # tampered with: `verify` says so
        yield entry


def anchor(db: sqlite3.Connection) -> Anchor | None:
    """Where the log ends now; None for a log that has lost its head."""
    row = db.execute("SELECT number, seal FROM audit_head").fetchone()
    return None if row is None else Anchor(int(row[0]), bytes(row[1]).hex())


def verify(db: sqlite3.Connection, anchors: Mapping[str, Anchor] | None = None) -> Verdict:
    """Read the whole log against its seals, its head, and ``anchors`` kept outside, by where they stand."""
    faults: list[str] = []
    previous, expected = _FIRST, 1
    wanted = {kept.number: (place, kept.seal) for place, kept in (anchors or {}).items()}
    rows = 0
    seal = _FIRST
    for *fields, stored in db.execute(f"SELECT {', '.join(_FIELDS)}, seal FROM audit ORDER BY id"):
        rows += 1
        number = fields[0]
        if number != expected:
            gap = f"row {expected} is" if number == expected + 1 else f"rows {expected} to {number - 1} are"
            faults.append(f"{gap} missing")
        seal = bytes(stored)
        if expected == 1 and number == 1 and fields[4] != BEGUN:
            faults.append("row 1 is not the row with which a log begins")
        if number == expected and not hmac.compare_digest(seal, _sealed(db, previous, fields)):
            faults.append(f"row {number} was changed, or moved")
        place = wanted.pop(number, None)
        if place is not None and place[1] != seal.hex():
            faults.append(f"row {number} is not the one of the anchor in {place[0]}")
        previous, expected = seal, number + 1
    faults += _head_faults(db, rows, expected - 1, seal)
    faults += [
        f"the log ends before row {number} of the anchor in {place}" for number, (place, _) in wanted.items()
    ]
    return Verdict(rows, anchor(db), tuple(faults))


def _head_faults(db: sqlite3.Connection, rows: int, last: int, seal: bytes) -> list[str]:
    if not rows:
        return ["all rows are missing"]
    head = db.execute("SELECT number, seal, proof FROM audit_head").fetchall()
    if len(head) != 1:
        return ["the head is missing"]
    number, held, proof = head[0]
    if not hmac.compare_digest(bytes(proof), _call(db, "audit_head_seal", number, held)):
        return ["the head was changed"]
    if number > last:
        return [f"the end is missing: the head is at row {number}, the last row is {last}"]
    if number != last or bytes(held) != seal:
        return [f"the head is at row {number}, which is not the last row"]
    return []


def person() -> str:
    """Who runs this command, as the machine knows them."""
    try:
        return printable(getpass.getuser())
    except (OSError, KeyError):  # a container without a name for its user
        return f"user {os.getuid()}"


def origin() -> str:
    """From where: this machine, and the address of who is logged in to it from elsewhere."""
    remote = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return printable((platform.node() or "unknown") + (f" from {remote}" if remote else ""))[:256]


def _append(db: sqlite3.Connection, action: str, who: str, subject: str, detail: Mapping[str, Any]) -> None:
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()
    number, previous = int(last), _FIRST
    # What is written goes on from the head, not from the last row, and from nothing if the head is not ours:
    # where rows were cut off, the chain stays broken for ever.
    head = db.execute("SELECT number, seal, proof FROM audit_head").fetchone()
    if head is not None and hmac.compare_digest(bytes(head[2]), _call(db, "audit_head_seal", *head[:2])):
        number, previous = int(head[0]), bytes(head[1])
    (now,) = db.execute("SELECT audit_now()").fetchone()
    text = json_text(dict(detail))
    if len(text) > _LONGEST:
        text = json_text({"cut": text[:_LONGEST]})
    named = [plain(part)[:_LONGEST] for part in (who, origin(), action, subject)]
    if max(number, int(last)) >= _MOST_ROWS:
        raise StoreError(
            "a row with an impossible number was added to the audit log", hint="see `unsprawl audit verify`"
        )
    fields = [max(number, int(last)) + 1, now, *named, text]
    seal = _sealed(db, previous, fields)
    db.execute(
        f"INSERT INTO audit ({', '.join(_FIELDS)}, seal) VALUES ({','.join('?' * (len(_FIELDS) + 1))})",
        (*fields, seal),
    )
    db.execute("DELETE FROM audit_head")
    db.execute(
        "INSERT INTO audit_head (number, seal, proof) VALUES (?, ?, audit_head_seal(?, ?))",
        (fields[0], seal, fields[0], seal),
    )


def _sealed(db: sqlite3.Connection, previous: bytes, fields: list[Any]) -> bytes:
    return _call(db, "audit_seal", previous, *fields)


def _call(db: sqlite3.Connection, function: str, *values: object) -> bytes:
    (answer,) = db.execute(f"SELECT {function}({','.join('?' * len(values))})", values).fetchone()
    return bytes(answer)


def _head_seal(keys: Keys, number: int, seal: bytes) -> bytes:
    return _mac(keys, b"head", str(number).encode(), bytes(seal))


def _mac(keys: Keys, *parts: bytes) -> bytes:
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(keys.audit_key, framed, "sha256")


def _bytes(field: object) -> bytes:
    return field if isinstance(field, bytes) else str(field).encode("utf-8", "backslashreplace")
