"""The one loop: units to steps, steps to batches, batches to the store.

    Source.units ──Unit──▶ step(source, unit, cursor, seen, budget) ──Batch──▶ Sink.commit
                                ▲                                                  │
                                └──────────── next step of the unit ◀──────────────┘

A step reads until its budget is spent and a checkpoint has come. The batch and the cursor of that
checkpoint are committed together, so a crawl that dies goes on where the store says it was.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from unsprawl.budgets import Account
from unsprawl.errors import AuthError, SourceError
from unsprawl.examine import Examiner, defect
from unsprawl.executors import Executor, Inbox, Lost, Task
from unsprawl.records import (
    Batch,
    Gap,
    Seen,
    Skipped,
    Source,
    Unit,
)
from unsprawl.step import accepted
from unsprawl.structs import Struct, field, replace
from unsprawl.wire.usage import metered

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


class Stop(Struct, frozen=True):
    """Put into the inbox it ends the run: what was not read by then is a gap, for this ``reason``."""

    reason: str
    hint: str = ""


class Call(Struct, frozen=True):
    """Put into the inbox it is called between two batches, when nothing is being written."""

    what: Callable[[], None]


class _Listed(Struct, frozen=True):
    """``Source.units`` gave one thing."""

    source: str
    item: Unit | Skipped


class _ListingEnded(Struct, frozen=True):
    """``Source.units`` came to its end, or broke off with ``failure``."""

    source: str
    failure: Skipped | None
    fatal: bool
    spent: str = ""
    """What was spent when it was cut off."""


class _Course(Struct):
    """What the coordinator knows of one source."""

    source: Source
    executor: Executor
    finished: frozenset[str]
    account: Account
    turns: Mapping[str, int]
    waiting: list[tuple[int, int, Unit]] = field(default_factory=list)
    """Units of a source with a budget, of which only as many are begun as run at once: by their last turn."""
    running: int = 0
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
    accounts: Mapping[str, Account] | None = None,
) -> bool:
    """Crawl ``sources`` into ``sink`` until every unit is read, skipped or failed.

    Units of lower ``rank`` are read before others of the same executor. A source whose budget in ``accounts``
    is spent is left at its checkpoints; units that had no turn yet, or the earliest one, are read first.
    Answers whether at least one source could be read, or the run was stopped; how completely stands in the
    sink's ledger.
    Raises ``StoreError`` only.
    """
    courses: dict[str, _Course] = {}
    for source in sources:
        name = source.name
        account = (accounts or {}).get(name) or Account()
        turns = sink.turns(name) if account.limited else {}
        finished = frozenset(sink.finished_units(name))
        courses[name] = _Course(source, executor_for(source), finished, account, turns)
    loop = _Loop(courses, sink, inbox, examiner, accept, progress, rank or (lambda _source, _unit: 0.0))
    halt = threading.Event()
    for course in courses.values():
        course.account.begin()
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
    name, account = course.source.name, course.account
    failure: Skipped | None = None
    fatal, spent = False, ""
    try:
        with metered(account.listing):
            for item in course.source.units(seen):
                # What a budget leaves unread is to be named, so all is listed before it is spent.
                if not account.limited:
                    course.room.acquire()
                if halt.is_set():
                    return
                inbox.put(_Listed(name, item))
                if spent := account.spent():
                    break
    except SourceError as error:
        failure = Skipped(name, error.message, error.hint)
        fatal = isinstance(error, AuthError)
    except Exception as error:  # noqa: BLE001
        failure = defect(error, name, "listing")
    inbox.put(_ListingEnded(name, failure, fatal, spent))


class _Loop(Struct, frozen=True):
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
            self._commit(course, _left(name, unit, course.stopped))
        elif course.account.limited:
            course.open_units += 1
            heapq.heappush(course.waiting, (course.turns.get(unit.id, 0), course.listed, item))
            self._feed(course)
        else:
            course.open_units += 1
            self._begin(course, item)

    def _begin(self, course: _Course, item: Unit) -> None:
        name = course.source.name
        unit = self.examiner.unit(name, item)
        cursor, rank = self.sink.cursor(name, unit.id), self.rank(course.source, item)
        allowance = course.account.allow(course.executor.width)
        course.running += 1
        course.executor.submit(Task(name, item, cursor, self.sink.full, rank=rank, allowance=allowance))

    def _feed(self, course: _Course) -> None:
        """Begin what waits, as far as it fits: what had its turn gives way to what may still be listed."""
        while course.waiting and course.running < course.executor.width:
            if course.waiting[0][0] and course.listing:
                return
            if course.running and not course.account.free():
                return
            if self._spent(course):
                break
            self._begin(course, heapq.heappop(course.waiting)[2])
        while course.waiting and course.stopped:
            item = heapq.heappop(course.waiting)[2]
            unit = self.examiner.unit(course.source.name, item)
            self._commit(course, _left(course.source.name, unit, course.stopped))
            course.open_units -= 1

    def _spent(self, course: _Course) -> bool:
        """Whether there is nothing left to go on with; then the source stops here."""
        if course.stopped is None and (why := course.account.spent()):
            course.stopped = course.account.leave(course.source.name, why)
            course.readable = True
        return course.stopped is not None

    def _listing_ended(self, course: _Course, ended: _ListingEnded) -> None:
        course.listing = False
        if ended.failure:
            failure = self.examiner.gap(ended.failure)
            if ended.fatal:
                course.stopped = failure
            self.sink.source_failed(ended.source, failure)
        elif ended.spent:
            gap = course.account.leave(ended.source, ended.spent)
            more = f"{gap.reason}; there may be more than was listed"
            self.sink.note_gap(ended.source, replace(gap, reason=more))
            course.readable = True
        else:
            course.readable |= not (course.listed or course.refused)  # an empty source was read to its end
        self._feed(course)
        if not course.open_units:
            course.account.end()
        if self.progress:
            self.progress.source(ended.source, None)

    def _stepped(self, task: Task, batch: Batch) -> None:
        course = self.courses[task.source]
        course.account.take(batch.requests, task.allowance)
        self._commit(course, batch)
        if batch.fatal:
            course.stopped = course.stopped or batch.failure
        if not batch.done and not self._spent(course):
            allowance = course.account.allow(course.executor.width)
            course.executor.submit(replace(task, cursor=batch.cursor, allowance=allowance))
            return
        if not batch.done and course.stopped:
            self._commit(course, _left(task.source, batch.unit, course.stopped))
        course.running -= 1
        course.open_units -= 1
        course.room.release()
        self._feed(course)
        if not (course.listing or course.open_units):
            course.account.end()

    def _commit(self, course: _Course, batch: Batch) -> None:
        self.sink.commit(batch)
        course.readable |= batch.failure is None or batch.counts.documents + batch.counts.unchanged > 0
        if self.progress:
            self.progress.batch(batch)


def _left(source: str, unit: Unit, why: Gap) -> Batch:
    """A unit that is not read, or not to its end, since its source has stopped."""
    return Batch(source=source, unit=unit, done=True, failure=why, fatal=True)
