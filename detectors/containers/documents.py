"""Documents that cannot be read in the order of the file: they are held in memory while they are read."""

from __future__ import annotations

import struct
from collections.abc import Generator
from importlib.util import find_spec
from typing import Final

from unsprawl.detectors.containers.apart import parsed
from unsprawl.detectors.containers.databases import tables
from unsprawl.detectors.containers.pieces import Cut, Inside, Leaf, Pieces, placed
from unsprawl.detectors.containers.streams import Reader

__all__ = ["pdf", "sevenzip", "sqlite", "unread_rar"]

#: Bytes of a document that are held at most.
_PDF: Final = 64 << 20
_SQLITE: Final = 128 << 20
_SEVENZIP: Final = 256 << 20

_HELPERS: Final = "unsprawl.detectors.containers"
_UNPACK: Final = "Unpack it and scan the result, or exclude it."
_INSTALL: Final = "Install unsprawl[archives] to have it read, unpack it and scan the result, or exclude it."


def pdf(reader: Reader, inside: Inside) -> Pieces:
    """The bytes of a PDF, then what a reader of it would see."""
    body = yield from _scanned(reader, inside, _PDF, "PDF")
    if body:
        yield from parsed(f"{_HELPERS}.pdf_helper", body, inside)
    return False


def sqlite(reader: Reader, inside: Inside) -> Pieces:
    """The bytes of a database, then its tables."""
    body = yield from _scanned(reader, inside, _SQLITE, "database")
    if body:
        yield from tables(body, inside)
    return False


def sevenzip(reader: Reader, inside: Inside) -> Pieces:
    """What a 7z archive holds, up to its end."""
    if find_spec("py7zr") is None:
        yield Leaf(inside.own, reader)
        yield Cut(inside.path, "7z archives are not unpacked", _INSTALL)
        return False
    body = reader.read(_SEVENZIP + 1)
    if len(body) > _SEVENZIP:
        reader.give_back(body)
        yield Leaf(inside.own, reader)
        yield Cut(inside.path, f"7z archives of more than {_SEVENZIP >> 20} MiB are not unpacked", _UNPACK)
        return False
    offset, size = struct.unpack("<QQ", body[12:28].ljust(16, b"\0"))
    end = min(32 + offset + size, len(body))
    begin = reader.position - len(body)
    reader.give_back(body[end:])
    read = False
    for piece in parsed(f"{_HELPERS}.sevenzip_helper", body[:end], inside):
        read = read or isinstance(piece, Leaf)
        yield piece
    if not read:
        # Nothing of it could be had: scan what is there.
        yield Leaf(inside.own, placed(Reader.of(body[:end]), begin))
    return True


def unread_rar(reader: Reader, inside: Inside) -> Pieces:
    """A rar archive as it stands."""
    yield Leaf(inside.own, reader)
    yield Cut(inside.path, "rar archives are not unpacked", _UNPACK)
    return False


def _scanned(reader: Reader, inside: Inside, most: int, what: str) -> Generator[Leaf | Cut, None, bytes]:
    """Yield the bytes of a document, which are handed back to be read otherwise unless they are too many."""
    position = reader.position
    body = reader.read(most + 1)
    if len(body) > most:
        reader.give_back(body)
        yield Leaf(inside.own, reader)
        yield inside.damaged(f"a {what} of more than {most >> 20} MiB: only its bytes were scanned")
        return b""
    yield Leaf(inside.own, placed(Reader.of(body), position))
    return body
