"""The backend where Hyperscan has no wheel: an Aho-Corasick automaton over the rules' keywords.

Every match of a rule holds one of its keywords, in any case, so the surroundings of each keyword are
where the rule could match. That is half as fast as Hyperscan and finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Keywords"]


class Keywords:
    """Where keywords stand, whatever their case."""

    __slots__ = ("_find", "words")

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(dict.fromkeys(word.lower().encode() for word in words if word))
        if self.words:
            from ahocorasick_rs import BytesAhoCorasick

            self._find = BytesAhoCorasick(self.words).find_matches_as_indexes

    def positions(self, data: bytes) -> dict[bytes, list[tuple[int, int]]]:
        """For each keyword that occurs: its places, in the order of the text."""
        found: dict[bytes, list[tuple[int, int]]] = {}
        if self.words:
            words = self.words
            for index, start, end in self._find(data.lower(), overlapping=True):
                found.setdefault(words[index], []).append((start, end))
        return found
