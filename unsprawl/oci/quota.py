"""How many pulls a registry says are left, by the headers of its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from unsprawl.errors import RetryableError

__all__ = ["Quota", "Remaining"]

_VALUE = re.compile(r"\s*(\d{1,9})\s*(?:;\s*w=(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Remaining:
    """``left`` of ``limit`` pulls in a window of ``seconds``; -1 where it is not said."""

    left: int
    limit: int = -1
    seconds: int = -1

    def __str__(self) -> str:
        of = f" of {self.limit}" if self.limit >= 0 else ""
        window = f" in {self.seconds / 3600:g} h" if self.seconds > 0 else ""
        return f"{self.left}{of} pulls left{window}"


class Quota:
    """What is left, and how much of it belongs to others: ``keep`` pulls are not used up."""

    def __init__(self, keep: int = 0) -> None:
        self.remaining: Remaining | None = None
        self._keep = keep

    def note(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer says. Header names are in lower case."""
        left = _VALUE.match(headers.get("ratelimit-remaining", ""))
        if left is None:
            return
        limit = _VALUE.match(headers.get("ratelimit-limit", ""))
        window = left[2] or (limit[2] if limit else None)
        self.remaining = Remaining(
            int(left[1]), int(limit[1]) if limit else -1, int(window) if window else -1
        )

    def check(self) -> None:
        """Raise :class:`RetryableError` when only those pulls are left that belong to others."""
        if self._keep and self.remaining is not None and self.remaining.left <= self._keep:
            raise RetryableError(
                f"the registry's limit is nearly used up: {self.remaining}, {self._keep} are kept for others",
                hint="the next run goes on; lower `keep_pulls`, or log in with an account of a higher limit",
            )
