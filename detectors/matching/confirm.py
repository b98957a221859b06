"""Hits to matches: the one meaning of a pattern, whichever engine found the place to look at.

Both engines name windows of the text that may hold a match of a rule. Here RE2 (``regex`` for
rules that need look-around) runs over them from left to right, and answers what it would have
answered on the whole text: leftmost matches that do not overlap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final

from unsprawl.detectors.linear import linear
from unsprawl.detectors.matching.drawn import begins_drawn
from unsprawl.detectors.matching.pattern import LONGEST, Shape
from unsprawl.detectors.rules import Rule
from unsprawl.errors import RuleError
from unsprawl.structs import Struct, field, replace

__all__ = ["Confirmer", "Match", "Search", "Tally", "Window", "same_group"]

#: A stretch of the text that may hold matches, and where the last thing stands that speaks for one.
Window = tuple[int, int, int]

#: Searches a rule may cost in one document: a start, and more for every byte that was read.
_SEARCHES: Final = 4096
_BYTES_A_SEARCH: Final = 256
#: Bytes of decoded and rewritten text a document may cost: a start, and more for every byte of it.
_MADE: Final = 64 << 20
_MADE_A_BYTE: Final = 8
#: Bytes of a generic match that are looked for behind a hit.
_ASSIGNED: Final = 2 << 10
#: Seconds one search of a back-tracking pattern may take.
_PATIENCE: Final = 0.25
#: ``regex`` takes the end of the window for the end of the text: look-ahead needs some bytes more.
_LOOKAHEAD: Final = 256


class Match(Struct, frozen=True):
    """``start`` and ``end`` hold the secret, ``match_start`` and ``match_end`` the whole match."""

    rule: Rule
    start: int
    end: int
    groups: Mapping[str, tuple[int, int]]
    match_start: int
    match_end: int


class Tally(Struct):
    """What one document has cost, so that hostile text costs a ledger entry and not an hour.

    ``deadline`` is on the monotonic clock. ``struck`` holds the rules whose matches were not all looked at,
    ``full`` those of which enough was found, so that no more is looked for. ``made`` counts the bytes of
    texts that were made of the document, and ``cut`` says what of them was not looked at.
    """

    deadline: float = float("inf")
    size: int = 0
    searches: dict[str, int] = field(default_factory=dict)
    struck: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)
    late: bool = False
    made: int = 0
    cut: set[str] = field(default_factory=set)

    def take(self, size: int) -> bool:
        """Count a text of ``size`` bytes made of the document; False once that is too much."""
        self.made += size
        if self.made > _MADE + _MADE_A_BYTE * self.size:
            self.cut.add(f"what is encoded in it reads to more than {self.made >> 20} MiB")
            return False
        self.late = self.late or monotonic() > self.deadline
        return not self.late

    def spend(self, rule: Rule) -> bool:
        """Count one search; False once the rule has had its share or the time is up."""
        count = self.searches.get(rule.id, 0) + 1
        self.searches[rule.id] = count
        if count > _SEARCHES + self.size // _BYTES_A_SEARCH:
            self.struck.add(rule.id)
            return False
        if count & 63 == 0 and monotonic() > self.deadline:
            self.late = True
        return not self.late


Search = Callable[[bytes, int, int], Any]


def same_group(name: str) -> str:
    """``id2`` is ``id`` in another alternative: no engine takes one name twice in a pattern."""
    return name.rstrip("0123456789") or name


class Confirmer:
    """One rule, compiled when it is first needed: most rules never hit anything in a run."""

    __slots__ = ("_groups", "_search", "_secret", "rule", "shape")

    def __init__(self, rule: Rule, shape: Shape) -> None:
        self.rule = rule
        # What people assign is short, and its patterns have no bounds (RE2 makes a state for each number).
        self.shape = replace(shape, ahead=min(shape.ahead, _ASSIGNED)) if rule.kind == "generic" else shape
        self._search: Search | None = None
        self._secret: tuple[int, ...] = (0,)
        self._groups: tuple[tuple[str, int], ...] = ()

    @property
    def expression(self) -> tuple[str, str]:
        """What the rule is searched by, and its place."""
        return self.shape.expression, f"{self.rule.place}: rule '{self.rule.id}'"

    def matches(
        self, data: bytes, windows: Iterable[Window], tally: Tally, begin: int = 0, *, strict: bool = False
    ) -> list[Match]:
        """The matches within ``windows`` that start at ``begin`` or later.

        ``strict`` windows are not looked beyond.
        """
        found: list[Match] = []
        size = len(data)
        ahead = self.shape.ahead
        search = self._search or self._compile()
        position = begin
        for low, high, last in windows:
            position = max(position, low)
            while position < last:
                if not tally.spend(self.rule):
                    return found
                match = search(data, position, high)
                if match is None:
                    break
                start, end = match.span()
                limit = high if strict else min(size, start + ahead)
                if high < limit:
                    # The window may have cut the match short.
                    match = search(data, start, limit) or match
                    end = match.end()
                if min(limit, high) <= end < size and not strict and end - start < LONGEST:
                    match = search(data, start, min(size, start + LONGEST)) or match
                    end = match.end()
                made = self._match(match, start, end)
                if self.rule.drawn and not begins_drawn(data, made.start, made.end):
                    # Its text may hold the name before a value that is one.
                    position = start + 1
                    continue
                found.append(made)
                position = max(end, start + 1)
        return found

    def _match(self, match: Any, start: int, end: int) -> Match:
        groups = {}
        for name, index in self._groups:
            span = match.span(index)
            if span[0] >= 0:
                groups[name] = span
        secret = next((span for span in map(match.span, self._secret) if span[0] >= 0), (start, end))
        return Match(self.rule, secret[0], secret[1], groups, start, end)

    def _compile(self) -> Search:
        rule = self.rule
        search, names, count = _compile(rule)
        called = sorted((same_group(name), index) for name, index in names.items())
        secrets = tuple(index for name, index in called if name == "secret")
        self._secret = secrets or (1 if count and not names else 0,)
        self._groups = tuple((name, index) for name, index in called if name != "secret")
        self._search = search
        return search


def _compile(rule: Rule) -> tuple[Search, Mapping[str, int], int]:
    """A search function, the named groups, the number of groups. Patterns run on bytes, as Latin-1."""
    import re2

    try:
        compiled = linear(rule.pattern, lines=True)
    except re2.error as error:
        if not rule.superset:
            raise RuleError(
                f"{rule.place}: rule '{rule.id}': RE2 does not take the pattern: {_words(error)}"
            ) from None
    else:
        names = {name.decode(): index for name, index in compiled.groupindex.items()}
        return compiled.search, names, compiled.groups
    import regex

    try:
        backtracking = regex.compile(rule.pattern.encode(), regex.MULTILINE)
    except regex.error as error:
        raise RuleError(f"{rule.place}: rule '{rule.id}': the pattern is wrong: {error}") from None

    def search(data: bytes, position: int, end: int) -> Any:
        try:
            return backtracking.search(data, position, min(len(data), end + _LOOKAHEAD), timeout=_PATIENCE)
        except TimeoutError:
            return None

    return search, dict(backtracking.groupindex), backtracking.groups


def _words(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return re.sub(r"\s+", " ", text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))
