"""Logs as a terminal shows them, and lines without what a build system puts before each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from unsprawl.detectors.views.edits import Edit, merged

__all__ = ["SPACED_ON", "TELLING", "edits", "is_log", "wraps"]

_T: Final = r"[A-Za-z0-9_+/=.~-]"
_CODE: Final = r"\x1b\[[0-9;]{0,12}[mK]"
_DATE: Final = r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
_NAMED: Final = r"(?:PASSWORD|PASSWD|SECRET|TOKEN|_KEY|_PWD|_PASS)"
#: What a terminal would act upon within a token, or between a name and its value, as the engines search it.
TELLING: Final = (
    rf"[!-~]{_CODE}(?:{_CODE}){{0,2}}{_T}{{4}}",
    rf"[:=]{_CODE}(?:{_CODE}){{0,2}} ",
    rf"[!-~]\^\[\[[0-9;]{{0,12}}[mK]{_T}{{4}}",
    rf"{_T}\x1b_[a-z]",
    rf"{_T}\x08{_T}",
    rf"[A-Za-z0-9_]{{4}}{_DATE}",
    r"[A-Z_]=\$'",
    rf"{_NAMED}[ ]{{2}}",
)
#: Colours, cursor moves (CSI), titles and links (OSC, ended by BEL or ST), messages to programs (APC,
#: DCS), character sets, single letters; also as ``cat -v`` writes them. Bounded, so that a million of ESC
#: are no work.
_ANSI: Final = re.compile(
    rb"(?:\x1b|\xc2\x9b|\^\[)(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|[\]_PX^][^\x07\x1b\n]{0,512}(?:\x07|\x1b\\)"
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
    rb"(?:\[" + _STAMP + rb"\] |" + _STAMP + rb"(?: [0-9]{2}[OE][ +])? ?"
    rb"|\x1b_bk;t=[0-9]{1,15}\x07|[A-Za-z0-9_.-]{1,40}[ ]{0,20} \| )"
)
#: A time that was put into a line while it was written, and the line that goes on behind it.
_INSIDE: Final = re.compile(
    rb"(?<=[A-Za-z0-9_+/=.~-])" + _DATE.encode() + rb"(?:\.[0-9]{1,9})?Z ?(?=[A-Za-z0-9_+/=.~-])"
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
_TOKEN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+/=.~-")
#: A line that begins like this is one of its own: an address or a date opens most lines of a log.
_OPENS: Final = rb"(?![0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ])"
_ON: Final = rb"(?=(?>" + _PREFIX.pattern + rb"|)" + _OPENS + rb"[A-Za-z0-9_+/=.~-]"
#: The end of a line that is long enough to be full, before one that goes on with a token. Of a token that is
#: worth joining eight characters stand on one side at least; most lines of a log end and begin with less.
_FULL: Final = re.compile(
    rb"\n(?:(?<=[A-Za-z0-9_+/=.~-]\n)|(?<=[A-Za-z0-9_+/=.~-]\r\n))"
    rb"(?:(?:(?<=[A-Za-z0-9_+/=.~-]{8}\n)|(?<=[A-Za-z0-9_+/=.~-]{8}\r\n))"
    + _ON
    + rb")|"
    + _ON
    + rb"{8}))(?<=[^\n]{72}\n)"
)
#: What two lines look like that are parts of one token: digits on both sides of the break.
_BEFORE: Final = re.compile(rb"(?=[A-Za-z0-9_+/=.~-]{0,11}[0-9])[A-Za-z0-9_+/=.~-]{12}")
_BEHIND: Final = re.compile(rb"[A-Za-z0-9_+/=.~-](?<=[0-9]|.(?=.{0,10}[0-9]))")
#: What may be one token over a line end: it is long, or has a digit.
_JOINED: Final = re.compile(rb"[A-Za-z0-9_+/=.~-]*\n[A-Za-z0-9_+/=.~-]*")
_LONG: Final = 20
_DIGIT: Final = re.compile(rb"[0-9]")
#: A line that was written in two pieces, each with its time: the second is a word and no more.
_PIECES: Final = re.compile(
    rb"\n(?<=[A-Za-z0-9_+/=.~-]{12}\n)(?<![^0-9]{12}\n)(" + _DATE.encode() + rb")(?:\.[0-9]{1,9})?Z ?"
    rb"(?=[A-Za-z_+/-]{0,9}[0-9])[A-Za-z0-9_+/-]{4,}+={0,2}(?=[\s\"',;)\]}]|\Z)"
)
#: GitLab says itself that a line goes on.
_GOES_ON: Final = re.compile(rb"\n" + _STAMP + rb" [0-9]{2}[OE]\+")
#: Whether a log is GitLab's, or has times that may fall into a line: its first lines tell.
_GITLAB: Final = re.compile(rb"(?m)^" + _STAMP + rb" [0-9]{2}[OE][ +]")
_DATED: Final = re.compile(rb"(?m)^(?:\xef\xbb\xbf)?" + _DATE.encode())
_FIRST: Final = 4 << 10
#: A line is hard-wrapped if it is this long, without its prefix, in bytes.
_WRAPPED: Final = 72
#: Widths of terminals and of what folds lines: a full line of one of these goes on if a token may.
_WIDTHS: Final = frozenset(
    {72, 76, 78, 79, 80, 99, 100, 119, 120, 131, 132, 139, 140, 159, 160, 199, 200, 256}
)
#: Texts up to this size, in bytes, may be pasted from a terminal; larger ones must look like a log.
_PASTED: Final = 2 << 10
_BEGINS: Final = frozenset(b"[0123456789\x1b\xef")


def is_log(path: str, media_type: str = "") -> bool:
    """Whether a document says of itself that it is a log."""
    return media_type == "text/x-log" or path.endswith(".log")


def edits(data: bytes) -> list[Edit]:
    """Colour codes, what a terminal overwrites, and what shells and collectors put into a value."""
    rows: list[list[Edit]] = []
    if b"\x1b" in data or b"^[[" in data or b"\xc2\x9b" in data:
        rows.append([Edit(*found.span(), b"", "ansi") for found in _ANSI.finditer(data)])
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


def wraps(data: bytes, *, shown: bool = False) -> list[Edit]:
    """Line ends within a token, if ``data`` is short, begins like a log, or is ``shown`` on terminals."""
    if data.find(b"\n", 0, len(data) - 1) < 0:
        return []  # like most messages
    stamped = (
        bool(data) and data[0] in _BEGINS and _PREFIX.match(data.removeprefix(b"\xef\xbb\xbf")) is not None
    )
    if len(data) > _PASTED and not shown and not stamped:
        return []
    rows = [[*_wraps(data)] if data.find(b"\n", _WRAPPED) > 0 else []]
    if stamped or shown:
        if _GITLAB.search(data, 0, _FIRST):
            rows.append([Edit(*found.span(), b"", "log") for found in _GOES_ON.finditer(data)])
        if _DATED.search(data, 0, _FIRST):
            rows.append([*_pieces(data)])
    return merged(rows)


def _wraps(data: bytes) -> Iterator[Edit]:
    """Line ends, with the next line's prefix, that fall into a token: the line before is a full one."""
    above: tuple[int, int, Edit | None] = (-1, -1, None)
    for found in _FULL.finditer(data):
        end, follow = found.start(), found.end()
        end -= data[end - 1] == 0x0D
        start = line = data.rfind(b"\n", max(0, end - 1024), end) + 1
        prefix = _PREFIX.match(data, start, start + 80)
        if prefix is not None:
            start = prefix.end()
            again = _PREFIX.match(data, follow, follow + 80)
            if again is None:
                continue
            follow = again.end()
        width = _width(data, start, end)
        if width < _WRAPPED or follow >= len(data) or data[follow] not in _TOKEN:
            continue
        edit = Edit(end, follow, b"", "log")
        # A line of nothing but a token, as wide as the one before: rows of one block, the first of which may
        # begin with words.
        block = above[:2] == (line, width) and data.find(b" ", start, end) < 0
        if block and above[2] is not None:
            yield above[2]
        like = _BEFORE.match(data, end - 12) and _BEHIND.match(data, follow)
        full = width in _WIDTHS and _may_be_one(data[end - 24 : end], data[follow : follow + 24])
        if full or block or like:
            yield edit
            above = (found.end(), width, None)
        else:
            above = (found.end(), width, edit)


def _may_be_one(before: bytes, behind: bytes) -> bool:
    """Whether the end of a line and the beginning of the next read like one token."""
    joined = _JOINED.search(before + b"\n" + behind)
    return joined is not None and (len(joined[0]) > _LONG or _DIGIT.search(joined[0]) is not None)


def _width(data: bytes, start: int, end: int) -> int:
    """Of a line as a terminal shows it, in bytes."""
    if data.find(b"\x1b", start, end) < 0:
        return end - start
    return len(_ANSI.sub(b"", data[start:end]))


def _pieces(data: bytes) -> Iterator[Edit]:
    """Line ends with the time behind them that fell into a line while it was written."""
    for found in _PIECES.finditer(data):
        start = data.rfind(b"\n", max(0, found.start() - 4096), found.start()) + 1
        begun = data[start : start + 19].removeprefix(b"\xef\xbb\xbf")
        if begun == found[1]:
            word = re.compile(rb"(?:\.[0-9]{1,9})?Z ?").match(data, found.end(1))
            assert word is not None
            yield Edit(found.start(), word.end(), b"", "log")
