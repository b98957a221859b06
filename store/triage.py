"""What people decided about findings: the history of it, and the status that follows.

Nothing is deleted from the history: a decision that was taken back is marked so. The newest one that was not
counts. ``accepted`` ends by itself: the day after its date the finding is reopened, without anybody's doing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from unsprawl.errors import ConfigError
from unsprawl.records import Status
from unsprawl.store.feedback import remember
from unsprawl.store.prepare import plain

__all__ = ["DECISIONS", "EFFECTIVE", "SETTLED", "Decision", "decide", "history", "undo", "why"]

#: What a person may decide.
DECISIONS: Final = (Status.FALSE_POSITIVE, Status.ACCEPTED, Status.ACKNOWLEDGED)
#: What asks for nothing until somebody takes it back or its date has passed.
SETTLED: Final = (Status.FALSE_POSITIVE, Status.ACCEPTED)

#: The status of finding ``f`` today; ``m`` is its row in ``recalled``, if any, ``today()`` a date in UTC.
EFFECTIVE: Final = f"""CASE
  WHEN f.status = '{Status.ACCEPTED}' AND f.until < today() THEN '{Status.REOPENED}'
  WHEN f.status IN ('{Status.OPEN}', '{Status.REOPENED}') AND m.silenced THEN '{Status.FALSE_POSITIVE}'
  ELSE f.status END"""

_COLUMNS: Final = ("decision", "until", "reason", "author", "at", "before", "undone_at", "undone_by")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, by whom and why. ``until``: the last day of an acceptance (UTC), None for all else.

    ``reason`` and ``author`` are stored as they are: whoever makes a decision has redacted them.
    """

    status: Status
    reason: str
    author: str
    until: date | None = None

    def __post_init__(self) -> None:
        if self.status not in DECISIONS:
            raise ConfigError(
                f"a finding is not marked as {self.status}", hint=f"choose from: {', '.join(DECISIONS)}"
            )
        if (self.until is not None) != (self.status is Status.ACCEPTED):
            raise ConfigError(
                "only what is accepted has a date, and it needs one",
                hint="an acceptance ends by itself: give the last day",
            )


def decide(connection: sqlite3.Connection, findings: Iterable[str], decision: Decision, now: str) -> None:
    """Write ``decision`` for each finding, within the caller's transaction."""
    until = decision.until.isoformat() if decision.until else None
    rows = [(id_, *_held(connection, id_)) for id_ in findings]
    connection.executemany(
        "INSERT INTO triage (finding, decision, until, reason, author, at, before)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (id_, str(decision.status), until, plain(decision.reason), plain(decision.author), now, status)
            for id_, status, _ in rows
        ],
    )
    connection.executemany(
        "UPDATE findings SET status = ?, until = ? WHERE id = ?",
        [(str(decision.status), until, id_) for id_, _, _ in rows],
    )
    for id_, _, _ in rows:
        remember(connection, id_, harmless=decision.status is Status.FALSE_POSITIVE, now=now)


def undo(connection: sqlite3.Connection, findings: Sequence[str], author: str, now: str) -> None:
    """Take back the newest decision of each finding, within the caller's transaction.

    The status is what it was before, unless something else has changed it since. ``ConfigError`` when one of
    them has no decision.
    """
    for id_ in findings:
        newest = _newest(connection, id_)
        if newest is None:
            raise ConfigError(
                f"nothing was decided about finding {id_}", hint="there is nothing to undo; leave it out"
            )
        row, decision, before = newest
        connection.execute(
            "UPDATE triage SET undone_at = ?, undone_by = ? WHERE id = ?", (now, plain(author), row)
        )
        earlier = _newest(connection, id_)
        status, _ = _held(connection, id_)
        if status == decision:
            until = None
            if earlier is not None and before == Status.ACCEPTED:
                (until,) = connection.execute(
                    "SELECT until FROM triage WHERE id = ?", (earlier[0],)
                ).fetchone()
            connection.execute("UPDATE findings SET status = ?, until = ? WHERE id = ?", (before, until, id_))
        harmless = None if earlier is None else earlier[1] == Status.FALSE_POSITIVE
        remember(connection, id_, harmless=harmless, now=now)


def history(connection: sqlite3.Connection, finding: str) -> list[dict[str, Any]]:
    """All decisions about a finding, the oldest first, with those that were taken back."""
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM triage WHERE finding = ? ORDER BY id", (finding,)
    )
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def why(connection: sqlite3.Connection, finding: str) -> str:
    """What the memory says about a finding that nobody has decided, in a person's words; "" for nothing."""
    row = connection.execute(
        "SELECT m.alike, m.similarity, m.marks, m.silenced, f.status FROM recalled m"
        " JOIN findings f ON f.id = m.finding WHERE m.finding = ?",
        (finding,),
    ).fetchone()
    if row is None or row[4] not in (Status.OPEN, Status.REOPENED):
        return ""
    alike, similarity, marks, silenced, _ = row
    told = f"like finding {alike}"
    decided = connection.execute(
        "SELECT author, at FROM triage WHERE finding = ? AND undone_at IS NULL ORDER BY id DESC LIMIT 1",
        (alike,),
    ).fetchone()
    if decided is not None:
        told += f" (false positive by {decided[0]} on {decided[1][:10]})"
    told += f" and {marks - 1} more" if marks > 1 else ""
    told += f"; the surroundings agree to {similarity:.0%}"
    return told if silenced else told + "; kept, for its format proves itself"


def _held(connection: sqlite3.Connection, finding: str) -> tuple[str, str | None]:
    row = connection.execute("SELECT status, until FROM findings WHERE id = ?", (finding,)).fetchone()
    if row is None:
        raise ConfigError(f"there is no finding {finding}", hint="`unsprawl findings list` shows all ids")
    return str(row[0]), row[1]


def _newest(connection: sqlite3.Connection, finding: str) -> tuple[int, str, str] | None:
    """Row, decision and former status of the decision that counts."""
    found: tuple[int, str, str] | None = connection.execute(
        "SELECT id, decision, before FROM triage WHERE finding = ? AND undone_at IS NULL"
        " ORDER BY id DESC LIMIT 1",
        (finding,),
    ).fetchone()
    return found
