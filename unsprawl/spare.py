"""Processors that the present job leaves idle, as its coordinator counts them.

A worker with a document that comes apart into many may use them (``detectors/twins.py``).
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Count", "count_in", "processors"]


class Count(Protocol):
    """An integer in memory that the processes of a job share."""

    value: int


_count: Count | None = None


def count_in(shared: Count) -> None:
    """Ask ``shared`` from now on: this process is one of several that work for a coordinator."""
    global _count  # noqa: PLW0603  # a fact of the process
    _count = shared


def processors() -> int:
    """How many processes of the job have nothing to do; 0 in a process that works alone."""
    return 0 if _count is None else _count.value
