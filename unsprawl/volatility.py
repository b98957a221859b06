"""What is deleted first: the order in which a sweep begins with its sources and reads their units."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final

from unsprawl.records import Source, Unit

__all__ = ["Turns", "ahead", "rank"]

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


class Turns:
    """The rank of each unit as it is listed: that of :func:`rank`, and what is stored by intent takes turns.

    Files, images and buckets are read by the same workers. Were they read one source after the other, a large
    folder would keep the first hit in a small bucket waiting for minutes.
    """

    def __init__(self) -> None:
        self._listed: Counter[str] = Counter()

    def __call__(self, source: Source, unit: Unit) -> float:
        if ahead(source) < _UNKNOWN:
            return rank(source, unit)
        turn = 0 if unit.expires_at is not None else self._listed[source.name] + 1
        self._listed[source.name] = max(turn, self._listed[source.name])
        return _UNKNOWN + 1 - 1 / (1 + turn)
