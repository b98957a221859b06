"""A match with its place in the content."""

from __future__ import annotations

from typing import Final

from unsprawl.detectors.matching.engine import Match
from unsprawl.detectors.rules import Rule
from unsprawl.detectors.views.reading import Locate
from unsprawl.records import Check
from unsprawl.structs import Struct

__all__ = ["SURROUNDINGS", "Sighting"]

#: Bytes of the surroundings that go with a candidate. More than is ever shown: whoever masks the values
#: beside it must see the words by which they are recognised.
SURROUNDINGS: Final = 1024


class Sighting(Struct, frozen=True):
    """``start`` and ``end`` are the secret's place in the segment, ``begin`` is where the match starts there.

    The offsets of ``match`` itself are those of ``text``, which is the segment or a text decoded from it.
    """

    match: Match
    text: bytes
    start: int
    end: int
    begin: int
    views: tuple[str, ...]
    check: Check | None = None
    derived: bool = False
    """Whether its text is not the segment's."""
    doubt: str = ""
    """Why a filter holds it for no credential."""
    locate: Locate | None = None
    """From the text to the segment, where they differ and companions have a place."""

    @property
    def rule(self) -> Rule:
        return self.match.rule

    @property
    def value(self) -> bytes:
        return self.text[self.match.start : self.match.end]

    @property
    def halves(self) -> list[bytes]:
        """The values of the companions."""
        return [self.text[start:end] for start, end in self.match.groups.values()]

    @property
    def places(self) -> dict[str, tuple[int, int]]:
        """Where its companions stand in the segment, as far as they do."""
        spans = {name: span for name, span in self.match.groups.items() if span[0] < span[1]}
        if not self.derived:
            return spans
        locate = self.locate
        return {name: locate(*span) for name, span in spans.items()} if locate else {}

    def spans(self) -> list[tuple[int, int]]:
        """Where the secret stands in the segment, and its companions, unless they are encoded."""
        return [(self.start, self.end), *(self.match.groups.values() if not self.derived else ())]
