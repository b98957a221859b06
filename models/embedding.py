"""What a candidate's surroundings look like, as a short vector that tells no value.

    version (1 byte) ‖ place (1) ‖ traits of the value, veiled (4) ‖ DIMENSIONS components, a signed byte each

The components sum hashed features of five groups, each with a fixed share of the squared length:

    line     0.40   words, pairs of words and signs left and right of the value
    shape    0.25   of the value: alphabet, length in steps of half an octave, whether it reads like words
    path     0.20   the last folders, name and ending, without digits
    around   0.10   words of the two lines before and of the one behind
    rule     0.05   what found it

The value takes part by its shape alone. Letters mixed with digits are taken for values wherever they stand,
and enter as such. Features are hashed under a key of the store's owner, and the traits are veiled with it:
who has the vectors and not the key cannot even test whether a word stood there. No model takes part, so that
vectors outlive its retraining.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, Protocol

from unsprawl import lexicon
from unsprawl.records import Candidate, Document

__all__ = [
    "DIMENSIONS",
    "ELSEWHERE",
    "HEAD",
    "INVENTED",
    "LIVE",
    "VERSION",
    "Embedding",
    "Surroundings",
    "Traits",
    "place",
]

DIMENSIONS: Final = 256
#: Bytes before the components: version, place, traits.
HEAD: Final = 6
#: Of the features: vectors of two versions are never compared. It is the first byte of each.
VERSION: Final = 1

#: How much is lost when a value in such a place is taken for none: tests and documentation, any other
#: place, production.
INVENTED, ELSEWHERE, LIVE = range(3)

_SHARES: Final = {"line": 0.40, "shape": 0.25, "path": 0.20, "around": 0.10, "rule": 0.05}
_PEAK: Final = 127
#: Characters that are looked at: of the line on both sides, and of the lines around.
_LEFT: Final = 160
_RIGHT: Final = 80
_AROUND: Final = 240
_LONGEST_PATH: Final = 240
#: Of a path, to be like it and to tell its weight: what lies above belongs to the machine.
_STEPS: Final = 4
_FAR_STEPS: Final = 8
_RUN: Final = re.compile(r"\w+|[^\w\s]")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_A-Za-z]+|\d+")
#: A run of letters and digits from here on may be a value, any run from the second length on.
_MIXED: Final = 8
_LONG: Final = 24
#: Companions shorter than this are words like any other.
_SHORTEST: Final = 4
_INVENTED: Final = re.compile(
    r"(?i)(?:^|[/_.!-])(?:tests?|testing|testdata|specs?|__tests__|e2e|mocks?|fakes?|stubs?|fixtures?|cassettes"
    r"|docs?|examples?|samples?|demos?|tutorials?|readme)(?:[/_.-]|$)"
)
_LIVE: Final = re.compile(r"(?i)(?:^|[^a-z])(?:prod|production|live|prd)(?:[^a-z]|$)")
_ALPHABETS: Final = ("digits", "hex", "letters", "alnum", "base64", "text")
_READS: Final = ("none", "some", "words")
_KNOWN: Final = ("own", "weak", "placeholder")


class Embedding(Protocol):
    """A candidate to a vector: equal surroundings give equal vectors, and no value can be read from one."""

    @property
    def version(self) -> str: ...

    def embed(self, document: Document, candidate: Candidate) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Traits:
    """What may be remembered of a value: millions of values share it.

    ``length`` is in steps of half an octave. ``classes`` are those of small and large letters, digits and
    signs, as bits 1, 2, 4, 8. ``alphabet`` is one of ``lexicon.alphabet``, ``reads`` says how much of it is
    words (none, some, words), ``random`` whether it looks drawn, ``known`` whether lists know it (own, weak,
    placeholder).
    """

    length: int
    classes: int
    alphabet: str
    reads: str
    random: bool
    known: str

    @classmethod
    def of(cls, value: bytes) -> Traits:
        words = lexicon.words_in(value)
        return cls(
            min(0xFF, round(2 * math.log2(len(value)))) if value else 0,
            sum(bit for bit, pattern in _CLASSES.items() if pattern.search(value)),
            lexicon.alphabet(value),
            "words" if words > 0.8 else "some" if words > 0.5 else "none",
            lexicon.looks_random(value),
            "placeholder" if lexicon.is_placeholder(value) else "weak" if lexicon.is_weak(value) else "own",
        )

    def words(self) -> tuple[str, ...]:
        """As features."""
        drawn = "random" if self.random else "written"
        known = self.known
        return (
            f"length {self.length}",
            f"classes {self.classes}",
            f"alphabet {self.alphabet}",
            self.reads,
            drawn,
            known,
        )

    @classmethod
    def unpacked(cls, packed: bytes) -> Traits:
        length, classes, alphabet, habits = packed
        reads, known = _READS[habits >> 4], _KNOWN[habits & 3]
        return cls(length, classes, _ALPHABETS[alphabet], reads, bool(habits & 4), known)

    def packed(self) -> bytes:
        habits = _READS.index(self.reads) << 4 | self.random << 2 | _KNOWN.index(self.known)
        return bytes((self.length, self.classes, _ALPHABETS.index(self.alphabet), habits))


def place(document: Document, candidate: Candidate) -> int:
    """``INVENTED``, ``ELSEWHERE`` or ``LIVE``, by words of the path and of the lines around."""
    path = _path(document, candidate, _FAR_STEPS)
    near = "\n".join(candidate.before.decode("utf-8", "replace").split("\n")[-3:])
    if _LIVE.search(path) or _LIVE.search(near):
        return LIVE
    return INVENTED if _INVENTED.search(path) else ELSEWHERE


class Surroundings:
    """The embedding that needs no model. ``name`` is a keyed hash of texts (``Keys.namer``)."""

    version = f"surroundings-{VERSION}"

    def __init__(self, name: Callable[[str], bytes]) -> None:
        @lru_cache(maxsize=8192)
        def component(feature: str) -> tuple[int, int]:
            digest = name(feature)
            return digest[0], 1 if digest[1] & 1 else -1

        self._name = name
        self._component = component

    def embed(self, document: Document, candidate: Candidate) -> bytes:
        """The vector; its largest component is at the border of what a signed byte holds."""
        found = Traits.of(candidate.secret.reveal())
        sums = [0.0] * DIMENSIONS
        for group, features in _features(document, candidate, found):
            distinct = set(features) or {"-"}
            weight = math.sqrt(_SHARES[group] / len(distinct))
            for feature in distinct:
                index, sign = self._component(f"{group} {feature}")
                sums[index] += sign * weight
        peak = max(map(abs, sums)) or 1.0
        body = bytes(round(_PEAK * component / peak) & 0xFF for component in sums)
        return bytes((VERSION, place(document, candidate))) + self._veiled(found.packed(), body) + body

    def traits(self, vector: bytes) -> Traits:
        """The traits of the value that ``vector`` was made of.

        ``ValueError`` for a vector of another version, or of another key as far as that can be seen.
        """
        if len(vector) != HEAD + DIMENSIONS or vector[0] != VERSION:
            raise ValueError("a vector of another version")
        try:
            return Traits.unpacked(self._veiled(vector[2:HEAD], vector[HEAD:]))
        except IndexError:
            raise ValueError("a vector of another key") from None

    def _veiled(self, packed: bytes, body: bytes) -> bytes:
        """With a keyed pad; the same again takes it off. A length alone would help who guesses a password."""
        pad = self._name(f"traits {body.hex()}")
        return bytes(one ^ other for one, other in zip(packed, pad, strict=False))


_CLASSES: Final = {
    1: re.compile(rb"[a-z]"),
    2: re.compile(rb"[A-Z]"),
    4: re.compile(rb"[0-9]"),
    8: re.compile(rb"[^A-Za-z0-9]"),
}


def _features(document: Document, candidate: Candidate, found: Traits) -> Iterator[tuple[str, Iterable[str]]]:
    before, after = _masked(candidate.before, candidate), _masked(candidate.after, candidate)
    earlier, _, left = before.rpartition("\n")
    right, _, later = after.partition("\n")
    lefts = list(_words(left[-_LEFT:]))
    rights = list(_words(right[:_RIGHT]))
    yield "line", [*_pairs("<", lefts), *_pairs(">", rights)]
    yield "shape", [*found.words(), f"prefix {candidate.secret.prefix}"]
    yield "path", [word for word in _words(_path(document, candidate, _STEPS)) if word.isalpha()]
    around = earlier[-_AROUND:].split("\n")[-2:] + later[:_AROUND].split("\n")[:1]
    yield "around", [word for line in around for word in _words(line) if word.isalpha()]
    yield "rule", [candidate.rule, *(f"view {view}" for view in candidate.views)]


def _path(document: Document, candidate: Candidate, steps: int) -> str:
    """The last steps. Of a file its address, which is the same however somebody came there."""
    path = document.uri if document.uri.startswith("file:") else document.path or document.uri
    whole = f"{path}!/{candidate.member}" if candidate.member else path
    return "/".join(whole[-_LONGEST_PATH:].split("/")[-steps:])


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
