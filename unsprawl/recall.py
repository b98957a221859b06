"""What was decided, brought to what nobody has decided: at once, and at the end of every crawl.

The memory gives a stored finding another status; it never keeps a crawl from storing one. So a decision
makes nothing be read again, taking it back loses nothing, and what is silenced can be listed and explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from unsprawl.store.feedback import Recalled, Sighting

if TYPE_CHECKING:
    from unsprawl.models.memory import Likeness, Memory
    from unsprawl.store.findings import Store

__all__ = ["Change", "load", "recall"]

#: Somebody who decides faster than this can be compared with is waited for no longer.
_ATTEMPTS: Final = 5
#: Places that are held in memory.
_AT_ONCE: Final = 16_384


@dataclass(frozen=True, slots=True)
class Change:
    """Findings, sorted: ``silenced`` are like a false positive from now on, ``restored`` no longer."""

    silenced: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()


def load(store: Store) -> Memory | None:
    """The memory of a store; None while nothing was marked as a false positive."""
    from unsprawl.models.memory import CAPACITY, Mark, Memory

    marks = [Mark(*mark) for mark in store.marks(CAPACITY)]
    return Memory(marks) if any(mark.harmless for mark in marks) else None


def recall(store: Store) -> Change:
    """Compare every undecided finding with what was decided, and keep what it is like."""
    for _ in range(_ATTEMPTS):
        decided = store.decided()
        memory = load(store)
        found = _compare(store.unjudged(memory.rules), memory) if memory else {}
        changed = store.recall(found, decided)
        if changed is not None:
            silenced, restored = changed
            return Change(tuple(sorted(silenced)), tuple(sorted(restored)))
    return Change()


def _compare(sightings: Iterable[Sighting], memory: Memory) -> dict[str, Recalled]:
    """What each finding is like, as far as every one of its places is like something."""
    found: dict[str, Recalled] = {}
    held: dict[str, list[Sighting]] = {}
    count = 0
    for _, places in groupby(sightings, key=lambda sighting: sighting.finding):
        for place in places:
            held.setdefault(place.rule, []).append(place)
            count += 1
        if count >= _AT_ONCE:
            found |= _compare_some(held, memory)
            held, count = {}, 0
    return found | _compare_some(held, memory)


def _compare_some(by_rule: Mapping[str, list[Sighting]], memory: Memory) -> dict[str, Recalled]:
    found: dict[str, Recalled] = {}
    for rule, places in by_rule.items():
        judged = zip(places, memory.judge(rule, [place.vector for place in places]), strict=True)
        for finding, group in groupby(judged, key=lambda pair: pair[0].finding):
            pairs = list(group)
            likenesses = [likeness for _, likeness in pairs if likeness is not None]
            if len(likenesses) == len(pairs):
                proven = any(place.proven for place, _ in pairs)
                found[finding] = _weakest(likenesses, proven)
    return found


def _weakest(likenesses: list[Likeness], proven: bool) -> Recalled:
    """A finding is as like as its least like place. What proves itself is ranked lower, and not silenced."""
    least = min(likenesses, key=lambda likeness: (likeness.similarity, likeness.finding))
    return Recalled(least.finding, least.similarity, least.marks, not proven)
