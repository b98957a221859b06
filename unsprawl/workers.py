"""Who does the work of a job: its sources and steps as they are sent to workers, and the workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from unsprawl import pipeline
from unsprawl.budgets import Account
from unsprawl.detection import Detection, examiner
from unsprawl.executors import Begin, Executor, Inbox, Processes, Run, Task, Threads
from unsprawl.models.judge import judging
from unsprawl.pipeline import Progress
from unsprawl.records import Batch, Seen, Source, Unit
from unsprawl.step import Budget, step
from unsprawl.structs import Struct

if TYPE_CHECKING:
    from unsprawl.config import Config, SourceConfig
    from unsprawl.plugins import BuildsSource
    from unsprawl.store.sink import Sink

__all__ = ["SourceSpec", "Steps", "executors", "read_all", "sources_of"]

#: Threads that read the sources which share one tenant's limits.
_COORDINATOR_THREADS: Final = 4


class SourceSpec(Struct, frozen=True):
    """A source as it is sent to a worker, which builds its own.

    ``type`` is the class itself where it is known: to find it by name reads what all packages register.
    """

    name: str
    type: str | BuildsSource
    config: SourceConfig

    def build(self) -> Source:
        from unsprawl.plugins import build_source

        return build_source(self.name, self.type, self.config)


class Steps(Struct, frozen=True):
    """Everything a worker needs to take steps; sent to it once.

    ``store`` is None where nothing is remembered.
    """

    detection: Detection
    sources: tuple[SourceSpec, ...]
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
                allowance=task.allowance,
            )

        return run

    def _seen(self, source: str, detection: str) -> Seen:
        """Answers from the store, which is opened on the first question: it may not exist before."""
        if self.store is None:
            return _never
        from unsprawl.store.ledger import seen_reader

        return seen_reader(self.store, self.detection.keys, source, detection, self.rescan_until)


def sources_of(config: Config, names: Collection[str]) -> dict[str, Source]:
    """Those of the sources of ``config`` that are named, ready to be asked."""
    return {
        name: SourceSpec(name, source.type, source.config).build()
        for name, source in config.sources.items()
        if name in names
    }


def read_all(
    steps: Steps,
    sources: Sequence[Source],
    sink: Sink,
    executor_for: Callable[[Source], Executor],
    inbox: Inbox,
    progress: Progress | None,
    rank: Callable[[Source, Unit], float] | None = None,
    accounts: Mapping[str, Account] | None = None,
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
        accounts=accounts,
    )


def executors(
    steps: Steps,
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
    # A worker has one thread for its sums, and to start others costs it a tenth of a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    count = jobs or os.cpu_count() or 1
    placed = {source.reads_in for source in sources}
    if "worker" in placed and count > 1:
        stack.enter_context(judging())
    examiner(steps.detection)  # forked workers share what is loaded before
    made: dict[str, Executor] = {}
    if "worker" in placed:
        kind = Processes if count > 1 else Threads
        made["worker"] = kind(count, steps.build, inbox)
        stack.callback(made["worker"].close)
    tenants = [source.name for source in sources if source.reads_in == "coordinator"]
    threads: dict[str, Executor] = {}
    for name in tenants if apart else tenants[:1]:
        threads[name] = Threads(_COORDINATOR_THREADS, steps.build, inbox)
        stack.callback(threads[name].close)
    return lambda source: (
        made["worker"] if source.reads_in == "worker" else threads.get(source.name) or threads[tenants[0]]
    )


def _never(_key: str) -> str | None:
    return None
