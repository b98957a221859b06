"""Small files that unpack to much, or to themselves: archives in archives, encodings in encodings."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import random
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from typing import Final

import zstandard

__all__ = ["bomb"]

_CORES: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    lambda draw: bytes(draw.choice((1, 8)) << 20),
    lambda draw: b"AAAA" * (draw.choice((1, 4)) << 18),
    lambda draw: b"%25" * draw.randrange(1, 200_000),
    lambda draw: b"\\u005c" * draw.randrange(1, 100_000),
    lambda draw: b"&amp;" * draw.randrange(1, 100_000),
    lambda draw: b"<b>" * draw.randrange(1, 200_000),
    lambda draw: b"eJwH4sIKLUv/QlpoO" * draw.randrange(1, 20_000),
    lambda draw: b"password=" * draw.randrange(1, 50_000),
    lambda draw: b"\x1b[3" * draw.randrange(1, 200_000),
)


def _zip(data: bytes, draw: random.Random) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(draw.randrange(1, 6)):
            archive.writestr(f"{number}.bin", data)
    return packed.getvalue()


def _tar(data: bytes, draw: random.Random) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in range(draw.randrange(1, 4)):
            member = tarfile.TarInfo(f"{number}.bin")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


_WRAPPERS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    lambda data, _: gzip.compress(data, 9),
    lambda data, _: bz2.compress(data[: 4 << 20]),
    lambda data, _: lzma.compress(data[: 4 << 20], preset=0),
    lambda data, _: zstandard.ZstdCompressor(level=3).compress(data),
    lambda data, _: base64.b64encode(zlib.compress(data, 9)),
    lambda data, _: b"a: " + base64.b64encode(data[: 1 << 20]),
    lambda data, _: data[: 1 << 20].hex().encode(),
    lambda data, _: urllib.parse.quote_from_bytes(data[: 1 << 18], safe="").encode(),
    _zip,
    _tar,
)
#: What is made is at most this long, in bytes; what it unpacks to is far longer.
_LONGEST: Final = 8 << 20


def bomb(seed: int) -> bytes:
    """One of endless many; the same seed gives the same."""
    draw = random.Random(seed)  # nothing here protects anything
    data = draw.choice(_CORES)(draw)
    for _ in range(draw.randrange(1, 12)):
        wrapped = draw.choice(_WRAPPERS)(data, draw)
        if len(wrapped) > _LONGEST:
            break
        data = wrapped
    return data
