"""The HTTP process as its parent sees it: started when needed, again when it died, gone with its parent.

One process serves every source and every unit of this process. Whoever asks waits in its own thread.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import BinaryIO, Final

import msgspec

from unsprawl.crawlers.spider.frames import ALIVE, LONGEST, SIZE, Answer, Ask, framed

__all__ = ["Engine", "LostError", "engine"]

_CHILD: Final = "unsprawl.crawlers.spider.child"
#: Seconds without a sign of life after which the process is taken for dead. It starts within the first.
_SILENCE: Final = 60.0
_LOOK: Final = 1.0
#: Seconds that it has to end by itself.
_MOMENT: Final = 2.0
#: Of our environment it needs to know its proxies and authorities, and nothing else.
_PASSED: Final = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "ssl_cert_file",
    "ssl_cert_dir",
    "tmpdir",
    "systemroot",
)
_LOOPBACK: Final = "localhost,127.0.0.1,::1"


class LostError(Exception):
    """The process died, or fell silent, before it had answered."""


class _Child:
    """One life of the process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(os.environ),
            process_group=0,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._out: BinaryIO = self._process.stdout  # type: ignore[assignment]
        self._waiting: dict[int, Future[Answer]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self.dead = False
        self.pid = self._process.pid
        self.heard = time.monotonic()
        self._reader = threading.Thread(target=self._read, name="unsprawl-spider", daemon=True)
        self._reader.start()

    def ask(self, ask: Ask) -> Answer:
        future: Future[Answer] = Future()
        with self._lock:
            if self.dead:
                raise LostError
            self._waiting[ask.id] = future
        try:
            with self._writing:
                self._in.write(framed(ask))
                self._in.flush()
            while True:
                try:
                    return future.result(_LOOK)
                except NotYet:
                    if time.monotonic() - self.heard > _SILENCE:
                        self._process.kill()
                        raise LostError from None
        except (OSError, ValueError):
            raise LostError from None
        finally:
            with self._lock:
                self._waiting.pop(ask.id, None)

    def end(self) -> None:
        """End it. Whoever still waits is told that it is lost."""
        with contextlib.suppress(OSError, ValueError):
            self._in.close()
        try:
            self._process.wait(_MOMENT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not threading.current_thread():
            self._reader.join(_MOMENT)
        self._out.close()

    def _read(self) -> None:
        decoder = msgspec.msgpack.Decoder(Answer)
        with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
            while len(head := self._out.read(SIZE.size)) == SIZE.size:
                size = SIZE.unpack(head)[0]
                content = self._out.read(size) if size <= LONGEST else b""
                if len(content) != size:
                    break
                self.heard = time.monotonic()
                answer = decoder.decode(content)
                if answer.id == ALIVE:
                    continue
                with self._lock:
                    future = self._waiting.pop(answer.id, None)
                if future is not None:
                    future.set_result(answer)
        self._process.kill()
        self._process.wait()
        with self._lock:
            self.dead = True
            lost, self._waiting = self._waiting, {}
        for future in lost.values():
            future.set_exception(LostError())


class Engine:
    """Whatever process serves at the moment. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._numbers = itertools.count(ALIVE + 1)
        self.starts = 0
        """How often a process was started."""

    def number(self) -> int:
        """An id for the next request."""
        return next(self._numbers)

    @property
    def pid(self) -> int | None:
        """The process that serves now."""
        return self._child.pid if self._child is not None and not self._child.dead else None

    def ask(self, ask: Ask) -> Answer:
        """Raises :class:`LostError` when the process dies over it; the next request starts another."""
        return self._serving().ask(ask)

    def close(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.end()

    def _serving(self) -> _Child:
        with self._lock:
            if self._child is not None and self._child.dead:
                self._child.end()
                self._child = None
            if self._child is None:
                self._child = _Child()
                self.starts += 1
            return self._child


_guard: Final = threading.Lock()
_engines: Final[dict[int, Engine]] = {}


def engine() -> Engine:
    """The engine of this process. A forked one has its own."""
    with _guard:
        return _engines.setdefault(os.getpid(), Engine())


@atexit.register
def _end() -> None:
    if (own := _engines.get(os.getpid())) is not None:
        own.close()


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    passed = {name: value for name, value in ours.items() if name.lower() in _PASSED}
    # What stands on this machine is never asked for elsewhere.
    for name in ("no_proxy", "NO_PROXY"):
        passed[name] = ",".join(filter(None, (ours.get(name), _LOOPBACK)))
    path = os.pathsep.join(filter(None, sys.path))
    return {**passed, "PYTHONPATH": path, "LC_ALL": "C.UTF-8"}
