"""What a host says of its limits, in the headers of the vendors that we read.

``Retry-After`` is a standard. Beside it ``X-RateLimit-Remaining: 0`` goes with a reset, which is a time since
the epoch (GitHub, GitLab, CircleCI), a date, or the seconds that are left (Buildkite, the draft standard).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from unsprawl.wire.patience import RETRIED_STATUS, retry_after

__all__ = ["asked_wait", "limited"]

_PREFIXES: Final = ("x-ratelimit-", "ratelimit-", "x-rate-limit-")
#: A reset beyond this is a time since the epoch; in milliseconds beyond the second.
_EPOCH: Final = 1_000_000_000
_MILLISECONDS: Final = 100_000_000_000
#: Answers with which a spent budget is told.
_SPENT: Final = frozenset({403, 429})


def asked_wait(status: int, headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a host wants to be left alone, None when it wants nothing. Header names are in lower case.

    A success counts too: Azure sends ``Retry-After`` with it, and who has no request left need not ask.
    """
    moment = now or datetime.now(UTC)
    asked = retry_after(headers.get("retry-after"), moment)
    if asked is not None and (status in RETRIED_STATUS or status in _SPENT or status < 300):
        return asked
    for prefix in _PREFIXES:
        reset = headers.get(f"{prefix}reset", "").strip()
        if reset and (status == 429 or headers.get(f"{prefix}remaining", "").strip() == "0"):
            return _until(reset, moment)
    return None


def limited(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a refusal is about speed: GitHub says 403 where others say 429."""
    return status == 429 or (status == 403 and asked_wait(status, headers) is not None)


def _until(reset: str, now: datetime) -> float | None:
    try:
        number = float(reset)
    except ValueError:
        try:
            date = datetime.fromisoformat(reset)
        except ValueError:
            return retry_after(reset, now)
        number = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    if not 0 <= number < 10 * _MILLISECONDS * 10:
        return None
    if number >= _MILLISECONDS:
        number /= 1000
    return max(0.0, number - now.timestamp()) if number >= _EPOCH else number
