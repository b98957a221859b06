"""One command, measured from outside: wall time, CPU time and peak memory of its whole process tree.

Time and memory are never measured in the same run, because sampling memory costs time. Memory is the
sum of PSS (a page shared by three processes counts a third for each), so that a program of several
processes is neither flattered nor punished. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "measure"]

_PR_SET_CHILD_SUBREAPER = 36
_SAMPLE_S = 0.01
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Run:
    """``cpu_s`` is user and system time; ``peak_bytes`` is None when memory was not sampled."""

    code: int
    wall_s: float
    cpu_s: float
    peak_bytes: int | None
    stderr: str


def measure(command: Sequence[str], environment: Mapping[str, str], *, memory: bool = False) -> Run:
    """Run the command to its end and account for every process it leaves behind, orphans included."""
    # Orphans come to us, so their CPU time is counted and none outlives its measurement.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.perf_counter()
    with subprocess.Popen(
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        peak = _watch(process.pid) if memory else None
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stderr is not None
        stderr = process.stderr.read()
    cpu = usage.ru_utime + usage.ru_stime + _reap()
    return Run(process.returncode, wall, cpu, peak, stderr[-2000:])


def _watch(pid: int) -> int:
    """Sample the tree until its head has exited (it is left for wait4 to reap); the highest sum of PSS."""
    peak = 0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        peak = max(peak, sum(map(_pss, _tree(os.getpid()))))
        time.sleep(_SAMPLE_S)
    return peak


def _tree(pid: int) -> Iterator[int]:
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = listing.read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _tree(child)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has just ended
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _reap() -> float:
    """Wait for orphans; their CPU seconds. One that does not end in time would spoil the next run."""
    cpu, deadline = 0.0, time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu
        if pid:
            cpu += usage.ru_utime + usage.ru_stime
        else:
            time.sleep(_SAMPLE_S)
    raise RuntimeError("the measured command left processes behind that do not end")
