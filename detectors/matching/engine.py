"""All rules over one text: hits from an automaton, matches from the confirmation.

Rules are of three classes. Those whose pattern holds a literal run in the main automaton. Those for a drawn
value behind a name run where drawn values stand (``drawn.py``). The few without a literal would slow the
automaton down for all (two of them cost half the scan of five hundred): they run only within ``GATE`` bytes
of one of their keywords.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from unsprawl.detectors.cache import default_folder
from unsprawl.detectors.matching.confirm import Confirmer, Match, Tally, Window
from unsprawl.detectors.matching.drawn import (
    SPACED_BEFORE,
    Excerpt,
    excerpt,
    in_run,
    in_spaced,
    located,
)
from unsprawl.detectors.matching.fallback import Keywords, searcher
from unsprawl.detectors.matching.pattern import shapes
from unsprawl.detectors.rulebook.contextual import reach
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.detectors.views.clues import (
    BLOCK,
    Clue,
    Coding,
    Mark,
    Spans,
    Telling,
    marks,
    spans,
    telling,
)
from unsprawl.detectors.views.telling import GUARDS, TELLING
from unsprawl.detectors.views.telling import places as telling_places
from unsprawl.errors import ConfigError

__all__ = ["GATE", "Engine", "Match", "Sight", "Tally"]

#: How far from its keyword a rule without a literal of its own may match, in bytes.
GATE: Final = 8 << 10
_SHORTEST_KEYWORD: Final = 3
#: A text up to this size, in bytes, is searched as it is.
_SHORT: Final = 256
#: Where a text begins or ends, but not a line of it: such a pattern tells texts apart that stand together.
_OWN_EDGE: Final = re.compile(r"\\[AGZz]")


class Engine:
    """``backend`` is ``hyperscan``, ``fallback``, or ``auto``: the first that can be imported.

    Both give the same matches. ``cache`` is the folder of the compiled database (None: not kept).
    An engine serves all threads. Raises ``RuleError`` for a pattern that an engine refuses.
    """

    def __init__(
        self, rules: RuleSet, backend: str = "auto", cache: Path | None | Literal["user"] = "user"
    ) -> None:
        if backend not in ("auto", "hyperscan", "fallback"):
            raise ConfigError(f"unknown engine '{backend}'", hint="It is auto, hyperscan or fallback.")
        self.rules = rules
        folder = default_folder() if cache == "user" else cache
        found = shapes([(rule.pattern, rule.superset) for rule in rules.rules], folder)
        self._confirmers = tuple(map(Confirmer, rules.rules, found))
        gated = [
            number
            for number, confirmer in enumerate(self._confirmers)
            if (confirmer.rule.gated or not confirmer.shape.selective)
            and confirmer.rule.keywords
            and min(map(len, confirmer.rule.keywords)) >= _SHORTEST_KEYWORD
        ]
        self.backend, self._finder = _finder(backend, self._confirmers, gated, folder)

    @property
    def expressions(self) -> list[tuple[str, str]]:
        """What each rule is searched by, and its place, in the order of the rules."""
        return [_expression(confirmer) for confirmer in self._confirmers]

    def matches(self, data: bytes) -> Iterator[Match]:
        """All matches in ``data``, rule by rule; those of different rules may overlap."""
        return iter(self.search(data, Tally(size=len(data))))

    def search(self, data: bytes, tally: Tally) -> list[Match]:
        """The same, on account of ``tally``."""
        return self.confirm(data, self.look(data).windows, tally)

    def look(self, data: bytes) -> Sight:
        """The quick part: where something may be."""
        return self._finder.look(data)

    def quiet(self, texts: Sequence[bytes]) -> list[bool]:
        """Which of ``texts`` hold nothing to look for, told of all at once; of some it is not known."""
        return self._finder.quiet(texts)

    def confirm(
        self,
        data: bytes,
        windows: Windows,
        tally: Tally,
        begin: int = 0,
        resume: Mapping[str, int] | None = None,
    ) -> list[Match]:
        """The matches in the windows that ``look`` named, if they start at ``begin`` or later.

        ``resume`` tells for a rule's id from where on: matches of one rule do not overlap, not even
        across the border of two segments.
        """
        found: list[Match] = []
        for number in sorted(windows):
            confirmer = self._confirmers[number]
            if confirmer.rule.id in tally.full:
                continue
            first = begin if resume is None else max(begin, resume.get(confirmer.rule.id, 0))
            stretches, strict = windows[number]
            found += confirmer.matches(data, stretches, tally, first, strict=strict)
        return found


#: For each rule's number: the stretches to look at, and whether they must not be looked beyond.
Windows = Mapping[int, tuple[list[Window], bool]]


class Sight(NamedTuple):
    """Where matches may stand, and where something is encoded that may hold one."""

    windows: Windows
    clues: Sequence[Clue]


_NOTHING: Final = Sight({}, ())


_Found = dict[int, tuple[list[Window], bool]]
#: For each expression that hit: where its hits end.
_Hits = Mapping[int, Sequence[Sequence[int]]]


class _Finder(Protocol):
    def look(self, data: bytes) -> Sight: ...
    def quiet(self, texts: Sequence[bytes]) -> list[bool]: ...


def _finder(
    backend: str, confirmers: tuple[Confirmer, ...], gated: list[int], cache: Path | None
) -> tuple[str, _Finder]:
    if backend != "fallback":
        try:
            import hyperscan  # noqa: F401  (only whether it is there)
        except ImportError as error:
            if backend == "hyperscan":
                raise ConfigError(
                    f"Hyperscan cannot be loaded: {error}",
                    hint="Use the fallback engine: same findings, ten to fifty times slower.",
                ) from None
        else:
            return "hyperscan", _HyperscanFinder(confirmers, gated, cache)
    return "fallback", _KeywordFinder(confirmers, gated)


class _HyperscanFinder:
    def __init__(self, confirmers: tuple[Confirmer, ...], gated: list[int], cache: Path | None) -> None:
        from unsprawl.detectors.matching.hyper import Automaton

        self._confirmers = confirmers
        rules = [confirmer.rule for confirmer in confirmers]
        behind = set(gated)
        plain = [number for number in range(len(rules)) if number not in behind]
        self._main = [number for number in plain if not rules[number].drawn]
        self._drawn = [number for number in plain if rules[number].drawn]
        self._side = gated
        self._words = list(_words_of(confirmers, gated))
        expressions = self._expressions(self._main)
        expressions += [(f"(?i){_quoted(word)}", "keyword") for word, _ in self._words]
        self._telling = [(coding, GUARDS.get(pattern)) for coding, pattern in TELLING]
        expressions += [(pattern, coding) for coding, pattern in TELLING]
        self._automaton = Automaton(expressions, cache)
        self._encoded = telling(rules)
        self._cache = cache
        self._back = _before_runs([rules[number] for number in self._drawn], self._encoded)
        self._drawn_automaton = Automaton(
            self._expressions(self._drawn), cache, lambda: _quoted_marks(self._marks), self._encoded.key
        )
        self._side_automaton = Automaton(self._expressions(gated), cache) if gated else None
        self._together = not any(_OWN_EDGE.search(found.shape.expression) for found in confirmers)

    def _expressions(self, numbers: Iterable[int]) -> list[tuple[str, str]]:
        return [_expression(self._confirmers[number]) for number in numbers]

    # Ten thousand, which only the compiler needs whole.
    @cached_property
    def _marks(self) -> list[Mark]:
        return marks(self._encoded)

    @cached_property
    def _spans(self) -> Spans:
        """What a hit of each mark tells, from the cache: to make the marks takes ten times as long."""
        return spans(self._encoded, self._cache, lambda: self._marks)

    def look(self, data: bytes) -> Sight:
        found: _Found = {}
        clues: list[Clue] = []
        if hits := self._automaton.hits(data):
            self._look(data, hits, found, clues)
        if drawn := self._drawn_hits(data):
            self._look_drawn(data, drawn, found, clues)
        return Sight(found, clues) if found or clues else _NOTHING

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

    def _look(self, data: bytes, hits: _Hits, found: _Found, clues: list[Clue]) -> None:
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
                    gates.setdefault(number, []).extend(_gate(first, last) for first, last in stretches)
            else:
                number = self._main[index]
                found[number] = (self._windows(number, stretches, len(data)), False)
        if gates:
            self._search_gates(data, gates, found)

    def _drawn_hits(self, data: bytes) -> _Hits:
        """The hits among drawn values. A short text is searched as it is."""
        if excerpt is None or len(data) < _SHORT:
            return self._drawn_automaton.hits(data)
        taken = excerpt(data, self._back)
        hits = self._drawn_automaton.hits(taken[0]) if taken[0] else {}
        return {index: [*located(found, taken)] for index, found in hits.items()}

    def _look_drawn(self, data: bytes, hits: _Hits, found: _Found, clues: list[Clue]) -> None:
        rules = len(self._drawn)
        for index, stretches in hits.items():
            if index < rules:
                number = self._drawn[index]
                found[number] = (self._windows(number, stretches, len(data)), False)
            else:
                width, coding = self._spans[index - rules]
                clues += [
                    Clue(end - width, coding)
                    for end in _ends(stretches)
                    if _is_clue(data, end, width, coding)
                ]

    def _windows(self, number: int, stretches: Iterable[Sequence[int]], size: int) -> list[Window]:
        shape = self._confirmers[number].shape
        return _merged(((first - shape.back, last + shape.ahead, last) for first, last in stretches), size)

    def _search_gates(self, data: bytes, gates: Mapping[int, list[Window]], found: _Found) -> None:
        """The rules without a literal, where one of their keywords is near."""
        assert self._side_automaton is not None
        view = memoryview(data)
        merged = {number: _merged(stretches, len(data)) for number, stretches in gates.items()}
        for low, high, _ in _merged((gate for stretches in merged.values() for gate in stretches), len(data)):
            for index, stretches in self._side_automaton.hits(view[low:high]).items():
                number = self._side[index]
                around = self._windows(number, ((low + a, low + b) for a, b in stretches), len(data))
                inside = _common(around, merged.get(number, []))
                if inside:
                    found.setdefault(number, ([], True))[0].extend(inside)


class _KeywordFinder:
    def __init__(self, confirmers: tuple[Confirmer, ...], gated: list[int]) -> None:
        self._confirmers = confirmers
        self._gated = frozenset(gated)
        rules = [confirmer.rule for confirmer in confirmers]
        self._everywhere = [number for number, rule in enumerate(rules) if not rule.keywords]
        drawn = [number for number, rule in enumerate(rules) if rule.drawn and number not in self._gated]
        self._rules_of = _by_word(confirmers, {*range(len(rules))}.difference(drawn))
        self._drawn_of = _by_word(confirmers, drawn)
        self._keywords, self._names = Keywords(list(self._rules_of)), Keywords(list(self._drawn_of))
        encoded = telling(rules)
        self._back = _before_runs([rules[number] for number in drawn], encoded)
        self._marks: dict[bytes, list[Mark]] = {}
        for mark in marks(encoded):
            self._marks.setdefault(mark.core, []).append(mark)
        self._cores = Keywords(list(self._marks))
        self._searches: dict[int, Any] = {}

    def quiet(self, texts: Sequence[bytes]) -> list[bool]:
        return [False] * len(texts)

    def look(self, data: bytes) -> Sight:
        size = len(data)
        taken = None if excerpt is None or size < _SHORT else excerpt(data, self._back)
        runs = data if taken is None else taken[0]
        around: dict[int, list[Window]] = {}
        for rules_of, places_of in (
            (self._rules_of, self._keywords.places(data.lower())),
            (self._drawn_of, _places(self._names, runs.lower(), taken)),
        ):
            for word, places in places_of.items():
                for number in rules_of[word]:
                    windows = around.setdefault(number, [])
                    if number in self._gated:
                        windows += [_gate(end, end) for _, end in places]
                    else:
                        ahead = self._confirmers[number].shape.ahead
                        windows += [(end - ahead, start + ahead, end) for start, end in places]
        around |= {number: [(0, size, size)] for number in self._everywhere}
        found: _Found = {}
        for number, stretches in around.items():
            windows = _merged(stretches, size)
            if number in self._gated:
                found[number] = windows, True
            elif hits := self._hits(number, windows, data):
                found[number] = hits, False
        clues = [
            Clue(end - mark.width, mark.coding)
            for core, places in _places(self._cores, runs, taken).items()
            for mark in self._marks[core]
            for _, end in places
            if _is_clue(data, end, mark.width, mark.coding)
        ]
        clues += [Clue(end, coding) for coding, end in telling_places(data)]
        return Sight(found, clues)

    def _hits(self, number: int, windows: list[Window], data: bytes) -> list[Window]:
        """The windows as Hyperscan names them: around what a rule is searched by, which may say more."""
        shape = self._confirmers[number].shape
        if number not in self._searches:
            self._searches[number] = searcher(shape.expression)
        ends = [
            hit.end() for low, high, _ in windows for hit in self._searches[number].finditer(data, low, high)
        ]
        return _merged(((end - shape.back, end + shape.ahead, end) for end in ends), len(data))


def _places(keywords: Keywords, text: bytes, of: Excerpt | None) -> Mapping[bytes, Sequence[tuple[int, int]]]:
    """Where words stand in ``text``; if that is an excerpt, in what it is ``of``."""
    found = keywords.places(text)
    if of is None:
        return found
    return {
        word: [(end - len(word), end) for end, _ in located([(end, end) for _, end in places], of)]
        for word, places in found.items()
    }


def _before_runs(drawn: Sequence[Rule], encoded: Telling) -> int:
    """Bytes before a run that matter: its name may stand there, or a keyword in spaced-out letters."""
    return max([*(reach(rule.context) for rule in drawn), SPACED_BEFORE + 2 * encoded.longest])


def _is_clue(data: bytes, end: int, width: int, coding: Coding) -> bool:
    """Whether the mark that ends there stands where marks matter: in the runs that Hyperscan is shown."""
    return end >= width and (in_spaced(data, end - width, end) if coding == "logs" else in_run(data, end - 1))


def _words_of(
    confirmers: tuple[Confirmer, ...], numbers: Iterable[int]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    words: dict[str, list[int]] = {}
    for number in numbers:
        for word in dict.fromkeys(word.lower() for word in confirmers[number].rule.keywords):
            words.setdefault(word, []).append(number)
    return ((word, tuple(of)) for word, of in words.items())


def _by_word(confirmers: tuple[Confirmer, ...], numbers: Iterable[int]) -> dict[bytes, tuple[int, ...]]:
    """The rules of each keyword, which is looked for without the signs that it ends with."""
    words: dict[bytes, tuple[int, ...]] = {}
    for word, of in _words_of(confirmers, numbers):
        plain = (word.rstrip(" =:") or word).encode()
        words[plain] = (*words.get(plain, ()), *of)
    return {word: tuple(dict.fromkeys(of)) for word, of in words.items()}


def _expression(confirmer: Confirmer) -> tuple[str, str]:
    return confirmer.shape.expression, f"{confirmer.rule.place}: rule '{confirmer.rule.id}'"


def _quoted_marks(found: Iterable[Mark]) -> list[tuple[str, str]]:
    return [(_quoted(mark.core.decode()), "keyword") for mark in found]


def _ends(stretches: Iterable[Sequence[int]]) -> set[int]:
    """The first and the last of each; most hits are a stretch of their own."""
    return {end for ends in stretches for end in ends}


def _quoted(word: str) -> str:
    return "".join(char if char.isalnum() or ord(char) > 127 else f"\\x{ord(char):02x}" for char in word)


def _gate(first: int, last: int) -> Window:
    return first - GATE, last + GATE, last + GATE


def _merged(windows: Iterable[Window], size: int) -> list[Window]:
    """Sorted, joined where they touch, and cut to the text."""
    result: list[Window] = []
    for window in sorted(windows):
        low, high, last = max(window[0], 0), min(window[1], size), min(window[2], size)
        if result and low <= result[-1][1]:
            before = result[-1]
            result[-1] = (before[0], max(before[1], high), max(before[2], last))
        elif low < high:
            result.append((low, high, last))
    return result


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
