"""Steps for the executor tests, in a module that spawned workers can import."""

from __future__ import annotations

import os
import signal

from unsprawl.executors import Begin, Run, Task
from unsprawl.records import Batch, Counts


def echo(task: Task, begin: Begin) -> Batch:
    """A step that says which process took it, and dies where it is told to.

    ``files 3`` holds three documents that each kill whoever reads them.
    """
    kind, _, count = task.unit.id.partition(" ")
    for number in range(int(count or 0) if kind == "files" else 0):
        mark = bytes([number + 1]) * 16
        if mark not in task.avoid:
            begin(mark)
            os.kill(os.getpid(), signal.SIGKILL)
    begin(b"")
    if task.unit.id == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    return Batch(source=task.source, unit=task.unit, counts=Counts(documents=os.getpid()), done=True)


def build_echo() -> Run:
    return echo


def build_nothing() -> Run:
    """A worker that cannot be built."""
    os._exit(7)
