"""Canaries in the ledger: where one was met, and where one was missed.

A place where a canary stood is a row of its own, complete, so that the ledger lists it and the next run knows
where to look. A missed one is a row too, and fails its source.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from unsprawl.records import Gap, Occurrence
from unsprawl.store.prepare import plain
from unsprawl.store.rows import timestamp

__all__ = ["SEEN", "Sight", "met_before", "met_now", "miss", "rename", "write_met"]

#: The reason of the ledger's line for one that was met.
SEEN: Final = "canary seen"
#: No unit's id begins so.
_UNIT: Final = "\x01canary"
_NAMED: Final = 16
_LATEST: Final = 3


@dataclass(frozen=True, slots=True)
class Sight:
    """A place where a canary was met. ``modified_at`` is its document's time, as far as that is known."""

    uri: str
    modified_at: datetime | None


def write_met(connection: sqlite3.Connection, run: int, seen: Iterable[Occurrence], title: str = "") -> None:
    """Note where canaries were met in this run; within the caller's transaction."""
    for one in seen:
        unit = f"{_unit(one.fingerprint)} {plain(one.uri)}"
        when = "" if one.modified_at is None else timestamp(one.modified_at)
        line = msgspec.json.encode([plain(one.uri), SEEN, when, True]).decode()
        connection.execute(
            "INSERT INTO coverage (run, source, unit, title, parents, state, failure)"
            " VALUES (?, ?, ?, ?, ?, 'canary', ?)"
            " ON CONFLICT DO UPDATE SET failure = excluded.failure, title = excluded.title",
            (run, one.source, unit, title or _title(one.fingerprint), "[]", line),
        )


def met_now(connection: sqlite3.Connection, run: int, source: str, fingerprint: str) -> list[Sight]:
    """Where the canary was met in this run."""
    rows = connection.execute(
        "SELECT failure FROM coverage WHERE run = ? AND source = ? AND state = 'canary'"
        " AND unit >= ? AND unit < ?",
        (run, source, *_span(fingerprint)),
    )
    return [_met(line) for (line,) in rows]


def met_before(connection: sqlite3.Connection, run: int | None, source: str, fingerprint: str) -> list[Sight]:
    """Where the runs before ``run`` (None: all) met it, the latest first."""
    rows = connection.execute(
        "SELECT failure FROM coverage WHERE (? IS NULL OR run < ?) AND source = ? AND state = 'canary'"
        " AND unit >= ? AND unit < ? ORDER BY run DESC LIMIT ?",
        (run, run, source, *_span(fingerprint), _LATEST),
    )
    return list(dict.fromkeys(_met(line) for (line,) in rows))


def rename(connection: sqlite3.Connection, run: int, source: str, fingerprint: str, title: str) -> None:
    """Call what was met in this run as its owner does; within the caller's transaction."""
    connection.execute(
        "UPDATE coverage SET title = ? WHERE run = ? AND source = ? AND state = 'canary'"
        " AND unit >= ? AND unit < ?",
        (title, run, source, *_span(fingerprint)),
    )


def miss(
    connection: sqlite3.Connection, run: int, source: str, fingerprint: str, title: str, gap: Gap
) -> None:
    """Note that it was not met, and that its source has failed for that; within the caller's transaction."""
    line = msgspec.json.encode([plain(gap.uri), plain(gap.reason), plain(gap.hint), False]).decode()
    connection.execute(
        "INSERT OR REPLACE INTO coverage (run, source, unit, title, parents, state, failure)"
        " VALUES (?, ?, ?, ?, '[]', 'missed', ?)",
        (run, source, f"{_unit(fingerprint)}={title}", title, line),
    )


def _unit(fingerprint: str) -> str:
    return f"{_UNIT}{fingerprint[:_NAMED]}"


def _span(fingerprint: str) -> tuple[str, str]:
    return f"{_unit(fingerprint)} ", f"{_unit(fingerprint)}!"


def _title(fingerprint: str) -> str:
    return f"canary {fingerprint[:8]}"


def _met(line: str) -> Sight:
    uri, _reason, when, _excluded = msgspec.json.decode(line, type=tuple[str, str, str, bool])
    return Sight(uri, datetime.fromisoformat(when) if when else None)
