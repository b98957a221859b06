"""Bytes in hexadecimal, and compressed bytes in base64 or hexadecimal: what they unpack to."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from unsprawl.detectors.views.encoded import decoded
from unsprawl.structs import Struct

__all__ = ["Unpacked", "hexadecimal", "unpacked", "unpacked_here"]

#: How far hexadecimal is followed from a clue, in characters, and the shortest run worth it.
_REACH: Final = 64 << 10
_SHORTEST: Final = 16
#: Characters of base64 that may hold one compressed text, and bytes it may unpack to.
_LONGEST: Final = 8 << 20
_MOST: Final = 8 << 20
_RATIO: Final = 200
_FLOOR: Final = 64 << 10
#: The whitespace and letters of base64 that may not stand before what begins here.
_BASE64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_HEX: Final = b"0123456789abcdefABCDEF"
_HEX_RUN: Final = re.compile(rb"[0-9A-Fa-f]*")


class Unpacked(Struct, frozen=True):
    """``text`` stands encoded from ``start`` to ``end``, ``width`` characters a byte; 0: it is one whole."""

    text: bytes
    start: int
    end: int
    width: int
    views: tuple[str, ...]
    cut: bool = False
    """Whether a limit ended the text."""

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """The stretch that yields ``text[start:end]``."""
        if not self.width:
            return self.start, self.end
        return self.start + self.width * start, self.start + self.width * end


def hexadecimal(data: bytes, pairs: Iterable[int]) -> Iterator[Unpacked]:
    """The texts around ``pairs``: offsets at which two digits make a byte. None is decoded twice."""
    done = 0
    for pair in sorted(set(pairs)):
        if pair < done:
            continue
        before = data[max(pair - _REACH, 0) : pair]
        start = pair - (len(before) - len(before.rstrip(_HEX)))
        start += (pair - start) % 2
        end = _HEX_RUN.match(data, pair, pair + _REACH).end()  # type: ignore[union-attr]
        end -= (end - start) % 2
        done = end
        if end - start < _SHORTEST:
            continue
        text = bytes.fromhex(data[start:end].decode())
        inner = unpacked_here(text)
        if inner is None:
            yield Unpacked(text, start, end, 2, ("hex",))
        else:
            yield Unpacked(inner[0], start, end, 0, ("hex", inner[1]), inner[2])


def unpacked(data: bytes, starts: Iterable[int]) -> Iterator[Unpacked]:
    """What the compressed data in base64 that begins at ``starts`` unpacks to."""
    done = 0
    for start in sorted(set(starts)):
        if start < done or (start and data[start - 1] in _BASE64):
            continue
        for run in decoded(data, (start,), 0, _LONGEST):
            inner = unpacked_here(run.text)
            if inner is not None:
                done = run.end
                yield Unpacked(inner[0], start, run.end, 0, ("base64", inner[1]), inner[2])


def unpacked_here(packed: bytes) -> tuple[bytes, str, bool] | None:
    """What ``packed`` unpacks to, by which format, and whether a limit cut it; None if it is not compressed.

    Damage ends the text, it is no error.
    """
    limit = min(_MOST, max(len(packed) * _RATIO, _FLOOR))
    if packed[:3] == b"\x1f\x8b\x08":
        return _inflated(packed, 31, limit, "gzip")
    if len(packed) > 2 and packed[0] == 0x78 and not (packed[0] << 8 | packed[1]) % 31:
        return _inflated(packed, 15, limit, "zlib")
    if packed[:4] == b"\x28\xb5\x2f\xfd":
        return _zstd(packed, limit)
    if packed[:3] == b"BZh" or packed[:6] == b"\xfd7zXZ\0":
        return _other(packed, limit)
    return None


def _inflated(packed: bytes, bits: int, limit: int, view: str) -> tuple[bytes, str, bool] | None:
    inflater = zlib.decompressobj(bits)
    try:
        text = inflater.decompress(packed, limit)
    except zlib.error:
        return None
    return (text, view, bool(inflater.unconsumed_tail)) if text else None


def _zstd(packed: bytes, limit: int) -> tuple[bytes, str, bool] | None:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=_MOST).stream_reader(packed) as stream:
            text = stream.read(limit)
    except zstandard.ZstdError:
        return None
    return (text, "zstd", len(text) == limit) if text else None


def _other(packed: bytes, limit: int) -> tuple[bytes, str, bool] | None:
    import bz2
    import lzma

    view = "bzip2" if packed[:3] == b"BZh" else "xz"
    try:
        if view == "bzip2":
            text = bz2.BZ2Decompressor().decompress(packed, limit)
        else:
            text = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=64 << 20).decompress(packed, limit)
    except (OSError, ValueError, EOFError, lzma.LZMAError):
        return None
    return (text, view, len(text) == limit) if text else None
