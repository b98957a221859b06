"""What people decided about findings: the history of it, and the status that follows.

Nothing is deleted from the history: a decision that was taken back is marked so. The newest one that was not
counts. ``accepted`` ends by itself: the day after its date the finding is reopened, without anybody's doing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from unsprawl.errors import ConfigError
from unsprawl.records import Status
from unsprawl.store.feedback import remember
from unsprawl.store.lifecycle import may_close
from unsprawl.store.prepare import plain

__all__ = [
    "DECISIONS",
    "EFFECTIVE",
    "SETTLED",
    "TOLD",
    "TOLD_FROM",
    "Decision",
    "all_decisions",
    "decide",
    "history",
    "told",
    "undo",
    "wording",
]

#: What a person may decide.
DECISIONS: Final = (
    Status.FALSE_POSITIVE, Status.ACCEPTED, Status.ACKNOWLEDGED, Status.ROTATED, Status.CLOSED
)  # fmt: skip
#: What asks for nothing until somebody takes it back or its date has passed.
SETTLED: Final = (Status.FALSE_POSITIVE, Status.ACCEPTED)

#: The status of finding ``f`` today; ``m`` is its row in ``recalled``, if any, ``today()`` a date in UTC.
EFFECTIVE: Final = f"""CASE
  WHEN f.status = '{Status.ACCEPTED}' AND f.until < today() THEN '{Status.REOPENED}'
  WHEN f.status IN ('{Status.OPEN}', '{Status.REOPENED}') AND m.silenced THEN '{Status.FALSE_POSITIVE}'
  ELSE f.status END"""

#: What :func:`told` reads, of finding ``f`` and ``TOLD_FROM``.
TOLD: Final = (
    "f.status, m.alike, m.similarity, m.marks, m.silenced, t.decision, t.until, t.author, t.at, t.reason"
)
#: What was recalled of finding ``f``, and the decision that counts: about itself, else about what it is like.
TOLD_FROM: Final = f"""LEFT JOIN recalled m ON m.finding = f.id
LEFT JOIN triage t ON t.id = (
  SELECT max(id) FROM triage WHERE undone_at IS NULL
  AND finding = iif(f.status IN ('{Status.OPEN}', '{Status.REOPENED}'), m.alike, f.id)
)"""

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
    if decision.status is Status.CLOSED:
        for id_, _, _ in rows:
            may_close(connection, id_)
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
    if decision.status is Status.CLOSED:
        proof = f"by the word of {plain(decision.author)}: {plain(decision.reason)}; gone from all places"
        connection.executemany(
            "UPDATE findings SET closed_at = ?, proof = ?, sealed = NULL, recheck_at = NULL WHERE id = ?",
            [(now, proof, id_) for id_, _, _ in rows],
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
            connection.execute(
                "UPDATE findings SET status = ?, until = ?, closed_at = NULL, proof = '' WHERE id = ?",
                (before, until, id_),
            )
        harmless = None if earlier is None else earlier[1] == Status.FALSE_POSITIVE
        remember(connection, id_, harmless=harmless, now=now)


def history(connection: sqlite3.Connection, finding: str) -> list[dict[str, Any]]:
    """All decisions about a finding, the oldest first, with those that were taken back."""
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM triage WHERE finding = ? ORDER BY id", (finding,)
    )
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def all_decisions(connection: sqlite3.Connection, *, undone: bool) -> Iterator[dict[str, Any]]:
    """Decisions about all findings, the latest first; only those that count unless ``undone``.

    Each has its finding's rule and preview besides, whether it ``counts``, and how many other findings are
    ``silenced`` since they are like it.
    """
    cursor = connection.execute(
        "SELECT t.finding, f.rule, f.secret, t.decision, t.until, t.reason, t.author, t.at, t.before,"
        " t.undone_at, t.undone_by,"
        " t.id = (SELECT max(id) FROM triage WHERE finding = t.finding AND undone_at IS NULL) AS counts,"
        " (SELECT count(*) FROM recalled WHERE alike = t.finding AND silenced = 1) AS silenced"
        " FROM triage t JOIN findings f ON f.id = t.finding ORDER BY t.id DESC"
    )
    names = [column[0] for column in cursor.description]
    for record in cursor:
        row = dict(zip(names, record, strict=True))
        row["counts"] = bool(row["counts"])
        if row["counts"] or undone:
            yield row


def told(record: Sequence[Any]) -> str:
    """Which decision gives a finding its status, from the columns of ``TOLD``; "" when none does."""
    status, alike, similarity, marks, silenced, decision, until, author, at, reason = record
    if status not in (Status.OPEN, Status.REOPENED):
        if decision is None or decision != status:
            return ""
        return wording(decision, until, author, at, reason)
    if alike is None:
        return ""
    by = f" ({wording(decision, until, author, at, reason)})" if decision else ""
    more = f" and {marks - 1} more" if marks > 1 else ""
    kept = "" if silenced else "; kept, for its format proves itself"
    return f"like finding {alike}{by}{more}, whose surroundings agree to {similarity:.0%}{kept}"


def wording(decision: str, until: str | None, author: str, at: str, reason: str) -> str:
    """A decision as people read it."""
    end = f" until {until}" if until else ""
    return f"{decision.replace('_', ' ')}{end} by {author} on {at[:10]}: {reason}"


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
