"""The jobs people run, each a call of the pipeline: ``scan`` without a store, ``crawl`` with one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from unsprawl.budgets import Account
from unsprawl.detection import Detection, examiner
from unsprawl.executors import Inbox
from unsprawl.pipeline import Progress
from unsprawl.records import Counts
from unsprawl.secret import Keys
from unsprawl.step import Budget
from unsprawl.structs import Struct, field
from unsprawl.workers import SourceSpec, Steps, executors, read_all

if TYPE_CHECKING:
    from unsprawl.alerts.delivery import Told
    from unsprawl.canaries import Checked
    from unsprawl.config import Config
    from unsprawl.detectors.rules import Rule
    from unsprawl.detectors.values.engine import Values
    from unsprawl.models.memory import Memory
    from unsprawl.store.findings import Store
    from unsprawl.store.sink import CoverageRow

__all__ = [
    "Options",
    "Progress",
    "Result",
    "crawl",
    "detection_of",
    "scan",
    "sweep",
]

#: Of a sweep people wait for the first hit: it is told when a step ends.
_SWEEP_BUDGET: Final = Budget(documents=200, read_bytes=32 << 20, seconds=1.0)


class Options(Struct, frozen=True, kw_only=True):
    """What a person may turn on the command line.

    ``jobs``: worker processes, default one a core. ``since``: what was last modified before is left out.
    """

    jobs: int | None = None
    rules: tuple[Path, ...] = ()
    exclude_rules: tuple[str, ...] = ()
    min_confidence: float | None = None
    show_secrets: bool = False
    since: datetime | None = None
    full: bool = False
    verify: bool = False
    debug: bool = False
    rescan_s: float | None = None
    """Seconds in which what other rules have seen is read again; None: all of it, in this run."""


class Result(Struct, frozen=True, kw_only=True):
    """What a job did. ``readable`` is False when no source could be read at all."""

    rows: Callable[[], Iterator[dict[str, Any]]]
    coverage: Sequence[CoverageRow]
    totals: Counts
    readable: bool
    seconds: float
    run: str = ""
    new: int = 0
    reopened: int = 0
    gone: int = 0
    closed: int = 0
    silenced: int = 0
    """Findings that are like false positives since this run, and were not before."""
    checked: Mapping[str, int] = field(default_factory=dict)
    """How many findings were checked live in this run, by what was proven."""
    told: Sequence[Told] = ()
    """What the channels of the configuration were told, and why anything still waits."""
    anchor: str = ""
    """Where the audit log of the store ended, for the report to carry."""
    used: Mapping[str, Account] = field(default_factory=dict)
    """The requests and the time that each source took, and its budget."""
    canaries: Sequence[Checked] = ()
    """What became of what was planted for the run to find."""
    reread: Sequence[dict[str, Any]] = ()
    """How much of each source was read by the present rules."""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    """The rules that were looked for, by id."""

    @property
    def complete(self) -> bool:
        return all(row.status == "complete" for row in self.coverage)


def scan(
    paths: Sequence[str],
    options: Options,
    *,
    exclude: Sequence[str] = (),
    keys: Keys | None = None,
    memory: Memory | None = None,
    progress: Progress | None = None,
) -> Result:
    """Scan files, folders and ``-`` (standard input) into memory.

    Findings that are like false positives of ``memory`` have that status in the rows; it is of ``keys``.
    Raises ``ConfigError`` for a path that is not there.
    """
    from unsprawl.crawlers.files import FilesSource
    from unsprawl.models.choice import default_confidence
    from unsprawl.store.keys import load_keys
    from unsprawl.store.memory import MemorySink

    started = time.monotonic()
    config = FilesSource.Config(paths=tuple(paths), exclude=tuple(exclude))
    spec = SourceSpec("files", FilesSource, config)
    detection = Detection(
        options.rules,
        options.exclude_rules,
        _first(options.min_confidence, default_confidence()),
        options.show_secrets,
        options.verify,
        keys or load_keys(),
        remembers=memory is not None,
        memory=memory,
    )
    steps = Steps(detection, (spec,), since=options.since)
    sources = [spec.build()]
    sink = MemorySink()
    with ExitStack() as stack:
        inbox: Inbox = SimpleQueue()
        executor_for = executors(steps, sources, options.jobs, inbox, stack)
        readable = read_all(steps, sources, sink, executor_for, inbox, progress)
    if options.verify:
        from unsprawl.checking import verify_scan
        from unsprawl.config import Checks

        sink.settle(verify_scan(sink.occurrences, detection.keys, examiner(detection).rules, Checks()))
    return Result(
        rows=partial(sink.rows, show_secrets=options.show_secrets),
        coverage=sink.coverage(),
        totals=sink.totals(),
        readable=readable,
        seconds=time.monotonic() - started,
        rules=examiner(detection).rules,
    )


def detection_of(config: Config, options: Options, keys: Keys) -> Detection:
    """What looks at the documents of a job with a store."""
    from unsprawl.models.choice import default_confidence

    return Detection(
        (*config.rules, *options.rules),
        (*config.exclude_rules, *options.exclude_rules),
        _first(options.min_confidence, config.min_confidence, default_confidence()),
        False,
        config.seals or (options.verify and config.seal is None),
        keys,
        remembers=True,
    )


def crawl(
    config: Config, options: Options, *, job: str = "crawl", progress: Progress | None = None
) -> Result:
    """Crawl every source of ``config`` into its store, going on where an interrupted run stopped.

    Raises ``ConfigError`` when the same job already runs on this store, and ``StoreError``.
    """
    from unsprawl.canaries import check, planted
    from unsprawl.recall import recall
    from unsprawl.store import owners
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import load_keys
    from unsprawl.store.lock import job_lock

    started = time.monotonic()
    whose = owners.load(config.owners) if config.owners else owners.Owners()
    # A store that is there has its key already: a fresh one would only hide that it was lost.
    keys = load_keys(config.key, create=not config.store.exists())
    detection = detection_of(config, options, keys)
    specs = tuple(SourceSpec(name, source.type, source.config) for name, source in config.sources.items())
    path = config.store
    until = None if options.rescan_s is None else time.monotonic() + options.rescan_s
    steps = Steps(detection, specs, path, options.since, rescan_until=until)
    sources = [spec.build() for spec in specs]
    canaries = {name: planted(name, source, keys) for name, source in config.sources.items()}
    accounts = {name: Account(source.config.budget) for name, source in config.sources.items()}
    with ExitStack() as stack:
        inbox: Inbox = SimpleQueue()
        # Workers first: a forked child must inherit neither the lock nor the store's connection.
        executor_for = executors(steps, sources, options.jobs or config.jobs, inbox, stack)
        stack.enter_context(job_lock(path, job))
        store = stack.enter_context(Store.open(path, keys))
        version = examiner(detection).version
        run = store.begin(job, config.file.name, version, full=options.full, rescan_until=until)
        readable = read_all(steps, sources, run, executor_for, inbox, progress, accounts=accounts)
        watched = check(sources, canaries, run, examiner(detection), accounts)
        coverage = run.coverage()
        run.finish(complete=all(row.status == "complete" for row in coverage))
        changed = recall(store)
        store.assign_all(whose)
        checked = _checked(store, config, detection) if options.verify else {}
        told = _told(store, config, run.id)
        return Result(
            rows=partial(_stored_rows, path, keys),
            coverage=coverage,
            totals=run.totals(),
            readable=readable,
            seconds=time.monotonic() - started,
            run=run.id,
            new=run.new,
            reopened=run.reopened,
            gone=run.gone,
            closed=run.closed,
            silenced=len(changed.silenced),
            checked=checked,
            told=told,
            anchor=str(store.anchor() or ""),
            used=accounts,
            canaries=watched,
            reread=store.reread(version),
            rules=examiner(detection).rules,
        )


def _told(store: Store, config: Config, run: str) -> Sequence[Told]:
    """Who was told what. Alerts that fail wait in the store: they never fail the job they tell of."""
    if not config.notify:
        return ()
    from unsprawl.alerts.delivery import tell

    return tell(store, config.notify, run)


def _checked(store: Store, config: Config, detection: Detection) -> Mapping[str, int]:
    """Live checks of what is due, behind the commit: a crawl that dies here leaves them to the next."""
    from unsprawl.checking import Verifier

    judge = examiner(detection)
    verifier = Verifier(store=store, keys=detection.keys, rules=judge.rules, checks=config.checks)
    return Counter(str(answer.check.validity) for answer in verifier.due())


def sweep(
    config: Config,
    options: Options,
    keys: Keys,
    values: Values | None,
    *,
    begun: Callable[[Inbox, Callable[[], Result]], None] = lambda _inbox, _result: None,
    progress: Progress | None = None,
) -> Result:
    """Read every source of ``config`` for ``values``, all at once, what is deleted first before the rest.

    Without values: for all that the rules know. Nothing is stored, and no cursor or version is used or moved.
    ``begun`` is given the inbox, which takes ``pipeline.Stop`` and ``pipeline.Call``, and what answers the
    result so far.
    """
    from unsprawl.models.choice import default_confidence
    from unsprawl.store.memory import MemorySink
    from unsprawl.volatility import Turns, ahead

    started = time.monotonic()
    detection = Detection(
        (*config.rules, *options.rules),
        (*config.exclude_rules, *options.exclude_rules),
        _first(options.min_confidence, config.min_confidence, default_confidence()),
        options.show_secrets,
        options.verify,
        keys,
        values=values,
    )
    specs = tuple(SourceSpec(name, source.type, source.config) for name, source in config.sources.items())
    steps = Steps(detection, specs, since=options.since, budget=_SWEEP_BUDGET)
    sources = sorted((spec.build() for spec in specs), key=ahead)
    sink = MemorySink()

    def result(*, readable: bool = True) -> Result:
        return Result(
            rows=partial(sink.rows, show_secrets=options.show_secrets),
            coverage=sink.coverage(),
            totals=sink.totals(),
            readable=readable,
            seconds=time.monotonic() - started,
        )

    with ExitStack() as stack:
        inbox: Inbox = SimpleQueue()
        executor_for = executors(steps, sources, options.jobs or config.jobs, inbox, stack, apart=True)
        begun(inbox, result)
        readable = read_all(steps, sources, sink, executor_for, inbox, progress, Turns())
    if options.verify:
        from unsprawl.checking import verify_scan

        sink.settle(verify_scan(sink.occurrences, keys, examiner(detection).rules, config.checks))
    return result(readable=readable)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _stored_rows(path: Path, keys: Keys) -> Iterator[dict[str, Any]]:
    from unsprawl.store.findings import Filter, Store
    from unsprawl.store.triage import SETTLED

    with Store.open(path, keys, readonly=True) as store:
        yield from store.rows(Filter(without=SETTLED))
