"""The quick part with Hyperscan.

Rules are of three classes. Those whose pattern holds a literal run in the main automaton. Those for a drawn
value behind a name run where drawn values stand (``drawn.py``). The few without a literal would slow the
automaton down for all (two of them cost half the scan of five hundred): they run only within ``GATE`` bytes
of one of their keywords.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import Final

from unsprawl.detectors.matching.confirm import Confirmer, Window
from unsprawl.detectors.matching.drawn import located, shown
from unsprawl.detectors.matching.fallback import KeywordFinder
from unsprawl.detectors.matching.hyper import Automaton
from unsprawl.detectors.matching.sight import (
    NOTHING,
    Found,
    Sight,
    around,
    before_runs,
    gate,
    is_clue,
    merged,
    words_of,
)
from unsprawl.detectors.views.clues import BLOCK, Clue, Mark, Spans, marks, spans, telling
from unsprawl.detectors.views.telling import GUARDS, TELLING

__all__ = ["HyperscanFinder"]

#: Where a text begins or ends, but not a line of it: such a pattern tells texts apart that stand together.
_OWN_EDGE: Final = re.compile(r"\\[AGZz]")

#: For each expression that hit: where its hits end.
_Hits = Mapping[int, Sequence[Sequence[int]]]


class HyperscanFinder:
    """The windows of all rules; ``gated`` are the numbers of those that run beside their keywords alone."""

    def __init__(self, confirmers: tuple[Confirmer, ...], gated: list[int], cache: Path | None) -> None:
        self._confirmers = confirmers
        rules = [confirmer.rule for confirmer in confirmers]
        behind = set(gated)
        plain = [number for number in range(len(rules)) if number not in behind]
        self._main = [number for number in plain if not rules[number].drawn]
        self._drawn = [number for number in plain if rules[number].drawn]
        self._side = gated
        self._words = list(words_of(confirmers, gated))
        expressions = self._expressions(self._main)
        expressions += [(f"(?i){_quoted(word)}", "keyword") for word, _ in self._words]
        self._telling = [(coding, GUARDS.get(pattern)) for coding, pattern in TELLING]
        expressions += [(pattern, coding) for coding, pattern in TELLING]
        self._automaton = Automaton(expressions, cache)
        self._encoded = telling(rules)
        self._cache = cache
        self._back = before_runs([rules[number] for number in self._drawn], self._encoded)
        self._drawn_automaton = Automaton(
            self._expressions(self._drawn), cache, lambda: _quoted_marks(self._marks), self._encoded.key
        )
        self._side_automaton = Automaton(self._expressions(gated), cache) if gated else None
        self.missed = sorted(self._missed())
        self._beside = KeywordFinder(confirmers, gated, self.missed) if self.missed else None
        self._together = self._beside is None and not any(
            _OWN_EDGE.search(found.shape.expression) for found in confirmers
        )

    def _expressions(self, numbers: Iterable[int]) -> list[tuple[str, str]]:
        return [self._confirmers[number].expression for number in numbers]

    def _missed(self) -> Iterable[int]:
        """The rules of whose matches an automaton misses some."""
        for automaton, numbers in (
            (self._automaton, self._main),
            (self._drawn_automaton, self._drawn),
            (self._side_automaton, self._side),
        ):
            if automaton is not None:
                yield from (numbers[index] for index in automaton.missed if index < len(numbers))

    # Ten thousand, which only the compiler needs whole.
    @cached_property
    def _marks(self) -> list[Mark]:
        return marks(self._encoded)

    @cached_property
    def _spans(self) -> Spans:
        """What a hit of each mark tells, from the cache: to make the marks takes ten times as long."""
        return spans(self._encoded, self._cache, lambda: self._marks)

    def look(self, data: bytes) -> Sight:
        found: Found = {}
        clues: list[Clue] = []
        if hits := self._automaton.hits(data):
            self._look(data, hits, found, clues)
        if drawn := self._drawn_hits(data):
            self._look_drawn(data, drawn, found, clues)
        if self._beside is not None:
            found |= self._beside.windows(data)
        return Sight(found, clues) if found or clues else NOTHING

    def quiet(self, texts: Sequence[bytes]) -> list[bool]:
        if not self._together:
            return [False] * len(texts)
        # A text that begins a line and ends one is searched as if it stood alone.
        joined = b"\n".join(texts)
        ends = list(accumulate(len(text) + 1 for text in texts))
        quiet = [True] * len(texts)
        for hits in (self._automaton.hits(joined), self._drawn_hits(joined)):
            for first, last in chain.from_iterable(hits.values()):
                for number in range(bisect_left(ends, first), bisect_left(ends, last) + 1):
                    quiet[number] = False
        return quiet

    def _look(self, data: bytes, hits: _Hits, found: Found, clues: list[Clue]) -> None:
        gates: dict[int, list[Window]] = {}
        rules = len(self._main)
        edited = rules + len(self._words)
        for index, stretches in hits.items():
            if index >= edited:
                coding, guard = self._telling[index - edited]
                blocks = {
                    block
                    for first, last in stretches
                    if guard is None or guard(data, first, last)
                    for block in range(first // BLOCK, last // BLOCK + 1)
                }
                clues += [Clue(block * BLOCK, coding) for block in blocks]
            elif index >= rules:
                for number in self._words[index - rules][1]:
                    gates.setdefault(number, []).extend(gate(first, last) for first, last in stretches)
            else:
                number = self._main[index]
                found[number] = (around(self._confirmers[number], stretches, len(data)), False)
        if gates:
            self._search_gates(data, gates, found)

    def _drawn_hits(self, data: bytes) -> _Hits:
        """The hits among drawn values."""
        taken = shown(data, self._back)
        if taken is None:
            return self._drawn_automaton.hits(data)
        hits = self._drawn_automaton.hits(taken[0]) if taken[0] else {}
        return {index: [*located(found, taken)] for index, found in hits.items()}

    def _look_drawn(self, data: bytes, hits: _Hits, found: Found, clues: list[Clue]) -> None:
        rules = len(self._drawn)
        for index, stretches in hits.items():
            if index < rules:
                number = self._drawn[index]
                found[number] = (around(self._confirmers[number], stretches, len(data)), False)
            else:
                width, coding = self._spans[index - rules]
                clues += [
                    Clue(end - width, coding) for end in _ends(stretches) if is_clue(data, end, width, coding)
                ]

    def _search_gates(self, data: bytes, gates: Mapping[int, list[Window]], found: Found) -> None:
        """The rules without a literal, where one of their keywords is near."""
        assert self._side_automaton is not None
        view = memoryview(data)
        near = {number: merged(stretches, len(data)) for number, stretches in gates.items()}
        for low, high, _ in merged((one for stretches in near.values() for one in stretches), len(data)):
            for index, stretches in self._side_automaton.hits(view[low:high]).items():
                number = self._side[index]
                ends = ((low + first, low + last) for first, last in stretches)
                inside = _common(around(self._confirmers[number], ends, len(data)), near.get(number, []))
                if inside:
                    found.setdefault(number, ([], True))[0].extend(inside)


def _quoted_marks(found: Iterable[Mark]) -> list[tuple[str, str]]:
    return [(_quoted(mark.core.decode()), "keyword") for mark in found]


def _quoted(word: str) -> str:
    return "".join(char if char.isalnum() or ord(char) > 127 else f"\\x{ord(char):02x}" for char in word)


def _ends(stretches: Iterable[Sequence[int]]) -> set[int]:
    """The first and the last of each; most hits are a stretch of their own."""
    return {end for ends in stretches for end in ends}


def _common(some: list[Window], gates: list[Window]) -> list[Window]:
    """The parts of some windows that lie in a gate; a match must lie there wholly."""
    result: list[Window] = []
    index = 0
    for low, high, last in some:
        while index < len(gates) and gates[index][1] <= low:
            index += 1
        at = index
        while at < len(gates) and gates[at][0] < high:
            result.append((max(low, gates[at][0]), min(high, gates[at][1]), min(last, gates[at][1])))
            at += 1
    return result
