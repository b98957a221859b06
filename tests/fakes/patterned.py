"""Texts that match patterns, drawn at random from what these are made of."""

from __future__ import annotations

import random
import re._constants as parts  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator, Sequence
from typing import Any, Final

__all__ = ["crowds", "matching"]

_SEEN: Final = [chr(code) for code in range(33, 127)]
_CATEGORIES: Final = {
    parts.CATEGORY_DIGIT: "0123456789",
    parts.CATEGORY_WORD: "".join(one for one in _SEEN if one.isalnum() or one == "_"),
    parts.CATEGORY_SPACE: " \t\n",
}
_OTHERS: Final = {
    parts.CATEGORY_NOT_DIGIT: parts.CATEGORY_DIGIT,
    parts.CATEGORY_NOT_WORD: parts.CATEGORY_WORD,
    parts.CATEGORY_NOT_SPACE: parts.CATEGORY_SPACE,
}


def matching(pattern: str, count: int, seed: str) -> Iterator[bytes]:
    """``count`` texts, of which most match: what stands around, and back-references, are not looked at."""
    chance = random.Random(seed)
    tree = parser.parse(pattern.replace(r"\z", r"\Z"))
    for _ in range(count):
        yield _text(tree, chance).encode("latin-1", "replace")


def crowds(texts: Sequence[bytes], between: Sequence[bytes], count: int, seed: str) -> Iterator[bytes]:
    """``count`` times some of ``texts`` one behind the other, some of them torn, with little ``between``."""
    chance = random.Random(seed)
    for _ in range(count):
        parts: list[bytes] = []
        for text in chance.choices(texts, k=chance.randrange(2, 40)):
            torn = chance.randrange(len(text) + 1)
            parts.append(chance.choice([text, text, text, text, text, text, text[:torn], text[torn:]]))
            parts += chance.choices(between, k=chance.randrange(1, 3))
        yield b"".join(parts)


def _text(tree: Any, chance: random.Random) -> str:
    return "".join(_piece(kind, value, chance) for kind, value in tree)


def _piece(kind: Any, value: Any, chance: random.Random) -> str:
    if kind is parts.LITERAL:
        return chr(value)
    if kind is parts.NOT_LITERAL:
        return chance.choice([one for one in _SEEN if one != chr(value)])
    if kind is parts.ANY:
        return chance.choice(_SEEN)
    if kind is parts.IN:
        return chance.choice(_members(value))
    if kind is parts.BRANCH:
        return _text(chance.choice(value[1]), chance)
    if kind is parts.SUBPATTERN:
        return _text(value[3], chance)
    if kind is parts.ATOMIC_GROUP:
        return _text(value, chance)
    if kind in (parts.MAX_REPEAT, parts.MIN_REPEAT, parts.POSSESSIVE_REPEAT):
        least, most, repeated = value
        times = chance.randint(least, min(most, least + chance.choice([0, 0, 1, 2])))
        return "".join(_text(repeated, chance) for _ in range(times))
    return ""


def _members(items: Any) -> list[str]:
    found: set[str] = set()
    for kind, value in items:
        if kind is parts.LITERAL:
            found.add(chr(value))
        elif kind is parts.RANGE:
            found.update(map(chr, range(value[0], value[1] + 1)))
        elif value in _CATEGORIES:
            found.update(_CATEGORIES[value])
        elif value in _OTHERS:
            found.update({" ", *_SEEN}.difference(_CATEGORIES[_OTHERS[value]]))
    negated = items[0][0] is parts.NEGATE
    return sorted({" ", *_SEEN} - found or {"x"}) if negated else sorted(found)
