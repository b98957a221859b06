"""The one loop: units to steps, steps to batches, batches to the store.

    Source.units ──Unit──▶ step(source, unit, cursor, seen, budget) ──Batch──▶ Sink.commit
                                ▲                                                  │
                                └──────────── next step of the unit ◀──────────────┘

A step reads until its budget is spent and a checkpoint has come. The batch and the cursor of that
checkpoint are committed together, so a crawl that dies goes on where the store says it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, Self, TypeVar, cast

from unsprawl.errors import AuthError, SourceError
from unsprawl.examine import Examiner, defect
from unsprawl.executors import Executor, Inbox, Lost, Task
from unsprawl.records import (
    Batch,
    Counts,
    Cursor,
    Document,
    Gap,
    Occurrence,
    Seen,
    Skipped,
    Source,
    Stream,
    Unchanged,
    Unit,
)

if TYPE_CHECKING:
    from unsprawl.config import AcceptedGap
    from unsprawl.store.sink import Sink

__all__ = ["Budget", "Progress", "accepted", "run", "step"]

_Gapped = TypeVar("_Gapped", Gap, Skipped)

#: Units of one source that may wait for a worker. Enumeration of a huge surface pauses beyond it.
_ENUMERATED_AHEAD: Final = 64


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one step may read before its next checkpoint ends it."""

    documents: int = 2_000
    read_bytes: int = 256 << 20
    seconds: float = 15.0


class Progress(Protocol):
    """Who wants to see the crawl go on."""

    def source(self, name: str, units: int | None) -> None:
        """``units`` are known so far; None: the enumeration is complete."""
        ...

    def batch(self, batch: Batch) -> None: ...
    def note(self, text: str) -> None: ...


# --- one step ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    """What came since the last checkpoint."""

    documents: list[bytes] = field(default_factory=list)
    seen: list[tuple[bytes, str]] = field(default_factory=list)
    occurrences: list[Occurrence] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    read: int = 0
    unchanged: int = 0
    read_bytes: int = 0

    def absorb(self, later: _Tally) -> None:
        self.documents += later.documents
        self.seen += later.seen
        self.occurrences += later.occurrences
        self.gaps += later.gaps
        self.read += later.read
        self.unchanged += later.unchanged
        self.read_bytes += later.read_bytes

    def spent(self, budget: Budget, deadline: float) -> bool:
        return (
            self.read >= budget.documents
            or self.read_bytes >= budget.read_bytes
            or time.monotonic() >= deadline
        )

    @property
    def counts(self) -> Counts:
        excluded = sum(gap.excluded for gap in self.gaps)
        skipped = len(self.gaps) - excluded
        return Counts(self.read, self.unchanged, skipped, excluded, self.read_bytes)


def step(
    source: Source,
    unit: Unit,
    cursor: Cursor | None,
    seen: Seen,
    budget: Budget,
    examiner: Examiner,
    accept: Sequence[AcceptedGap] = (),
    *,
    remember: bool = True,
) -> Batch:
    """Read ``unit`` from ``cursor`` on until the budget is spent and a checkpoint has come. Never raises.

    Without a checkpoint the unit is read to its end. When reading breaks off, what was read before
    counts, the cursor stays at the last checkpoint, and the batch carries the failure. ``remember``
    is off where no store will be asked what was seen.
    """
    done, tally = _Tally(), _Tally()
    deadline = time.monotonic() + budget.seconds
    reached: Cursor | None = None
    failure: Gap | None = None
    fatal = False
    finished = True
    try:
        for event in source.read(unit, cursor, seen):
            if isinstance(event, Document):
                _take(event, source, examiner, accept, tally, remember=remember)
            elif isinstance(event, Unchanged):
                tally.unchanged += event.count
            elif isinstance(event, Skipped):
                tally.gaps.append(examiner.gap(accepted(event, accept)))
            else:
                done.absorb(tally)
                tally, reached = _Tally(), event.cursor
                # An empty cursor says "from the start": nobody could go on from there.
                if event.cursor and done.spent(budget, deadline):
                    finished = False
                    break
    except SourceError as error:
        failure = examiner.gap(Skipped(unit.id, error.message, error.hint))
        fatal = isinstance(error, AuthError)
    except Exception as error:  # noqa: BLE001  # a defect of one source must not end the others
        failure = examiner.gap(defect(error, unit.id, "reading"))
    done.absorb(tally)
    return Batch(
        source=source.name,
        unit=examiner.unit(source.name, unit),
        counts=done.counts,
        occurrences=tuple(done.occurrences),
        documents=tuple(done.documents),
        seen=tuple(done.seen),
        gaps=tuple(done.gaps),
        cursor=reached,
        done=finished,
        failure=failure,
        fatal=fatal,
    )


def _take(
    document: Document,
    source: Source,
    examiner: Examiner,
    accept: Sequence[AcceptedGap],
    tally: _Tally,
    *,
    remember: bool,
) -> None:
    meter = _Meter()
    examined = examiner.examine(source.name, source.type, meter.watch(document))
    tally.read += 1
    tally.read_bytes += meter.read_bytes
    tally.occurrences += examined.occurrences
    tally.gaps += [accepted(gap, accept) for gap in examined.gaps]
    # Only what was read wholly is remembered: a broken archive is met again on the next run, and what
    # an unread part held is not taken for gone.
    if remember and examined.whole:
        name = examiner.keys.name(source.name, document.uri)
        tally.documents.append(name)
        if document.version is not None:
            if document.key and document.key != document.uri:
                name = examiner.keys.name(source.name, document.key)
            tally.seen.append((name, document.version))


def accepted(gap: _Gapped, accept: Sequence[AcceptedGap]) -> _Gapped:
    """``gap``, marked as excluded when its owner accepted it and the date has not passed."""
    if not gap.excluded and any(known.covers(gap.uri, gap.reason) for known in accept):
        return replace(gap, excluded=True)
    return gap


class _Meter:
    """Counts the bytes of one document as they are fetched."""

    __slots__ = ("read_bytes",)

    def __init__(self) -> None:
        self.read_bytes = 0

    def watch(self, document: Document) -> Document:
        body = document.body
        if not isinstance(body, Stream):
            self.read_bytes = len(body)
            return document
        opener = body.open

        def opened(offset: int) -> BinaryIO:
            return cast(BinaryIO, _Metered(opener(offset), self))

        return replace(document, body=replace(body, open=opened))


class _Metered:
    """A binary file that tells its meter what is read from it."""

    __slots__ = ("_file", "_meter")

    def __init__(self, file: BinaryIO, meter: _Meter) -> None:
        self._file = file
        self._meter = meter

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._meter.read_bytes += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._meter.read_bytes += count
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


# --- the loop ------------------------------------------------------------------------------------


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
) -> bool:
    """Crawl ``sources`` into ``sink`` until every unit is read, skipped or failed.

    Answers whether at least one source could be read; how completely stands in the sink's ledger.
    Raises ``StoreError`` only.
    """
    courses = {
        source.name: _Course(source, executor_for(source), frozenset(sink.finished_units(source.name)))
        for source in sources
    }
    loop = _Loop(courses, sink, inbox, examiner, accept, progress)
    halt = threading.Event()
    for course in courses.values():
        arguments = (course, sink.seen(course.source.name), inbox, halt)
        threading.Thread(target=_list, args=arguments, name="unsprawl-list", daemon=True).start()
    try:
        while any(course.listing or course.open_units for course in courses.values()):
            loop.take(inbox.get())
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

    def take(self, message: Any) -> None:
        if isinstance(message, _Listed):
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
            course.executor.submit(Task(name, item, self.sink.cursor(name, unit.id)))

    def _listing_ended(self, course: _Course, ended: _ListingEnded) -> None:
        course.listing = False
        if ended.failure:
            failure = self.examiner.gap(ended.failure)
            if ended.fatal:
                course.stopped = failure
            self.sink.source_failed(ended.source, failure)
        else:
            course.readable |= course.listed == 0
        if self.progress:
            self.progress.source(ended.source, None)

    def _stepped(self, task: Task, batch: Batch) -> None:
        course = self.courses[task.source]
        self._commit(course, batch)
        if batch.fatal:
            course.stopped = course.stopped or batch.failure
        if not batch.done and not course.stopped:
            course.executor.submit(Task(task.source, task.unit, batch.cursor))
            return
        if not batch.done:
            stopped = replace(batch, counts=Counts(), occurrences=(), documents=(), seen=(), gaps=())
            self._commit(course, replace(stopped, cursor=None, done=True, failure=course.stopped))
        course.open_units -= 1
        course.room.release()

    def _commit(self, course: _Course, batch: Batch) -> None:
        self.sink.commit(batch)
        course.readable |= batch.failure is None or batch.counts.documents + batch.counts.unchanged > 0
        if self.progress:
            self.progress.batch(batch)
