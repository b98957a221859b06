"""Base64 around a place of which a clue says that a group of four begins there (``clues.py``)."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from unsprawl.structs import Struct

__all__ = ["Decoded", "decoded"]

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
#: How far around a keyword the encoded text is followed, in bytes.
_BACK: Final = 8 << 10
_AHEAD: Final = 48 << 10
#: Lines of wrapped base64 are at least this long.
_WRAPPED: Final = 60
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]*")
_BREAK: Final = re.compile(rb"(?:\r?\n|\\r\\n|\\n)[ \t]*(?=[A-Za-z0-9+/_-])")
_BREAK_BEFORE: Final = re.compile(rb"(?:\r?\n|\\r\\n|\\n)[ \t]*$")


class Decoded(Struct, frozen=True):
    """``text`` is what the characters at ``places`` decode to.

    A place is the index of a line's first character and its offset in the source.
    """

    text: bytes
    places: Sequence[tuple[int, int]]
    length: int
    end: int

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of whole groups of four that yields ``text[start:end]``, padding included."""
        first = start // 3 * 4
        last = (end + 2) // 3 * 4
        if last >= self.length:
            return self._place(first), self.end
        return self._place(first), self._place(last - 1) + 1

    def _place(self, index: int) -> int:
        at = bisect_right(self.places, (index, 1 << 62)) - 1
        return self.places[at][1] + index - self.places[at][0]


def decoded(data: bytes, groups: Iterable[int], back: int = _BACK, ahead: int = _AHEAD) -> Iterator[Decoded]:
    """The texts around ``groups``: offsets at which a group of four begins. None is decoded twice.

    ``back`` and ``ahead`` bound how far from its group a text is followed, in bytes.
    """
    done: list[tuple[int, int, int]] = []
    for group in sorted(set(groups)):
        if any(start <= group < end and (group - start) % 4 == phase for start, end, phase in done[-8:]):
            continue
        pieces = _pieces(data, group, back, ahead)
        if pieces is None:
            continue
        start, end = pieces[0][0], pieces[-1][1]
        if len(pieces) == 1:
            done.append((start, end, 0))
        else:
            done.extend((low, high, (group - low) % 4) for low, high in pieces)
        characters = b"".join(data[low:high] for low, high in pieces)
        length = len(characters)
        if length % 4 == 1:
            length -= 1
        try:
            text = b64decode(characters[:length].translate(_STANDARD) + b"=" * (-length % 4))
        except Base64Error:
            continue
        places: list[tuple[int, int]] = []
        index = 0
        for low, high in pieces:
            places.append((index, low))
            index += high - low
        padding = len(data[end : end + 2]) - len(data[end : end + 2].lstrip(b"="))
        yield Decoded(text, places, length, end + padding)


def _pieces(data: bytes, group: int, back: int, reach: int) -> list[tuple[int, int]] | None:
    """The lines of encoded text around ``group``; the first one begins with a whole group of four."""
    start = _run_start(data, group, group - back)
    pieces = [(start, _RUN.match(data, group, group + reach).end())]  # type: ignore[union-attr]
    while pieces[-1][1] - pieces[-1][0] >= _WRAPPED and pieces[-1][1] < group + reach:
        gap = _BREAK.match(data, pieces[-1][1])
        if gap is None:
            break
        pieces.append((gap.end(), _RUN.match(data, gap.end(), group + reach).end()))  # type: ignore[union-attr]
        if pieces[-1][1] == pieces[-1][0]:
            pieces.pop()
            break
    while start > group - back:
        gap = _BREAK_BEFORE.search(data, max(0, start - 64), start)
        if gap is None:
            break
        above = _run_start(data, gap.start(), group - back)
        if gap.start() - above < _WRAPPED:
            break
        pieces.insert(0, (above, gap.start()))
        start = above
    ahead = sum(min(high, group) - low for low, high in pieces if low < group) % 4
    if pieces[0][1] - pieces[0][0] <= ahead:
        return None
    pieces[0] = (pieces[0][0] + ahead, pieces[0][1])
    return pieces


def _run_start(data: bytes, end: int, limit: int) -> int:
    before = data[max(0, limit) : end]
    return end - (len(before) - len(before.rstrip(_ALPHABET)))
