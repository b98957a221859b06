"""One step of the crawl: read a unit until the budget is spent and a checkpoint has come.

A step is the only unit of work. It needs nothing but its arguments, so it runs in any process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, TypeVar, cast

from unsprawl.budgets import Allowance
from unsprawl.errors import AuthError, SourceError
from unsprawl.examine import NOTHING, Examined, Examiner, Looked, defect
from unsprawl.records import (
    Batch,
    Carried,
    Counts,
    Cursor,
    Document,
    Gap,
    Occurrence,
    Refused,
    Seen,
    Skipped,
    Source,
    Stream,
    Unchanged,
    Unit,
)
from unsprawl.structs import Struct, field, replace
from unsprawl.wire.usage import metered

if TYPE_CHECKING:
    from datetime import datetime

    from unsprawl.config import AcceptedGap

__all__ = ["CANARY", "Budget", "accepted", "step"]

_FATAL: Final = "scan it alone, with more memory; the rest of the crawl went on"

#: So many candidates are judged at once, of as many documents as it takes.
_TOGETHER: Final = 64

#: A text of at most so many bytes waits for others, until they are so many bytes together. What one counts
#: for besides.
_SHORT: Final = 4 << 10
_SHORTS: Final = 64 << 10
_EACH: Final = 64

#: The rule that knows what `unsprawl canary new` made: seen, and never a finding.
CANARY: Final = "unsprawl.canary"

_UNLIMITED: Final = Allowance()

_Gapped = TypeVar("_Gapped", Gap, Skipped)


class Budget(Struct, frozen=True):
    """How much one step may read before its next checkpoint ends it."""

    documents: int = 2_000
    read_bytes: int = 256 << 20
    seconds: float = 15.0


class _Tally(Struct):
    """What came since the last checkpoint."""

    documents: list[bytes] = field(default_factory=list)
    seen: list[tuple[bytes, str]] = field(default_factory=list)
    occurrences: list[Occurrence] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    carried: list[Carried] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    read: int = 0
    unchanged: int = 0
    left_out: int = 0
    read_bytes: int = 0

    def absorb(self, later: _Tally) -> None:
        self.documents += later.documents
        self.seen += later.seen
        self.occurrences += later.occurrences
        self.refused += later.refused
        self.carried += later.carried
        self.gaps += later.gaps
        self.read += later.read
        self.unchanged += later.unchanged
        self.left_out += later.left_out
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
        return Counts(self.read, self.unchanged, skipped, excluded + self.left_out, self.read_bytes)


def step(
    source: Source,
    unit: Unit,
    cursor: Cursor | None,
    seen: Seen,
    budget: Budget,
    examiner: Examiner,
    accept: Sequence[AcceptedGap] = (),
    *,
    since: datetime | None = None,
    remember: bool = True,
    avoid: Mapping[bytes, str] | None = None,
    begin: Callable[[bytes], None] = lambda _mark: None,
    allowance: Allowance = _UNLIMITED,
) -> Batch:
    """Read ``unit`` from ``cursor`` on until the budget is spent and a checkpoint has come. Never raises.

    Without a checkpoint the unit is read to its end. When reading breaks off, what was read before
    counts, the cursor stays at the last checkpoint, and the batch carries the failure. What was last
    modified before ``since`` is left out; ``remember`` is off where no store will be asked what was seen.
    ``begin`` is told which document is scanned, by its keyed name; what stands in ``avoid`` is not
    scanned, for the reason given there. ``allowance`` ends the step like its budget does.
    """
    with metered() as usage:
        batch = _step(
            source, unit, cursor, seen, budget, examiner, accept, since, remember, avoid, begin,
            lambda: allowance.spent(usage),
        )  # fmt: skip
    planted = tuple(one for one in batch.occurrences if one.rule == CANARY)
    if planted:
        found = tuple(one for one in batch.occurrences if one.rule != CANARY)
        batch = replace(batch, occurrences=found, canaries=planted)
    return replace(batch, requests=usage.requests)


def _step(
    source: Source,
    unit: Unit,
    cursor: Cursor | None,
    seen: Seen,
    budget: Budget,
    examiner: Examiner,
    accept: Sequence[AcceptedGap],
    since: datetime | None,
    remember: bool,
    avoid: Mapping[bytes, str] | None,
    begin: Callable[[bytes], None],
    enough: Callable[[], bool],
) -> Batch:
    done, tally = _Tally(), _Tally()
    waiting = _Waiting(source, examiner, accept, remember, begin)
    deadline = time.monotonic() + budget.seconds
    reached: Cursor | None = None
    failure: Gap | None = None
    fatal = False
    finished = True
    named = _names(examiner, source)
    try:
        for event in source.read(unit, cursor, seen):
            if isinstance(event, Document):
                if since and event.modified_at and event.modified_at < since:
                    tally.left_out += 1
                    continue
                if avoid and (name := named(event)) in avoid:
                    tally.gaps.append(examiner.gap(accepted(Skipped(event.uri, avoid[name], _FATAL), accept)))
                    continue
                waiting.take(event, tally)
            elif isinstance(event, Unchanged):
                tally.unchanged += event.count
                if event.document is not None and remember:
                    tally.carried.append(examiner.carried(source.name, source.type, event.document))
            elif isinstance(event, Skipped):
                tally.gaps.append(examiner.gap(accepted(event, accept)))
            else:
                waiting.settle(tally)
                done.absorb(tally)
                tally, reached = _Tally(), event.cursor
                # An empty cursor says "from the start": nobody could go on from there. Nor from the place
                # where this step began: stopping there again and again would read for ever.
                if event.cursor and event.cursor != cursor and (done.spent(budget, deadline) or enough()):
                    finished = False
                    break
    except SourceError as error:
        failure = examiner.gap(Skipped(unit.id, error.message, error.hint))
        fatal = isinstance(error, AuthError)
    except Exception as error:  # noqa: BLE001  # a defect of one source must not end the others
        failure = examiner.gap(defect(error, unit.id, "reading"))
    try:
        waiting.settle(tally)
    except AuthError as error:
        failure, fatal = examiner.gap(Skipped(unit.id, error.message, error.hint)), True
    done.absorb(tally)
    return Batch(
        source=source.name,
        unit=examiner.unit(source.name, unit),
        counts=done.counts,
        occurrences=tuple(done.occurrences),
        refused=tuple(done.refused),
        carried=tuple(done.carried),
        documents=tuple(done.documents),
        seen=tuple(done.seen),
        gaps=tuple(done.gaps),
        cursor=reached,
        done=finished,
        failure=failure,
        fatal=fatal,
    )


class _Waiting:
    """Documents that wait for more: short ones to be looked at, and scanned ones to be judged.

    Many short texts hold nothing, which is told of several at the cost of one, and the classifier is cheapest
    when it judges many candidates.
    """

    def __init__(
        self,
        source: Source,
        examiner: Examiner,
        accept: Sequence[AcceptedGap],
        remember: bool,
        begin: Callable[[bytes], None],
    ) -> None:
        self._source, self._examiner, self._accept = source, examiner, accept
        self._remember, self._begin = remember, begin
        self._named = _names(examiner, source)
        self._short: list[Document] = []
        self._bytes = 0
        self._looked: list[Looked] = []
        self._candidates = 0

    def take(self, document: Document, tally: _Tally) -> None:
        """Scan ``document``; what was found in it enters ``tally`` now or when others are looked at."""
        body = document.body
        if isinstance(body, bytes) and len(body) <= _SHORT:
            self._short.append(document)
            self._bytes += len(body) + _EACH
            if self._bytes >= _SHORTS:
                self._look_at_short(tally)
            return
        self._look_at_short(tally)
        self._look(document, tally)

    def settle(self, tally: _Tally) -> None:
        """Look at and judge what waits. Raises ``AuthError``; what waited is gone then."""
        self._look_at_short(tally)
        self._judge(tally)

    def _look_at_short(self, tally: _Tally) -> None:
        waiting, self._short, self._bytes = self._short, [], 0
        if not waiting:
            return
        # No document is marked as the one that is scanned: there is none to blame yet.
        for document, quiet in zip(waiting, self._examiner.quiet(waiting), strict=True):
            if quiet:
                tally.read += 1
                tally.read_bytes += len(cast(bytes, document.body))
                self._enter(document, NOTHING, tally)
            else:
                self._look(document, tally)

    def _look(self, document: Document, tally: _Tally) -> None:
        source = self._source
        self._begin(self._named(document))
        if isinstance(document.body, bytes):
            looked = self._examiner.look(source.name, source.type, document)
            tally.read_bytes += len(document.body)
        else:
            meter = _Meter()
            looked = self._examiner.look(source.name, source.type, meter.watch(document, document.body))
            tally.read_bytes += meter.read_bytes
        tally.read += 1
        if isinstance(looked, Examined):
            self._enter(document, looked, tally)
        else:
            self._looked.append(looked)
            self._candidates += len(looked.candidates)
            if self._candidates >= _TOGETHER:
                self._judge(tally)
        self._begin(b"")

    def _judge(self, tally: _Tally) -> None:
        waiting, self._looked, self._candidates = self._looked, [], 0
        if not waiting:
            return
        source = self._source
        results = self._examiner.conclude(source.name, source.type, waiting)
        for looked, examined in zip(waiting, results, strict=True):
            self._enter(looked.document, examined, tally)

    def _enter(self, document: Document, examined: Examined, tally: _Tally) -> None:
        if examined.occurrences:
            tally.occurrences += examined.occurrences
        if examined.refused and self._remember:
            tally.refused += examined.refused
        if examined.gaps:
            tally.gaps += [accepted(gap, self._accept) for gap in examined.gaps]
        # Only what was read wholly is remembered: a broken archive is met again on the next run, and what
        # an unread part held is not taken for gone.
        if self._remember and examined.whole:
            name = self._named(document)
            tally.documents.append(name)
            if document.version is not None:
                tally.seen.append((name, document.version))


def _names(examiner: Examiner, source: Source) -> Callable[[Document], bytes]:
    """The keyed names of documents, which say in 16 bytes which one is meant."""
    named = examiner.keys.documents(source.name)
    return lambda document: named(document.key or document.uri)


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

    def watch(self, document: Document, body: Stream) -> Document:
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
