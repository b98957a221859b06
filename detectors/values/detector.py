"""A document in, the given values that stand in it out, and beside them what else the rules see there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

from unsprawl.detectors.detector import Content, ContentDetector
from unsprawl.detectors.matching.engine import Engine, Sight
from unsprawl.detectors.rules import RuleSet
from unsprawl.detectors.sightings import Sighting
from unsprawl.detectors.values.engine import RULE, Found, ValueEngine, Values
from unsprawl.detectors.views.edits import Edit
from unsprawl.detectors.views.segments import Segment
from unsprawl.structs import replace

__all__ = ["ValueDetector"]

#: Raise it when the same values are found in other places.
_VERSION: Final = 1
#: A document may well hold every value many times, and each place has to be cleaned.
_LIMIT: Final = 100_000


class ValueDetector(ContentDetector):
    """Implements ``records.Detector`` for given values.

    With ``beside`` also the candidates of its rules, in every piece of a content in which a value stands:
    whoever leaked one secret there has often leaked the next. Tags that allow a secret are not heeded.
    """

    def __init__(self, values: Values, beside: ContentDetector | None = None) -> None:
        super().__init__(
            RuleSet((RULE,), digest=f"values{_VERSION}"), cast(Engine, ValueEngine(values)), limit=_LIMIT
        )
        self._beside = beside

    def sightings(
        self, segment: Segment, content: Content, sight: Sight, changes: Sequence[Edit]
    ) -> Iterator[Sighting]:
        owned = [
            one
            for one in self.found(segment, content, sight, changes)[0]
            if segment.first <= one.begin < segment.stop
        ]
        hits = _apart(owned)
        if not hits:
            return
        near: list[Sighting] = []
        if self._beside is not None:
            near = list(self._beside.again(segment, replace(content, resume={}, claimed=[])))
            near = [one for one in near if not any(_overlap(one, hit) for hit in hits)]
        yield from sorted([*map(_shown, hits), *near], key=lambda one: (one.start, one.end))


def _apart(found: list[Sighting]) -> list[Sighting]:
    """Each value once in a place; in a text that several readings make of the same bytes the first counts."""
    kept: list[Sighting] = []
    taken: dict[int, list[Sighting]] = {}
    for one in sorted(found, key=lambda one: (one.derived, one.start, -one.end)):
        known = taken.setdefault(cast(Found, one.match).value.number, [])
        if not any(_overlap(one, other) for other in known[-64:]):
            known.append(one)
            kept.append(one)
    return kept


def _overlap(one: Sighting, other: Sighting) -> bool:
    return one.start < other.end and other.start < one.end


def _shown(hit: Sighting) -> Sighting:
    """The sighting as one of the value itself, however it is encoded where it stands."""
    match = cast(Found, hit.match)
    value = match.value.data
    views = tuple(view for view in (*hit.views, match.view) if view != "raw") if match.view else hit.views
    # The public prefix of its format identifies the kind of the value: it may be shown.
    rule = replace(match.rule, prefix=match.value.secret.prefix)
    made = replace(match, rule=rule, start=0, end=len(value), groups={})
    return replace(hit, match=made, text=value, views=tuple(dict.fromkeys(views)), derived=True, locate=None)
