"""Words and three-letter stretches of rows of ``window`` as buckets of one table, for a whole batch at once.

Each is salted by the stretch of the row that it stands in, so that ``test`` in a path is another word than
``test`` in a value.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt

from unsprawl.models.window import SEGMENTS, WIDTH

__all__ = [
    "BUCKETS",
    "CLASSES",
    "DIGIT",
    "GRAMS",
    "HIGH",
    "LOWER",
    "SIGN",
    "SPACE",
    "TABLES",
    "TEXT_WORDS",
    "UPPER",
    "bucket",
    "grams",
    "words",
]

Hashes: TypeAlias = npt.NDArray[np.uint32]
Indices: TypeAlias = npt.NDArray[np.int32]

#: Rows of the table of hashed words. Row 0 is padding.
BUCKETS: Final = 1 << 14
#: Words of the text that are kept of a candidate.
TEXT_WORDS: Final = 96

LOWER, UPPER, DIGIT, SPACE, SIGN, HIGH = range(1, 7)


def _class(byte: int) -> int:
    letter = bytes([byte])
    if letter.islower():
        return LOWER
    if letter.isupper():
        return UPPER
    if letter.isdigit():
        return DIGIT
    if byte <= ord(" "):
        return SPACE if byte else 0
    return SIGN if byte < 127 else HIGH


#: What kind of character each byte is; zero is none.
CLASSES: Final = bytes(map(_class, range(256)))

# Where words begin and end follows from a byte and the one before it: the class of the one before stands in
# the upper half, that of the byte itself in the lower, with a mark where a stretch of the row begins.
_SHIFT: Final = 4
_EDGE: Final = 8
_EDGES: Final = [start for start, _ in SEGMENTS.values()]
_INNER: Final = (LOWER, UPPER, DIGIT, HIGH)


def _bounds(pair: int) -> tuple[bool, bool]:
    """Whether a word begins with the second byte of ``pair``, and whether one ends before it."""
    last, this = pair >> _SHIFT, pair & 7
    between = bool(
        pair & _EDGE
        or last not in _INNER
        or this not in _INNER
        or (last, this) == (LOWER, UPPER)
        or (last == DIGIT) != (this == DIGIT)
    )
    return between and this in _INNER, between and last in _INNER


_BEGINS: Final = bytes(_bounds(pair)[0] for pair in range(256))
_ENDS: Final = bytes(_bounds(pair)[1] for pair in range(256))

# Words are hashed by a polynomial over the bytes, modulo 2**32: any stretch's hash follows from the running
# sums at its ends, since the base is odd and so has an inverse.
_BASE: Final = 0x01000193
_POWERS: Final = np.array([pow(_BASE, i, 1 << 32) for i in range(WIDTH)], np.uint32)
_INVERSE: Final = np.array([pow(_BASE, -i, 1 << 32) for i in range(WIDTH)], np.uint32)


def _salts() -> Hashes:
    table = np.zeros(WIDTH, np.uint32)
    for number, (start, end) in enumerate(SEGMENTS.values()):
        table[start:end] = (number + 1) * 0x9E3779B1 % (1 << 32)
    return table


_SALT: Final = _salts()
#: Stretches of three bytes are taken from the value, from the name and from the end of what stands left.
_GRAM_PLACES: Final = np.concatenate((np.arange(78), np.arange(152, 174), np.arange(208, 238)))
GRAMS: Final = len(_GRAM_PLACES)
_GRAM_BYTES: Final = (_GRAM_PLACES[:, None] + np.arange(4)).ravel()
_GRAM_SALT: Final = _SALT[_GRAM_PLACES]
#: What the compiled part asks for.
TABLES: Final = (CLASSES, _SALT.tobytes(), _GRAM_PLACES.astype(np.int32).tobytes())


def bucket(text: str | bytes, salt: int = 0) -> int:
    """The row of the table for a word that is no part of the text."""
    data = text.encode() if isinstance(text, str) else text
    return 1 + crc32(data, salt) % (BUCKETS - 1)


def words(rows: bytes) -> Indices:
    """Buckets of the words of each row, in small letters, split at signs and humps."""
    count = len(rows) // WIDTH
    classes = np.frombuffer(rows.translate(CLASSES) + b"\0", np.uint8)
    pairs = np.empty_like(classes)
    pairs[0] = classes[0]
    np.left_shift(classes[:-1], _SHIFT, out=pairs[1:])
    pairs[1:] |= classes[1:]
    pairs[:-1].reshape(-1, WIDTH)[:, _EDGES] |= _EDGE
    seen = pairs.tobytes()
    begin = _where(seen.translate(_BEGINS))
    size = _where(seen.translate(_ENDS)) - begin
    long = size > 1
    begin, size = begin[long], size[long]
    row, place = np.divmod(begin, WIDTH)
    column = np.arange(len(row)) - np.searchsorted(begin, np.arange(0, len(rows), WIDTH))[row]
    # The value, its line and the path stand first in the row; of the lines around, what fits.
    fits = column < TEXT_WORDS
    if not fits.all():
        begin, size, row, place, column = begin[fits], size[fits], row[fits], place[fits], column[fits]
    folded = np.frombuffer(rows.lower(), np.uint8).reshape(-1, WIDTH)
    sums = np.zeros(len(rows) + 1, np.uint32)
    np.cumsum(folded * _POWERS, dtype=np.uint32, out=sums[1:])
    hashes = (sums[begin + size] - sums[begin]) * _INVERSE[place]
    # A number says more by its length than by its digits.
    hashes = np.where(classes[begin] == DIGIT, (size - 1).astype(np.uint32) * np.uint32(7919), hashes)
    hashes ^= _SALT[place]
    out = np.zeros((count, TEXT_WORDS), np.int32)
    out[row, column] = _mixed(hashes)
    return _once(out)


def grams(rows: bytes) -> Indices:
    """Buckets of the three-letter stretches of each row."""
    folded = np.frombuffer(rows.lower(), np.uint8).reshape(-1, WIDTH)
    fours = folded.take(_GRAM_BYTES, axis=1).view("<u4")
    three = fours & np.uint32(0xFFFFFF)
    hashes = _mixed(three * np.uint32(0x85EBCA6B) ^ _GRAM_SALT).astype(np.int32)
    hashes[((three & np.uint32(0xFF)) == 0) | (three <= np.uint32(0xFFFF))] = 0
    return _once(hashes)


def _where(flags: bytes) -> npt.NDArray[np.int64]:
    return np.frombuffer(flags, np.bool_).nonzero()[0]


def _once(buckets: Indices) -> Indices:
    """Each bucket of a row once: that a word stands there says more than how often it does."""
    buckets.sort(axis=1)
    again = buckets[:, 1:] == buckets[:, :-1]
    buckets[:, 1:][again] = 0
    return buckets


def _mixed(hashes: Hashes) -> Any:
    hashes = (hashes ^ hashes >> np.uint32(15)) * np.uint32(0x2C1B3C6D)
    hashes ^= hashes >> np.uint32(13)
    hashes %= np.uint32(BUCKETS - 1)
    hashes += np.uint32(1)
    return hashes
