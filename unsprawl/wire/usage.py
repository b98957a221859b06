"""How many requests the work at hand has made: every transport says so where a request leaves it.

    with metered() as usage:      # a step, or the listing of a source
        ...                       # wire.Client, requests, boto3, docker, the Scrapy child: each calls count()
    usage.requests

The meter belongs to the thread that does the work; a pool of threads joins that of its maker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Usage", "count", "joining", "metered"]


class Usage:
    """``requests`` that were sent, retries and redirects among them."""

    __slots__ = ("_lock", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self._lock = threading.Lock()

    def add(self, requests: int) -> None:
        with self._lock:
            self.requests += requests


_current: ContextVar[Usage | None] = ContextVar("unsprawl_usage", default=None)


@contextmanager
def metered(usage: Usage | None = None) -> Iterator[Usage]:
    """Count what this thread sends within the block, on a meter of its own or on ``usage``."""
    meter = Usage() if usage is None else usage
    token = _current.set(meter)
    try:
        yield meter
    finally:
        _current.reset(token)


def count(requests: int = 1) -> None:
    """A request is sent. Work that nobody meters is not counted."""
    meter = _current.get()
    if meter is not None:
        meter.add(requests)


def joining() -> Callable[[], None]:
    """What the threads of a pool call first (``initializer=``): they work for the present thread's meter."""
    meter = _current.get()

    def join() -> None:
        _current.set(meter)

    return join
