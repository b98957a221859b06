"""The backend where Hyperscan has no wheel: an Aho-Corasick automaton over the rules' keywords.

Every match of a rule holds one of its keywords, in any case, so what Hyperscan would search everywhere is
searched in the surroundings of each keyword. That finds what Hyperscan finds, and takes ten to fifty times as
long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["Keywords", "searcher"]


class Keywords:
    """Where which of some words stand, overlapping ones included."""

    __slots__ = ("_find", "_words")

    def __init__(self, words: Sequence[bytes]) -> None:
        self._words = tuple(dict.fromkeys(words))
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


def searcher(expression: str) -> Any:
    """``expression``, one of those that Hyperscan searches, for RE2."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(b"(?m)" + expression.encode(), options)
