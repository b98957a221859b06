"""What is deleted first: the order in which a sweep begins with its sources and reads their units."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from unsprawl.records import Source, Unit

__all__ = ["ahead", "rank"]

#: Logs are pruned by the day, pastes expire, messages are edited; what is stored by intent stays longest.
_ORDER: Final = ("ci", "paste", "slack", "jira", "confluence", "files", "engine", "registry", "s3")
_UNKNOWN: Final = _ORDER.index("files")
_DAY_S: Final = 86_400.0


def ahead(source: Source) -> int:
    """Sorts the sources whose contents are soonest gone to the front."""
    return _ORDER.index(source.type) if source.type in _ORDER else _UNKNOWN


def rank(source: Source, unit: Unit) -> float:
    """The rank of a unit: that of its source, and within it the one that expires first."""
    if unit.expires_at is None:
        return ahead(source) + 0.999
    days = (unit.expires_at - datetime.now(UTC)).total_seconds() / _DAY_S
    return ahead(source) + 0.99 * (1 - 1 / (1 + max(0.0, days)))
