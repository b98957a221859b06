"""Texts that are made of a text by replacing stretches of it, and the way back.

Escapes decoded, tags and colour codes left out, strings joined: whatever a person or a program would
read in place of the bytes is a row of edits, and so the map back to the bytes is exact.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from unsprawl.structs import Struct

__all__ = ["Edit", "Rewritten", "merged", "rewritten", "windows"]

#: Bytes on each side of an edit that are read with it: matches are shorter, or are full of edits.
_AROUND: Final = 640


class Edit(NamedTuple):
    """``data[start:end]`` reads ``text``, which may be empty; ``view`` says why."""

    start: int
    end: int
    text: bytes
    view: str


class Rewritten(Struct, frozen=True):
    """``data[low:high]`` with its edits made. Offsets of the text map to those of ``data``.

    ``ends`` are the offsets in ``text`` at which the edits' texts end.
    """

    text: bytes
    low: int
    edits: Sequence[Edit]
    ends: Sequence[int]

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """The smallest stretch of ``data`` that yields ``text[start:end]`` (not empty)."""
        first = bisect_right(self.ends, start)
        begin = self._before(start, first)
        last = bisect_left(self.ends, end)
        if last < len(self.ends) and self.ends[last] - len(self.edits[last].text) < end:
            return begin, self.edits[last].end  # ends within, or with, a replacement
        return begin, self._plain(end, last)

    def touched(self, start: int, end: int) -> tuple[str, ...]:
        """The views of the edits within ``text[start:end]`` or inside of it, in the order of the text."""
        first, last = bisect_right(self.ends, start), bisect_left(self.ends, end)
        if last < len(self.ends) and self.ends[last] - len(self.edits[last].text) < end:
            last += 1
        return tuple(dict.fromkeys(edit.view for edit in self.edits[first:last]))

    def _before(self, offset: int, edit: int) -> int:
        if edit < len(self.ends) and self.ends[edit] - len(self.edits[edit].text) <= offset < self.ends[edit]:
            return self.edits[edit].start
        return self._plain(offset, edit)

    def _plain(self, offset: int, edit: int) -> int:
        """An offset behind the first ``edit`` edits and in none of them."""
        if not edit:
            return self.low + offset
        return self.edits[edit - 1].end + offset - self.ends[edit - 1]


def rewritten(data: bytes, edits: Sequence[Edit], low: int = 0, high: int | None = None) -> Rewritten:
    """``data[low:high]`` with ``edits``, which are sorted, disjoint and within it."""
    high = len(data) if high is None else high
    pieces: list[bytes] = []
    ends: list[int] = []
    position, size = low, 0
    for edit in edits:
        size += edit.start - position + len(edit.text)
        pieces += (data[position : edit.start], edit.text)
        ends.append(size)
        position = edit.end
    pieces.append(data[position:high])
    return Rewritten(b"".join(pieces), low, edits, ends)


def merged(rows: Iterable[Sequence[Edit]], *, first_wins: bool = False) -> list[Edit]:
    """All edits in order; of those that overlap the one that begins first, then the longer.

    ``first_wins``: those of the first row stay, whatever overlaps them.
    """
    full = [row for row in rows if row]
    if len(full) < 2:
        return list(full[0]) if full else []
    if first_wins:
        ends = [edit.end for edit in full[0]]
        for row in full[1:]:
            kept = [edit for edit in row if _apart(edit, full[0], ends)]
            full[0] = sorted([*full[0], *kept])
            ends = [edit.end for edit in full[0]]
        return list(full[0])
    result: list[Edit] = []
    end = 0
    for edit in sorted((edit for row in full for edit in row), key=lambda edit: (edit.start, -edit.end)):
        if edit.start >= end:
            result.append(edit)
            end = edit.end
    return result


def _apart(edit: Edit, row: Sequence[Edit], ends: Sequence[int]) -> bool:
    """Whether ``edit`` overlaps none of ``row``, which end at ``ends``."""
    index = bisect_right(ends, edit.start)
    return index == len(row) or row[index].start >= edit.end


def windows(data: bytes, edits: Sequence[Edit], around: int = _AROUND) -> Iterator[Rewritten]:
    """The stretches of ``data`` in which edits stand near each other, rewritten."""
    first = 0
    for index in range(1, len(edits) + 1):
        if index < len(edits) and edits[index].start - edits[index - 1].end <= 2 * around:
            continue
        low = max(0, edits[first].start - around)
        high = min(len(data), edits[index - 1].end + around)
        yield rewritten(data, edits[first:index], low, high)
        first = index
