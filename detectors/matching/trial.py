r"""Whether Hyperscan finds what it was given to find: it is tried before it is trusted.

The library in the wheels of ``hyperscan``, Vectorscan 5.4.12, misses matches. It skips ahead to the first
two characters of what stands before a literal, and past them where they end right before that literal: of
``(?:datadog|\bdd)[\w.-]{0,20}key`` it finds no "ddkey" but at the begin of a text (VectorCamp/vectorscan,
issue 382; mended in 5.4.13). No pattern tells what it compiles to. So texts are drawn from each, first of
all those with nothing in its gaps, and all are searched at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from math import prod
from typing import Final, TypeAlias

from unsprawl.detectors.linear import linear
from unsprawl.detectors.matching.pattern import Item, UnknownSyntaxError, parse

__all__ = ["missed"]

_Branches: TypeAlias = tuple[tuple[Item, ...], ...]

#: Texts of one expression with nothing in its gaps, one for each way through its alternatives; and others.
_BARE: Final = 32
_FILLED: Final = 8
#: What stands before each text: more than a line of words, so that no text is near another.
_BEFORE: Final = b"lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor\n" * 2
_BORDERS: Final = (b" ", b"\n")


def missed(
    expressions: Sequence[str], hits: Callable[[bytes], Mapping[int, Sequence[Sequence[int]]]]
) -> list[int]:
    """The numbers of those ``expressions`` of whose matches ``hits`` misses some."""
    texts: list[bytes] = []
    places: list[tuple[int, int, int]] = []
    size = 0
    for number, expression in enumerate(expressions):
        for text in _matching(expression):
            places.append((number, size + len(_BEFORE), size + len(_BEFORE) + len(text)))
            texts += (_BEFORE, text)
            size += len(_BEFORE) + len(text)
    found = hits(b"".join([*texts, _BEFORE]))
    return sorted({number for number, start, end in places if not _within(found.get(number, ()), start, end)})


def _within(stretches: Sequence[Sequence[int]], start: int, end: int) -> bool:
    return any(first <= end and start < last for first, last in stretches)


def _matching(expression: str) -> Iterator[bytes]:
    """Texts that ``expression`` matches; none of one with syntax that is not read here."""
    try:
        branches = parse(expression)
    except UnknownSyntaxError:
        return
    search = linear(expression, lines=True).search
    for text in dict.fromkeys(_drawn(expression, branches)):
        for border in _BORDERS:
            # What its borders and classes ask for at either side is not drawn.
            if search(around := border + text + b" \n"):
                yield around
                break


def _drawn(pattern: str, branches: _Branches) -> Iterator[bytes]:
    chance = random.Random(pattern)  # noqa: S311 (the same texts every time)
    ways = _ways(branches)
    for way in range(min(ways, _BARE)):
        yield _text(pattern, branches, way, chance, filled=False)
    for _ in range(_FILLED):
        yield _text(pattern, branches, chance.randrange(ways), chance, filled=True)


def _ways(branches: _Branches) -> int:
    """How many ways lead through all alternatives."""
    return sum(_ways_of(branch) for branch in branches)


def _ways_of(branch: Sequence[Item]) -> int:
    return prod(_ways(item.body) for item in branch if item.body and item.low)


def _text(pattern: str, branches: _Branches, way: int, chance: random.Random, *, filled: bool) -> bytes:
    """A text of the given way; its gaps hold nothing, or what chance wills if they are to be ``filled``."""
    for branch in branches:
        ways = _ways_of(branch)
        if way < ways:
            break
        way -= ways
    made: list[bytes] = []
    for item in branch:
        times = item.low
        if filled:
            times = min(times + chance.choice((0, 0, 1, 2)), times + 2 if item.high is None else item.high)
        if item.body:
            here = _ways(item.body)
            inner = way % here if item.low else chance.randrange(here)
            way = way // here if item.low else way
            made += (_text(pattern, item.body, inner, chance, filled=filled) for _ in range(times))
        elif item.most:
            made += (chance.choice(_bytes(pattern[item.start : item.atom_end])) for _ in range(times))
    return b"".join(made)


@cache
def _bytes(atom: str) -> list[bytes]:
    """What one character of a pattern stands for: what can be seen, if it stands for such; maybe nothing."""
    if len(atom) == 1 and atom != ".":
        return [atom.encode()]
    matches = linear(f"(?s){atom}").fullmatch
    taken = [byte for byte in (bytes([code]) for code in range(256)) if matches(byte)]
    return [byte for byte in taken if byte.isascii() and byte.decode().isprintable()] or taken or [b""]
