"""Logs as a terminal shows them, and lines without what a build system puts before each."""

from __future__ import annotations

import re
from typing import Final

from unsprawl.detectors.views.edits import Edit, merged

__all__ = ["ANSI", "DATE", "PREFIX", "SPACED_ON", "STAMP", "TELLING", "edits", "is_log"]

_T: Final = r"[A-Za-z0-9_+/=.~-]"
_CODE: Final = r"\x1b\[[0-9;]{0,12}[mK]"
DATE: Final = r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
_NAMED: Final = r"(?:PASSWORD|PASSWD|SECRET|TOKEN|_KEY|_PWD|_PASS)"
#: What a terminal would act upon within a token, or between a name and its value, as the engines search it.
TELLING: Final = (
    rf"[!-~]{_CODE}(?:{_CODE}){{0,2}}{_T}{{4}}",
    rf"[:=]{_CODE}(?:{_CODE}){{0,2}} ",
    rf"[!-~]\^\[\[[0-9;]{{0,12}}[mK]{_T}{{4}}",
    rf"{_T}\x1b_[a-z]",
    rf"{_T}\x08{_T}",
    rf"[A-Za-z0-9_]{{4}}{DATE}",
    r"[A-Z_]=\$'",
    rf"{_NAMED}[ ]{{2}}",
)
#: Colours, cursor moves (CSI), titles and links (OSC, ended by BEL or ST), messages to programs (APC,
#: DCS), character sets, single letters; also as ``cat -v`` writes them. Bounded, so that a million of ESC
#: are no work.
ANSI: Final = re.compile(
    rb"(?:\x1b|\xc2\x9b|\^\[)(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|[\]_PX^][^\x07\x1b\n]{0,512}(?:\x07|\x1b\\)"
    rb"|[()*+][0-9A-B]|[=>78cDEHMNOZ])"
)
#: What a terminal overwrites: the part of a line before a carriage return, and what is rubbed out.
_RETURN: Final = re.compile(rb"\r++(?=[^\r\n])")
_RUBBED: Final = re.compile(rb"[^\x08\n]\x08")
_BELL: Final = re.compile(rb"(?<=[A-Za-z0-9_+/=-])[\x00\x07\x0e\x0f](?=[A-Za-z0-9_+/=-])")

#: What stands before each line of a build log.
STAMP: Final = (
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    rb"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
PREFIX: Final = re.compile(
    rb"(?:\[" + STAMP + rb"\] |" + STAMP + rb"(?: [0-9]{2}[OE][ +])? ?"
    rb"|\x1b_bk;t=[0-9]{1,15}\x07|[A-Za-z0-9_.-]{1,40}[ ]{0,20} \| )"
)
#: A time that was put into a line while it was written, and the line that goes on behind it.
_INSIDE: Final = re.compile(
    rb"(?<=[A-Za-z0-9_+/=.~-])" + DATE.encode() + rb"(?:\.[0-9]{1,9})?Z ?(?=[A-Za-z0-9_+/=.~-])"
)
#: A shell writes ``$'…'`` where a value has more than letters.
_DOLLAR: Final = re.compile(rb"(?<=[A-Za-z0-9_]=)\$(?=')")
#: A table of variables, as PowerShell prints it: what stands alone behind a name is its value.
_TABLE: Final = re.compile(
    rb"(?m)(?:^|(?<=Z ))([A-Z][A-Z0-9_]{0,60}"
    + _NAMED.encode()
    + rb"[A-Z0-9_]{0,20})( {2,80})(?=[!-~]{6,200}\r?$)"
)
#: A value with a space behind each character, which is how people get one past a mask.
_SPACED: Final = re.compile(rb"(?<![!-~])[A-Za-z0-9_+/=.~-](?: [A-Za-z0-9_+/=.~-]){19,}+(?![!-~])")
#: The rest of such a value.
SPACED_ON: Final = re.compile(rb"[A-Za-z0-9_+/=.~-]?(?: [A-Za-z0-9_+/=.~-]){4,8192}+")


def is_log(path: str, media_type: str = "") -> bool:
    """Whether a document says of itself that it is a log."""
    return media_type == "text/x-log" or path.endswith(".log")


def edits(data: bytes) -> list[Edit]:
    """Colour codes, what a terminal overwrites, and what shells and collectors put into a value."""
    rows: list[list[Edit]] = []
    if b"\x1b" in data or b"^[[" in data or b"\xc2\x9b" in data:
        rows.append([Edit(*found.span(), b"", "ansi") for found in ANSI.finditer(data)])
    if b"\r" in data:
        rows.append([Edit(*found.span(), b"\n", "ansi") for found in _RETURN.finditer(data)])
    if b"\x08" in data:
        rows.append([Edit(*found.span(), b"", "ansi") for found in _RUBBED.finditer(data)])
    rows += [
        [Edit(*found.span(), b"", "log") for found in _INSIDE.finditer(data)],
        [Edit(*found.span(), b"", "log") for found in _DOLLAR.finditer(data)],
        [Edit(*found.span(2), b"=", "log") for found in _TABLE.finditer(data)],
        [
            Edit(at, at + 1, b"", "log")
            for found in _SPACED.finditer(data)
            for at in range(found.start() + 1, found.end(), 2)
        ],
    ]
    return merged(rows)
