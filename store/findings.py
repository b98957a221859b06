"""The findings store: one SQLite file, its runs, and what can be asked of it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from unsprawl.errors import StoreError
from unsprawl.secret import Keys
from unsprawl.store import feedback, known, triage
from unsprawl.store.connection import connect, faults, transaction
from unsprawl.store.ledger import progress
from unsprawl.store.met import Met, met
from unsprawl.store.query import Filter, find, read_findings, read_rows
from unsprawl.store.rows import timestamp
from unsprawl.store.run import Run, begin, read_coverage
from unsprawl.store.sink import CoverageRow

__all__ = ["Filter", "RunRecord", "Store"]


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


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """An open store. Use it as a context manager; every method raises ``StoreError`` when the file fails."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, keys: Keys, clock: Callable[[], datetime]
    ) -> None:
        self.path = path
        self._connection = connection
        self._keys = keys
        self._clock = clock
        self._lock = threading.RLock()
        connection.create_function("today", 0, lambda: clock().astimezone(UTC).date().isoformat())

    @classmethod
    def open(
        cls, path: Path | str, keys: Keys, *, readonly: bool = False, clock: Callable[[], datetime] = _now
    ) -> Store:
        """Open the store at ``path``, making it first if it is missing and not ``readonly``.

        ``StoreError`` when the file is no store, is damaged, belongs to another key, comes from a newer
        unsprawl, or cannot be written although it should be. What exists is never replaced.
        """
        place = Path(path)
        return cls(place, connect(place, keys, readonly=readonly), keys, clock)

    def close(self) -> None:
        """Let go of the file; its log is merged into it."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def begin(
        self,
        job: str,
        config: str,
        detection: str,
        *,
        resume: bool = True,
        full: bool = False,
        rescan_until: float | None = None,
    ) -> Run:
        """Continue the run of this job and configuration that never ended, or begin a new one.

        ``config`` is the configuration's name, ``detection`` the version of rules and model. ``full`` reads
        everything again, whatever was seen before. ``rescan_until``: what other rules have seen is read again
        until then, on the monotonic clock, and not after.
        """
        with self._lock, faults(self.path):
            with transaction(self._connection):
                now = timestamp(self._clock())
                number, resumed = begin(
                    self._connection, job, config, detection, resume=resume, full=full, now=now
                )
            return Run(
                self.path,
                self._connection,
                self._lock,
                self._keys,
                self._clock,
                number,
                resumed=resumed,
                rescan_until=rescan_until,
            )

    def reread(self, detection: str) -> list[dict[str, Any]]:
        """How much of each source was read by ``detection``; the rest is for the next ``crawl --rescan``."""
        with self._lock, faults(self.path):
            return progress(self._connection, detection)

    def runs(self) -> list[RunRecord]:
        """All runs, the latest first."""
        with self._lock, faults(self.path):
            rows = self._connection.execute(
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

    def coverage(self, run: str | None = None) -> list[CoverageRow]:
        """The ledger of a run, by default of the latest. Empty when there is no run, or it was pruned."""
        with self._lock, faults(self.path):
            if run is None:
                (number,) = self._connection.execute("SELECT max(id) FROM runs").fetchone()
            else:
                number = int(run) if run.isdigit() else None
            return [] if number is None else read_coverage(self._connection, number)

    def rows(self, wanted: Filter | None = None, *, show_secrets: bool = False) -> Iterator[dict[str, Any]]:
        """Occurrences as rows of the interface contract, streamed: memory does not grow with the store.

        Those that are gone are left out unless the filter asks for them. ``show_secrets`` shows the values
        that are kept sealed; others stay redacted, the store does not have them.
        """
        with faults(self.path):
            yield from read_rows(self._connection, self._keys, wanted or Filter(), show_secrets=show_secrets)

    def findings(self, wanted: Filter | None = None) -> Iterator[dict[str, Any]]:
        """One short record a case with its count of occurrences and its sources, the most urgent first."""
        with faults(self.path):
            yield from read_findings(self._connection, wanted or Filter())

    def finding(self, prefix: str) -> dict[str, Any]:
        """The case whose id begins with ``prefix``, gone or not. ``ConfigError`` for none or several."""
        with self._lock, faults(self.path):
            id_ = find(self._connection, prefix)
            cases = list(read_findings(self._connection, Filter(finding=id_, include_gone=True)))
        if not cases:
            raise StoreError(
                f"the store {self.path}: finding {id_} has no occurrences", hint="restore a backup"
            )
        return cases[0]

    def find(self, prefix: str) -> str:
        """The id of the one finding that begins with ``prefix``. ``ConfigError`` for none or several."""
        with self._lock, faults(self.path):
            return find(self._connection, prefix)

    def decide(self, findings: Sequence[str], decision: triage.Decision) -> None:
        """Write a decision about each of the findings, given by whole ids, or about none of them."""
        with self._lock, faults(self.path), transaction(self._connection):
            triage.decide(self._connection, findings, decision, timestamp(self._clock()))

    def undo(self, findings: Sequence[str], author: str) -> None:
        """Take back the newest decision about each; none of them when one has none (``ConfigError``)."""
        with self._lock, faults(self.path), transaction(self._connection):
            triage.undo(self._connection, findings, author, timestamp(self._clock()))

    def moment(self) -> str:
        """Now, as the store writes it."""
        return timestamp(self._clock())

    def remember_known(self, entries: Sequence[known.Entry]) -> None:
        """Write what is known by its fingerprint: entries of vaults, values of a sweep."""
        with self._lock, faults(self.path), transaction(self._connection):
            known.remember(self._connection, entries, self.moment())

    def retire_known(self, vault: str, since: str, unread: Sequence[str]) -> int:
        """Mark what ``vault`` had and was not written ``since`` as replaced, except below ``unread``."""
        with self._lock, faults(self.path), transaction(self._connection):
            return known.retire(self._connection, vault, since, unread, self.moment())

    def known(self, vault: str | None = None) -> Iterator[dict[str, Any]]:
        """What vaults keep as plain records, with how many findings each has; never a value."""
        with faults(self.path):
            entries = known.read_known(self._connection, vault=vault)
            yield from (entry for entry in entries if entry["kind"] != known.INCIDENT)

    def met(self, fingerprint: str) -> Met:
        """Where a value was met before: findings, refused candidates, vault entries."""
        with self._lock, faults(self.path):
            return met(self._connection, fingerprint)

    def decisions(self, finding: str) -> list[dict[str, Any]]:
        """The history of a finding's decisions, the oldest first, also of those taken back."""
        with self._lock, faults(self.path):
            return triage.history(self._connection, finding)

    def all_decisions(self, *, undone: bool = False) -> Iterator[dict[str, Any]]:
        """Every decision that counts with its finding, the latest first; ``undone``: those taken back too."""
        with faults(self.path):
            yield from triage.all_decisions(self._connection, undone=undone)

    def marks(self, limit: int) -> list[tuple[str, str, bool, bytes]]:
        """Finding, rule, whether it is a false positive, and vector of the newest judged places."""
        with self._lock, faults(self.path):
            return feedback.marks(self._connection, limit)

    def unjudged(self, rules: frozenset[str]) -> Iterator[feedback.Sighting]:
        """The places of open findings of these rules that can be compared with what was judged."""
        with faults(self.path):
            yield from feedback.unjudged(self._connection, rules)

    def decided(self) -> feedback.Token:
        """Changes whenever somebody decides, or takes a decision back."""
        with self._lock, faults(self.path):
            return feedback.token(self._connection)

    def recall(
        self, found: Mapping[str, feedback.Recalled], decided: feedback.Token
    ) -> tuple[set[str], set[str]] | None:
        """Replace what was recalled. Findings silenced by it, and those that are so no more.

        None, and nothing is written, when somebody has decided since ``decided``: ``found`` is of yesterday.
        """
        with self._lock, faults(self.path), transaction(self._connection):
            if feedback.token(self._connection) != decided:
                return None
            return feedback.recall(self._connection, found)

    def feedback_rows(self) -> Iterator[dict[str, Any]]:
        """Every judged place with its label, redacted surroundings and vector, for training."""
        with faults(self.path):
            yield from feedback.feedback_rows(self._connection, self._keys)
