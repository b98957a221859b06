"""When to try again, how long to wait, when to give up."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar

from unsprawl.errors import RetryableError

if TYPE_CHECKING:
    from stamina.instrumentation import RetryDetails

__all__ = ["RETRIED_STATUS", "Again", "Patience", "retry_after"]

#: Answers that mean "later", not "no".
RETRIED_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})

#: Waits, in seconds, before another attempt at what mends soon or not at all.
_SOON: Final = (0.5, 1.0)

_log = logging.getLogger("unsprawl.wire")
_T = TypeVar("_T")


class Again(Exception):  # noqa: N818 - a signal, caught in this package
    """Raised inside an attempt that another attempt may mend. Carries what to raise when none does.

    ``soon``: it mends within a second or not tonight (nobody listens at the address), so little time is
    spent on it.
    """

    def __init__(self, error: RetryableError, *, soon: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.soon = soon


@dataclass(frozen=True, slots=True)
class Patience:
    """``attempts`` in all, within ``total`` seconds; waits grow from ``first`` to ``longest`` seconds.

    A wait that the far side asks for is obeyed as it stands; one that does not fit into what is left
    of ``total`` ends the matter at once, for a crawl must not sleep through the night.
    """

    attempts: int = 6
    total: float = 300.0
    first: float = 0.5
    longest: float = 30.0

    def run(self, attempt: Callable[[], _T]) -> _T:
        """Call ``attempt`` until it returns, raises anything but :class:`Again`, or patience is spent."""
        import stamina

        _quiet()
        deadline = time.monotonic() + self.total
        waits = iter([min(seconds, self.longest) for seconds in _SOON])

        def wait(error: Exception) -> bool | float:
            if not isinstance(error, Again):
                return False
            if error.soon:
                return next(waits, False)
            asked = error.error.retry_after
            if asked is None:
                return True
            return False if time.monotonic() + asked > deadline else asked

        retries = stamina.retry_context(
            wait,
            attempts=self.attempts,
            timeout=self.total,
            wait_initial=self.first,
            wait_max=self.longest,
            wait_jitter=self.first,
        )
        try:
            for one in retries:
                with one:
                    return attempt()
        except Again as spent:
            raise spent.error from None
        raise AssertionError("unreachable: the last attempt returns or raises")


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a ``Retry-After`` value (a number or an HTTP date). None when absent or senseless."""
    if not header:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(min(int(header[:9]), 86_400 * 365))
    try:
        date = parsedate_to_datetime(header)
    except (TypeError, ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def _note(details: RetryDetails) -> None:
    attempt = details.retry_num + 1
    _log.debug("waiting %.1f s before attempt %d: %s", details.wait_for, attempt, details.caused_by)


@functools.cache
def _quiet() -> None:
    """By default stamina announces retries through structlog as warnings; ours go to debug."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([_note])
