"""What a candidate's surroundings look like, as a short vector that tells no value.

A vector has ``DIMENSIONS`` components of one signed byte, behind one byte for the version of its making. It
sums hashed features of five groups, each with a fixed share of the squared length:

    line     0.45   words, pairs of words and signs left and right of the value
    shape    0.25   of the value: alphabet, length in steps of half an octave, whether it reads like words
    path     0.15   the last folders, name and ending, without digits
    around   0.10   words of the two lines before and of the one behind
    rule     0.05   what found it

The value takes part by its shape alone. Letters mixed with digits are taken for values wherever they stand,
and enter as such. Features are hashed under a key of the store's owner: who has the vectors and not the
key cannot even test whether a word stood there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final, Protocol

from unsprawl import lexicon
from unsprawl.records import Candidate, Document

__all__ = ["DIMENSIONS", "VERSION", "Embedding", "Surroundings", "shape"]

DIMENSIONS: Final = 256
#: Of the features: vectors of two versions are never compared. It is the first byte of each.
VERSION: Final = 1

_SHARES: Final = {"line": 0.45, "shape": 0.25, "path": 0.15, "around": 0.10, "rule": 0.05}
_PEAK: Final = 127
#: Characters that are looked at: of the line on both sides, and of the lines around.
_LEFT: Final = 160
_RIGHT: Final = 80
_AROUND: Final = 240
_LONGEST_PATH: Final = 160
#: Of a path: what lies above depends on where one began to read.
_STEPS: Final = 4
_RUN: Final = re.compile(r"\w+|[^\w\s]")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_A-Za-z]+|\d+")
#: A run of letters and digits from here on may be a value, any run from the second length on.
_MIXED: Final = 8
_LONG: Final = 24
#: Companions shorter than this are words like any other.
_SHORTEST: Final = 4


class Embedding(Protocol):
    """A candidate to a vector: equal surroundings give equal vectors, and no value can be read from one."""

    @property
    def version(self) -> str: ...

    def embed(self, document: Document, candidate: Candidate) -> bytes: ...


class Surroundings:
    """The embedding that needs no model. ``name`` is a keyed hash of texts (``Keys.namer``)."""

    version = f"surroundings-{VERSION}"

    def __init__(self, name: Callable[[str], bytes]) -> None:
        @lru_cache(maxsize=65_536)
        def place(feature: str) -> tuple[int, int]:
            digest = name(feature)
            return digest[0], 1 if digest[1] & 1 else -1

        self._place = place

    def embed(self, document: Document, candidate: Candidate) -> bytes:
        """The version's byte and ``DIMENSIONS`` signed bytes, the largest at the border of what fits."""
        sums = [0.0] * DIMENSIONS
        for group, features in _features(document, candidate):
            distinct = set(features) or {"-"}
            weight = math.sqrt(_SHARES[group] / len(distinct))
            for feature in distinct:
                index, sign = self._place(f"{group} {feature}")
                sums[index] += sign * weight
        peak = max(map(abs, sums)) or 1.0
        return bytes([VERSION]) + bytes(round(_PEAK * component / peak) & 0xFF for component in sums)


def shape(value: bytes) -> tuple[str, ...]:
    """What may be remembered of a value: a few words that millions of values share."""
    length = round(2 * math.log2(len(value))) if value else 0
    classes = "".join(name for name, pattern in _CLASSES.items() if pattern.search(value))
    words = lexicon.words_in(value)
    reads = "words" if words > 0.8 else "some" if words > 0.5 else "none"
    drawn = "random" if lexicon.looks_random(value) else "written"
    known = "placeholder" if lexicon.is_placeholder(value) else "weak" if lexicon.is_weak(value) else "own"
    alphabet = lexicon.alphabet(value)
    return (f"length {length}", f"classes {classes}", f"alphabet {alphabet}", reads, drawn, known)


_CLASSES: Final = {
    "a": re.compile(rb"[a-z]"),
    "A": re.compile(rb"[A-Z]"),
    "9": re.compile(rb"[0-9]"),
    "-": re.compile(rb"[^A-Za-z0-9]"),
}


def _features(document: Document, candidate: Candidate) -> Iterator[tuple[str, Iterable[str]]]:
    before, after = _masked(candidate.before, candidate), _masked(candidate.after, candidate)
    earlier, _, left = before.rpartition("\n")
    right, _, later = after.partition("\n")
    lefts = list(_words(left[-_LEFT:]))
    rights = list(_words(right[:_RIGHT]))
    yield "line", [*_pairs("<", lefts), *_pairs(">", rights)]
    yield "shape", [*shape(candidate.secret.reveal()), f"prefix {candidate.secret.prefix}"]
    path = (document.path or document.uri) + (f"!/{candidate.member}" if candidate.member else "")
    near = "/".join(path[-_LONGEST_PATH:].split("/")[-_STEPS:])
    yield "path", [word for word in _words(near) if word.isalpha()]
    around = earlier[-_AROUND:].split("\n")[-2:] + later[:_AROUND].split("\n")[:1]
    yield "around", [word for line in around for word in _words(line) if word.isalpha()]
    yield "rule", [candidate.rule, *(f"view {view}" for view in candidate.views)]


def _masked(content: bytes, candidate: Candidate) -> str:
    for value in (candidate.secret, *candidate.companions.values()):
        if len(value.reveal()) >= _SHORTEST:
            content = content.replace(value.reveal(), b" 0 ")
    return content.decode("utf-8", "replace")


def _pairs(side: str, words: list[str]) -> Iterator[str]:
    for word in words:
        yield f"{side} {word}"
    for first, second in pairwise(words):
        yield f"{side} {first} {second}"


def _words(text: str) -> Iterator[str]:
    """Words in lower case and single signs. A number is ``0``, what may be a value ``?``."""
    for run in _RUN.findall(text):
        mixed = len(run) >= _MIXED and not run.isalpha() and any(sign.isdigit() for sign in run)
        if len(run) >= _LONG or (mixed and not _is_numbered(run)):
            yield "?"
            continue
        if not run[0].isalnum() and run != "_":
            yield run
            continue
        for word in _WORD.findall(run):
            yield "0" if word[0].isdigit() else word.lower()


def _is_numbered(run: str) -> bool:
    """A name with a number at its end (``service_12``), or a number alone: no value."""
    return run.rstrip("0123456789").replace("_", "").isalpha() or run.isdigit()
