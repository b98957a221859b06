"""Parts of one credential: what belongs to a secret and stands elsewhere in the same text.

An id lines apart from its key, the account in the message before its password: a rule names such
companions with a pattern and a distance, and the nearest one is taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from unsprawl.detectors.linear import linear
from unsprawl.detectors.rules import Companion
from unsprawl.detectors.sightings import Sighting
from unsprawl.structs import replace

__all__ = ["completed"]


def completed(found: Sighting) -> Sighting | None:
    """The sighting with all its companions; None where one is missing without which it is nothing."""
    wanted = [one for one in found.rule.companions if one.name not in found.match.groups]
    if not wanted:
        return found
    groups = dict(found.match.groups)
    for companion in wanted:
        span = _nearest(found, companion)
        if span is not None:
            groups[companion.name] = span
        elif companion.required:
            return None
    return replace(found, match=replace(found.match, groups=groups))


def _nearest(found: Sighting, companion: Companion) -> tuple[int, int] | None:
    """The span of the companion next to the secret; of two as near the one before it."""
    start, end = found.match.start, found.match.end
    low, high = max(0, start - companion.within), min(len(found.text), end + companion.within)
    search = _compiled(companion.pattern)
    best: tuple[int, tuple[int, int]] | None = None
    for match in search(found.text, low, high):
        span = match.span(1) if match.re.groups else match.span()
        if span[0] >= end:
            if best is None or span[0] - end < best[0]:
                best = span[0] - end, span
            break
        if span[0] >= 0 and span[1] <= start:
            best = start - span[1], span
    return best[1] if best else None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    return linear(pattern, lines=True).finditer
