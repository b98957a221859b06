"""One run of a job in the store: what the pipeline commits to, and its ledger."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from unsprawl.records import Batch, Counts, Cursor, Gap, Occurrence, Seen
from unsprawl.secret import Keys
from unsprawl.store import canaries
from unsprawl.store.canaries import Sight
from unsprawl.store.commit import encode_gap, write
from unsprawl.store.connection import faults, transaction
from unsprawl.store.coverage import UnitEntry, aggregate
from unsprawl.store.ledger import open_cursor, seen_reader
from unsprawl.store.lifecycle import settle
from unsprawl.store.prepare import plain, prepare
from unsprawl.store.rows import timestamp
from unsprawl.store.sink import Committed, CoverageRow

if TYPE_CHECKING:
    from unsprawl.store.sink import Sink

__all__ = ["Run", "RunRecord", "begin", "read_coverage", "read_runs"]

_KEEP_COVERAGE: Final = timedelta(days=90)
#: The ledger's place for what concerns a source and none of its units; no unit id starts with it.
_SOURCE_UNIT: Final = "\x01source"
_GAP_UNIT: Final = "\x01gap"

_SETTLE: Final = """
WITH ranked AS (
  SELECT o.finding, o.rule, o.title, o.provider, o.secret, o.severity, o.confidence, o.label, o.environment,
    row_number() OVER (
      PARTITION BY o.finding
      ORDER BY o.gone_at IS NOT NULL, o.severity DESC, o.confidence DESC,
        o.rule, o.secret, o.label, o.environment, o.title, o.provider
    ) AS place
  FROM findings f JOIN occurrences o ON o.finding = f.id WHERE f.unsettled = 1
)
UPDATE findings SET rule = r.rule, title = r.title, provider = r.provider, secret = r.secret,
  severity = r.severity, confidence = r.confidence, label = r.label, environment = r.environment
FROM ranked r WHERE r.finding = findings.id AND r.place = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the store remembers it. ``status``: running, complete, incomplete or abandoned."""

    id: str
    job: str
    config: str
    detection: str
    full: bool
    status: str
    started_at: str
    finished_at: str | None
    new: int
    reopened: int
    gone: int


class Run:
    """A run that was begun or is continued: a ``Sink`` for one coordinator and all of its threads."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: threading.RLock,
        keys: Keys,
        clock: Callable[[], datetime],
        number: int,
        *,
        resumed: bool,
        rescan_until: float | None = None,
    ) -> None:
        self._rescan_until = rescan_until
        self._whole: dict[tuple[str, str], str] = {}
        self._path = path
        self._connection = connection
        self._lock = lock
        self._keys = keys
        self._clock = clock
        self._number = number
        self.id = str(number)
        self.resumed = resumed
        columns = "job, config, detection, is_full, started_at"
        row = connection.execute(f"SELECT {columns} FROM runs WHERE id = ?", (number,)).fetchone()
        self.job, self.config, self.detection = (str(value) for value in row[:3])
        self.full = bool(row[3])
        self.started_at = str(row[4])

    @property
    def new(self) -> int:
        """Findings first seen in this run, in all its stretches."""
        return self._number_of("SELECT count(*) FROM findings WHERE first_run = ?")

    @property
    def reopened(self) -> int:
        """Findings this run has reopened."""
        return self._number_of("SELECT reopened FROM runs WHERE id = ?")

    @property
    def closed(self) -> int:
        """Findings that were closed with proof since this run began, and still are."""
        query = "SELECT count(*) FROM findings WHERE status = 'closed' AND closed_at >= "
        return self._number_of(f"{query} (SELECT started_at FROM runs WHERE id = ?)")

    @property
    def gone(self) -> int:
        """Occurrences that stood in a document this run read, and stand there no more."""
        return self._number_of("SELECT gone FROM runs WHERE id = ?")

    def finished_units(self, source: str) -> frozenset[str]:
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT unit FROM coverage WHERE run = ? AND source = ?"
                " AND state IN ('done', 'failed', 'stopped')",
                (self._number, source),
            )
            return frozenset(unit for (unit,) in rows)

    def turns(self, source: str) -> Mapping[str, int]:
        # Who was cut off goes before who was read to the end in the same run.
        query = """
            SELECT unit, max(turn) FROM (
              SELECT c.unit, 2 * c.run AS turn, c.run FROM cursors c WHERE c.source = :source
              UNION ALL
              SELECT c.unit, 2 * c.run + 1, c.run FROM coverage c
              WHERE c.source = :source AND c.state IN ('done', 'failed')
            ) t JOIN runs r ON r.id = t.run WHERE r.detection = :detection AND r.id <> :run GROUP BY unit
        """
        given = {"source": source, "detection": self.detection, "run": self._number}
        with self._reading() as connection:
            return dict(connection.execute(query, given).fetchall())

    def cursor(self, source: str, unit_id: str) -> Cursor | None:
        with self._reading() as connection:
            row = connection.execute(
                "SELECT c.sealed, c.run, coalesce(c.whole, r.detection) FROM cursors c"
                " JOIN runs r ON r.id = c.run WHERE c.source = ? AND c.unit = ?",
                (source, plain(unit_id)),
            ).fetchone()
        sealed, run, whole = row or (None, 0, "")
        begun = run == self._number
        if sealed is None or not (begun or self._goes_on(whole)):
            # From its start, by the present rules.
            self._whole[source, unit_id] = self.detection
            return None
        self._whole[source, unit_id] = self.detection if whole == self.detection else ""
        return open_cursor(self._keys, source, unit_id, sealed)

    def _goes_on(self, whole: str) -> bool:
        """Whether a unit is read on from where an earlier run left it, which had read it by ``whole``."""
        if self.full:
            return False
        return whole == self.detection or self._late()

    def _late(self) -> bool:
        """Whether the time of a rolling re-read is up."""
        return self._rescan_until is not None and time.monotonic() >= self._rescan_until

    def seen(self, source: str) -> Seen:
        if self.full:
            return _never
        return seen_reader(self._path, self._keys, source, self.detection, self._rescan_until)

    def commit(
        self, batch: Batch, alongside: Callable[[sqlite3.Connection, str], object] | None = None
    ) -> Committed:
        """``alongside`` writes more in the same transaction; it is told the time."""
        prepared = prepare(self._keys, batch)
        with self._writing() as connection:
            now = timestamp(self._clock())
            whole = self._whole.get((batch.source, batch.unit.id), self.detection)
            committed = write(connection, self._number, self.started_at, prepared, now, whole)
            canaries.write_met(connection, self._number, batch.canaries)
            if alongside is not None:
                alongside(connection, now)
            return committed

    def reopen(self, source: str, unit: str) -> None:
        """Go on counting for a unit that had ended: a feed that failed and answers again."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE coverage SET state = 'open', failure = NULL, last_batch = NULL"
                " WHERE run = ? AND source = ? AND unit = ? AND state <> 'open'",
                (self._number, source, plain(unit)),
            )

    def note_gap(self, source: str, gap: Gap, parents: Sequence[str] = ()) -> None:
        held = msgspec.json.encode([plain(parent) for parent in parents]).decode()
        unit = f"{_GAP_UNIT}{held}"
        row = (self._number, source, unit, plain(gap.uri), plain(gap.reason), plain(gap.hint), gap.excluded)
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO coverage (run, source, unit, title, parents, state)"
                " VALUES (?, ?, ?, ?, ?, 'gap')",
                (self._number, source, unit, source, held),
            )
            added = connection.execute(
                "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?)", row
            ).rowcount
            column = "excluded" if gap.excluded else "skipped"
            connection.execute(
                f"UPDATE coverage SET {column} = {column} + ? WHERE run = ? AND source = ? AND unit = ?",
                (added, self._number, source, unit),
            )

    def source_failed(self, source: str, gap: Gap) -> None:
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO coverage (run, source, unit, title, parents, state, failure)"
                " VALUES (?, ?, ?, ?, '[]', 'source', ?)"
                " ON CONFLICT DO UPDATE SET failure = excluded.failure",
                (self._number, source, _SOURCE_UNIT, source, encode_gap(gap)),
            )

    def canaries(self, source: str, fingerprint: str) -> tuple[list[Sight], list[Sight]]:
        """Where a canary was met in this run, and where in earlier ones."""
        with self._reading() as connection:
            asked = (connection, self._number, source, fingerprint)
            return canaries.met_now(*asked), canaries.met_before(*asked)

    def fault(self, source: str) -> str:
        """Why the source could not be listed in this run; "" where it could."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT failure FROM coverage WHERE run = ? AND source = ? AND unit = ?",
                (self._number, source, _SOURCE_UNIT),
            ).fetchone()
        return str(msgspec.json.decode(row[0])[1]) if row else ""

    def canary_met(self, seen: Sequence[Occurrence], title: str) -> None:
        with self._writing() as connection:
            canaries.write_met(connection, self._number, seen, title)

    def canary_named(self, source: str, fingerprint: str, title: str) -> None:
        with self._writing() as connection:
            canaries.rename(connection, self._number, source, fingerprint, title)

    def canary_missed(self, source: str, fingerprint: str, title: str, gap: Gap) -> None:
        """The source did not give what it is known to hold: whatever else it gave, it has failed."""
        with self._writing() as connection:
            canaries.miss(connection, self._number, source, fingerprint, title, gap)
            connection.execute(
                "INSERT OR IGNORE INTO coverage (run, source, unit, title, parents, state, failure)"
                " VALUES (?, ?, ?, ?, '[]', 'source', ?)",
                (self._number, source, _SOURCE_UNIT, source, encode_gap(gap)),
            )

    def coverage(self) -> list[CoverageRow]:
        with self._reading() as connection:
            return read_coverage(connection, self._number)

    def totals(self) -> Counts:
        sums = "sum(documents), sum(unchanged), sum(skipped), sum(excluded), sum(read_bytes)"
        with self._reading() as connection:
            row = connection.execute(f"SELECT {sums} FROM coverage WHERE run = ?", (self._number,)).fetchone()
        return Counts(*(count or 0 for count in row))

    def finish(self, *, complete: bool) -> None:
        now = self._clock()
        old = timestamp(now - _KEEP_COVERAGE)
        with self._writing() as connection:
            connection.execute(_SETTLE)
            settle(connection, now, f"{self.job} {self._number}")
            connection.execute("UPDATE findings SET unsettled = 0 WHERE unsettled = 1")
            for table in ("coverage", "gaps"):
                connection.execute(
                    f"DELETE FROM {table} WHERE run IN"
                    " (SELECT id FROM runs WHERE started_at < ? AND id <> ?)",
                    (old, self._number),
                )
            connection.execute(
                "UPDATE runs SET status = ?, finished_at = ? WHERE id = ?",
                ("complete" if complete else "incomplete", timestamp(now), self._number),
            )

    def _number_of(self, query: str) -> int:
        with self._reading() as connection:
            (number,) = connection.execute(query, (self._number,)).fetchone()
        return int(number)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, faults(self._path):
            yield self._connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, faults(self._path), transaction(self._connection):
            yield self._connection


def begin(
    connection: sqlite3.Connection,
    job: str,
    config: str,
    detection: str,
    *,
    resume: bool,
    full: bool,
    now: str,
) -> tuple[int, bool]:
    """The number of the run to continue, or of a new one, and whether it is continued. In a transaction.

    A run is continued by the same job and configuration under the same detection, so that one run is never
    read with two sets of rules; a full one only by or as a full one. Others that never ended are abandoned.
    """
    rows = connection.execute(
        "SELECT id, detection, is_full FROM runs WHERE job = ? AND config = ? AND status = 'running'"
        " ORDER BY id DESC",
        (job, config),
    ).fetchall()
    fit = [
        number for number, rules, was_full in rows if resume and rules == detection and (was_full or not full)
    ]
    connection.executemany(
        "UPDATE runs SET status = 'abandoned', finished_at = ? WHERE id = ?",
        [(now, number) for number, _, _ in rows if fit[:1] != [number]],
    )
    if fit:
        _retry_stopped(connection, fit[0])
        return int(fit[0]), True
    cursor = connection.execute(
        "INSERT INTO runs (job, config, detection, is_full, status, started_at)"
        " VALUES (?, ?, ?, ?, 'running', ?)",
        (job, config, detection, full, now),
    )
    return int(cursor.lastrowid or 0), False


def _retry_stopped(connection: sqlite3.Connection, run: int) -> None:
    """A source that had stopped gets another chance when its run is continued."""
    connection.execute("DELETE FROM coverage WHERE run = ? AND state IN ('source', 'missed')", (run,))
    connection.execute(
        "UPDATE coverage SET state = 'open', failure = NULL, last_batch = NULL"
        " WHERE run = ? AND state = 'stopped'",
        (run,),
    )


def read_coverage(connection: sqlite3.Connection, run: int) -> list[CoverageRow]:
    """The ledger of one run."""
    entries: dict[tuple[str, str], UnitEntry] = {}
    columns = (
        "source, unit, title, parents, state, failure, documents, unchanged, skipped, excluded, read_bytes"
    )
    for source, unit, title, parents, state, failure, *counts in connection.execute(
        f"SELECT {columns} FROM coverage WHERE run = ?", (run,)
    ):
        entries[source, unit] = UnitEntry(
            source,
            unit,
            title,
            tuple(msgspec.json.decode(parents, type=list[str])),
            state,
            Counts(*counts),
            None if failure is None else Gap(*msgspec.json.decode(failure, type=tuple[str, str, str, bool])),
        )
    gaps = "SELECT source, unit, uri, reason, hint, excluded FROM gaps WHERE run = ?"
    for source, unit, uri, reason, hint, excluded in connection.execute(gaps, (run,)):
        entries[source, unit].gaps.append(Gap(uri, reason, hint, bool(excluded)))
    return aggregate(entries.values())


def read_runs(connection: sqlite3.Connection) -> list[RunRecord]:
    """All runs, the latest first."""
    rows = connection.execute(
        "SELECT id, job, config, detection, is_full, status, started_at, finished_at,"
        " (SELECT count(*) FROM findings WHERE first_run = runs.id), reopened, gone"
        " FROM runs ORDER BY id DESC"
    ).fetchall()
    return [
        RunRecord(
            id=str(number), job=job, config=config, detection=detection, full=bool(full), status=status,
            started_at=started, finished_at=finished, new=new, reopened=reopened, gone=gone,
        )
        for number, job, config, detection, full, status, started, finished, new, reopened, gone in rows
    ]  # fmt: skip


def _never(_key: str) -> str | None:
    return None


if TYPE_CHECKING:

    def _is_a_sink(run: Run) -> Sink:
        return run
