"""What is scanned: segments of content, and texts that are decoded from stretches of it.

A segment is a piece of a content with some bytes before and behind it. A match belongs to the
segment in which it starts, so that segments overlap and nothing is found twice.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final

from unsprawl.detectors.containers.streams import Reader
from unsprawl.detectors.matching.engine import GATE
from unsprawl.detectors.matching.pattern import LONGEST
from unsprawl.structs import Struct

__all__ = ["SEGMENT", "Segment", "segments"]

#: Bytes that a segment owns.
SEGMENT: Final = 4 << 20
#: Bytes behind it: the longest match, with what the rules look at around it.
AHEAD: Final = LONGEST + GATE
#: Bytes before it: a keyword that opens a gate, a companion, and the context of a candidate.
BEHIND: Final = max(GATE, 16 << 10) + 1024

_UTF16: Final = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_UTF32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class Segment(Struct):
    """``data[first:stop]`` is its own; ``base`` is the offset of ``data[first]`` in the content as read."""

    data: bytes
    first: int
    stop: int
    base: int
    last: bool
    encoding: str = ""

    @property
    def view(self) -> str:
        return "utf-16" if self.encoding else "raw"

    @property
    def shift(self) -> int:
        """What an offset here loses in the next segment."""
        return max(0, self.stop - BEHIND)

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """A span of ``data`` as a span of the content."""
        if not self.encoding:
            shift = self.base - self.first
            return start + shift, end + shift
        begin = self.base + self._size(self.data[self.first : start])
        return begin, begin + self._size(self.data[start:end])

    def _size(self, text: bytes) -> int:
        if text.isascii():
            return 2 * len(text)
        return len(text.decode("utf-8", "replace").encode(self.encoding, "surrogatepass"))


def segments(reader: Reader, size: int = SEGMENT) -> Iterator[Segment]:
    """The content of ``reader`` in pieces of ``size`` bytes. Texts in UTF-16 are turned into UTF-8."""
    head = reader.peek(4)
    encoding = ""
    base = reader.position
    if not head.startswith(_UTF32):
        for mark, name in _UTF16:
            if head.startswith(mark):
                encoding, base = name, base + reader.skip(len(mark))
                reader = _transcoded(reader, name)
    held = reader.read(size + AHEAD)
    first = 0
    while True:
        last = len(held) - first < size + AHEAD
        stop = len(held) if last else first + size
        segment = Segment(held, first, stop, base, last, encoding)
        yield segment
        if last:
            return
        base = segment.locate(stop, stop)[0]
        first = stop - segment.shift
        held = held[segment.shift :] + reader.read(size)


def _transcoded(reader: Reader, encoding: str) -> Reader:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    done = False

    def fill() -> bytes:
        nonlocal done
        while not done:
            data = reader.some()
            done = not data
            # Half a character at the very end is left out: what stood for it would be longer than it is.
            text = decoder.decode(data)
            if text:
                return text.encode("utf-8", "replace")
        return b""

    return Reader(fill)
