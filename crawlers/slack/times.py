"""Slack's timestamps: seconds with six decimals, which name a message and order a channel.

They are counted in whole microseconds here: as floating point numbers two messages could become one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["DAY", "HOUR", "SECOND", "duration", "micros", "midnight", "moment", "stamp"]

_STAMP = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?\Z")
_DURATION = re.compile(r"(\d{1,5})([mhdw])\Z")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

SECOND: Final = 1_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR


def micros(ts: Any) -> int | None:
    """Microseconds since 1970 of ``1700000000.000100``. None when it is no timestamp."""
    match = _STAMP.match(ts) if isinstance(ts, str) else None
    return int(match[1]) * SECOND + int((match[2] or "").ljust(6, "0")) if match else None


def stamp(at: int) -> str:
    """The timestamp as Slack writes it."""
    return f"{at // SECOND}.{at % SECOND:06d}"


def moment(ts: Any) -> datetime | None:
    """The time of a timestamp, or of whole seconds. None when it is none, or beyond the calendar."""
    at = micros(ts if isinstance(ts, str) else str(ts)) if isinstance(ts, str | int) else None
    try:
        return datetime.fromtimestamp(at / SECOND, UTC) if at is not None else None
    except (OverflowError, ValueError, OSError):
        return None


def midnight(at: int) -> int:
    """The beginning of the day (UTC)."""
    return at - at % DAY


def duration(text: str) -> int:
    """Microseconds of ``14d``, ``12h``, ``30m`` or ``2w``."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(text)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) // timedelta(microseconds=1)
