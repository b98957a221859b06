"""``watch``: feeds looked at until somebody says stop; what has to do with us is kept and told.

    a thread a feed:   look ─▶ step ─▶ batch and cues ─┐
    the coordinator:   join ─▶ ONE transaction (sightings, cursor, events) ─▶ tell ─▶ told

A feed that fails is looked at again, less and less often, and stands as failed in the ledger until it
answers.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from unsprawl.detection import examiner
from unsprawl.errors import ConfigError
from unsprawl.examine import Examiner, defect
from unsprawl.jobs import Options, detection_of
from unsprawl.records import Batch, Counts, Gap, Skipped, Source, Unit
from unsprawl.step import Budget, step
from unsprawl.store import watch as store_watch
from unsprawl.store.watch import Cue, Paste, Sketches
from unsprawl.structs import replace
from unsprawl.watch.events import Tell, record
from unsprawl.watch.join import join
from unsprawl.watch.likeness import ALIKE, similarity
from unsprawl.watch.names import Names
from unsprawl.watch.survey import KNOWN, Knowing, Own, Surveying

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.secret import Keys
    from unsprawl.store.findings import Store
    from unsprawl.store.run import Run
    from unsprawl.store.sink import CoverageRow

__all__ = ["Feeding", "Outcome", "watch"]

JOB: Final = "watch"
#: What a step takes before it is committed: short, for an alert waits for it.
_BUDGET: Final = Budget(documents=200, read_bytes=32 << 20, seconds=1.0)
_LONGEST_PAUSE: Final = 900.0
#: A run of the ledger lasts a day.
_DAY: Final = timedelta(days=1)
#: How long copies of a dump are told apart from news.
_REMEMBERED: Final = timedelta(days=180)
#: Seconds that steps get to end when the watch stops; what they had in hand is read again.
_FAREWELL: Final = 10.0
#: Least seconds between two looks at what is our own; a large store is asked less often.
_OWN_SECONDS: Final = 5.0
_OWN_SHARE: Final = 20


@runtime_checkable
class Feeding(Protocol):
    """A source that can be watched. ``every`` is in seconds; ``strangers``: also what has no tie to us."""

    every: float
    strangers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a watch did. ``told`` counts events by kind, ``severities`` what was told of each severity."""

    coverage: Sequence[CoverageRow]
    totals: Counts
    readable: bool
    seconds: float
    told: Mapping[str, int]
    severities: Mapping[str, int]
    active: int

    @property
    def complete(self) -> bool:
        return all(row.status == "complete" for row in self.coverage)


@dataclass(slots=True)
class _Look:
    """What a feed's thread hands over. ``unit`` is redacted; ``ended``: the feed has been looked through."""

    feed: _Feed
    batch: Batch | None
    cues: Mapping[bytes, Cue] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Feed:
    """A source with what the coordinator knows of it."""

    source: Source
    every: float
    strangers: bool
    units: dict[str, Unit] = field(default_factory=dict)
    resting: set[str] = field(default_factory=set)
    failing: dict[str, Gap] = field(default_factory=dict)
    cursors: dict[str, Any] = field(default_factory=dict)
    readable: bool = False
    thread: threading.Thread | None = None


def watch(
    config: Config,
    options: Options,
    *,
    tell: Tell,
    stop: threading.Event,
    once: bool = False,
    seconds: float | None = None,
    note: Callable[[str], None] = lambda _text: None,
) -> Outcome:
    """Watch every feed of ``config`` until ``stop``, for ``seconds``, or look once.

    ``tell`` gets each event once, and again only when it was interrupted. Raises ``ConfigError`` when there
    is no feed or another watch of this store runs, and ``StoreError``.
    """
    from unsprawl.alerts.delivery import telling
    from unsprawl.plugins import build_source, source_type
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import load_keys
    from unsprawl.store.lock import job_lock

    begun = time.monotonic()
    keys = load_keys(config.key, create=not config.store.exists())
    built = [
        build_source(name, one.type, one.config)
        for name, one in config.sources.items()
        if hasattr(source_type(one.type), "every")
    ]
    feeds = [_Feed(source, source.every, source.strangers) for source in built if isinstance(source, Feeding)]
    if not feeds:
        raise ConfigError(f"{config.file}: no source to watch", hint="watch looks at sources of type paste")
    detection = detection_of(config, options, keys)
    judge = examiner(detection)
    with (
        job_lock(config.store, JOB),
        Store.open(config.store, keys) as store,
        telling(store, config.notify),
    ):
        watcher = _Watcher(config, keys, store, feeds, judge, tell, note, lambda: examiner(detection))
        watcher.run(stop, once=once, until=None if seconds is None else begun + seconds)
        return watcher.outcome(time.monotonic() - begun)


class _Watcher:
    def __init__(
        self,
        config: Config,
        keys: Keys,
        store: Store,
        feeds: Sequence[_Feed],
        judge: Examiner,
        tell: Tell,
        note: Callable[[str], None],
        build: Callable[[], Examiner],
    ) -> None:
        names = config.watch
        self._config, self._keys, self._store, self._feeds = config, keys, store, feeds
        self._judge, self._tell, self._note, self._build = judge, tell, note, build
        self._names = Names(names.domains, names.hosts, names.words)
        self._mentions = names.mentions
        self._sources = [feed.source.name for feed in feeds]
        self._sketches = Sketches(similarity, ALIKE)
        self._inbox: queue.Queue[_Look] = queue.Queue(maxsize=4 * len(feeds))
        self._leave = threading.Event()
        self._told: dict[str, int] = {}
        self._severities: dict[str, int] = {}
        self._active = 0
        self._own = Own()
        self._own_of, self._own_due = -1, 0.0
        self._refresh()
        self._run = self._begin()

    # --- the coordinator -------------------------------------------------------------------------

    def run(self, stop: threading.Event, *, once: bool, until: float | None) -> None:
        own, names = len(self._own.rules), "names" if self._names else "no names (`watch:`)"
        self._note(f"watching {', '.join(self._sources)} for {own:,} secrets of your own and {names}")
        try:
            self._tell_all()
            for feed in self._feeds:
                feed.thread = threading.Thread(
                    target=self._look, args=(feed, once), name=f"unsprawl-{feed.source.name}", daemon=True
                )
                feed.thread.start()
            while any(self._alive()) or not self._inbox.empty():
                if stop.is_set() or (until is not None and time.monotonic() >= until):
                    break
                self._turn(0.2)
                if datetime.now(UTC) - datetime.fromisoformat(self._run.started_at) > _DAY:
                    self._rest()
                    self._run = self._begin()
        finally:
            self._leave.set()
        deadline = time.monotonic() + _FAREWELL
        while (any(self._alive()) or not self._inbox.empty()) and time.monotonic() < deadline:
            self._turn(0.05)
        self._rest()

    def outcome(self, seconds: float) -> Outcome:
        return Outcome(
            coverage=self._run.coverage(),
            totals=self._run.totals(),
            readable=any(feed.readable or not feed.units for feed in self._feeds),
            seconds=seconds,
            told=self._told,
            severities=self._severities,
            active=self._active,
        )

    def _alive(self) -> list[_Feed]:
        return [feed for feed in self._feeds if feed.thread is not None and feed.thread.is_alive()]

    def _turn(self, patience: float) -> None:
        try:
            look = self._inbox.get(timeout=patience)
        except queue.Empty:
            self._refresh()
            return
        if look.batch is not None:
            self._commit(look.feed, look.batch, look.cues)
        look.done.set()
        self._tell_all()

    def _commit(self, feed: _Feed, batch: Batch, cues: Mapping[bytes, Cue]) -> None:
        unit = batch.unit
        feed.units[unit.id] = unit
        if batch.done and batch.failure is None:
            feed.resting.add(unit.id)
        else:
            feed.resting.discard(unit.id)
        if batch.failure is None and unit.id in feed.failing:
            del feed.failing[unit.id]
            self._run.reopen(batch.source, unit.id)
            self._note(f"{batch.source}: answers again")
        feed.readable |= batch.failure is None or batch.counts.documents > 0
        news = batch.counts.documents or batch.gaps or batch.occurrences
        moved = batch.cursor is not None and batch.cursor != feed.cursors.get(unit.id)
        if news or moved or unit.id not in feed.cursors:
            pastes, kept = join(batch, cues, self._own, feed.strangers, self._mentions, self._judge.redactor)
            counts = replace(batch.counts, unchanged=0)
            held = replace(
                batch, occurrences=kept, seen=(), counts=counts, done=False, failure=None, fatal=False
            )
            self._record(held, pastes)
            feed.cursors[unit.id] = batch.cursor
        if batch.failure is not None:
            if unit.id not in feed.failing:
                self._note(f"{batch.source}: {batch.failure.reason}; it is tried again")
            feed.failing[unit.id] = batch.failure
            failed = Batch(
                source=batch.source, unit=unit, done=True, failure=batch.failure, fatal=batch.fatal
            )
            self._run.commit(failed)

    def _record(self, batch: Batch, pastes: Sequence[Paste]) -> None:
        """The batch and its events, or neither."""

        def events(connection: sqlite3.Connection, now: str) -> None:
            store_watch.record(connection, self._keys, pastes, self._sources, self._sketches, now)

        self._run.commit(batch, events if pastes else None)

    def _tell_all(self) -> None:
        while events := self._store.untold():
            for event, row in events:
                line = record(event, row)
                self._tell(line)
                self._store.tell([event["id"]])
                kind, severity = event["kind"], line["severity"]
                self._told[kind] = self._told.get(kind, 0) + 1
                if kind != "mention":
                    self._severities[severity] = self._severities.get(severity, 0) + 1
                    self._active += line["validity"] == "active"

    def _refresh(self) -> None:
        """What is one's own grows while others crawl and people decide."""
        begun = time.monotonic()
        if begun < self._own_due:
            return
        changes = self._store.changes()
        if changes != self._own_of:  # by others: our own commits do not count
            before, self._own = self._own, Own(*self._store.own(self._sources))
            if new := self._own.rules.keys() - before.rules.keys() - self._own.feeble:
                self._store.look_back(new, self._sources)
        now = time.monotonic()
        self._own_of, self._own_due = changes, now + max(_OWN_SECONDS, _OWN_SHARE * (now - begun))

    def _begin(self) -> Run:
        self._store.prune_events(datetime.now(UTC) - _REMEMBERED)
        return self._store.begin(JOB, self._config.file.name, self._judge.version)

    def _rest(self) -> None:
        """End the run: what is known of each feed is now what the ledger says of it."""
        for feed in self._feeds:
            if not feed.units:
                left = Skipped(
                    feed.source.name, "stopped before it was looked at", "let the watch run longer"
                )
                self._run.note_gap(feed.source.name, self._judge.gap(left))
            for unit in feed.units.values():
                if unit.id in feed.failing:
                    continue
                gaps: tuple[Gap, ...] = ()
                if unit.id not in feed.resting:
                    hint = "the next watch reads them"
                    left = Skipped(
                        unit.id, "stopped before all that was listed was read", hint, excluded=True
                    )
                    gaps = (self._judge.gap(left),)
                counts = Counts(excluded=len(gaps))
                self._run.commit(
                    Batch(source=feed.source.name, unit=unit, done=True, gaps=gaps, counts=counts)
                )
        self._run.finish(complete=all(row.status == "complete" for row in self._run.coverage()))

    # --- the threads -----------------------------------------------------------------------------

    def _look(self, feed: _Feed, once: bool) -> None:
        """Look at one feed again and again."""
        base = self._build()
        rules = {**base.rules, KNOWN.id: KNOWN}
        survey = Surveying(base.detector, self._keys, feed.source.name, self._names, lambda: self._own, rules)
        knowing = Knowing(base.classifier, self._keys, lambda: self._own)
        judge = replace(base, detector=survey, classifier=knowing, rules=rules)
        accept = self._config.sources[feed.source.name].config.accept
        failures = 0
        while not self._leave.is_set():
            begun = time.monotonic()
            failed = False
            try:
                for item in feed.source.units(_never):
                    if isinstance(item, Unit):
                        failed |= not self._read(feed, item, judge, survey, accept)
                    if self._leave.is_set():
                        break
            except Exception as error:  # noqa: BLE001  # one feed must not end the others
                failed = True
                skipped = defect(error, feed.source.name, "listing")
                self._note(f"{feed.source.name}: {skipped.reason}; {skipped.hint}")
            failures = failures + 1 if failed else 0
            if once:
                return
            pause = min(feed.every * 2 ** min(failures, 10), max(_LONGEST_PAUSE, feed.every))
            self._leave.wait(max(0.0, pause - (time.monotonic() - begun)))

    def _read(
        self, feed: _Feed, unit: Unit, judge: Examiner, survey: Surveying, accept: Sequence[Any]
    ) -> bool:
        """Read one unit to its end, or as far as the time goes. Whether it answered."""
        source = feed.source
        cursor = self._run.cursor(source.name, _watched(judge.unit(source.name, unit)).id)
        while True:
            batch = step(source, unit, cursor, _never, _BUDGET, judge, accept)
            look = _Look(feed, replace(batch, unit=_watched(batch.unit)), survey.take())
            self._inbox.put(look)
            while not look.done.wait(0.2):
                if self._leave.is_set() and not threading.main_thread().is_alive():
                    return False
            if batch.done or self._leave.is_set():
                return batch.failure is None
            cursor = batch.cursor


def _watched(unit: Unit) -> Unit:
    """The unit under a name of its own: what a crawl of the same source has read was not told to anybody."""
    return replace(unit, id=f"{unit.id}#{JOB}")


def _never(_key: str) -> str | None:
    return None
