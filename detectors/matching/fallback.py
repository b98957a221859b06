"""The quick part without Hyperscan: an Aho-Corasick automaton over the rules' keywords.

Every match of a rule holds one of its keywords, in any case, so what Hyperscan would search everywhere is
searched in the surroundings of each keyword. That finds what Hyperscan finds, and takes ten to fifty times as
long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from unsprawl.detectors.linear import linear
from unsprawl.detectors.matching.confirm import Confirmer, Search, Window
from unsprawl.detectors.matching.drawn import Excerpt, located, shown
from unsprawl.detectors.matching.sight import (
    Found,
    Sight,
    around,
    before_runs,
    gate,
    is_clue,
    merged,
    words_of,
)
from unsprawl.detectors.views.clues import Clue, Mark, marks, telling
from unsprawl.detectors.views.telling import places as telling_places

__all__ = ["KeywordFinder", "searched_word"]

#: So many matches that end at one place are taken for all that do.
_SAME: Final = 256


class KeywordFinder:
    """The windows of the rules with some ``numbers``: of all, or of those that Hyperscan cannot search."""

    missed: Sequence[int] = ()

    def __init__(
        self, confirmers: tuple[Confirmer, ...], gated: Iterable[int], numbers: Sequence[int] | None = None
    ) -> None:
        self._confirmers = confirmers
        self._gated = frozenset(gated)
        asked = range(len(confirmers)) if numbers is None else numbers
        rules = {number: confirmers[number].rule for number in asked}
        self._everywhere = [number for number, rule in rules.items() if not rule.keywords]
        drawn = [number for number, rule in rules.items() if rule.drawn and number not in self._gated]
        self._rules_of = _by_word(confirmers, set(rules).difference(drawn), self._gated)
        self._drawn_of = _by_word(confirmers, drawn)
        self._keywords, self._names = _Words(self._rules_of), _Words(self._drawn_of)
        self._encoded = telling([confirmer.rule for confirmer in confirmers])
        self._back = before_runs([rules[number] for number in drawn], self._encoded)
        self._searches: dict[int, Search] = {}

    def quiet(self, texts: Sequence[bytes]) -> list[bool]:
        return [False] * len(texts)

    def look(self, data: bytes) -> Sight:
        return Sight(self.windows(data), self._clues(data))

    def windows(self, data: bytes) -> Found:
        size = len(data)
        near: dict[int, list[Window]] = {}
        for rules_of, places_of in (
            (self._rules_of, self._keywords.places(data.lower())),
            (self._drawn_of, self._names.drawn_places(data, shown(data, self._back), lower=True)),
        ):
            for word, places in places_of.items():
                for number in rules_of[word]:
                    stretches = near.setdefault(number, [])
                    if number in self._gated:
                        stretches += [gate(end, end) for _, end in places]
                    else:
                        ahead = self._confirmers[number].shape.ahead
                        stretches += [(end - ahead, start + ahead, end) for start, end in places]
        near |= {number: [(0, size, size)] for number in self._everywhere}
        found: Found = {}
        for number, stretches in near.items():
            windows = merged(stretches, size)
            if number in self._gated:
                found[number] = windows, True
            elif hits := self._hits(number, windows, data):
                found[number] = hits, False
        return found

    def _hits(self, number: int, windows: list[Window], data: bytes) -> list[Window]:
        """The windows as Hyperscan names them: around what a rule is searched by, which may say more."""
        confirmer = self._confirmers[number]
        if number not in self._searches:
            self._searches[number] = linear(confirmer.shape.expression, lines=True, longest=True).search
        ends = _ends(self._searches[number], windows, data)
        return around(confirmer, ((end, end) for end in ends), len(data))

    @cached_property
    def _marks(self) -> Mapping[bytes, list[Mark]]:
        found: dict[bytes, list[Mark]] = {}
        for mark in marks(self._encoded):
            found.setdefault(mark.core, []).append(mark)
        return found

    @cached_property
    def _cores(self) -> _Words:
        return _Words(self._marks)

    def _clues(self, data: bytes) -> list[Clue]:
        clues = [
            Clue(end - mark.width, mark.coding)
            for core, places in self._cores.drawn_places(data, shown(data, self._back)).items()
            for mark in self._marks[core]
            for _, end in places
            if is_clue(data, end, mark.width, mark.coding)
        ]
        return clues + [Clue(end, coding) for coding, end in telling_places(data)]


def _ends(search: Search, windows: Iterable[Window], data: bytes) -> Iterator[int]:
    """Where matches end: the longest from each start, and the shortest where some overlap."""
    for low, high, _ in windows:
        last = same = 0
        while (hit := search(data, low, high)) is not None:
            start, end = hit.span()
            if start >= last:
                yield _shortest(search, data, start, end)
            same = same + 1 if end == last else 0
            last = max(last, end)
            yield end
            low = start + 1 if same < _SAME else max(end, start + 1)  # noqa: PLW2901


def _shortest(search: Search, data: bytes, start: int, end: int) -> int:
    """The first place where a match ends of those that begin at ``start`` or later; one ends at ``end``."""
    low = start
    while low + 1 < end:
        middle = (low + end) // 2
        if search(data, start, middle) is None:
            low = middle
        else:
            end = middle
    return end


class _Words:
    """Where which of some words stand, overlapping ones included."""

    __slots__ = ("_find", "_words")

    def __init__(self, words: Iterable[bytes]) -> None:
        self._words = tuple(words)
        if self._words:
            from ahocorasick_rs import BytesAhoCorasick

            self._find = BytesAhoCorasick(self._words).find_matches_as_indexes

    def places(self, data: bytes) -> dict[bytes, list[tuple[int, int]]]:
        """For each word that occurs: its spans, in the order of the text."""
        found: dict[bytes, list[tuple[int, int]]] = {}
        if self._words:
            for index, start, end in self._find(data, overlapping=True):
                found.setdefault(self._words[index], []).append((start, end))
        return found

    def drawn_places(
        self, data: bytes, taken: Excerpt | None, *, lower: bool = False
    ) -> Mapping[bytes, Sequence[tuple[int, int]]]:
        """The same of what was ``taken`` of a text (None: all), as places in the text."""
        runs = data if taken is None else taken[0]
        found = self.places(runs.lower() if lower else runs)
        if taken is None:
            return found
        return {
            word: [(end - len(word), end) for end, _ in located([(end, end) for _, end in places], taken)]
            for word, places in found.items()
        }


def searched_word(keyword: str) -> bytes:
    """A keyword as it is looked for: in small letters, without the signs that it ends with."""
    return (keyword.lower().rstrip(" =:") or keyword).encode()


def _by_word(
    confirmers: Sequence[Confirmer], numbers: Iterable[int], gated: Collection[int] = ()
) -> dict[bytes, tuple[int, ...]]:
    """The rules of each word that is looked for; those that are ``gated`` by a keyword ask for all of it."""
    words: dict[bytes, dict[int, None]] = {}
    for keyword, of in words_of(confirmers, numbers):
        for number in of:
            word = keyword.encode() if number in gated else searched_word(keyword)
            words.setdefault(word, {})[number] = None
    return {word: tuple(of) for word, of in words.items()}
