"""A match with its place in the content, and whether it is a credential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from unsprawl.detectors.judging import generic, offline
from unsprawl.detectors.judging.allowances import is_spared
from unsprawl.detectors.judging.doubts import tell
from unsprawl.detectors.matching.engine import Match
from unsprawl.detectors.rules import Rule
from unsprawl.detectors.views.reading import Locate
from unsprawl.records import Check

__all__ = ["SURROUNDINGS", "Sighting", "judged"]

#: Bytes of the surroundings that count, on each side.
CONTEXT: Final = 256
#: Bytes of the surroundings that go with a candidate. More than is ever shown: whoever masks the values
#: beside it must see the words by which they are recognised.
SURROUNDINGS: Final = 1024
#: A stretch with more than this share of control bytes is no text in which someone assigns a password.
_JUNK: Final = 16
#: What nobody would encode for a key.
_STAND_INS: Final = frozenset({"made up", "placeholder", "reference"})
_CONTROLS: Final = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27}) + b"\x7f"


@dataclass(frozen=True, slots=True)
class Sighting:
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


def judged(found: Sequence[Sighting], path: str = "", *, doubts: bool = False) -> list[Sighting]:
    """What is a credential of ``found`` in the document or member at ``path``, with offline verdicts.

    With ``doubts`` also what the less certain filters refuse, marked with their reason.
    What a view shows to be none (``%24%7BDB_PASSWORD%7D`` is ``${DB_PASSWORD}``) is none in the bytes either.
    """
    kept: list[Sighting] = []
    refuted: set[tuple[int, int]] = set()
    for sighting in found:
        good = _judged(sighting, path, doubts=doubts)
        if good is not None:
            kept.append(good)
        elif sighting.derived:
            refuted.add((sighting.start, sighting.end))
    if refuted:
        kept = [
            one
            for one in kept
            if one.derived or one.rule.kind == "exact" or (one.start, one.end) not in refuted
        ]
    return kept


def _judged(found: Sighting, path: str, *, doubts: bool) -> Sighting | None:
    """The sighting with its offline verdict, None for what a filter drops or a checksum refutes."""
    match, text = found.match, found.text
    start, end = match.start, match.end
    before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
    value = text[start:end]
    if (match.rule.path or match.rule.allow) and is_spared(
        match.rule, text, (start, end), (match.match_start, match.match_end), path
    ):
        return None
    if match.rule.kind == "generic" and _is_junk(before + value + after):
        return None
    reason = generic.refuses(match.rule, value, before, after)
    doubt = tell(match.rule, reason, value, before)
    if reason or doubt:
        return replace(found, doubt=doubt) if doubts and doubt else None
    verdict = offline.check(match.rule, value, {name: text[a:b] for name, (a, b) in match.groups.items()})
    if verdict is None:
        return _opened(found)
    if not isinstance(verdict, Check):
        return None
    return _opened(replace(found, check=verdict))


def _opened(found: Sighting) -> Sighting | None:
    """With what an encoded password says: in base64 and in clear it is one secret.

    The text of the result is made up: its offsets tell the password and the companions, no place.
    """
    rule = found.rule
    if rule.offline in offline.YIELDS:
        pair = offline.login(found.value)
        if pair is None:
            return found
        if generic.refuses(rule, pair[1], pair[0] + b":", b""):
            return None
        parts = {"account": pair[0]}
    elif rule.kind == "generic" and (text := offline.plain(found.value)) is not None:
        reason = generic.refuses(rule, text, b"", b"")
        if reason:
            # What is no password in clear may still be a key in base64.
            return None if reason in _STAND_INS else found
        pair, parts = (b"", text), {}
    else:
        return found
    parts |= {name: found.text[start:end] for name, (start, end) in found.match.groups.items()}
    made = bytearray(pair[1])
    groups = {}
    for name, part in parts.items():
        made += b"\n"
        groups[name] = (len(made), len(made) + len(part))
        made += part
    match = replace(found.match, start=0, end=len(pair[1]), groups=groups)
    views = tuple(view for view in found.views if view != "raw")
    views = tuple(dict.fromkeys((*views, "base64")))
    return replace(found, match=match, text=bytes(made), views=views, derived=True, locate=None)


def _is_junk(around: bytes) -> bool:
    return (len(around) - len(around.translate(None, _CONTROLS))) * _JUNK > len(around)
