"""Parsers of foreign code, each in a process of its own: what breaks there is a cut here.

The process gets a document on its standard input and answers with what is in it, piece by piece
(``helper``), so that nothing has to fit into memory but the document itself. It is limited in memory
and processor time, knows no environment, and is used again for the next document unless it failed.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Final

from unsprawl.detectors.containers.helper import BEGIN, CUT, DATA, DONE, HEADER, LONGEST, NESTED
from unsprawl.detectors.containers.pieces import Cut, Inside, Leaf, Pieces
from unsprawl.detectors.containers.streams import Account, Reader, over

__all__ = ["parsed"]

#: Seconds that one answer may take. Documents that one process reads, which then ends: memory leaks.
_PATIENCE: Final = 60.0
_DOCUMENTS: Final = 200
_PIECE: Final = 1 << 20
#: Seconds until a process that has closed its side is gone.
_MOMENT: Final = 2.0


class _FailedError(Exception):
    """The process does not answer any more: the reason, and whether it ended by itself."""

    def __init__(self, reason: str, *, died: bool = False) -> None:
        super().__init__(reason)
        self.died = died


def parsed(module: str, body: bytes, inside: Inside) -> Iterator[Leaf | Cut]:
    """The members that the helper in ``module`` finds in ``body``."""
    while True:
        try:
            helper = _taken(module)
        except OSError as error:
            yield inside.damaged(f"no process could be started to read it: {error.strerror}")
            return
        finished = False
        try:
            helper.send(body)
            finished = yield from _members(helper, len(body), inside)
        except _FailedError as failure:
            # One that was used before may have ended at any time; it says nothing of this document.
            if helper.unheard and helper.documents > 1 and failure.died:
                continue
            yield inside.damaged(str(failure))
        finally:
            if finished:
                _returned(helper)
            else:
                helper.end()
        return


def _members(helper: _Helper, size: int, inside: Inside) -> Pieces:
    """True if all was heard, so that the helper can read another document."""
    made = 0
    while True:
        kind, content = helper.answer(inside.account)
        name = content.decode("utf-8", "backslashreplace")
        if kind == DONE:
            return not content  # it says so if it is better not asked again
        if kind == CUT:
            member, _, reason = name.partition("\0")
            yield inside.damaged(reason, member)
        elif kind in (BEGIN, NESTED):
            if one_too_many := inside.counted():
                yield one_too_many
                return False
            stream = _Stream(helper, inside.account, size, made)
            reader = Reader(stream.next)
            if kind == NESTED:
                yield from inside.below(reader, name)
            else:
                yield Leaf(inside.member(name), reader)
            while stream.next():
                pass
            made = stream.made
            if stream.fault:
                yield inside.cut(stream.fault, name)
                return False


class _Stream:
    """The content of one member, as the helper sends it; ``made`` counts the bytes of all members."""

    def __init__(self, helper: _Helper, account: Account, size: int, made: int) -> None:
        self._helper, self._account, self._size = helper, account, size
        self._ended = False
        self.made = made
        self.fault = ""
        """Why nothing more comes, of this member or of any."""

    def next(self) -> bytes:
        while not (self._ended or self.fault):
            try:
                kind, content = self._helper.answer(self._account)
            except _FailedError as failure:
                self.fault = str(failure)
                break
            if kind != DATA:
                self._ended = True
                break
            self.made += len(content)
            self.fault = over(self._account, len(content), self.made, self._size)
            if content:
                return content
        return b""


class _Helper:
    """One process."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.documents = 0
        self.unheard = True
        # It finds what this interpreter finds; of the rest of the environment it needs nothing.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            process_group=0,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        self._in, self._out = stdin.fileno(), stdout.fileno()
        os.set_blocking(self._in, False)

    def send(self, body: bytes) -> None:
        """Hand over a document."""
        self.documents += 1
        self.unheard = True
        for data in (HEADER.pack(DATA, len(body)), body):
            view = memoryview(data)
            while view:
                self._wait(self._in, select.POLLOUT, _PATIENCE)
                try:
                    view = view[os.write(self._in, view[:_PIECE]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise self._death() from None

    def answer(self, account: Account) -> tuple[bytes, bytes]:
        """The kind and the content of the next frame."""
        until = min(monotonic() + _PATIENCE, account.deadline)
        kind, size = HEADER.unpack(self._read(HEADER.size, until))
        if size > LONGEST:
            raise _FailedError("the process that read it answers nonsense")
        self.unheard = False
        return kind, self._read(size, until)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _death(self) -> _FailedError:
        """What became of a process that has closed its side."""
        try:
            code = self._process.wait(_MOMENT)
        except subprocess.TimeoutExpired:
            code = 0
        if code == -signal.SIGXCPU:
            return _FailedError("takes too much processor time to read", died=True)
        return _FailedError("the process that read it has crashed", died=True)

    def _read(self, size: int, until: float) -> bytes:
        pieces: list[bytes] = []
        while size:
            self._wait(self._out, select.POLLIN, until - monotonic())
            data = os.read(self._out, min(size, _PIECE))
            if not data:
                raise self._death()
            pieces.append(data)
            size -= len(data)
        return b"".join(pieces)

    def _wait(self, descriptor: int, event: int, seconds: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(seconds, 0) * 1000):
            raise _FailedError("takes too long to read")


_lock: Final = threading.Lock()
#: Helpers that wait for a document, by the process that may use them: a forked one starts its own.
_idle: Final[dict[tuple[int, str], list[_Helper]]] = {}


def _taken(module: str) -> _Helper:
    with _lock:
        waiting = _idle.get((os.getpid(), module), [])
        while waiting:
            helper = waiting.pop()
            if helper.alive:
                return helper
            helper.end()
    return _Helper(module)


def _returned(helper: _Helper) -> None:
    if helper.documents >= _DOCUMENTS:
        helper.end()
        return
    with _lock:
        _idle.setdefault((os.getpid(), helper.module), []).append(helper)


@atexit.register
def _end_all() -> None:
    with _lock:
        for (owner, _), helpers in _idle.items():
            while owner == os.getpid() and helpers:
                helpers.pop().end()
