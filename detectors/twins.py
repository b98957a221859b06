"""Copies of this process that scan members of a long archive beside it, while processors are idle.

An archive is read by one process from its begin to its end, but what comes out of it may be scanned in any
order. A twin is forked in the midst of the work, so that it knows all that there is to know. It gets contents
in shared memory, opens what is packed once more, answers with the candidates, and ends with the document.
What it does not answer, because it died of it for one, is scanned here: no finding depends on a twin.
"""

from __future__ import annotations

import mmap
import os
import signal
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pickle import dumps, loads
from typing import Final, NamedTuple, NoReturn, TypeAlias

from unsprawl.detectors.containers.archives import opened
from unsprawl.detectors.containers.pieces import Cut, Leaf, placed
from unsprawl.detectors.containers.streams import Account, Reader
from unsprawl.detectors.matching.confirm import Tally
from unsprawl.forking import may_fork
from unsprawl.records import Candidate
from unsprawl.spare import processors
from unsprawl.structs import Struct, field

__all__ = ["scanned"]

#: Bytes of a document that are scanned before it is worth a twin, and those that are handed out together.
_ALONE: Final = 4 << 20
_BATCH: Final = 512 << 10
#: Where a batch lies; a content that is larger is scanned here.
_SLOT: Final = 4 << 20
#: Slots of a twin: it has something to go on with while its original is at a large content.
_SLOTS: Final = 8
_MOST_TWINS: Final = 3
#: Batches that may wait for an earlier one to be answered.
_WAITING: Final = 64

#: What is packed is about so many times as long. Bytes that a content counts for besides its own.
_PACKED: Final = 4
_EACH: Final = 256

#: What is found in one content.
_Found: TypeAlias = Candidate | Cut
_Scan: TypeAlias = Callable[[Leaf], Iterable[_Found]]


class _Content(NamedTuple):
    """A member that is held whole: its path, where it begins as its offsets count, and what it says."""

    member: str
    position: int
    data: bytes
    closed: tuple[str, int] | None

    def leaf(self) -> Leaf:
        return Leaf(self.member, placed(Reader.of(self.data), self.position), closed=self.closed)


class _Row(Struct, eq=False):
    """What was found in one stretch of the document, once that is known. ``batch``: what a twin looks at."""

    found: Sequence[_Found] | None = None
    batch: Sequence[_Content] = ()


class _Twin(Struct, eq=False):
    process: int
    pipe: Connection
    memory: mmap.mmap
    free: list[int]
    rows: deque[tuple[int, _Row]] = field(default_factory=deque)

    def send(self, batch: Sequence[_Content], full: Collection[str]) -> _Row | None:
        """Give it ``batch`` to look at; None if that does not fit. Raises ``OSError`` when it is gone.

        All lies in the slot: a pipe that both sides fill would hold up both for ever.
        """
        head = dumps(([(it.member, it.position, len(it.data), it.closed) for it in batch], frozenset(full)))
        if len(head) + sum(len(content.data) for content in batch) > _SLOT:
            return None
        slot, row = self.free[-1], _Row(batch=batch)
        self.memory.seek(slot * _SLOT)
        self.memory.write(head)
        for content in batch:
            self.memory.write(content.data)
        self.pipe.send((slot, len(head)))
        self.free.pop()
        self.rows.append((slot, row))
        return row

    def take(self, tally: Tally, account: Account) -> None:
        """Wait for its next answer. Raises ``OSError`` or ``EOFError`` when there will be none."""
        found, (struck, cut, late), (entries, unpacked, spent) = self.pipe.recv()
        slot, row = self.rows.popleft()
        self.free.append(slot)
        row.found, row.batch = found, ()
        tally.struck |= struck
        tally.cut |= cut
        tally.late |= late
        account.entries += entries
        account.unpacked += unpacked
        account.spent = account.spent or spent

    def end(self) -> None:
        self.pipe.close()
        with suppress(OSError):
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        self.memory.close()


def scanned(pieces: Iterable[Leaf | Cut], scan: _Scan, tally: Tally, account: Account) -> Iterator[_Found]:
    """What ``scan`` finds in ``pieces``, in their order. ``tally`` and ``account`` count what it costs."""
    crew = _Crew(scan, tally, account)
    try:
        for piece in pieces:
            yield from crew.take(piece)
        yield from crew.rest()
    finally:
        crew.end()


class _Crew:
    """The twins that look at a document, and what is not yet told of it, in the order of the document."""

    def __init__(self, scan: _Scan, tally: Tally, account: Account) -> None:
        self._scan = scan
        self._tally = tally
        self._account = account
        self._twins: list[_Twin] = []
        self._rows: deque[_Row] = deque()
        self._batch: list[_Content] = []
        self._size = self._seen = 0

    def take(self, piece: Leaf | Cut) -> Iterator[_Found]:
        """Look at ``piece`` now, or put it by for a twin; what of the document is known by then."""
        if isinstance(piece, Cut):
            yield from self._put([piece])
            return
        reader = piece.reader
        # What was put by for a twin that died is told first.
        waits = self._twins or self._rows or self._batch
        if not waits and (self._seen < _ALONE or not self._fork()):
            begin = reader.position
            yield from self._scan(piece)
            self._seen += reader.position - begin
            return
        position = reader.position
        data = reader.read(_SLOT + 1)
        if piece.edits or len(data) > _SLOT or (piece.closed and reader.fault):
            reader.give_back(data)
            if piece.closed is None:
                yield from self._put([*self._scan(piece)])
                return
            for inner in opened(piece, self._account):
                yield from self.take(inner)
            return
        if self._size + len(data) > _SLOT:
            self._hand_out()
        self._batch.append(_Content(piece.member, position, data, piece.closed))
        self._size += len(data) * (_PACKED if piece.closed else 1) + _EACH
        if self._size >= _BATCH:
            self._hand_out()
            yield from self._known()

    def _put(self, found: Sequence[_Found]) -> Iterator[_Found]:
        """Add what comes next in the document; what of it is known by then."""
        self._hand_out()
        self._rows.append(_Row(found))
        yield from self._known()

    def rest(self) -> Iterator[_Found]:
        """All that is not yet told."""
        self._hand_out()
        while self._rows:
            self._wait(self._rows[0])
            yield from self._known()

    def end(self) -> None:
        for twin in self._twins:
            twin.end()

    def _hand_out(self) -> None:
        """Give the batch to a twin that has room, or look at it here."""
        batch, self._batch, self._size = self._batch, [], 0
        if not batch:
            return
        self._fork()
        self._answers()
        for twin in sorted(self._twins, key=lambda twin: -len(twin.free)):
            if twin.free:
                try:
                    row = twin.send(batch, self._tally.full)
                except OSError:
                    self._lose(twin)
                    continue
                if row is None:
                    break
                self._rows.append(row)
                return
        self._rows.append(_Row(self._found(batch)))

    def _known(self) -> Iterator[_Found]:
        self._answers()
        if len(self._rows) > _WAITING:
            self._wait(self._rows[0])
        while self._rows and (found := self._rows[0].found) is not None:
            self._rows.popleft()
            yield from found

    def _answers(self) -> None:
        """Take what the twins have answered by now."""
        for twin in [*self._twins]:
            try:
                while twin.rows and twin.pipe.poll():
                    twin.take(self._tally, self._account)
            except (OSError, EOFError):
                self._lose(twin)

    def _wait(self, row: _Row) -> None:
        while row.found is None:
            twin = next((twin for twin in self._twins if any(row is each for _, each in twin.rows)), None)
            if twin is None:
                row.found = self._found(row.batch)
                return
            try:
                twin.take(self._tally, self._account)
            except (OSError, EOFError):
                self._lose(twin)

    def _found(self, batch: Iterable[_Content]) -> list[_Found]:
        return [candidate for content in batch for candidate in self._scan(content.leaf())]

    def _lose(self, twin: _Twin) -> None:
        """What it had in hand is looked at here when its turn comes."""
        self._twins.remove(twin)
        twin.end()

    def _fork(self) -> bool:
        """Start a twin while a processor is idle; whether there is one."""
        while len(self._twins) < min(processors(), _MOST_TWINS) and may_fork():
            memory = mmap.mmap(-1, _SLOTS * _SLOT)
            ours, theirs = Pipe()
            try:
                process = os.fork()
            except OSError:  # the system has no room for one
                break
            if not process:
                inherited = [ours, *(twin.pipe for twin in self._twins)]
                _serve(theirs, inherited, memory, self._scan, self._tally, self._account)
            theirs.close()
            self._twins.append(_Twin(process, ours, memory, [*range(_SLOTS)]))
            self._account.closed = True
        return bool(self._twins)


def _serve(
    pipe: Connection,
    inherited: Iterable[Connection],
    memory: mmap.mmap,
    scan: _Scan,
    tally: Tally,
    account: Account,
) -> NoReturn:
    """The life of a twin: a batch in, an answer out, until its original closes the pipe or is gone."""
    try:
        for other in inherited:
            other.close()
        while True:
            slot, size = pipe.recv()
            at = slot * _SLOT
            names, full = loads(memory[at : at + size])  # noqa: S301  # its original wrote it
            at += size
            tally.full |= full
            found: list[_Found] = []
            before = account.entries, account.unpacked
            for member, position, size, closed in names:
                found += scan(_Content(member, position, memory[at : at + size], closed).leaf())
                at += size
            cost = account.entries - before[0], account.unpacked - before[1], account.spent
            pipe.send((found, (tally.struck, tally.cut, tally.late), cost))
    finally:
        # Nothing of the original is to be closed, flushed or told here, whatever happened.
        os._exit(0)
