"""What one crawl may spend on a source, in time and requests, and how the steps of its units share it.

A budget ends a source at a checkpoint: steps that run are told how much is left, those that wait are not
begun. So a run may spend more than its budget by what lies between two checkpoints, and cuts no document.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from unsprawl.records import Gap
from unsprawl.source_settings import SourceBudget, seconds_of
from unsprawl.structs import Struct
from unsprawl.wire.usage import Usage

__all__ = ["SPENT", "Account", "Allowance"]

#: How the reasons of the ledger begin for what a budget has cut off.
SPENT: Final = "budget spent"


class Allowance(Struct, frozen=True):
    """What one step may use: requests, and a time on the monotonic clock, which workers share."""

    requests: int | None = None
    until: float | None = None

    def spent(self, usage: Usage) -> bool:
        if self.requests is not None and usage.requests >= self.requests:
            return True
        return self.until is not None and time.monotonic() >= self.until


class Account:
    """The budget of one source in one run, kept by the coordinator.

    ``requests`` are those of the steps that ended and of the listing, which may still go on. ``cut`` says
    what was spent when the source was left before its end, "" where it was not.
    """

    def __init__(
        self, budget: SourceBudget | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.budget = budget or SourceBudget()
        self.listing = Usage()
        self.cut = ""
        self._clock = clock
        self._begun = clock()
        self._steps = 0
        self._granted = 0
        self._ended: float | None = None

    @property
    def limited(self) -> bool:
        return self.budget.time is not None or self.budget.requests is not None

    @property
    def requests(self) -> int:
        return self._steps + self.listing.requests

    @property
    def seconds(self) -> float:
        """From the beginning of the run to the end of the source."""
        return (self._ended if self._ended is not None else self._clock()) - self._begun

    def begin(self) -> None:
        """The source is read from now on."""
        self._begun = self._clock()

    def end(self) -> None:
        self._ended = self._clock()

    def take(self, requests: int, allowance: Allowance) -> None:
        """A step has ended that made so many, of those that it was allowed."""
        self._steps += requests
        self._granted -= allowance.requests or 0

    def spent(self) -> str:
        """What is spent, in words; "" while something is left."""
        if self.budget.requests is not None and self.requests >= self.budget.requests:
            return f"{SPENT}: {self.budget.requests:,} requests"
        if self.budget.time is not None and self.seconds >= seconds_of(self.budget.time):
            return f"{SPENT}: {self.budget.time}"
        return ""

    def free(self) -> bool:
        """Whether anything is left that no running step was allowed to use."""
        return self.budget.requests is None or self.requests + self._granted < self.budget.requests

    def allow(self, width: int) -> Allowance:
        """The part of one more step, where ``width`` of them run at once. Each may go to its checkpoint."""
        requests, until = None, None
        if self.budget.requests is not None:
            requests = max(1, (self.budget.requests - self.requests - self._granted) // width)
            self._granted += requests
        if self.budget.time is not None:
            until = self._begun + seconds_of(self.budget.time)
        return Allowance(requests, until)

    def leave(self, source: str, why: str) -> Gap:
        """The source is left for this reason: what the ledger says of all that it did not read."""
        self.cut = why
        hint = f"the next run goes on there; if it never ends, give sources.{source}.budget more"
        return Gap(source, why, hint)
