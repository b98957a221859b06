"""What has to be told to whom, until it was: the outbox of the alerts.

Events are read out of what the store holds anyway (findings, the audit log, live checks, the ledger, leaks
that a watch met), from where the channel's last reading ended. The new mark and the events are written in one
transaction, so a job that dies tells them later, once. Payloads hold what reports hold: no value in clear.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from unsprawl.records import Validity
from unsprawl.secret import Keys
from unsprawl.store.connection import faults, transaction
from unsprawl.store.prepare import SEVERITIES, VALIDITIES
from unsprawl.store.query import Filter, read_findings, read_rows
from unsprawl.store.rows import timestamp
from unsprawl.store.run import read_coverage
from unsprawl.store.triage import EFFECTIVE

__all__ = ["Outbox", "Waiting", "Wanted"]

#: Units of an incomplete run that are named.
_UNITS: Final = 20
#: How long it is kept that something was told.
_KEPT: Final = timedelta(days=90)
#: Seconds before another attempt, doubled each time up to the longest.
_FIRST_WAIT, _LONGEST_WAIT = 60, 6 * 3600
_ACTIVE: Final = VALIDITIES.index(Validity.ACTIVE)
#: A paste that names the organisation, without a credential.
_MENTION: Final = "mention"
_OPEN: Final = ("open", "reopened")
_TOLD: Final[tuple[str, ...]] = (
    *("finding", "rule", "name", "provider", "secret", "severity", "risk", "validity", "status", "source"),
    *("uri", "url", "path", "line", "author", "audience", "owner", "first_seen", "label", "environment"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one channel is told: kinds of events, and the least severity (1 to 4) of a finding."""

    kinds: frozenset[str]
    severity: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event that one channel has not been told. ``name`` is the same whenever it is told again."""

    id: int
    name: str
    kind: str
    payload: Mapping[str, Any]


class Outbox:
    """The outbox of an open store, over its connection."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: threading.RLock,
        keys: Keys,
        clock: Callable[[], datetime],
    ) -> None:
        self._path, self._connection, self._lock, self._keys, self._clock = (
            path,
            connection,
            lock,
            keys,
            clock,
        )

    def collect(self, channels: Mapping[str, Wanted], run: str | None = None) -> None:
        """Write down what each channel has to be told since its last reading.

        ``run`` is the job that has just ended, or still goes on; by default the latest. A channel that is new
        is told of it alone.
        """
        with self._writing() as connection:
            (latest,) = connection.execute("SELECT max(id) FROM runs").fetchone()
            if latest is not None:
                number = int(latest if run is None else run)
                _collect(connection, self._keys, channels, number, self._clock())

    def news(self) -> tuple[object, ...]:
        """Something else as soon as there may be something to collect."""
        with self._lock, faults(self._path):
            return tuple(
                self._connection.execute(
                    "SELECT (SELECT max(id) FROM audit), (SELECT max(id) FROM checks),"
                    " (SELECT max(id) FROM events), r.id, r.finished_at,"
                    " (SELECT count(*) FROM findings WHERE first_run = r.id)"
                    " FROM runs r ORDER BY r.id DESC LIMIT 1"
                ).fetchone()
                or ()
            )

    def waiting(self, channel: str, *, at_once: bool = False) -> list[Waiting]:
        """What a channel has not been told, oldest first: what may be tried again now, or ``at_once`` all."""
        with self._lock, faults(self._path):
            return _waiting(self._connection, channel, None if at_once else self._clock())

    def delivered(self, ids: Sequence[int]) -> None:
        """These were told."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE outbox SET delivered_at = ?, failure = '' WHERE id = ?",
                [(timestamp(self._clock()), id_) for id_ in ids],
            )

    def failed(self, ids: Sequence[int], why: str) -> None:
        """These could not be told: they are tried again, later each time."""
        now = self._clock()
        with self._writing() as connection:
            for id_ in ids:
                (attempts,) = connection.execute(
                    "SELECT attempts FROM outbox WHERE id = ?", (id_,)
                ).fetchone()
                wait = timedelta(seconds=min(_LONGEST_WAIT, _FIRST_WAIT << min(attempts, 12)))
                connection.execute(
                    "UPDATE outbox SET attempts = attempts + 1, next_at = ?, failure = ? WHERE id = ?",
                    (timestamp(now + wait), why, id_),
                )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, faults(self._path), transaction(self._connection):
            yield self._connection


def _collect(
    connection: sqlite3.Connection, keys: Keys, channels: Mapping[str, Wanted], run: int, now: datetime
) -> None:
    cases: dict[str, dict[str, Any]] = {}
    for channel, wanted in channels.items():
        marks = _marks(connection, channel, run)
        for kind, name, finding, about in _events(connection, marks, run):
            if kind not in wanted.kinds:
                continue
            payload = dict(about)
            least = SEVERITIES.index(about.get("severity", "critical")) + 1
            if least < wanted.severity:
                continue
            if finding:
                case = cases.get(finding)
                if case is None:
                    case = cases[finding] = _case(connection, keys, finding, now)
                if not case or SEVERITIES.index(case["severity"]) + 1 < wanted.severity:
                    continue
                payload = {**case, **payload}
            _put(connection, channel, name, kind, payload, now)
        connection.execute(
            "INSERT INTO outbox_marks (channel, run, audit, checks, events) SELECT ?, ?,"
            " (SELECT coalesce(max(id), 0) FROM audit), (SELECT coalesce(max(id), 0) FROM checks),"
            " (SELECT coalesce(max(id), 0) FROM events) WHERE true"
            " ON CONFLICT DO UPDATE SET run = excluded.run, audit = excluded.audit,"
            " checks = excluded.checks, events = excluded.events",
            (channel, run),
        )
    connection.execute("DELETE FROM outbox WHERE delivered_at < ?", (timestamp(now - _KEPT),))


def _waiting(connection: sqlite3.Connection, channel: str, now: datetime | None) -> list[Waiting]:
    rows = connection.execute(
        "SELECT id, name, kind, payload FROM outbox WHERE channel = ? AND delivered_at IS NULL"
        " AND (? IS NULL OR next_at <= ?) ORDER BY id",
        (channel, *(2 * (None if now is None else timestamp(now),))),
    )
    return [Waiting(id_, name, kind, msgspec.json.decode(payload)) for id_, name, kind, payload in rows]


# --- events --------------------------------------------------------------------------------------


def _marks(connection: sqlite3.Connection, channel: str, run: int) -> tuple[int, int, int, int]:
    """Where the channel's last reading ended: run, audit row, check and leak."""
    row = connection.execute(
        "SELECT run, audit, checks, events FROM outbox_marks WHERE channel = ?", (channel,)
    ).fetchone()
    if row is not None:
        return (min(row[0], run - 1), *row[1:])
    before = []
    for table in ("audit", "checks", "events"):
        (last,) = connection.execute(
            f"SELECT coalesce(max(id), 0) FROM {table} WHERE at < (SELECT started_at FROM runs WHERE id = ?)",
            (run,),
        ).fetchone()
        before.append(last)
    return (run - 1, before[0], before[1], before[2])


def _events(
    connection: sqlite3.Connection, marks: tuple[int, int, int, int], run: int
) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Kind, name, finding and what is told besides the finding, of all since ``marks``."""
    after, audited, checked, leaked = marks
    for (id_,) in connection.execute(
        "SELECT f.id FROM findings f LEFT JOIN recalled m ON m.finding = f.id"
        f" WHERE f.first_run > ? AND f.first_run <= ? AND {EFFECTIVE} IN {_OPEN}"
        " ORDER BY f.severity DESC, f.id",
        (after, run),
    ).fetchall():
        yield "new", f"new:{id_}", id_, {}
    for number, action, subject, detail in connection.execute(
        "SELECT id, action, subject, detail FROM audit WHERE id > ?"
        " AND action IN ('finding.reopened', 'finding.closed') ORDER BY id",
        (audited,),
    ).fetchall():
        kind = action.partition(".")[2]
        told = msgspec.json.decode(detail)
        yield kind, f"{kind}:{subject}:{number}", subject, {"why": told.get("why") or told.get("proof") or ""}
    for number, finding, evidence in connection.execute(
        "SELECT c.id, c.finding, c.evidence FROM checks c WHERE c.id > ? AND c.validity = ? AND coalesce("
        " (SELECT b.validity FROM checks b WHERE b.finding = c.finding AND b.id < c.id"
        "  ORDER BY b.id DESC LIMIT 1), -1) <> c.validity ORDER BY c.id",
        (checked, _ACTIVE),
    ).fetchall():
        yield "active", f"active:{finding}:{number}", finding, {"why": evidence}
    for name, kind, finding, source, told, copies in connection.execute(
        "SELECT hex(name), kind, finding, source, about, copies FROM events WHERE id > ? ORDER BY id",
        (leaked,),
    ).fetchall():
        about = msgspec.json.decode(told)
        # Where it leaked is the paste; where else the value stands are the other occurrences.
        leak = {"kind": kind, "copies": copies, **about}
        payload = {"source": source, "uri": about["uri"], "url": about["url"], "leak": leak}
        if kind == _MENTION:
            payload |= {"name": "A paste names you", "severity": "low"}
        yield "leak", f"leak:{name.lower()}", "" if kind == _MENTION else finding, payload
    rows = [row for row in read_coverage(connection, run) if row.status != "complete"]
    (ended,) = connection.execute("SELECT finished_at FROM runs WHERE id = ?", (run,)).fetchone()
    if rows and ended is not None:
        units = [
            {"source": row.source, "unit": row.title, "status": row.status, "why": "; ".join(row.reasons[:3])}
            for row in rows
        ]
        yield "incomplete", f"incomplete:{run}", "", {"units": units[:_UNITS], "count": len(units)}


def _case(connection: sqlite3.Connection, keys: Keys, finding: str, now: datetime) -> dict[str, Any]:
    """A finding as it is told: its record, with the riskiest of its places."""
    wanted = Filter(finding=finding, include_gone=True)
    short = next(read_findings(connection, wanted, now), None)
    if short is None:
        return {}
    rows = read_rows(connection, keys, wanted, now, show_secrets=False)
    best = max(rows, key=lambda row: (row["gone_at"] is None, row["risk"]), default={})
    told = {name: best[name] for name in _TOLD if name in best}
    return {**told, "risk": short["risk"], "occurrences": short["live"], "sources": short["sources"]}


def _put(
    connection: sqlite3.Connection, channel: str, name: str, kind: str, payload: dict[str, Any], now: datetime
) -> None:
    connection.execute(
        "INSERT INTO outbox (channel, name, kind, payload, at, attempts, next_at, failure)"
        " VALUES (?, ?, ?, ?, ?, 0, ?, '') ON CONFLICT (channel, name) DO NOTHING",
        (channel, name, kind, msgspec.json.encode(payload).decode(), timestamp(now), timestamp(now)),
    )
