"""How often Slack may be asked: the published tiers, a limit a method, and what Slack says when it is enough.

The limits hold for a method, a workspace and an app. They are kept without being told on Slack's own
hosts; other servers (a proxy, a test server) are asked at full speed until one of them says 429.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from unsprawl.wire.pacing import Pace

__all__ = ["TierPace", "per_minute"]

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

    ``known`` keeps the published limit from the start, otherwise from the first refusal on. ``waited`` counts
    the seconds slept, ``refusals`` the times the server asked for patience.
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
        self._rate = rate
        # The theoretical arrival time of the next request; the burst is how far it may lie ahead.
        self._burst = 60.0
        self._due = 0.0
        self._free_at = 0.0
        self._guard = Lock()
        self.waited = 0.0
        self.refusals = 0

    def wait(self) -> None:
        with self._guard:
            now = self._clock()
            self._due = max(self._due, now)
            turn = max(now, self._due - self._burst, self._free_at)
            self._due = max(self._due, turn) + self.interval
        if turn > now:
            self.waited += turn - now
            self._sleep(turn - now)

    def pause(self, seconds: float) -> None:
        with self._guard:
            now = self._clock()
            self.refusals += 1
            self._free_at = max(self._free_at, now + seconds)
            # The published rate was too much, so there is no burst any more.
            self.interval = max(self.interval, 60.0 / self._rate)
            self._burst = 0.0
            self._due = max(now, self._free_at)

    def slow_to(self, rate: float) -> None:
        """At most ``rate`` requests a minute from now on."""
        with self._guard:
            self.interval = max(self.interval, 60.0 / rate)
            self._burst = 0.0
