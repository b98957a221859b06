"""What can be counted in the bytes of a value and of its line: alphabets, runs, entropy, signs, lengths."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

import numpy as np
import numpy.typing as npt

from unsprawl.models.hashing import CLASSES, DIGIT, HIGH, LOWER, SIGN, SPACE, UPPER
from unsprawl.models.window import SEGMENTS

__all__ = ["COUNTED", "TABLES", "counted", "fill"]


def _all_but(kept: bytes) -> bytes:
    return bytes(byte for byte in range(256) if byte not in kept)


_NO_HEX: Final = _all_but(b"0123456789abcdefABCDEF")
_NO_BASE: Final = _all_but(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-")
_NO_VOWEL: Final = _all_but(b"aeiouAEIOU")
_HASH_SIZES: Final = (32, 40, 56, 64, 96, 128)
#: Signs whose presence in a value is a feature of its own.
_SIGNS: Final = np.frombuffer(b"_-./:@=#!$%^&*+~?()[]{}<>|,;\\\"' ", np.uint8)
_LENGTHS: Final = np.array([4, 6, 8, 10, 12, 15, 16, 20, 24, 31, 32, 36, 40, 48, 64, 80, 128, 256])
_VALUE: Final = slice(*SEGMENTS["value"])
_LEFT: Final = slice(*SEGMENTS["left"])
_RIGHT: Final = slice(*SEGMENTS["right"])
_LINE: Final = slice(_LEFT.start, _RIGHT.stop)
_WIDE: Final = _LEFT.stop - _LEFT.start
#: Bytes of a value that are counted.
_SIZE: Final = _VALUE.stop
#: Bytes of other alphabets are counted as one.
_BYTES: Final = 128
#: ``n * log2(n)`` of how often a byte stands in a value.
_BITS: Final = np.array([n * np.log2(n) if n else 0 for n in range(_SIZE + 1)], np.float32)
#: The logarithm of how many bytes a value has.
_LOGS: Final = np.log2(np.maximum(np.arange(_SIZE + 1), 1).astype(np.float32))
#: Numbers before those of the signs.
_PLAIN: Final = Struct("=29f")
_NO_SIGNS: Final = bytes(4 * len(_SIGNS))
#: Where what numpy counts stands: changes of the kind of character, humps, repetitions and steps; then the
#: share of different bytes and the entropy.
_THERE: Final = slice(_PLAIN.size // 4, _PLAIN.size // 4 + len(_SIGNS))
_MARKS: Final = [9, 10, 13, 14]
_DIFFERENT: Final = 11
_ENTROPY: Final = 12
_CLASS: Final = np.frombuffer(CLASSES, np.uint8)
#: How many numbers are counted of a candidate.
COUNTED: Final = _PLAIN.size // 4 + len(_SIGNS) + len(_LENGTHS)
#: What the compiled part asks for.
TABLES: Final = (_SIGNS.tobytes(), _BITS.tobytes(), _LOGS.tobytes())


@lru_cache(4096)
def _of_length(length: int) -> tuple[float, bytes]:
    log = np.log2(np.array([max(length, 1)], np.float32)) / 4
    return float(log[0]), (length <= _LENGTHS).astype(np.float32).tobytes()


def counted(row: bytes, length: int) -> bytes:
    """``COUNTED`` numbers of a row whose value has ``length`` bytes; ``fill`` adds those that are missing."""
    value = row[_VALUE]
    classes = value.translate(CLASSES)
    none = classes.count(0)
    size = max(_SIZE - none, 1)
    lower, upper, digits = classes.count(LOWER), classes.count(UPPER), classes.count(DIGIT)
    hexes = len(value.translate(None, _NO_HEX))
    line = row[_LINE].translate(CLASSES)
    log, lengths = _of_length(length)
    plain = _PLAIN.pack(
        lower / size,
        upper / size,
        digits / size,
        classes.count(SPACE) / size,
        classes.count(SIGN) / size,
        classes.count(HIGH) / size,
        hexes / size,
        len(value.translate(None, _NO_BASE)) / size,
        len(value.translate(None, _NO_VOWEL)) / max(lower + upper, 1),
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        0.0,
        log,
        log * log,
        (_WIDE - line.count(0, 0, _WIDE)) / _WIDE,
        (len(line) - _WIDE - line.count(0, _WIDE)) / (len(line) - _WIDE),
        line.count(SPACE, 0, _WIDE) / 16,
        line.count(SIGN, 0, _WIDE) / 32,
        classes[0] == DIGIT,
        classes[0] == UPPER,
        hexes == size and length in _HASH_SIZES,
        digits == size,
        lower == size,
        upper == size,
        lower + upper == size,
        lower + upper + digits == size,
    )
    return plain + _NO_SIGNS + lengths


def fill(numbers: npt.NDArray[np.float32], rows: npt.NDArray[np.uint8]) -> None:
    """Add to ``counted`` of each row what numpy counts faster."""
    count = len(rows)
    value = rows[:, _VALUE]
    places = np.minimum(value, _BYTES - 1) + (np.arange(count, dtype=np.int32) * _BYTES)[:, None]
    often = np.bincount(places.ravel(), minlength=count * _BYTES).reshape(count, _BYTES)
    often[:, 0] = 0
    there = often > 0
    step = value[:, 1:] - value[:, :-1]
    classes = _CLASS[value]
    first, second = classes[:, :-1], classes[:, 1:]
    both = (first > 0) & (second > 0)
    marks = np.empty((4, count, _SIZE - 1), np.bool_)
    np.not_equal(second, first, out=marks[0])
    np.logical_and(second == UPPER, first == LOWER, out=marks[1])
    np.equal(step, 0, out=marks[2])
    # Both ways: 255 is minus one.
    np.logical_or(step == 1, step == 255, out=marks[3])
    marks &= both
    size = np.maximum(_SIZE - (value == 0).sum(1), 1)
    numbers[:, _MARKS] = (marks.sum(2) / size).T
    numbers[:, _DIFFERENT] = there.sum(1) / size
    numbers[:, _ENTROPY] = (_LOGS[size] - _BITS[often].sum(1) / size.astype(np.float32)) / 5
    numbers[:, _THERE] = there[:, _SIGNS]
