"""One process that judges what all workers of a job find.

The network and the libraries that serve it take a tenth of a second and forty megabytes to load: once a job,
while the rules are still read, rather than once in each worker. No verdict depends on it: whoever cannot ask
the judge, or gets no answer, judges by itself.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Final, NoReturn, cast

from unsprawl.forking import may_fork
from unsprawl.models.choice import chosen
from unsprawl.records import Candidate, Classifier, Document, Verdict
from unsprawl.secret import Secret

__all__ = ["judging", "shared"]

#: Seconds that an answer may take before its asker judges by itself.
_PATIENCE: Final = 60.0
#: What is judged first, so that all is loaded before anybody asks.
_FIRST: Final = (
    Document(uri="file:///first", body=b""),
    Candidate(rule="generic.secret", secret=Secret(b""), start=0, end=1, line=1, column=1, line_end=1),
)

_Pairs = Sequence[tuple[Document, Candidate]]

#: Where askers introduce themselves; inherited by whoever is forked while it is open.
_door: socket.socket | None = None


@contextmanager
def judging() -> Iterator[None]:
    """Within it a judge answers this process and those that it forks, where one can be forked itself."""
    global _door  # noqa: PLW0603  # a fact of the process
    started = _start() if may_fork() else None
    if started is None:
        yield
        return
    process, _door = started
    try:
        yield
    finally:
        _door.close()
        _door = None
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _start() -> tuple[int, socket.socket] | None:
    """A judge and its door; None where the system has no room for it."""
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        return None
    with theirs:
        try:
            process = os.fork()
        except OSError:
            ours.close()
            return None
        if not process:
            ours.close()
            _serve(theirs)
    return process, ours


def shared(own: Classifier, kinds: Mapping[str, str]) -> Classifier:
    """``own``, the classifier for rules of these kinds, or one that asks the judge if there is one."""
    return own if _door is None else _Asking(own, kinds)


class _Asking:
    """Implements ``records.Classifier``. Every thread of every process has a line of its own to the judge."""

    def __init__(self, own: Classifier, kinds: Mapping[str, str]) -> None:
        self._own = own
        self._kinds = dict(kinds)
        self._local = threading.local()

    @property
    def version(self) -> str:
        return self._own.version

    def score(self, candidates: _Pairs) -> Sequence[Verdict]:
        try:
            verdicts = self._asked(candidates)
        except (OSError, EOFError):
            verdicts = None
            self._local.line = None
        return self._own.score(candidates) if verdicts is None else verdicts

    def _asked(self, candidates: _Pairs) -> Sequence[Verdict] | None:
        """The judge's verdicts; None where there are none. Raises ``OSError`` and ``EOFError``."""
        line = self._line()
        if line is None or not candidates:
            return None
        # Of a document it wants to know the place alone.
        line.send([(Document(uri=one.uri, body=b"", path=one.path), found) for one, found in candidates])
        if not line.poll(_PATIENCE):
            raise TimeoutError
        return cast(Sequence[Verdict] | None, line.recv())

    def _line(self) -> Connection | None:
        """The connection of this thread in this process, made on the first question."""
        whose = (os.getpid(), _door)
        if getattr(self._local, "whose", None) != whose:
            self._local.whose, self._local.line = whose, None
            if _door is not None:
                self._local.line, theirs = Pipe()
                with theirs:
                    socket.send_fds(_door, [b"\0"], [theirs.fileno()])
                self._local.line.send(self._kinds)
        return cast(Connection | None, self._local.line)


def _serve(door: socket.socket) -> NoReturn:
    """The life of a judge: until the last process that may ask has ended."""
    try:
        # Ctrl-C reaches the whole group of processes; those who ask decide what follows.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with suppress(Exception):
            chosen({}).score([_FIRST])
        _answer_all(door)
    finally:
        # Nothing of the process it was forked from is to be closed, flushed or told here.
        os._exit(0)


def _answer_all(door: socket.socket) -> None:
    lines: dict[Connection, Classifier | None] = {}
    while True:
        for ready in wait([door, *lines]):
            if isinstance(ready, Connection):
                if not _answer(ready, lines):
                    del lines[ready]
                    ready.close()
                continue
            told, ends, _, _ = socket.recv_fds(door, 1, 1)
            if not told:
                return
            lines.update((Connection(end), None) for end in ends)


def _answer(line: Connection, lines: dict[Connection, Classifier | None]) -> bool:
    """Answer what came in by ``line``; whether there may be more. First it tells the kinds of the rules."""
    try:
        asked = line.recv()
        classifier = lines[line]
        if classifier is None:
            lines[line] = chosen(asked)
            return True
        try:
            verdicts = list(classifier.score(asked))
        except Exception:  # noqa: BLE001  # its asker meets it again, and tells of it
            verdicts = None
        line.send(verdicts)
    except (OSError, EOFError):
        return False
    return True
