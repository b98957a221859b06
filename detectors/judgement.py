"""Which sightings are credentials: the filters, then the offline checks.

They are loaded by the first match (``detector.py``): their many patterns take a tenth of the start of a scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from unsprawl.detectors.judging import generic, offline
from unsprawl.detectors.judging.allowances import is_spared
from unsprawl.detectors.judging.doubts import tell
from unsprawl.detectors.sightings import Sighting
from unsprawl.records import Check
from unsprawl.structs import replace

__all__ = ["judged"]

#: Bytes of the surroundings that count, on each side.
CONTEXT: Final = 256
#: A stretch with more than this share of control bytes is no text in which someone assigns a password.
_JUNK: Final = 16
#: What nobody would encode for a key.
_STAND_INS: Final = frozenset({"made up", "placeholder", "reference"})
_CONTROLS: Final = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27}) + b"\x7f"


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
