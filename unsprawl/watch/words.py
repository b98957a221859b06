"""Token-like words of a text: what might be a value that somebody keeps secret, whatever rules say of it.

They are compared with the fingerprints of one's own secrets, which an exact copy has alone. So a word too
many costs a microsecond, and a word cut wrongly costs the find: each stretch is taken as a whole and in the
pieces that the usual delimiters make of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["LONGEST", "SHORTEST", "words"]

SHORTEST: Final = 8
LONGEST: Final = 512

_STRETCH = re.compile(rb"[^\s\"'`<>(){}\[\],;|\\\x00-\x1f]{8,2048}")
_PIECE = re.compile(rb"[^=:&?#@/]{8,512}")
_RUN = re.compile(rb"[A-Za-z0-9_+/=-]{8,512}")
_WORD = re.compile(rb"[A-Za-z0-9_-]{8,512}")
_PASSWORD = re.compile(rb"://[^/?#\s:@]*:([^/?#\s@]{8,512})@")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,8192}={0,2}")
_EDGES: Final = b".,:;!?*_-=&"
#: Decoded text of which less than this part can be read is no text.
_READABLE: Final = 0.95
_DEEPEST: Final = 2


def words(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, bytes, str]]:
    """Start, end, value and view (``raw``, ``percent``, ``base64``) of each word in ``data[start:stop]``.

    The span of a decoded word is the stretch that it was decoded from. Words may come more than once.
    """
    for stretch in _STRETCH.finditer(data, start, len(data) if stop is None else stop):
        yield from _of(stretch.group(), stretch.start())


def _of(text: bytes, at: int) -> Iterator[tuple[int, int, bytes, str]]:
    for begin, value in _cut(text):
        yield at + begin, at + begin + len(value), value, "raw"
    for value, view in _decoded(text, _DEEPEST):
        yield at, at + len(text), value, view


def _cut(text: bytes) -> Iterator[tuple[int, bytes]]:
    """A stretch, and what delimiters make of it."""
    if len(text) <= LONGEST:
        yield from _trimmed(0, text)
    for head in (b"=", b":"):
        _, found, rest = text.partition(head)
        if found and SHORTEST <= len(rest) <= LONGEST:
            yield from _trimmed(len(text) - len(rest), rest)
    for pattern in (_PIECE, _RUN, _WORD):
        for match in pattern.finditer(text):
            if match.end() - match.start() < len(text):
                yield from _trimmed(match.start(), match.group())
    for match in _PASSWORD.finditer(text):
        yield match.start(1), match.group(1)


def _trimmed(at: int, text: bytes) -> Iterator[tuple[int, bytes]]:
    if _is_like_a_token(text):
        yield at, text
    bare = text.strip(_EDGES)
    if len(bare) != len(text) and _is_like_a_token(bare):
        yield at + len(text) - len(text.lstrip(_EDGES)), bare


def _is_like_a_token(text: bytes) -> bool:
    """No word of a language: those are long before they are rare."""
    if len(text) < SHORTEST:
        return False
    return len(text) >= 24 or not text.isalpha()


def _decoded(text: bytes, depth: int) -> Iterator[tuple[bytes, str]]:
    if depth == 0:
        return
    if b"%" in text and (plain := unquote_to_bytes(text)) != text:
        yield from _inner(plain, "percent", depth)
    for match in _BASE64.finditer(text):
        if (held := _from_base64(match.group())) is not None:
            yield from _inner(held, "base64", depth)


def _inner(plain: bytes, view: str, depth: int) -> Iterator[tuple[bytes, str]]:
    for stretch in _STRETCH.finditer(plain):
        for _, value in _cut(stretch.group()):
            yield value, view
        for value, _ in _decoded(stretch.group(), depth - 1):
            yield value, view


def _from_base64(text: bytes) -> bytes | None:
    bare = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        plain = base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    if not plain:
        return None
    readable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in plain)
    return plain if readable >= _READABLE * len(plain) else None
