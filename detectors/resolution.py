"""One span, one finding: which of several matches of the same text is the one to report."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from unsprawl.detectors.rules import Rule

__all__ = ["Spanned", "resolve"]

_RANK: Final = {"exact": 0, "contextual": 1, "generic": 2}


class Spanned(Protocol):
    """A secret's rule, place and value, and the values of its companions. Its match begins at ``begin``."""

    @property
    def rule(self) -> Rule: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def begin(self) -> int: ...
    @property
    def value(self) -> bytes: ...
    @property
    def halves(self) -> Collection[bytes]: ...
    @property
    def doubt(self) -> str: ...


_Spanned = TypeVar("_Spanned", bound=Spanned)


def resolve(matches: Sequence[_Spanned], claimed: Sequence[tuple[int, int]] = ()) -> list[_Spanned]:
    """Exact beats contextual beats generic; of equals the longer secret, then the earlier one,
    then the one whose words stand nearer.

    Secrets that overlap no better one stay. ``claimed`` spans were given to matches of the segment before.
    What is a companion of a kept match (a key id beside its secret) is no finding of its own, wherever
    in the text it stands. The result is in the order of the text.
    """
    if len(matches) < 2 and not claimed:
        return list(matches)
    taken = _Spans(claimed)
    kept = [match for match in sorted(matches, key=_preference) if taken.take(match.start, match.end)]
    halves = {half for match in kept if not match.doubt for half in match.halves}
    if halves:
        # Passwords may well be the name of an account; of an exact format no two things are the same.
        kept = [match for match in kept if match.rule.kind != "exact" or match.value not in halves]
    kept.sort(key=lambda match: (match.start, match.end))
    return kept


def _preference(match: Spanned) -> tuple[bool, int, int, int, int, int, str]:
    # Of two providers named before one value, it belongs to the nearer; a form that needs no word before it
    # (a JSON Web Token) says less than any of them, one with an account and a host more.
    rule = match.rule
    wordless = rule.kind != "exact" and match.start - match.begin <= 1
    named = 1 if rule.context else 2 * wordless
    near = -match.begin if rule.context else 0
    return bool(match.doubt), _RANK[rule.kind], match.start - match.end, match.start, named, near, rule.id


class _Spans:
    """Disjoint spans, in order."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(spans):
            self.take(start, end)

    def take(self, start: int, end: int) -> bool:
        """Add the span unless it overlaps one that is there."""
        index = bisect_right(self._starts, start)
        if index and self._ends[index - 1] > start:
            return False
        if index < len(self._starts) and self._starts[index] < end:
            return False
        self._starts.insert(index, start)
        self._ends.insert(index, end)
        return True
