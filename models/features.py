"""Numbers for the network: what can be counted in a value and its surroundings, and hashed words.

Everything that can be is computed for a whole batch at once from the rows of ``window``; a candidate
costs tens of microseconds. Words and three-letter stretches go into buckets of one table (``BUCKETS``),
each salted by where it stands, so that ``test`` in a path is another word than ``test`` in a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from typing import Any, Final, TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt

from unsprawl import lexicon
from unsprawl.models.surfaces import surface_of
from unsprawl.models.window import SEGMENTS, WIDTH, Window, window
from unsprawl.records import Candidate, Document, Validity

__all__ = ["BUCKETS", "GRAMS", "NUMBERS", "WORDS", "Batch", "bucket", "extract"]

Bytes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int32]

#: Rows of the table of hashed words. Row 0 is padding.
BUCKETS: Final = 1 << 14
#: Words of the text that are kept of a candidate.
_TEXT_WORDS: Final = 96
#: Facts that have a word of their own: rule, provider, doubt, suffix, surface, name, its last word, joint.
_FACTS: Final = 9
#: Buckets of words that a candidate has.
WORDS: Final = _FACTS + _TEXT_WORDS
#: Numbers that a candidate has.
NUMBERS: Final = 213

_KINDS: Final = ("exact", "contextual", "generic")
_JOINTS: Final = (b":=", b"=>", b"==", b"=", b":", b"(", b",", b">")
_ENDS: Final = (
    b"",
    b'"',
    b"'",
    b"`",
    b")",
    b";",
    b",",
    b" ",
    b".",
    b"(",
    b"<",
    b"&",
    b"]",
    b"}",
    b"\\",
    b"/",
)
_STEMS: Final = (
    b"pass", b"pwd", b"secret", b"token", b"key", b"auth", b"api", b"cred", b"priv", b"salt", b"hash", b"id",
    b"user", b"name", b"path", b"file", b"url", b"publi", b"type", b"test", b"example", b"field", b"label",
    b"error", b"access", b"client", b"sign", b"crypt", b"sha", b"uri", b"nonce", b"cookie", b"session",
    b"default", b"prefix", b"header", b"valid", b"hint", b"expire", b"length", b"count", b"code", b"finger",
    b"check", b"digest", b"md5", b"integr", b"commit", b"version", b"message", b"text", b"title", b"desc",
    b"column", b"enc", b"index", b"cache", b"site", b"host",
)  # fmt: skip
_PATHS: Final = (
    re.compile(r"(?i)(?:^|[/_.!-])(?:tests?|testing|testdata|specs?|__tests__|e2e|mocks?|fakes?|stubs?)(?:[/_.-]|$)"),
    re.compile(r"(?i)(?:^|[/_.!-])(?:fixtures?|cassettes|golden|vectors?|recordings?)(?:[/_.-]|$)"),
    re.compile(r"(?i)(?:^|[/_.-])(?:docs?|documentation|tutorials?|man|guides?|help|wiki)(?:[/_.-]|$)|\.(?:md|rst|adoc)$"),
    re.compile(r"(?i)(?:^|[/_.-])(?:examples?|samples?|demos?|dist|template|tmpl|tpl|skel|quickstart)(?:[/_.-]|$)"),
    re.compile(r"(?i)(?:^|[/_.-])(?:locales?|lang|languages?|i18n|l10n|translations?|messages?)(?:[/_.-]|$)|\.po$"),
    re.compile(r"(?i)(?:^|[/_.-])(?:config|conf|settings?|env|cfg|properties|deploy|helm|k8s)(?:[/_.-]|$)"),
    re.compile(r"(?i)\.(?:lock|sum|min\.js|svg|map)$|lock\.(?:json|yaml)$"),
    re.compile(r"(?i)\.(?:ya?ml|json|toml|ini|cfg|conf|properties|env|xml|tf|tfvars)$"),
    re.compile(r"(?i)\.(?:py|js|ts|jsx|tsx|go|rb|java|kt|php|cs|c|cc|cpp|h|hpp|rs|scala|swift|pl|groovy|vue|lua)$"),
    re.compile(r"(?i)\.(?:sh|bash|zsh|ps1|bat|cmd)$|history$|dockerfile|makefile"),
    re.compile(r"(?i)\.(?:log|txt|out)$"),
)  # fmt: skip
_COMMENT: Final = (b"#", b"//", b"*", b"--", b";", b"<!--", b"%", b"rem ")
_UUID: Final = re.compile(rb"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_CALL: Final = re.compile(rb"\w[(\[]|->|::|=>|&&|\|\||\$\{?\w|\{\{|<%|%[sd]|\{\w*\}")
_DOTTED: Final = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_SNAKE: Final = re.compile(rb"[a-zA-Z]+(?:[_-][a-zA-Z]+)+")
_CAMEL: Final = re.compile(rb"[A-Za-z][a-z]+(?:[A-Z][a-z]+)+")
_TRIM: Final = re.compile(rb"[^a-z0-9]+")
_ADDRESS: Final = re.compile(rb"^(?:[a-z][a-z0-9+.-]*://|/|\./|~/|[\w.-]+@[\w-]+\.\w)")
#: What tables of digests and test vectors are full of: so many hexadecimal digits in a row.
_DIGEST: Final = 32
_HEXES: Final = bytes(byte if byte in b"0123456789abcdefABCDEF" else 32 for byte in range(256))
_FILE: Final = re.compile(
    rb"[\w-]*/[\w./-]+|[\w-]+\.(?:js|py|rb|go|java|php|pp|erb|css|html?|json|c|h|ts|txt|md|jar|tar|gz|zip|whl)$"
)
_HUMP: Final = re.compile(rb"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_HASH_SIZES: Final = np.array([32, 40, 56, 64, 96, 128])

_OPERATORS: Final = [
    tuple(float(at == number) for at in range(len(_JOINTS) + 1)) for number in range(len(_JOINTS) + 1)
]
_BEHIND: Final = {end: tuple(float(end == one) for one in _ENDS) for end in (*_ENDS, b"?")}

_LOWER, _UPPER, _DIGIT, _SPACE, _SIGN, _HIGH = range(1, 7)


def _classes() -> Bytes:
    table = np.zeros(256, np.uint8)
    for byte in range(1, 256):
        letter = bytes([byte])
        if letter.islower():
            table[byte] = _LOWER
        elif letter.isupper():
            table[byte] = _UPPER
        elif letter.isdigit():
            table[byte] = _DIGIT
        elif byte <= 32:
            table[byte] = _SPACE
        else:
            table[byte] = _SIGN if byte < 127 else _HIGH
    return table


_CLASS: Final = _classes()
_FOLD: Final = np.array([byte + 32 if 65 <= byte <= 90 else byte for byte in range(256)], np.uint8)
#: Signs whose presence in a value is a feature of its own.
_SIGNS: Final = np.frombuffer(b"_-./:@=#!$%^&*+~?()[]{}<>|,;\\\"' ", np.uint8)


def _kinds() -> npt.NDArray[np.uint16]:
    """What each byte counts for, a bit each: the six classes, hexadecimal, base64, vowels."""
    every = np.arange(256)
    hexes = np.isin(every, list(b"0123456789abcdefABCDEF"))
    bases = np.isin(every, list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"))
    vowels = np.isin(every, list(b"aeiouAEIOU"))
    table = np.zeros(256, np.uint16)
    kinds = [np.equal(_CLASS, one) for one in range(_LOWER, _HIGH + 1)]
    for bit, kind in enumerate([*kinds, hexes, bases, vowels]):
        table[kind] |= 1 << bit
    return table


_KINDS_OF: Final = _kinds()
_KIND_COUNT: Final = 9
#: Bytes of other alphabets are counted as one.
_BYTES: Final = 128
#: How many numbers of a value and its line come before those of the signs in it.
_PLAIN: Final = 29
#: ``n * log2(n)`` of how often a byte stands in a value.
_BITS: Final = np.array([n * np.log2(n) if n else 0 for n in range(81)], np.float32)
_LENGTHS: Final = np.array([4, 6, 8, 10, 12, 15, 16, 20, 24, 31, 32, 36, 40, 48, 64, 80, 128, 256])

# Words are hashed by a polynomial over the bytes, modulo 2**32: any stretch's hash follows from the running
# sums at its ends, since the base is odd and so has an inverse.
_BASE: Final = 0x01000193
_POWERS: Final = np.array([pow(_BASE, i, 1 << 32) for i in range(WIDTH)], np.uint32)
_INVERSE: Final = np.array([pow(_BASE, -i, 1 << 32) for i in range(WIDTH)], np.uint32)


def _salts() -> npt.NDArray[np.uint32]:
    table = np.zeros(WIDTH, np.uint32)
    for number, (start, end) in enumerate(SEGMENTS.values()):
        table[start:end] = (number + 1) * 0x9E3779B1 % (1 << 32)
    return table


_SALT: Final = _salts()
_EDGES: Final = np.array([start for start, _ in SEGMENTS.values()])
#: Stretches of three bytes are taken from the value, from the name and from the end of what stands left.
_GRAM_PLACES: Final = np.concatenate((np.arange(78), np.arange(152, 174), np.arange(208, 238)))
GRAMS: Final = len(_GRAM_PLACES)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the network is given: rows of bytes, numbers, and buckets of words and of short stretches."""

    rows: Bytes
    numbers: Floats
    words: Indices
    grams: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Any) -> Batch:
        return Batch(self.rows[index], self.numbers[index], self.words[index], self.grams[index])


def extract(pairs: Sequence[tuple[Document, Candidate]], kinds: dict[str, str] | None = None) -> Batch:
    """The input of the network for candidates. ``kinds`` maps rule ids to exact, contextual or generic."""
    windows = list(starmap(window, pairs))
    rows = np.frombuffer(b"".join([seen.row for seen in windows]), np.uint8).reshape(-1, WIDTH)
    single = [
        _facts(document, candidate, seen, (kinds or {}).get(candidate.rule, "exact"))
        for (document, candidate), seen in zip(pairs, windows, strict=True)
    ]
    own = np.array([numbers for numbers, _ in single], np.float32).reshape(len(windows), -1)
    facts = np.array([words for _, words in single], np.int32).reshape(len(windows), -1)
    lengths = np.array([len(seen.value) for seen in windows], np.float32)
    numbers = np.concatenate((own, _counted(rows, lengths)), axis=1)
    words = np.concatenate((facts, _once(_words(rows))), axis=1)
    return Batch(rows, numbers, words, _once(_grams(rows)))


def bucket(text: str | bytes, salt: int = 0) -> int:
    """The row of the table for a word that is no part of the text."""
    data = text.encode() if isinstance(text, str) else text
    return 1 + crc32(data, salt) % (BUCKETS - 1)


@lru_cache(4096)
def _of_path(path: str) -> tuple[tuple[float, ...], int]:
    name = path.rpartition("/")[2]
    suffix = name.rpartition(".")[2].lower() if "." in name else name.lower()
    return tuple(float(pattern.search(path) is not None) for pattern in _PATHS), bucket(suffix, 11)


@lru_cache(4096)
def _of_rule(rule: str, kind: str, doubt: str) -> tuple[tuple[float, ...], tuple[int, ...]]:
    flags = tuple(float(kind == one) for one in _KINDS)
    provider, _, what = rule.partition(".")
    words = (bucket(rule, 12), bucket(provider, 13), bucket(what, 14), bucket(doubt, 15))
    return (*flags, float(bool(doubt))), words


@lru_cache(4096)
def _last(name: bytes) -> bytes:
    """The last word of a name says what it is: ``passwordField`` is a field."""
    words = [word for word in _HUMP.split(name) if word]
    return words[-1].lower() if words else b""


@lru_cache(4096)
def _stems(name: bytes) -> tuple[float, ...]:
    return tuple(float(stem in name) for stem in _STEMS)


@lru_cache(1024)
def _operator(joint: bytes) -> int:
    return next((number for number, one in enumerate(_JOINTS) if one in joint), len(_JOINTS))


def _facts(
    document: Document, candidate: Candidate, seen: Window, kind: str
) -> tuple[list[float], tuple[int, ...]]:
    """What takes Python to find out: (numbers, buckets)."""
    value, name = seen.value, seen.name.lower()
    doubt = getattr(candidate, "doubt", "")
    rule, rule_words = _of_rule(candidate.rule, kind, doubt)
    paths, suffix = _of_path(seen.path)
    surface = surface_of(document, seen.path)
    check = candidate.check
    joint = seen.joint
    operator = _operator(joint)
    end = seen.right[:1]
    if end not in _BEHIND:
        end = b"?"
    plain, plain_name = _TRIM.sub(b"", value.lower()), _TRIM.sub(b"", name)
    lead = seen.left.lstrip()[:5].lower()
    short = value[:256]
    numbers = [
        *rule,
        float(surface == "source"),
        *paths,
        float(check is not None),
        float(check is not None and check.exact),
        float(check is not None and check.validity is Validity.INACTIVE),
        float(any(view not in ("raw", "utf-16") for view in candidate.views)),
        float("ocr" in candidate.views),
        float(bool(candidate.member)),
        float(bool(candidate.companions)),
        float("account" in candidate.companions or "user" in candidate.companions),
        float("host" in candidate.companions),
        float(lexicon.is_placeholder(short)),
        float(lexicon.is_weak(short)),
        lexicon.words_in(short),
        float(_UUID.fullmatch(value) is not None),
        float(_CALL.search(short) is not None),
        float(_DOTTED.fullmatch(short) is not None),
        float(_SNAKE.fullmatch(short) is not None),
        float(_CAMEL.fullmatch(short) is not None),
        float(_ADDRESS.match(short.lower()) is not None),
        float(joint[-1:] in (b'"', b"'", b"`") and joint != b""),
        float(not seen.left.strip()),
        float(not name),
        len(joint) / 8,
        float(plain == plain_name and plain != b""),
        float(plain_name != b"" and plain_name in plain),
        float(plain != b"" and plain in plain_name),
        float(lead.startswith(_COMMENT)),
        float(short in candidate.before) if len(short) > 3 else 0.0,
        float(short in candidate.after) if len(short) > 3 else 0.0,
        float(len(candidate.before) < 200),
        _digests(candidate.before[-512:]) / 2,
        _digests(candidate.after[:512]) / 2,
        float(_FILE.search(seen.name) is not None),
        float(not (candidate.before[-200:] + candidate.after[:200]).isascii()),
        float(candidate.line_end > candidate.line),
        *_stems(name),
        *_OPERATORS[operator],
        *_BEHIND[end],
    ]
    words = (
        *rule_words,
        suffix,
        bucket(surface, 16),
        bucket(plain_name[-24:], 17),
        bucket(_last(seen.name), 19),
        bucket(joint[-4:] + b"\0" + end, 18),
    )
    return numbers, words


def _digests(text: bytes) -> int:
    """How many digests stand in ``text``; four are many."""
    return min(4, sum(map(_DIGEST.__le__, map(len, text.translate(_HEXES).split()))))


def _counted(rows: Bytes, lengths: Floats) -> Floats:
    """What can be counted in the bytes, for all rows at once."""
    count = len(rows)
    value = rows[:, :80]
    places = np.minimum(value, _BYTES - 1) + (np.arange(count, dtype=np.int32) * _BYTES)[:, None]
    often = np.bincount(places.ravel(), minlength=count * _BYTES).reshape(count, _BYTES)
    often[:, 0] = 0
    kinds = _KINDS_OF[value]
    sums = np.stack([(kinds & (1 << bit) != 0).sum(1) for bit in range(_KIND_COUNT)], 1).astype(np.float32)
    size = np.maximum(80 - (value == 0).sum(1), 1).astype(np.float32)
    lower, upper, digits, hexes = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 6]
    entropy = np.log2(size) - _BITS[often].sum(1) / size
    classes = _CLASS[rows[:, :208]]
    first, second = classes[:, :79], classes[:, 1:80]
    both = (first > 0) & (second > 0)
    step = np.abs(value[:, 1:].astype(np.int16) - value[:, :-1])
    log = np.log2(np.maximum(lengths, 1)) / 4
    end = _PLAIN + len(_SIGNS)
    out = np.empty((count, end + len(_LENGTHS)), np.float32)
    out[:, :8] = sums[:, :8] / size[:, None]
    out[:, 8] = sums[:, 8] / np.maximum(lower + upper, 1)
    out[:, 9] = ((second != first) & both).sum(1) / size
    out[:, 10] = ((second == _UPPER) & (first == _LOWER)).sum(1) / size
    out[:, 11] = (often > 0).sum(1) / size
    out[:, 12] = entropy / 5
    out[:, 13] = ((step == 0) & both).sum(1) / size
    out[:, 14] = ((step == 1) & both).sum(1) / size
    out[:, 15] = log
    out[:, 16] = log * log
    out[:, 17] = (classes[:, 80:176] > 0).sum(1) / 96
    out[:, 18] = (classes[:, 176:] > 0).sum(1) / 32
    out[:, 19] = (classes[:, 80:176] == _SPACE).sum(1) / 16
    out[:, 20] = (classes[:, 80:176] == _SIGN).sum(1) / 32
    out[:, 21] = classes[:, 0] == _DIGIT
    out[:, 22] = classes[:, 0] == _UPPER
    out[:, 23] = (hexes == size) & (lengths[:, None] == _HASH_SIZES).any(1)
    out[:, 24] = digits == size
    out[:, 25] = lower == size
    out[:, 26] = upper == size
    out[:, 27] = lower + upper == size
    out[:, 28] = lower + upper + digits == size
    out[:, _PLAIN:end] = often[:, _SIGNS] > 0
    out[:, end:] = lengths[:, None] <= _LENGTHS
    return out


def _words(rows: Bytes) -> Indices:
    """Buckets of the words of all stretches, in small letters, split at signs and humps."""
    count = len(rows)
    classes = _CLASS[rows]
    letter = (classes == _LOWER) | (classes == _UPPER) | (classes == _HIGH)
    digit = classes == _DIGIT
    inner = letter | digit
    start = inner.copy()
    start[:, 1:] &= (
        ~inner[:, :-1]
        | ((classes[:, 1:] == _UPPER) & (classes[:, :-1] == _LOWER))
        | (digit[:, 1:] != digit[:, :-1])
    )
    start[:, _EDGES] |= inner[:, _EDGES]
    end = np.zeros_like(inner)
    end[:, :-1] = inner[:, :-1] & (~inner[:, 1:] | start[:, 1:])
    end[:, -1] = inner[:, -1]
    sums = np.zeros((count, WIDTH + 1), np.uint32)
    np.cumsum((_FOLD[rows] * _POWERS).astype(np.uint32), axis=1, dtype=np.uint32, out=sums[:, 1:])
    row, begin = np.nonzero(start)
    last = np.nonzero(end)[1]
    hashes = (sums[row, last + 1] - sums[row, begin]) * _INVERSE[begin]
    hashes ^= _SALT[begin]
    # A number says more by its length than by its digits.
    numeric = digit[row, begin]
    hashes = np.where(numeric, (last - begin).astype(np.uint32) * np.uint32(7919) ^ _SALT[begin], hashes)
    kept = last > begin
    row, hashes = row[kept], hashes[kept]
    firsts = np.searchsorted(row, np.arange(count))
    place = np.arange(len(row)) - firsts[row]
    # The value, its line and the path stand first in the row; of the lines around, what fits.
    fits = place < _TEXT_WORDS
    out = np.zeros((count, _TEXT_WORDS), np.int32)
    out[row[fits], place[fits]] = _mixed(hashes[fits])
    return out


def _grams(rows: Bytes) -> Indices:
    folded = _FOLD[rows].astype(np.uint32)
    first, second, third = (folded[:, _GRAM_PLACES + shift] for shift in range(3))
    whole = (first > 0) & (third > 0)
    hashes = (first | second << np.uint32(8) | third << np.uint32(16)) * np.uint32(0x85EBCA6B)
    return np.where(whole, _mixed(hashes ^ _SALT[_GRAM_PLACES]), 0).astype(np.int32)


def _once(buckets: Indices) -> Indices:
    """Each bucket of a row once: that a word stands there says more than how often it does."""
    out = np.sort(buckets, axis=1)
    out[:, 1:][out[:, 1:] == out[:, :-1]] = 0
    return out


def _mixed(hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    hashes = (hashes ^ hashes >> np.uint32(15)) * np.uint32(0x2C1B3C6D)
    return 1 + (hashes ^ hashes >> np.uint32(13)) % np.uint32(BUCKETS - 1)
