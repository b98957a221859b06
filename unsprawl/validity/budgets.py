"""How much a provider and an account are asked: paced, few at a time, and not at all once they fail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock
from typing import Final

from unsprawl.validity.credential import Refused
from unsprawl.wire.pacing import Pace

__all__ = ["Budgets"]

#: Requests to one provider that may be under way at once.
_AT_ONCE: Final = 2
#: Failures in a row after which a provider is left alone for the rest of the run.
_FAILURES: Final = 3
_LONGEST_WAIT: Final = 60.0


@dataclass(slots=True)
class _Provider:
    pace: Pace
    room: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_AT_ONCE))
    failures: int = 0
    open_until: float = 0.0


class Budgets:
    """Shared by all threads of one run.

    ``spent`` answers how many passwords of an account were tried within a day before this run, ``attempts``
    is how many may be. An attempt is spent before it is made.
    """

    def __init__(
        self,
        interval: float,
        attempts: int,
        spent: Callable[[str], int] = lambda _: 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval = interval
        self._attempts = attempts
        self._spent = spent
        self._clock = clock
        self._sleep = sleep
        self._providers: dict[str, _Provider] = {}
        self._tried: Counter[str] = Counter()
        self._lock = Lock()

    def _provider(self, name: str) -> _Provider:
        with self._lock:
            if name not in self._providers:
                self._providers[name] = _Provider(Pace(self._interval, self._clock, self._sleep))
            return self._providers[name]

    @contextmanager
    def turn(self, provider: str) -> Iterator[None]:
        """Wait for a turn with this provider. :class:`Refused` when its circuit is open."""
        one = self._provider(provider)
        self._closed(provider, one)
        with one.room:
            self._closed(provider, one)
            one.pace.wait()
            self._closed(provider, one)
            yield

    def _closed(self, provider: str, one: _Provider) -> None:
        if one.failures >= _FAILURES:
            raise Refused(f"{provider} failed {one.failures} times in a row: left alone in this run")
        if one.open_until > self._clock():
            raise Refused(f"{provider} asked to be left alone for now")

    def attempt(self, account: str) -> None:
        """Spend an attempt on an account that may be locked by it; :class:`Refused` when none is left."""
        with self._lock:
            tried = self._tried[account] + self._spent(account)
            if tried >= self._attempts:
                raise Refused(
                    f"{tried} passwords of this account were tried within a day: another might lock it"
                )
            self._tried[account] += 1

    def answered(self, provider: str) -> None:
        self._provider(provider).failures = 0

    def failed(self, provider: str) -> None:
        one = self._provider(provider)
        with self._lock:
            one.failures += 1

    def busy(self, provider: str, seconds: float | None) -> None:
        """The provider asked for patience: a short wait is kept, after a long one it is left alone."""
        one = self._provider(provider)
        wait = 5.0 if seconds is None else seconds
        if wait <= _LONGEST_WAIT:
            one.pace.pause(min(wait, _LONGEST_WAIT))
            self.failed(provider)
        else:
            one.open_until = self._clock() + wait
