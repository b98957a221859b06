"""The findings store: one SQLite file, its runs, and what can be asked of it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from unsprawl.errors import StoreError
from unsprawl.records import Check
from unsprawl.secret import Keys
from unsprawl.store import audit, checks, feedback, known, lifecycle, owners, places, triage, watch
from unsprawl.store.canaries import Sight, met_before
from unsprawl.store.connection import connect, faults, transaction
from unsprawl.store.figures import Figures, read_figures
from unsprawl.store.ledger import progress
from unsprawl.store.met import Met, met
from unsprawl.store.outbox import Outbox
from unsprawl.store.places import Look, Place
from unsprawl.store.query import (
    Filter,
    find,
    read_findings,
    read_place,
    read_rows,
    risk_parts,
    sealed_findings,
)
from unsprawl.store.risk import Part
from unsprawl.store.rows import timestamp
from unsprawl.store.run import Run, RunRecord, begin, read_coverage, read_runs
from unsprawl.store.sink import CoverageRow

__all__ = ["Filter", "RunRecord", "Store"]


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
        audit.bind(connection, keys, clock)

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

    @property
    def outbox(self) -> Outbox:
        """What has to be told to whom."""
        return Outbox(self.path, self._connection, self._lock, self._keys, self._clock)

    def reread(self, detection: str) -> list[dict[str, Any]]:
        """How much of each source was read by ``detection``; the rest is for the next ``crawl --rescan``."""
        with self._lock, faults(self.path):
            return progress(self._connection, detection)

    def runs(self) -> list[RunRecord]:
        """All runs, the latest first."""
        with self._lock, faults(self.path):
            return read_runs(self._connection)

    def coverage(self, run: str | None = None) -> list[CoverageRow]:
        """The ledger of a run, by default of the latest. Empty when there is no run, or it was pruned."""
        with self._lock, faults(self.path):
            if run is None:
                (number,) = self._connection.execute("SELECT max(id) FROM runs").fetchone()
            else:
                number = int(run) if run.isdigit() else None
            return [] if number is None else read_coverage(self._connection, number)

    def rows(
        self, wanted: Filter | None = None, *, show_secrets: bool = False, urgent_first: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Occurrences as rows of the interface contract, streamed: memory does not grow with the store.

        Those that are gone are left out unless the filter asks for them. ``show_secrets`` shows the values
        that are kept sealed; others stay redacted, the store does not have them. ``urgent_first`` gives the
        findings by their risk, else by their ids.
        """
        with faults(self.path):
            yield from read_rows(
                self._connection,
                self._keys,
                wanted or Filter(),
                self._clock(),
                show_secrets=show_secrets,
                urgent_first=urgent_first,
            )

    def findings(self, wanted: Filter | None = None) -> Iterator[dict[str, Any]]:
        """One short record a case with its count of occurrences and its sources, the most urgent first."""
        with faults(self.path):
            yield from read_findings(self._connection, wanted or Filter(), self._clock())

    def finding(self, prefix: str) -> dict[str, Any]:
        """The case whose id begins with ``prefix``, gone or not. ``ConfigError`` for none or several."""
        with self._lock, faults(self.path):
            id_ = find(self._connection, prefix)
            cases = list(
                read_findings(self._connection, Filter(finding=id_, include_gone=True), self._clock())
            )
        if not cases:
            raise StoreError(
                f"the store {self.path}: finding {id_} has no occurrences", hint="restore a backup"
            )
        return cases[0]

    def risk_parts(self, finding: str) -> tuple[Part, ...]:
        """What the risk of a finding's worst place is made of; () when it stands nowhere."""
        with self._lock, faults(self.path):
            return risk_parts(self._connection, finding, self._clock())

    def find(self, prefix: str) -> str:
        """The id of the one finding that begins with ``prefix``. ``ConfigError`` for none or several."""
        with self._lock, faults(self.path):
            return find(self._connection, prefix)

    def decide(self, findings: Sequence[str], decision: triage.Decision) -> None:
        """Write a decision about each of the findings, given by whole ids, or about none of them."""
        until = decision.until.isoformat() if decision.until else None
        detail = {"decision": str(decision.status), "until": until, "reason": decision.reason}
        with self._lock, faults(self.path), transaction(self._connection):
            triage.decide(self._connection, findings, decision, timestamp(self._clock()))
            for id_ in findings:
                audit.record(
                    self._connection, "triage.decided", who=decision.author, subject=id_, detail=detail
                )

    def undo(self, findings: Sequence[str], author: str) -> None:
        """Take back the newest decision about each; none of them when one has none (``ConfigError``)."""
        with self._lock, faults(self.path), transaction(self._connection):
            triage.undo(self._connection, findings, author, timestamp(self._clock()))
            for id_ in findings:
                audit.record(self._connection, "triage.undone", who=author, subject=id_, detail={})

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

    def settle(self, who: str, findings: Sequence[str] | None = None) -> lifecycle.Settled:
        """Close what is proven, reopen what is contradicted: of these findings, or of all."""
        with self._lock, faults(self.path), transaction(self._connection):
            return lifecycle.settle(self._connection, self._clock(), who, findings)

    def note_check(self, finding: str, check: Check, who: str) -> lifecycle.Settled:
        """Take the answer of a live check about a finding, and what follows from it."""
        with self._lock, faults(self.path), transaction(self._connection):
            return lifecycle.note_check(self._connection, finding, check, self._clock(), who)

    def due(self) -> list[str]:
        """Findings that ask for another look now, the severe first."""
        with self._lock, faults(self.path):
            return lifecycle.due(self._connection, self._clock())

    def places(self, finding: str, *, gone: bool = False) -> list[Place]:
        """Where a finding stands; ``gone``: also where it stood."""
        with self._lock, faults(self.path):
            return places.places(self._connection, finding, gone=gone)

    def canaries(self, source: str, fingerprint: str) -> list[Sight]:
        """Where a canary was met, the latest first."""
        with self._lock, faults(self.path):
            return met_before(self._connection, None, source, fingerprint)

    def sealed_values(self, finding: str) -> dict[str, bytes]:
        """The values of a finding that are kept, by name (``secret``, ``companion.id``), for proofs alone."""
        with self._lock, faults(self.path):
            return places.sealed_values(self._connection, self._keys, finding)

    def look(
        self, findings: Sequence[str], seen: Iterable[tuple[int, Look]], who: str
    ) -> tuple[int, lifecycle.Settled]:
        """Write what looks at places of these findings told: how many are gone, and what follows."""
        with self._lock, faults(self.path), transaction(self._connection):
            now = self._clock()
            gone = places.look(self._connection, seen, timestamp(now))
            settled = lifecycle.settle(self._connection, now, who, findings)
            lifecycle.schedule(self._connection, findings, now)
        return gone, settled

    def assign(self, findings: Sequence[str], owner: str, who: str) -> None:
        """Say whose these findings are; "" lets the mapping and the authors say it again."""
        with self._lock, faults(self.path), transaction(self._connection):
            for id_ in findings:
                owners.assign(self._connection, id_, owner, who)

    def assign_all(self, mapping: owners.Owners) -> int:
        """Owners of all findings by the mapping, else by their authors. How many changed."""
        with self._lock, faults(self.path), transaction(self._connection):
            return owners.assign_all(self._connection, mapping)

    def reveal(self, wanted: Filter, who: str) -> int:
        """Record that ``who`` is shown the values of these findings, those that are kept sealed. How many."""
        with self._lock, faults(self.path), transaction(self._connection):
            shown = sealed_findings(self._connection, wanted)
            for id_ in shown:
                audit.record(self._connection, "secret.revealed", who=who, subject=id_, detail={})
        return len(shown)

    def record(self, action: str, *, who: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Add a row to the audit log; see :func:`unsprawl.store.audit.record`."""
        with self._lock, faults(self.path):
            audit.record(self._connection, action, who=who, subject=subject, detail=detail)

    def audited(self, *, subject: str = "", action: str = "") -> Iterator[dict[str, Any]]:
        """The audit log in order: all of it, or what was done to ``subject``, or actions like ``action``."""
        with faults(self.path):
            yield from audit.entries(self._connection, subject=subject, action=action)

    def verify_audit(self, anchors: Mapping[str, audit.Anchor] | None = None) -> audit.Verdict:
        """Whether the audit log is what was written, by its seals and ``anchors`` kept elsewhere."""
        with self._lock, faults(self.path):
            return audit.verify(self._connection, anchors)

    def anchor(self) -> audit.Anchor | None:
        """Where the audit log ends now: for a report to carry away."""
        with self._lock, faults(self.path):
            return audit.anchor(self._connection)

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

    def own(self, feeds: Sequence[str]) -> tuple[dict[str, str], frozenset[str]]:
        """What is one's own, of all sources but ``feeds``: see :func:`unsprawl.store.watch.own`."""
        with self._lock, faults(self.path):
            return watch.own(self._connection, feeds)

    def look_back(self, rules: Collection[str], feeds: Sequence[str]) -> None:
        """Events for what was seen in ``feeds`` before it was known for our own."""
        with self._lock, faults(self.path), transaction(self._connection):
            watch.look_back(self._connection, self._keys, rules, feeds, timestamp(self._clock()))

    def changes(self) -> int:
        """Changes whenever another process or connection has written to the store."""
        with self._lock, faults(self.path):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def untold(self) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Some of the events that nobody was told yet, the oldest first, each with its occurrence."""
        with self._lock, faults(self.path):
            events = watch.untold(self._connection)
            keys = ("finding", "source", "document", "ordinal")
            return [
                (
                    event,
                    read_place(self._connection, self._keys, self._clock(), *(event[key] for key in keys)),
                )
                for event in events
            ]

    def tell(self, ids: Sequence[int]) -> None:
        """These events were told."""
        with self._lock, faults(self.path), transaction(self._connection):
            watch.tell(self._connection, ids, timestamp(self._clock()))

    def prune_events(self, before: datetime) -> None:
        """Forget told events, and which pastes were copies of which, from before then."""
        with self._lock, faults(self.path), transaction(self._connection):
            watch.prune(self._connection, timestamp(before))

    def figures(self, since: datetime | None, until: datetime, *, most: int) -> Figures:
        """What all findings and runs amount to over a period; see :mod:`unsprawl.store.figures`."""
        with self._lock, faults(self.path):
            return read_figures(self._connection, since, until, most=most)

    def feedback_rows(self) -> Iterator[dict[str, Any]]:
        """Every judged place with its label, redacted surroundings and vector, for training."""
        with faults(self.path):
            yield from feedback.feedback_rows(self._connection, self._keys)

    def checks_due(self) -> list[str]:
        """Findings whose live check is due, the severe first."""
        with self._lock, faults(self.path):
            return checks.due(self._connection, self._clock())

    def checkable(self, findings: Sequence[str]) -> list[checks.Checkable]:
        """These findings, given by whole ids, as live checks need them."""
        with self._lock, faults(self.path):
            return list(checks.checkable(self._connection, findings))

    def last_check(self, finding: str, age: timedelta) -> Check | None:
        """The newest answer about a finding that is not older than ``age``."""
        with self._lock, faults(self.path):
            return checks.latest(self._connection, finding, self._clock(), age)

    def was_accepted(self, finding: str) -> bool:
        """Whether a live check has ever found it working."""
        with self._lock, faults(self.path):
            return checks.accepted(self._connection, finding)

    def attempts(self, account: str, within: timedelta) -> int:
        """How many passwords of an account were tried lately."""
        with self._lock, faults(self.path):
            return checks.attempts(self._connection, self._keys, account, self._clock() - within)

    def note_answer(
        self, it: checks.Checkable, check: Check, *, asked: bool, account: str, again: timedelta
    ) -> None:
        """Write what a live check said, what it proves, what follows from it, and when to ask again."""
        now = self._clock()
        with self._lock, faults(self.path), transaction(self._connection):
            checks.note(
                self._connection, self._keys, it, check, asked=asked, account=account, again=again, now=now
            )
            lifecycle.note_check(self._connection, it.finding, check, now, audit.person())

    def check_history(self, finding: str) -> list[dict[str, object]]:
        """What live checks said of a finding, the newest first."""
        with self._lock, faults(self.path):
            return checks.history(self._connection, finding)
