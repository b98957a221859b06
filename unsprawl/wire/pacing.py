"""One budget of requests a host, shared by every thread that speaks to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

__all__ = ["Pace"]


class Pace:
    """Lets a request start every ``interval`` seconds at most; ``pause`` stops all of them for a while."""

    def __init__(
        self,
        interval: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.interval = interval
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._lock = Lock()

    def wait(self) -> None:
        """Block until this caller's turn. Turns are given in the order of asking."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self.interval
        if turn > now:
            self._sleep(turn - now)

    def pause(self, seconds: float) -> None:
        """No turn before ``seconds`` from now: the host said that it has had enough."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)
