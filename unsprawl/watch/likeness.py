"""Whether two texts are the same dump: a keyed sketch of their words, from which no word can be told.

Of the hashes of all three words in a row the smallest are kept. The share of them that two texts have in
common is close to the share of what they say in common (Jaccard's measure).
"""

from __future__ import annotations

import re
from hashlib import blake2b
from heapq import nsmallest
from typing import Final

__all__ = ["ALIKE", "similarity", "sketch"]

#: From this similarity on two pastes are one dump: a heading more, a line less.
ALIKE: Final = 0.7

_KEPT: Final = 64
_BYTES: Final = 8
_LOOKED_AT: Final = 256 << 10
_WORDS = re.compile(rb"[a-z0-9]+")


def sketch(text: bytes, key: bytes) -> bytes:
    """At most 512 bytes that stand for ``text``; nothing for a text without words."""
    found = _WORDS.findall(text[:_LOOKED_AT].lower())
    shingles = {b" ".join(found[at : at + 3]) for at in range(max(1, len(found) - 2))} if found else set()
    hashes = (blake2b(shingle, digest_size=_BYTES, key=key).digest() for shingle in shingles)
    return b"".join(nsmallest(_KEPT, hashes))


def similarity(one: bytes, other: bytes) -> float:
    """From 0 (nothing in common) to 1."""
    if not one or not other:
        return 0.0
    a = {one[at : at + _BYTES] for at in range(0, len(one), _BYTES)}
    b = {other[at : at + _BYTES] for at in range(0, len(other), _BYTES)}
    least = sorted(a | b)[:_KEPT]
    return sum(value in a and value in b for value in least) / len(least)
