"""What encodings look like to an automaton: literals that say where something may be decoded.

A run of base64 is no rarity: every hash and every long name is one, and to find them all is a second
pass as dear as the first. But a match holds a keyword, and a keyword has three encodings in base64,
one for each place in a group of three bytes, and two in hexadecimal. Their fixed characters are
literals like any other, which the automaton takes along for nothing; and a hit tells how the groups
lie. Compressed data shows no keyword, but begins with the same bytes always.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from unsprawl.detectors.cache import kept
from unsprawl.detectors.rules import Rule

__all__ = ["BLOCK", "Clue", "Coding", "Mark", "Spans", "Telling", "marks", "spans", "telling"]

#: ``packed`` is compressed data in base64; the last four are views that edit (``telling.py``).
Coding: TypeAlias = Literal["base64", "hex", "packed", "escapes", "logs", "markup", "strings"]

#: Raise it when :func:`marks` makes others of the same words: compiled databases are kept.
_FORMAT: Final = 3
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
#: A view that edits looks at the block in which it is told of, and those beside it, in bytes.
BLOCK: Final = 256
#: Shorter keywords have encodings that stand everywhere.
_SHORTEST: Final = 4
#: What base64 of compressed data begins with: gzip, zstd, bzip2, xz, zlib (twelve ways).
_PACKED: Final = (
    *(b"H4sI", b"KLUv", b"QlpoO", b"/Td6WFoA"),
    *(b"eJ" + bytes([last]) for last in b"wxyz"),
    *(b"eN" + bytes([last]) for last in b"opqr"),
    *(b"eA" + bytes([last]) for last in b"EFGH"),
)
#: Gzip, zstd and xz in hexadecimal; the two bytes of zlib are too little to go by.
_PACKED_HEX: Final = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0")


class Mark(NamedTuple):
    """The fixed characters of something encoded; they end ``width`` behind the start of a group.

    ``logs``: the characters have spaces between them.
    """

    core: bytes
    width: int
    coding: Coding


#: Width and coding of marks, by their numbers.
Spans: TypeAlias = list[tuple[int, Coding]]


class Clue(NamedTuple):
    """At this offset a group begins: of four characters in base64, of two in hexadecimal.

    For a view that edits: what tells of it ends in the block that begins here, or here.
    """

    offset: int
    coding: Coding


class Telling(NamedTuple):
    """What is looked for in encoded form: the keywords of rules, and their public prefixes."""

    words: tuple[bytes, ...]
    prefixes: tuple[bytes, ...]

    @property
    def longest(self) -> int:
        """Bytes of the longest."""
        return max(map(len, self.words + self.prefixes), default=0)

    @property
    def key(self) -> str:
        """Changes with what :func:`marks` makes of them."""
        return f"{_FORMAT}{self!r}"


def telling(rules: Iterable[Rule]) -> Telling:
    """Names of providers are left out: a thousand common words would be found in any picture."""
    words: dict[bytes, None] = {}
    prefixes: dict[bytes, None] = {}
    plain = [rule for rule in rules if not rule.context]
    for rule in plain:
        if len(rule.prefix) >= _SHORTEST and rule.kind == "exact":
            prefixes[rule.prefix.encode()] = None
    for keyword in dict.fromkeys(chain.from_iterable(rule.keywords for rule in plain)):
        for variant in (keyword, keyword.lower(), keyword.upper(), keyword.capitalize()):
            word = variant.encode()
            if len(word) >= _SHORTEST:
                words[word] = None
    return Telling(tuple(words), tuple(prefixes))


def marks(of: Telling) -> list[Mark]:
    """The encodings of all words and prefixes, and once more encoded those of the prefixes."""
    words, prefixes = of
    once = [mark for word in dict.fromkeys(words + prefixes) for mark in _encodings(word)]
    twice = [mark for prefix in prefixes for inner in _encodings(prefix) for mark in _encodings(inner.core)]
    found = once + [mark for mark in twice if len(mark.core) >= _SHORTEST]
    found += [Mark(mark.core.translate(_URL_SAFE), mark.width, mark.coding) for mark in found]
    found += [Mark(core, len(core), "packed") for core in _PACKED]
    for word in (*words, *prefixes, *_PACKED_HEX):
        found += [Mark(core.encode(), len(core), "hex") for core in (word.hex(), word.hex().upper())]
    for word in (*words, *prefixes):
        spaced = b" ".join(word[at : at + 1] for at in range(len(word)))
        found.append(Mark(spaced, len(spaced), "logs"))
    return list(dict.fromkeys(found))


def spans(of: Telling, folder: Path | None, found: Callable[[], Iterable[Mark]]) -> Spans:
    """Width and coding of the marks of ``of``, which ``found`` makes, kept in ``folder``."""
    return kept(
        folder, "marks", of.key.encode(), Spans, lambda: [(mark.width, mark.coding) for mark in found()]
    )


def _encodings(word: bytes) -> Iterator[Mark]:
    """One for each number of bytes that stand before the word in its group of three."""
    for before in range(3):
        text = b64encode(bytes(before) + word)
        first = (8 * before + 5) // 6
        last = 8 * (before + len(word)) // 6
        yield Mark(text[first:last], last, "base64")
