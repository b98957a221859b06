"""The one loop: units to steps, steps to batches, batches to the store.

    Source.units ──Unit──▶ step(source, unit, cursor, seen, budget) ──Batch──▶ Sink.commit
                                ▲                                                  │
                                └──────────── next step of the unit ◀──────────────┘

A step reads until its budget is spent and a checkpoint has come. The batch and the cursor of that
checkpoint are committed together, so a crawl that dies goes on where the store says it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from unsprawl.errors import AuthError, SourceError
from unsprawl.examine import Examiner, defect
from unsprawl.executors import Executor, Inbox, Lost, Task
from unsprawl.records import (
    Batch,
    Counts,
    Gap,
    Seen,
    Skipped,
    Source,
    Unit,
)
from unsprawl.step import accepted

if TYPE_CHECKING:
    from unsprawl.config import AcceptedGap
    from unsprawl.store.sink import Sink

__all__ = ["Call", "Progress", "Stop", "run"]


#: Units of one source that may wait for a worker. Enumeration of a huge surface pauses beyond it.
_ENUMERATED_AHEAD: Final = 64


class Progress(Protocol):
    """Who wants to see the crawl go on."""

    def source(self, name: str, units: int | None) -> None:
        """``units`` are known so far; None: the enumeration is complete."""
        ...

    def batch(self, batch: Batch) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Stop:
    """Put into the inbox it ends the run: what was not read by then is a gap, for this ``reason``."""

    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Put into the inbox it is called between two batches, when nothing is being written."""

    what: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Listed:
    """``Source.units`` gave one thing."""

    source: str
    item: Unit | Skipped


@dataclass(frozen=True, slots=True)
class _ListingEnded:
    """``Source.units`` came to its end, or broke off with ``failure``."""

    source: str
    failure: Skipped | None
    fatal: bool


@dataclass(slots=True)
class _Course:
    """What the coordinator knows of one source."""

    source: Source
    executor: Executor
    finished: frozenset[str]
    room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_ENUMERATED_AHEAD))
    listing: bool = True
    listed: int = 0
    refused: bool = False
    open_units: int = 0
    stopped: Gap | None = None
    readable: bool = False


def run(
    sources: Sequence[Source],
    sink: Sink,
    executor_for: Callable[[Source], Executor],
    inbox: Inbox,
    examiner: Examiner,
    *,
    accept: Mapping[str, Sequence[AcceptedGap]],
    progress: Progress | None = None,
    rank: Callable[[Source, Unit], float] | None = None,
) -> bool:
    """Crawl ``sources`` into ``sink`` until every unit is read, skipped or failed.

    Units of lower ``rank`` are read before others of the same executor.
    Answers whether at least one source could be read, or the run was stopped; how completely stands in the
    sink's ledger.
    Raises ``StoreError`` only.
    """
    courses = {
        source.name: _Course(source, executor_for(source), frozenset(sink.finished_units(source.name)))
        for source in sources
    }
    loop = _Loop(courses, sink, inbox, examiner, accept, progress, rank or (lambda _source, _unit: 0.0))
    halt = threading.Event()
    for course in courses.values():
        arguments = (course, sink.seen(course.source.name), inbox, halt)
        threading.Thread(target=_list, args=arguments, name="unsprawl-list", daemon=True).start()
    try:
        while any(course.listing or course.open_units for course in courses.values()):
            message = inbox.get()
            if isinstance(message, Stop):
                loop.stop(message)
                return True
            loop.take(message)
    finally:
        halt.set()
        for course in courses.values():
            course.room.release()
    return any(course.readable for course in courses.values())


def _list(course: _Course, seen: Seen, inbox: Inbox, halt: threading.Event) -> None:
    """Enumerate one source into the inbox, pausing while enough of its units wait for a worker."""
    name = course.source.name
    failure: Skipped | None = None
    fatal = False
    try:
        for item in course.source.units(seen):
            course.room.acquire()
            if halt.is_set():
                return
            inbox.put(_Listed(name, item))
    except SourceError as error:
        failure = Skipped(name, error.message, error.hint)
        fatal = isinstance(error, AuthError)
    except Exception as error:  # noqa: BLE001
        failure = defect(error, name, "listing")
    inbox.put(_ListingEnded(name, failure, fatal))


@dataclass(frozen=True, slots=True)
class _Loop:
    """The coordinator's answers to what arrives in its inbox."""

    courses: Mapping[str, _Course]
    sink: Sink
    inbox: Inbox
    examiner: Examiner
    accept: Mapping[str, Sequence[AcceptedGap]]
    progress: Progress | None
    rank: Callable[[Source, Unit], float]

    def stop(self, message: Stop) -> None:
        """Record for every source that is not at its end that it was left there."""
        for name, course in self.courses.items():
            if course.listing or course.open_units:
                self.sink.source_failed(name, Gap(name, message.reason, message.hint))

    def take(self, message: Any) -> None:
        if isinstance(message, Call):
            message.what()
        elif isinstance(message, _Listed):
            self._listed(self.courses[message.source], message.item)
        elif isinstance(message, _ListingEnded):
            self._listing_ended(self.courses[message.source], message)
        elif isinstance(message, Lost):
            task = message.task
            hint = "the document it was reading may be the cause; the rest of the crawl went on"
            failure = self.examiner.gap(Skipped(task.unit.id, message.reason, hint))
            unit = self.examiner.unit(task.source, task.unit)
            self._stepped(task, Batch(source=task.source, unit=unit, done=True, failure=failure))
        else:
            self._stepped(*message)

    def _listed(self, course: _Course, item: Unit | Skipped) -> None:
        name = course.source.name
        if isinstance(item, Skipped):
            course.room.release()
            gap = accepted(self.examiner.gap(item), self.accept.get(name, ()))
            course.refused |= not gap.excluded
            self.sink.note_gap(name, gap, tuple(self.examiner.redactor.text(p) for p in item.parents))
            return
        course.listed += 1
        if self.progress:
            self.progress.source(name, course.listed)
        unit = self.examiner.unit(name, item)
        if unit.id in course.finished:
            course.readable = True
            course.room.release()
        elif course.stopped:
            course.room.release()
            self._commit(course, Batch(source=name, unit=unit, done=True, failure=course.stopped, fatal=True))
        else:
            course.open_units += 1
            cursor, rank = self.sink.cursor(name, unit.id), self.rank(course.source, item)
            course.executor.submit(Task(name, item, cursor, self.sink.full, rank=rank))

    def _listing_ended(self, course: _Course, ended: _ListingEnded) -> None:
        course.listing = False
        if ended.failure:
            failure = self.examiner.gap(ended.failure)
            if ended.fatal:
                course.stopped = failure
            self.sink.source_failed(ended.source, failure)
        else:
            course.readable |= not (course.listed or course.refused)  # an empty source was read to its end
        if self.progress:
            self.progress.source(ended.source, None)

    def _stepped(self, task: Task, batch: Batch) -> None:
        course = self.courses[task.source]
        self._commit(course, batch)
        if batch.fatal:
            course.stopped = course.stopped or batch.failure
        if not batch.done and not course.stopped:
            course.executor.submit(replace(task, cursor=batch.cursor))
            return
        if not batch.done:
            stopped = replace(
                batch,
                counts=Counts(),
                occurrences=(),
                refused=(),
                carried=(),
                documents=(),
                seen=(),
                gaps=(),
            )
            self._commit(course, replace(stopped, cursor=None, done=True, failure=course.stopped))
        course.open_units -= 1
        course.room.release()

    def _commit(self, course: _Course, batch: Batch) -> None:
        self.sink.commit(batch)
        course.readable |= batch.failure is None or batch.counts.documents + batch.counts.unchanged > 0
        if self.progress:
            self.progress.batch(batch)
