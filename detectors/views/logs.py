"""Logs as a terminal shows them, and lines without what a build system puts before each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from unsprawl.detectors.views.edits import Edit, merged

__all__ = ["TELLING", "edits", "wraps"]

_T: Final = r"[A-Za-z0-9_+/=.~-]"
_CODE: Final = r"\x1b\[[0-9;]{0,12}[mK]"
#: What a terminal would act upon within a token, or between a name and its value, as the engines search it.
TELLING: Final = (
    rf"[!-~]{_CODE}(?:{_CODE}){{0,2}}{_T}{{4}}",
    rf"[:=]{_CODE}(?:{_CODE}){{0,2}} ",
    rf"[!-~]\^\[\[[0-9;]{{0,12}}[mK]{_T}{{4}}",
)
#: Colours and cursor moves (CSI), titles and links (OSC, ended by BEL or ST), character sets, single
#: letters; also as ``cat -v`` writes them. Bounded, so that a million of ESC are no work.
_ANSI: Final = re.compile(
    rb"(?:\x1b|\xc2\x9b|\^\[)(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,512}(?:\x07|\x1b\\)"
    rb"|[()*+][0-9A-B]|[=>78cDEHMNOZ])"
)
#: What a terminal overwrites: the part of a line before a carriage return, and what is rubbed out.
_RETURN: Final = re.compile(rb"\r++(?=[^\r\n])")
_RUBBED: Final = re.compile(rb"[^\x08\n]\x08")
_BELL: Final = re.compile(rb"(?<=[A-Za-z0-9_+/=-])[\x00\x07\x0e\x0f](?=[A-Za-z0-9_+/=-])")

#: What stands before each line of a build log.
_STAMP: Final = (
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    rb"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_PREFIX: Final = re.compile(
    rb"(?:\[" + _STAMP + rb"\] |" + _STAMP + rb"(?: [0-9]{2}[OE][ +])? ?|[A-Za-z0-9_.-]{1,40}[ ]{0,20} \| )"
)
_TOKEN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+/=.~-")
#: A line end within a token of some length, which has a digit on both sides; the next line's prefix is no
#: part of it. All in one pattern, for a log has a line end every hundred bytes.
_BREAK: Final = re.compile(
    rb"\n(?<=[A-Za-z0-9_+/=.~-]{12}\n)(?<![^0-9]{12}\n)"
    rb"(?=(?>" + _PREFIX.pattern + rb"|)[A-Za-z0-9_+/=.~-](?<=[0-9]|.(?=.{0,10}[0-9]))(?s:.))"
)
#: A line is hard-wrapped if it is this long, without its prefix, in bytes.
_WRAPPED: Final = 72
#: Texts up to this size, in bytes, may be pasted from a terminal; larger ones must look like a log.
_PASTED: Final = 2 << 10
_BEGINS: Final = frozenset(b"[0123456789")


def edits(data: bytes) -> list[Edit]:
    """Colour codes, and what a terminal overwrites."""
    rows: list[list[Edit]] = []
    if b"\x1b" in data or b"^[[" in data or b"\xc2\x9b" in data:
        rows.append([Edit(*found.span(), b"", "ansi") for found in _ANSI.finditer(data)])
    if b"\r" in data:
        rows.append([Edit(*found.span(), b"\n", "ansi") for found in _RETURN.finditer(data)])
    if b"\x08" in data:
        rows.append([Edit(*found.span(), b"", "ansi") for found in _RUBBED.finditer(data)])
    return merged(rows)


def wraps(data: bytes, *, shown: bool = False) -> list[Edit]:
    """Line ends within a token, if ``data`` is short, begins like a log, or is ``shown`` on terminals."""
    if len(data) > _PASTED and not shown and not (data[0] in _BEGINS and _PREFIX.match(data)):
        return []
    return [*_wraps(data)] if data.find(b"\n", _WRAPPED) > 0 else []


def _wraps(data: bytes) -> Iterator[Edit]:
    """Line ends, with the next line's prefix, that fall into a token: the line before is a full one."""
    for found in _BREAK.finditer(data):
        end = found.start()
        start = data.rfind(b"\n", max(0, end - 1024), end) + 1
        follow = end + 1
        prefix = _PREFIX.match(data, start, start + 80)
        if prefix is not None:
            start = prefix.end()
            again = _PREFIX.match(data, follow, follow + 80)
            if again is None:
                continue
            follow = again.end()
        if end - start >= _WRAPPED and follow < len(data) and data[follow] in _TOKEN:
            yield Edit(end, follow, b"", "log")
