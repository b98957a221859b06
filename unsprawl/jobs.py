"""The jobs people run, each a call of the pipeline: ``scan`` without a store, ``crawl`` with one."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from unsprawl import pipeline
from unsprawl.examine import Examiner
from unsprawl.executors import Begin, Executor, Inbox, Processes, Run, Task, Threads
from unsprawl.pipeline import Progress
from unsprawl.recall import recall
from unsprawl.records import Batch, Classifier, Counts, Seen, Source, Unit
from unsprawl.secret import Keys
from unsprawl.step import Budget, step

if TYPE_CHECKING:
    from unsprawl.alerts.delivery import Told
    from unsprawl.config import Config, SourceConfig
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.detectors.values.engine import Values
    from unsprawl.models.memory import Memory
    from unsprawl.store.findings import Store
    from unsprawl.store.sink import CoverageRow, Sink

__all__ = [
    "Options",
    "Progress",
    "Result",
    "crawl",
    "detection_of",
    "examiner",
    "examiner_of",
    "scan",
    "sources_of",
    "sweep",
]

#: Threads that read the sources which share one tenant's limits.
_COORDINATOR_THREADS: Final = 4
#: Of a sweep people wait for the first hit: it is told when a step ends.
_SWEEP_BUDGET: Final = Budget(documents=200, read_bytes=32 << 20, seconds=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
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
    silenced: int = 0
    """Findings that are like false positives since this run, and were not before."""
    checked: Mapping[str, int] = field(default_factory=dict)
    """How many findings were checked live in this run, by what was proven."""
    told: Sequence[Told] = ()
    """What the channels of the configuration were told, and why anything still waits."""
    anchor: str = ""
    """Where the audit log of the store ended, for the report to carry."""
    reread: Sequence[dict[str, Any]] = ()
    """How much of each source was read by the present rules."""

    @property
    def complete(self) -> bool:
        return all(row.status == "complete" for row in self.coverage)


@dataclass(frozen=True, slots=True)
class _SourceSpec:
    """A source as it is sent to a worker, which builds its own."""

    name: str
    type: str
    config: SourceConfig = field(compare=False)

    def build(self) -> Source:
        from unsprawl.plugins import build_source

        return build_source(self.name, self.type, self.config)


@dataclass(frozen=True, slots=True)
class _Detection:
    """All that decides what a document gives: the same in every process of a job."""

    rules: tuple[Path, ...]
    exclude_rules: tuple[str, ...]
    min_confidence: float
    show_secrets: bool
    seal: bool
    keys: Keys
    remembers: bool = False
    """Whether vectors of the surroundings are made, for a store to keep."""
    memory: Memory | None = field(default=None, compare=False)
    """What was decided, for a job that has no store of its own."""
    values: Values | None = field(default=None, compare=False)
    """What is looked for instead of all that the rules know."""


@dataclass(frozen=True, slots=True)
class _Steps:
    """Everything a worker needs to take steps; sent to it once.

    ``store`` is None where nothing is remembered.
    """

    detection: _Detection
    sources: tuple[_SourceSpec, ...]
    store: Path | None = None
    since: datetime | None = None
    budget: Budget = Budget()
    rescan_until: float | None = None

    def build(self) -> Run:
        judge = examiner(self.detection)
        specs = {spec.name: spec for spec in self.sources}
        built = {name: cache(spec.build) for name, spec in specs.items()}
        seen = {name: self._seen(name, judge.version) for name in specs}

        def run(task: Task, begin: Begin) -> Batch:
            name = task.source
            return step(
                built[name](),
                task.unit,
                task.cursor,
                _never if task.full else seen[name],
                self.budget,
                judge,
                specs[name].config.accept,
                since=self.since,
                remember=self.store is not None,
                avoid=task.avoid,
                begin=begin,
            )

        return run

    def _seen(self, source: str, detection: str) -> Seen:
        """Answers from the store, which is opened on the first question: it may not exist before."""
        if self.store is None:
            return _never
        from unsprawl.store.ledger import seen_reader

        return seen_reader(self.store, self.detection.keys, source, detection, self.rescan_until)


_this_thread = threading.local()


def examiner(detection: _Detection) -> Examiner:
    """The detection core of this thread; a forked worker inherits that of the thread that forked it."""
    held: tuple[_Detection, Examiner] | None = getattr(_this_thread, "examiner", None)
    if (
        held is None
        or held[0] != detection
        or held[0].memory is not detection.memory
        or held[0].values is not detection.values
    ):
        held = _this_thread.examiner = (detection, _build_examiner(detection))
    return held[1]


def _build_examiner(detection: _Detection) -> Examiner:
    from unsprawl.detectors.detector import build
    from unsprawl.models.choice import chosen
    from unsprawl.redaction import Redactor

    detector = build(detection.rules, detection.exclude_rules, doubts=True)
    classifier: Classifier = chosen({rule.id: rule.kind for rule in detector.rules.rules})
    if detection.values is not None:
        return _sweeping(detection, detection.values, detector, classifier)
    if detection.remembers:
        from unsprawl.models.embedding import Surroundings
        from unsprawl.models.memory import Remembering

        embedding = Surroundings(detection.keys.namer("surroundings"))
        classifier = Remembering(classifier, embedding, detection.memory, least=detection.min_confidence)
    return Examiner(
        detector=detector,
        classifier=classifier,
        rules=detector.rules.by_id,
        keys=detection.keys,
        redactor=Redactor(detector.find_spans),
        min_confidence=detection.min_confidence,
        seal=detection.seal,
        show_secrets=detection.show_secrets,
        keep_refused=detection.remembers and detection.memory is None,
    )


def _sweeping(
    detection: _Detection, values: Values, detector: ContentDetector, classifier: Classifier
) -> Examiner:
    """Looks for given values, and with the rules only where one of them stands."""
    from unsprawl.detectors.values.detector import ValueDetector
    from unsprawl.detectors.values.engine import RULE
    from unsprawl.detectors.values.given import GivenClassifier
    from unsprawl.redaction import Redactor

    given = ValueDetector(values, detector)
    return Examiner(
        detector=given,
        classifier=GivenClassifier(classifier),
        rules={**detector.rules.by_id, RULE.id: RULE},
        keys=detection.keys,
        # A name of a file may hold a given value that no rule knows.
        redactor=Redactor(lambda text: sorted({*detector.find_spans(text), *given.find_spans(text)})),
        min_confidence=detection.min_confidence,
        show_secrets=detection.show_secrets,
    )


def examiner_of(config: Config, keys: Keys) -> Examiner:
    """The rules and the model of ``config``, for documents that are looked at one by one.

    Nothing is refused for its confidence: what was reported once is to be found again.
    """
    return _build_examiner(_Detection(config.rules, config.exclude_rules, 0.0, False, False, keys))


def sources_of(config: Config, names: Collection[str]) -> dict[str, Source]:
    """Those of the sources of ``config`` that are named, ready to be asked."""
    return {
        name: _SourceSpec(name, source.type, source.config).build()
        for name, source in config.sources.items()
        if name in names
    }


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
    spec = _SourceSpec("files", "files", config)
    detection = _Detection(
        options.rules,
        options.exclude_rules,
        _first(options.min_confidence, default_confidence()),
        options.show_secrets,
        options.verify,
        keys or load_keys(),
        remembers=memory is not None,
        memory=memory,
    )
    steps = _Steps(detection, (spec,), since=options.since)
    sources = [spec.build()]
    sink = MemorySink()
    with ExitStack() as stack:
        inbox: Inbox = SimpleQueue()
        executor_for = _executors(steps, sources, options.jobs, inbox, stack)
        readable = _run(steps, sources, sink, executor_for, inbox, progress)
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
    )


def detection_of(config: Config, options: Options, keys: Keys) -> _Detection:
    """What looks at the documents of a job with a store."""
    from unsprawl.models.choice import default_confidence

    return _Detection(
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
    from unsprawl.store import owners
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import load_keys
    from unsprawl.store.lock import job_lock

    started = time.monotonic()
    whose = owners.load(config.owners) if config.owners else owners.Owners()
    # A store that is there has its key already: a fresh one would only hide that it was lost.
    keys = load_keys(config.key, create=not config.store.exists())
    detection = detection_of(config, options, keys)
    specs = tuple(_SourceSpec(name, source.type, source.config) for name, source in config.sources.items())
    path = config.store
    until = None if options.rescan_s is None else time.monotonic() + options.rescan_s
    steps = _Steps(detection, specs, path, options.since, rescan_until=until)
    sources = [spec.build() for spec in specs]
    with ExitStack() as stack:
        inbox: Inbox = SimpleQueue()
        # Workers first: a forked child must inherit neither the lock nor the store's connection.
        executor_for = _executors(steps, sources, options.jobs or config.jobs, inbox, stack)
        stack.enter_context(job_lock(path, job))
        store = stack.enter_context(Store.open(path, keys))
        version = examiner(detection).version
        run = store.begin(job, config.file.name, version, full=options.full, rescan_until=until)
        readable = _run(steps, sources, run, executor_for, inbox, progress)
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
            silenced=len(changed.silenced),
            checked=checked,
            told=told,
            anchor=str(store.anchor() or ""),
            reread=store.reread(version),
        )


def _told(store: Store, config: Config, run: str) -> Sequence[Told]:
    """Who was told what. Alerts that fail wait in the store: they never fail the job they tell of."""
    if not config.notify:
        return ()
    from unsprawl.alerts.delivery import tell

    return tell(store, config.notify, run)


def _checked(store: Store, config: Config, detection: _Detection) -> Mapping[str, int]:
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
    from unsprawl.volatility import ahead, rank

    started = time.monotonic()
    detection = _Detection(
        (*config.rules, *options.rules),
        (*config.exclude_rules, *options.exclude_rules),
        _first(options.min_confidence, config.min_confidence, default_confidence()),
        options.show_secrets,
        options.verify,
        keys,
        values=values,
    )
    specs = tuple(_SourceSpec(name, source.type, source.config) for name, source in config.sources.items())
    steps = _Steps(detection, specs, since=options.since, budget=_SWEEP_BUDGET)
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
        executor_for = _executors(steps, sources, options.jobs or config.jobs, inbox, stack, apart=True)
        begun(inbox, result)
        readable = _run(steps, sources, sink, executor_for, inbox, progress, rank)
    if options.verify:
        from unsprawl.checking import verify_scan

        sink.settle(verify_scan(sink.occurrences, keys, examiner(detection).rules, config.checks))
    return result(readable=readable)


def _run(
    steps: _Steps,
    sources: Sequence[Source],
    sink: Sink,
    executor_for: Callable[[Source], Executor],
    inbox: Inbox,
    progress: Progress | None,
    rank: Callable[[Source, Unit], float] | None = None,
) -> bool:
    return pipeline.run(
        sources,
        sink,
        executor_for,
        inbox,
        examiner(steps.detection),
        accept={spec.name: spec.config.accept for spec in steps.sources},
        progress=progress,
        rank=rank,
    )


def _executors(
    steps: _Steps,
    sources: Sequence[Source],
    jobs: int | None,
    inbox: Inbox,
    stack: ExitStack,
    *,
    apart: bool = False,
) -> Callable[[Source], Executor]:
    """The executor of each source: processes for bulk stores, threads for tenants and for a single job.

    ``apart``: each tenant has threads of its own, so that none waits for the limits of another.
    """
    examiner(steps.detection)  # forked workers share what is loaded before
    count = jobs or os.cpu_count() or 1
    placed = {source.reads_in for source in sources}
    executors: dict[str, Executor] = {}
    if "worker" in placed:
        kind = Processes if count > 1 else Threads
        executors["worker"] = kind(count, steps.build, inbox)
        stack.callback(executors["worker"].close)
    tenants = [source.name for source in sources if source.reads_in == "coordinator"]
    threads: dict[str, Executor] = {}
    for name in tenants if apart else tenants[:1]:
        threads[name] = Threads(_COORDINATOR_THREADS, steps.build, inbox)
        stack.callback(threads[name].close)
    return lambda source: (
        executors["worker"]
        if source.reads_in == "worker"
        else threads.get(source.name) or threads[tenants[0]]
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def _never(_key: str) -> str | None:
    return None


def _stored_rows(path: Path, keys: Keys) -> Iterator[dict[str, Any]]:
    from unsprawl.store.findings import Filter, Store
    from unsprawl.store.triage import SETTLED

    with Store.open(path, keys, readonly=True) as store:
        yield from store.rows(Filter(without=SETTLED))
