"""Where steps run: in threads of this process, or in processes of this machine.

Both take tasks and put what comes of them into the coordinator's inbox. A step is stateless, so when
a worker dies a fresh one takes the step again, without the document that was being read. Where no
document is to blame, the task is reported as lost.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from queue import PriorityQueue, SimpleQueue
from typing import Any, Final, Protocol

from unsprawl import spare
from unsprawl.budgets import Allowance
from unsprawl.records import Batch, Cursor, Unit
from unsprawl.structs import Struct, field, replace

__all__ = ["Begin", "Executor", "Lost", "Processes", "Run", "Task", "Threads"]

#: Tasks a process holds: one in work and one to go on with while its last batch is committed.
_AHEAD: Final = 2
#: Workers that die in a row before any has answered: then it is not a document that kills them.
_HOPELESS: Final = 8
#: Documents of one task that may each kill a worker before the task is given up.
_AVOIDED: Final = 3
#: Bytes of the largest piece of content that is held at a time, and some more.
_LARGEST: Final = 16 << 20
#: Bytes that name a document.
_MARK: Final = 16
_NONE: Final = bytes(_MARK)


class Task(Struct, frozen=True):
    """One step to take: read ``unit`` of ``source`` from ``cursor`` on.

    ``full``: everything, whatever earlier runs have seen of it. ``avoid``: documents that killed
    their reader, and how. What has the lower ``rank`` is taken first, of equals what came first.
    ``allowance`` is what it may use of its source's budget.
    """

    source: str
    unit: Unit
    cursor: Cursor | None
    full: bool = False
    avoid: Mapping[bytes, str] = field(default_factory=dict)
    rank: float = 0.0
    allowance: Allowance = Allowance()


class Lost(Struct, frozen=True):
    """The worker died on this task: out of memory, or killed."""

    task: Task
    reason: str


#: Told 16 bytes that name the document which is now scanned; zeros when it is done.
Begin = Callable[[bytes], None]
#: Takes a step; never raises. Built once in every worker.
Run = Callable[[Task, Begin], Batch]
Inbox = SimpleQueue[Any]


class Executor(Protocol):
    """``submit`` never blocks; results come to the inbox as ``(Task, Batch)`` or ``Lost``.

    ``width`` steps are taken at the same time.
    """

    @property
    def width(self) -> int: ...
    def submit(self, task: Task) -> None: ...
    def close(self) -> None: ...


class Threads:
    """Steps in threads of this process: for sources that wait on a network, and for a single job.

    ``build`` is called in each thread: a source serves one thread alone.
    """

    def __init__(self, count: int, build: Callable[[], Run], inbox: Inbox) -> None:
        self.width = count
        self._tasks: PriorityQueue[tuple[float, int, Task | None]] = PriorityQueue()
        self._order = itertools.count()
        self._build = build
        self._inbox = inbox
        self._threads = [
            threading.Thread(target=self._work, name=f"unsprawl-step-{n}", daemon=True) for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        self._tasks.put((task.rank, next(self._order), task))

    def close(self) -> None:
        for _ in self._threads:
            self._tasks.put((float("inf"), next(self._order), None))

    def _work(self) -> None:
        _keep_pages()
        run = self._build()
        while (task := self._tasks.get()[2]) is not None:
            # A document that kills this thread kills the coordinator: nobody would be left to read a mark.
            self._inbox.put((task, run(task, lambda _mark: None)))


class _Worker(Struct):
    process: Any
    pipe: Connection
    mark: Any
    """Shared with the process: the document that it is scanning."""
    held: deque[Task] = field(default_factory=deque)


class Processes:
    """Steps in ``count`` worker processes.

    The first ones are forked where the platform allows it and no thread runs yet: they share the
    rule database that is already in memory. Those that replace a dead one are spawned afresh, since
    forking beside threads may inherit a held lock. Nothing is opened before the fork that a worker
    must not share: the store and its lock come later.
    """

    def __init__(self, count: int, build: Callable[[], Run], inbox: Inbox) -> None:
        self.width = count
        self._build = build
        self._inbox = inbox
        self._waiting = _Waiting()
        self._lock = threading.Lock()
        self._closed = False
        self._deaths = 0
        # Written here alone: workers whose documents come apart into many look whether others are idle.
        self._idle = multiprocessing.RawValue("i", count)
        forkable = "fork" in multiprocessing.get_all_start_methods() and threading.active_count() == 1
        self._workers: list[_Worker] = []
        for _ in range(count):
            self._start("fork" if forkable and os.name == "posix" else "spawn")
        self._wake_out, self._wake_in = multiprocessing.Pipe(duplex=False)
        self._collector = threading.Thread(target=self._collect, name="unsprawl-collect", daemon=True)
        self._collector.start()

    def submit(self, task: Task) -> None:
        with self._lock:
            self._waiting.add(task)
            self._hand_out()

    def close(self) -> None:
        """End all workers now; what they had in hand is not committed and will be read again."""
        with self._lock:
            self._closed = True
            self._wake_in.send(None)
        self._collector.join()
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(0.2)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self, method: str) -> None:
        context = multiprocessing.get_context(method)
        ours, theirs = context.Pipe()
        # A forked child inherits our ends of its elders' pipes; while it holds them, they cannot
        # see that the coordinator died.
        mark = context.RawArray("c", _MARK)
        inherited = [worker.pipe for worker in self._workers] + [ours] if method == "fork" else []
        process = context.Process(  # type: ignore[attr-defined]
            target=_serve,
            args=(theirs, self._build, mark, self._idle, inherited),
            name="unsprawl-worker",
            daemon=True,
        )
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, mark))

    def _hand_out(self) -> None:
        while self._waiting and not self._workers:
            self._inbox.put(Lost(self._waiting.take(), "no worker process can be kept alive"))
        for depth in range(1, _AHEAD + 1):
            for worker in self._workers:
                if self._waiting and len(worker.held) < depth:
                    task = self._waiting.take()
                    worker.held.append(task)
                    # A pipe that broke is noticed by the collector, which gives the task back.
                    with suppress(OSError):
                        worker.pipe.send(task)
        self._idle.value = sum(not worker.held for worker in self._workers)

    def _collect(self) -> None:
        while not self._closed:
            by_pipe = {worker.pipe: worker for worker in self._workers}
            for ready in wait([*by_pipe, self._wake_out]):
                if ready is self._wake_out:
                    return
                worker = by_pipe[ready]  # type: ignore[index]
                try:
                    batch = worker.pipe.recv()
                except (EOFError, OSError):
                    self._replace(worker)
                    continue
                with self._lock:
                    self._deaths = 0
                    task = worker.held.popleft()
                    self._hand_out()
                self._inbox.put((task, batch))

    def _replace(self, dead: _Worker) -> None:
        dead.process.join()
        dead.pipe.close()
        with self._lock:
            self._workers.remove(dead)
            if self._closed:
                return
            if dead.held:
                task, mark, cause = dead.held.popleft(), dead.mark.raw, _cause(dead.process.exitcode)
                if mark != _NONE and len(task.avoid) < _AVOIDED:
                    dead.held.appendleft(replace(task, avoid={**task.avoid, mark: cause}))
                else:
                    self._inbox.put(Lost(task, cause))
            for task in reversed(dead.held):
                self._waiting.give_back(task)
            self._deaths += 1
            if self._deaths < _HOPELESS:
                self._start("spawn")
            self._hand_out()


class _Waiting:
    """Tasks in the order of their ranks, of equals in the order of arrival."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Task]] = []
        self._next, self._before = itertools.count(), itertools.count(-1, -1)

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, task: Task) -> None:
        heapq.heappush(self._heap, (task.rank, next(self._next), task))

    def give_back(self, task: Task) -> None:
        """Before all that wait with its rank."""
        heapq.heappush(self._heap, (task.rank, next(self._before), task))

    def take(self) -> Task:
        return heapq.heappop(self._heap)[2]


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"the worker was ended by {signal.Signals(-code).name}"
    return f"the worker ended with code {code}"


def _keep_pages() -> None:
    """Let the allocator keep the pages of contents for the next ones.

    glibc takes what is larger than anything freed before from the system, and gives it back: a thousand page
    faults for each segment. Once so much was freed it does not; nothing of it is ever touched.
    """
    bytes(_LARGEST)


def _serve(
    pipe: Connection, build: Callable[[], Run], mark: Any, idle: spare.Count, inherited: list[Connection]
) -> None:
    """The life of a worker process: one task in, one batch out, until the coordinator closes the pipe."""
    # Ctrl-C reaches the whole group of processes; the coordinator alone decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    # What was loaded before the fork stays: to look for garbage in it would copy its shared pages.
    gc.freeze()
    _keep_pages()
    spare.count_in(idle)
    run = build()

    def begin(name: bytes) -> None:
        mark.raw = name or _NONE

    with suppress(EOFError, OSError):
        while True:
            pipe.send(run(pipe.recv(), begin))
