"""How often Slack may be asked: the published tiers, a limit a method, and what Slack says when it is enough.

The limits hold for a method, a workspace and an app. They are kept without being told on Slack's own
hosts; other servers (a test server, a proxy) are asked at full speed, and waited for when they say so.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from threading import Lock, local
from typing import Final

from unsprawl.wire.pacing import Pace

__all__ = ["MethodPaces", "TierPace", "per_minute"]

#: Requests a minute of Slack's tiers; the special tier of files is that of web pages.
_TIERS: Final = {1: 1, 2: 20, 3: 50, 4: 100}
#: The methods used here, as in the table that Slack publishes with its Java SDK.
_TIER_OF: Final = {
    "auth.teams.list": 2,
    "auth.test": 4,
    "bookmarks.list": 3,
    "conversations.history": 3,
    "conversations.info": 3,
    "conversations.list": 2,
    "conversations.replies": 3,
    "files.info": 4,
    "files.list": 3,
    "pins.list": 2,
    "slackLists.items.list": 2,
    "usergroups.list": 2,
    "users.conversations": 3,
    "users.list": 2,
    "users.profile.get": 4,
}
#: What is not in the table, Discovery among it.
_UNLISTED: Final = 50


def per_minute(method: str) -> int:
    """The requests a minute that Slack promises for ``method``."""
    return _TIERS[_TIER_OF[method]] if method in _TIER_OF else _UNLISTED


class TierPace(Pace):
    """The budget of one method: a minute's worth may come at once, then one request an interval.

    Where the limit is not ``known`` only refusals are obeyed. ``refusals`` counts them, ``asked`` the
    requests.
    """

    def __init__(
        self,
        rate: int,
        *,
        known: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(60.0 / rate if known else 0.0, clock, sleep)
        # The theoretical arrival time of the next request; the burst is how far it may lie ahead.
        self._burst = 60.0
        self._due = 0.0
        self._free_at = 0.0
        self._guard = Lock()
        self.refusals = 0
        self.asked = 0

    def wait(self) -> None:
        with self._guard:
            self.asked += 1
            now = self._clock()
            self._due = max(self._due, now)
            turn = max(now, self._due - self._burst, self._free_at)
            self._due = max(self._due, turn) + self.interval
        if turn > now:
            self._sleep(turn - now)

    def pause(self, seconds: float) -> None:
        with self._guard:
            now = self._clock()
            self.refusals += 1
            self._free_at = max(self._free_at, now + seconds)
            self._burst = 0.0  # even the published rate was too much at once
            self._due = max(now, self._free_at)

    def slow_to(self, rate: float) -> None:
        """At most ``rate`` requests a minute from now on."""
        with self._guard:
            self.interval = max(self.interval, 60.0 / rate)
            self._burst = 0.0


class MethodPaces(Pace):
    """One client's budgets, a method each: a thread says which method it asks next."""

    def __init__(self, *, known: bool) -> None:
        super().__init__()
        self._known = known
        self._paces: dict[str, TierPace] = {}
        self._thread = local()
        self._guard = Lock()

    def of(self, method: str) -> TierPace:
        with self._guard:
            if method not in self._paces:
                self._paces[method] = TierPace(per_minute(method), known=self._known)
            return self._paces[method]

    def choose(self, method: str) -> None:
        """What this thread asks next."""
        self._thread.method = method

    def wait(self) -> None:
        self.of(self._thread.method).wait()

    def pause(self, seconds: float) -> None:
        self.of(self._thread.method).pause(seconds)

    @property
    def asked(self) -> Counter[str]:
        """Requests of each method, refused ones too."""
        with self._guard:
            return Counter({method: pace.asked for method, pace in self._paces.items()})
