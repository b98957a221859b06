"""Line ends that fall into a token: a terminal, a mailer or a collector broke the line there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from unsprawl.detectors.views.edits import Edit, merged
from unsprawl.detectors.views.logs import ANSI, DATE, PREFIX, STAMP

__all__ = ["wraps"]

line_ends: Callable[[bytes], tuple[list[int], list[int]]] | None
"""Where lines end that may be wrapped, and that may be a piece; None where no compiler was at hand."""
try:
    from unsprawl.detectors.views._lines import line_ends
except ImportError:
    line_ends = None

_TOKEN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+/=.~-"
#: A line that begins like this is one of its own: an address or a date opens most lines of a log.
_OPENS: Final = rb"(?![0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ])"
_ON: Final = rb"(?=((?>" + PREFIX.pattern + rb"|))" + _OPENS + rb"[A-Za-z0-9_+/=.~-]"
#: The end of a line that is long enough to be full, before one that goes on with a token. Of a token that is
#: worth joining eight characters stand on one side at least; most lines of a log end and begin with less.
#: A full stop behind twelve characters without a digit ends a sentence.
#: One of the two groups is the prefix of the next line.
_FULL: Final = re.compile(
    rb"\n(?:(?<=[A-Za-z0-9_+/=.~-]\n)|(?<=[A-Za-z0-9_+/=.~-]\r\n))(?<![^0-9]{12}\.\n)(?<![^0-9]{12}\.\r\n)"
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
    rb"\n(?<=[A-Za-z0-9_+/=.~-]{12}\n)(?<![^0-9]{12}\n)(" + DATE.encode() + rb")(?:\.[0-9]{1,9})?Z ?"
    rb"(?=[A-Za-z_+/-]{0,9}[0-9])[A-Za-z0-9_+/-]{4,}+={0,2}(?=[\s\"',;)\]}]|\Z)"
)
#: GitLab says itself that a line goes on.
_GOES_ON: Final = re.compile(rb"\n" + STAMP + rb" [0-9]{2}[OE]\+")
#: Whether a log is GitLab's, or has times that may fall into a line: its first lines tell.
_GITLAB: Final = re.compile(rb"(?m)^" + STAMP + rb" [0-9]{2}[OE][ +]")
_DATED: Final = re.compile(rb"(?m)^(?:\xef\xbb\xbf)?" + DATE.encode() + rb"(?:\.[0-9]{1,9})?Z")
_FIRST: Final = 4 << 10
#: A line is hard-wrapped if it is this long, without its prefix, in bytes.
_WRAPPED: Final = 72
#: Widths of terminals and of what folds lines: a full line of one of these goes on if a token may.
_WIDTHS: Final = frozenset(
    {72, 76, 78, 79, 80, 99, 100, 119, 120, 131, 132, 139, 140, 159, 160, 199, 200, 256}
)
#: No line that was broken is longer, in bytes.
_WIDEST: Final = 1 << 10
#: Texts up to this size, in bytes, may be pasted from a terminal; larger ones must look like a log.
_PASTED: Final = 2 << 10
#: From this size on, in bytes, most lines are refused all at once.
_MANY: Final = 64 << 10
_BEGINS: Final = frozenset(b"[0123456789\x1b\xef")


def wraps(data: bytes, *, shown: bool = False) -> list[Edit]:
    """Line ends within a token, if ``data`` is short, begins like a log, or is ``shown`` on terminals."""
    if data.find(b"\n", 0, len(data) - 1) < 0:
        return []  # like most messages
    stamped = (
        bool(data) and data[0] in _BEGINS and PREFIX.match(data.removeprefix(b"\xef\xbb\xbf")) is not None
    )
    if len(data) > _PASTED and not shown and not stamped:
        return []
    full, pieces = (None, None) if line_ends is None else line_ends(data)
    rows = [[*_wraps(data, full)] if data.find(b"\n", _WRAPPED) > 0 else []]
    if stamped or shown:
        if _GITLAB.search(data, 0, _FIRST):
            rows.append([Edit(*found.span(), b"", "log") for found in _GOES_ON.finditer(data)])
        if _DATED.search(data, 0, _FIRST):
            rows.append([*_pieces(data, pieces)])
    return merged(rows)


def _matches(pattern: re.Pattern[bytes], data: bytes, ends: list[int] | None) -> Iterator[re.Match[bytes]]:
    """The matches at ``ends``, or all of them."""
    if ends is None:
        return pattern.finditer(data)
    return (found for end in ends if (found := pattern.match(data, end)))


def _likely(data: bytes) -> list[int]:
    """The line ends that ``_FULL`` may match, told from a few bytes of each line, all lines at once."""
    import numpy as np

    text = np.frombuffer(data, np.uint8)
    token, opening = _tables()
    ends = np.flatnonzero(text == 0x0A)
    ends = ends[(np.diff(ends, prepend=-1) > _WRAPPED) & (ends + 1 < text.size)]
    last = ends - 1 - (text[ends - 1] == 0x0D)
    likely = token[text[last]] & opening[text[ends + 1]]
    ends, last = ends[likely], last[likely]
    stops = np.flatnonzero(text[last] == 0x2E)
    digits = [_is_digit(text[last[stops] - offset]) for offset in range(1, 13)]
    ends = np.delete(ends, stops[~np.logical_or.reduce(digits)])
    if data.find(b" | ") < 0:
        # Then no prefix begins like an address.
        ends = ends[~_addresses(text, ends + 1)]
    result: list[int] = ends.tolist()
    return result


@cache
def _tables() -> tuple[Any, Any]:
    """Which bytes belong to a token, and which begin a line that may go on with one, prefix or not."""
    import numpy as np

    token = np.zeros(256, np.bool_)
    token[list(_TOKEN)] = True
    opening = token.copy()
    opening[list(b"[\x1b")] = True
    return token, opening


def _addresses(text: Any, starts: Any) -> Any:
    """Where a line begins with two numbers of an address and the first digit of the third."""
    import numpy as np

    columns = [text[np.minimum(starts + offset, text.size - 1)] for offset in range(9)]
    digit = [_is_digit(column) for column in columns]
    dot = [column == 0x2E for column in columns]
    found = np.zeros(starts.size, np.bool_)
    for first in (1, 2, 3):
        number = np.logical_and.reduce(digit[:first]) & dot[first]
        for second in (1, 2, 3):
            at = first + 1 + second
            found |= number & np.logical_and.reduce(digit[first + 1 : at]) & dot[at] & digit[at + 1]
    return found


def _is_digit(characters: Any) -> Any:
    return (characters >= 0x30) & (characters <= 0x39)


def _wraps(data: bytes, ends: list[int] | None) -> Iterator[Edit]:
    """Line ends, with the next line's prefix, that fall into a token: the line before is a full one."""
    above: tuple[int, int, Edit | None] = (-1, -1, None)
    if ends is None and len(data) >= _MANY:
        ends = _likely(data)
    for found in _matches(_FULL, data, ends):
        newline = found.start()
        follow = found.end(found.lastindex or 0)
        end = newline - (data[newline - 1] == 0x0D)
        start = line = data.rfind(b"\n", max(0, end - _WIDEST), end) + 1
        prefix = PREFIX.match(data, start, start + 80)
        if prefix is not None:
            start = prefix.end()
        if (prefix is None) != (follow == newline + 1):
            continue
        width = _width(data, start, end)
        if width < _WRAPPED:
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
            above = (newline + 1, width, None)
        else:
            above = (newline + 1, width, edit)


def _may_be_one(before: bytes, behind: bytes) -> bool:
    """Whether the end of a line and the beginning of the next read like one token."""
    joined = _JOINED.search(before + b"\n" + behind)
    return joined is not None and (len(joined[0]) > _LONG or _DIGIT.search(joined[0]) is not None)


def _width(data: bytes, start: int, end: int) -> int:
    """Of a line as a terminal shows it, in bytes."""
    if data.find(b"\x1b", start, end) < 0:
        return end - start
    return len(ANSI.sub(b"", data[start:end]))


def _pieces(data: bytes, ends: list[int] | None) -> Iterator[Edit]:
    """Line ends with the time behind them that fell into a line while it was written."""
    for found in _matches(_PIECES, data, ends):
        start = data.rfind(b"\n", max(0, found.start() - 4096), found.start()) + 1
        begun = data[start : start + 19].removeprefix(b"\xef\xbb\xbf")
        if begun == found[1]:
            word = re.compile(rb"(?:\.[0-9]{1,9})?Z ?").match(data, found.end(1))
            assert word is not None
            yield Edit(found.start(), word.end(), b"", "log")
