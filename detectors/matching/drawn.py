"""Values that a machine drew: long runs of letters and digits, which few texts are full of.

Names of providers are common words, and to look for a thousand of them everywhere costs as much as all
other rules together. But the values they stand before are drawn runs, and these are seldom in prose and
code: names are searched in the bytes before a drawn run and nowhere else. The same holds for keywords in
base64 or hexadecimal, whose runs are long too, and for those that have a space between all letters: what
they announce is spaced out like them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from unsprawl.detectors.matching.pattern import lead

__all__ = [
    "LEAST",
    "SPACED_BEFORE",
    "Excerpt",
    "begins_drawn",
    "drawn_lead",
    "excerpt",
    "in_run",
    "in_spaced",
    "is_drawn",
    "located",
    "shown",
]

#: A run is at least so long, in bytes.
LEAST: Final = 15
#: A run without a digit changes so often from a small letter to a capital: words do it less, drawn letters
#: once in four.
_TURNS: Final = 4
_RUN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/="
_HERE: Final = re.compile(rb"[A-Za-z0-9_+/=-]*")
_DIGIT: Final = re.compile(rb"[0-9]")
_TURN: Final = re.compile(rb"[a-z](?=[A-Z])")
#: Characters with a space behind each. A keyword within, or so many bytes before such a run, announces it.
_SPACED: Final = re.compile(rb"(?:[A-Za-z0-9_+/=-] ){8,}+[A-Za-z0-9_+/=-]?")
SPACED_BEFORE: Final = 8
_SPACED_LEAST: Final = 16
#: A text up to this size, in bytes, is searched as it is.
_SHORT: Final = 256
#: How far a run is followed to either side, in bytes, to tell whether it is drawn.
_REACH: Final = 512

#: Stretches of a text one behind the other; where each begins among them, and where in the text, both as
#: integers of eight bytes.
Excerpt: TypeAlias = tuple[bytes, bytes, bytes]

excerpt: Callable[[bytes, int], Excerpt] | None
"""The drawn and spaced runs of a text with a number of bytes before each; None without a compiler."""
try:
    from unsprawl.detectors.matching._drawn import excerpt
except ImportError:
    excerpt = None


def shown(data: bytes, back: int) -> Excerpt | None:
    """What of a text is searched for drawn values, with ``back`` bytes before each; None: all of it."""
    return None if excerpt is None or len(data) < _SHORT else excerpt(data, back)


def is_drawn(value: bytes) -> bool:
    """Whether ``value`` may have been drawn: it has a digit, or goes from small to capital letters often."""
    return _DIGIT.search(value) is not None or len(_TURN.findall(value)) >= _TURNS


def in_run(data: bytes, at: int) -> bool:
    """Whether the byte at ``at`` stands in a drawn run."""
    before = data[max(0, at - _REACH) : at]
    behind = _HERE.match(data, at, at + _REACH)
    assert behind is not None
    run = data[at - (len(before) - len(before.rstrip(_RUN))) : behind.end()]
    return len(run) >= LEAST and is_drawn(run)


def in_spaced(data: bytes, start: int, end: int) -> bool:
    """Whether ``data[start:end]`` stands in spaced characters, or shortly before some."""
    low, high = max(0, start - 3 * _SPACED_LEAST), end + SPACED_BEFORE + _SPACED_LEAST
    return any(found.end() >= end for found in _SPACED.finditer(data, low, high))


def begins_drawn(data: bytes, start: int, end: int) -> bool:
    """Whether the run that ``data[start:end]`` begins with is drawn, whatever follows it."""
    run = _HERE.match(data, start, end)
    assert run is not None
    return is_drawn(run[0])


def drawn_lead(pattern: str) -> str:
    """The drawn run that all matches of ``pattern`` begin with, as a pattern; empty where they need not."""
    return lead(pattern, frozenset(_RUN), LEAST)


def located(stretches: Iterable[Sequence[int]], of: Excerpt) -> Iterator[tuple[int, int]]:
    """``stretches`` of ends in an excerpt, as stretches of the text it was taken from."""
    text, *tables = of
    begins, sources = (memoryview(table).cast("q") for table in tables)
    for first, last in stretches:
        index = bisect_left(begins, first) - 1
        while index < len(begins) and begins[index] < last:
            begin, shift = begins[index], sources[index] - begins[index]
            index += 1
            end = begins[index] if index < len(begins) else len(text)
            yield max(first, begin + 1) + shift, min(last, end) + shift
