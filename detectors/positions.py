"""Offsets to lines and columns, counted forwards once, and only as far as someone asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Lines", "code_points"]

newlines: Callable[[bytes, int, int], int]
"""How many there are in a stretch. Python needs ten nanoseconds for each, and logs are full of them."""
try:
    from unsprawl.detectors.views._lines import newlines
except ImportError:

    def newlines(data: bytes, start: int, end: int, /) -> int:
        return data.count(b"\n", start, end)


#: Bytes that continue a UTF-8 code point. Leaving them out counts code points, and never fails.
_CONTINUATION: Final = bytes(range(0x80, 0xC0))


def code_points(text: bytes) -> int:
    """How many code points start in ``text``; additive, so that a line may be counted in pieces."""
    return len(text) if text.isascii() else len(text.translate(None, _CONTINUATION))


class Lines:
    """Lines of one content that comes in segments. Ask in ascending order: going back costs its way."""

    __slots__ = ("_at", "_column", "_data", "_first", "_line")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self._line = self._column = 1
        self._first = (0, 1, 1)

    def enter(self, data: bytes, start: int) -> None:
        """From here on offsets are those of ``data``; at its offset ``start`` the last segment was left."""
        self._data = data
        self._at = start
        self._first = (start, self._line, self._column)

    def leave(self, end: int) -> None:
        """Count up to ``end``, the end of the present segment."""
        self.at(end)

    def at(self, offset: int) -> tuple[int, int]:
        """The 1-based line, and the 1-based column in code points."""
        if offset < self._at:
            return self._behind(offset)
        data, start = self._data, self._at
        last = data.rfind(b"\n", start, offset)
        if last >= 0:
            self._line += newlines(data, start, last) + 1
            self._column = 1
            start = last + 1
        self._column += code_points(data[start:offset])
        self._at = offset
        return self._line, self._column

    def _behind(self, offset: int) -> tuple[int, int]:
        """The same for what was passed already, without going there."""
        start, line, column = self._first
        offset = max(offset, start)
        last = self._data.rfind(b"\n", start, offset)
        if last >= 0:
            line = self._line - newlines(self._data, offset, self._at)
            return line, code_points(self._data[last + 1 : offset]) + 1
        return line, column + code_points(self._data[start:offset])
