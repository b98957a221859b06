"""Zip archives, read from their local headers in the order of the file and not from the directory.

That needs no seeking and no buffer, reads what a truncated file still holds, and sees each byte once,
so overlapping entries gain nothing.
"""

from __future__ import annotations

import struct
from typing import Final

from unsprawl.detectors.containers.pieces import Cut, Inside, Leaf, Pieces, entry_name, placed
from unsprawl.detectors.containers.sheets import Book
from unsprawl.detectors.containers.streams import Reader, decompressed, member

__all__ = ["DESCRIPTOR", "END", "ENTRY", "zip_entries"]

#: How an entry begins, the sizes behind one whose header did not know them, and the end of the archive.
ENTRY: Final = b"PK\x03\x04"
DESCRIPTOR: Final = b"PK\x07\x08"
END: Final = b"PK\x05\x06"
_NAME: Final = b"PK\x01\x02"
_ZIP64_END: Final = b"PK\x06\x06"
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_METHODS: Final = {8: "deflate", 12: "bzip2", 93: "zstd", 95: "xz"}


def zip_entries(reader: Reader, inside: Inside) -> Pieces:
    """What ``reader`` holds up to the end of one archive."""
    book = Book(inside)
    whole = yield from _entries(reader, inside, book)
    yield from book.rest()
    return whole


def _entries(reader: Reader, inside: Inside, book: Book) -> Pieces:
    if reader.peek(4) == DESCRIPTOR:
        reader.skip(4)  # the mark of an archive that was meant to be split
    directory = False
    while not inside.account.spent:
        mark = reader.peek(4)
        if mark != ENTRY:
            if mark in (_NAME, END, _ZIP64_END, _ZIP64_LOCATOR):
                if comment := _directory(reader, mark):
                    yield Leaf(inside.own, placed(Reader.of(comment), reader.position - len(comment)))
                if mark == END:
                    return True
                directory = True
                continue
            # Other tools put blocks of their own between entries; and a header may lie about a size.
            if mark:
                between = placed(_until_mark(reader), reader.position)
                yield Leaf(inside.own, between)
                between.skip(1 << 62)
            if not reader.peek(1):
                if not (reader.fault or directory):
                    yield inside.cut("truncated zip archive: its directory is missing")
                return False
            continue
        over = inside.counted()
        if over:
            yield over
            return False
        header = reader.read(30)
        if len(header) < 30:
            yield inside.cut("truncated zip archive")
            return False
        _, _, flags, method, _, _, _, packed, size, name_size, extra_size = struct.unpack("<4s5H3I2H", header)
        name = entry_name(reader.read(name_size))
        extra = reader.read(extra_size)
        packed, size = _zip64(extra, packed, size)
        streamed = bool(flags & 8) and not packed
        if flags & 1:
            yield Cut(inside.member(name), "encrypted", "Decrypt it and scan the result, or exclude it.")
            reader.skip(packed)
            continue
        if method and method not in _METHODS:
            yield inside.cut(f"zip compression method {method} is not read", name)
            reader.skip(packed)
            continue
        if not method:
            content = _until_descriptor(reader) if streamed else member(reader, packed)
            begin = reader.position
            yield from book.below(content, name)
            if not streamed and not _passed(reader, begin, packed):
                if not reader.fault:
                    yield inside.cut("truncated", name)
                return False
            content.skip(1 << 62)
        else:
            source = reader if streamed else member(reader, packed)
            begin = reader.position
            content = decompressed(source, _METHODS[method], inside.account)
            yield from book.below(content, name)
            if streamed:
                content.skip(1 << 62)
                if content.fault:
                    return False
            elif not _passed(reader, begin, packed):
                if not (content.fault or reader.fault):
                    yield inside.cut("truncated", name)
                return False
        if flags & 8 and reader.peek(4) == DESCRIPTOR:
            reader.skip(16)
    return False


def _passed(reader: Reader, begin: int, size: int) -> bool:
    left = size - (reader.position - begin)
    return left <= 0 or reader.skip(left) == left


def _zip64(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    position = 0
    while position + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, position)
        if tag == 1:
            values = [
                int.from_bytes(extra[at : at + 8], "little")
                for at in range(position + 4, position + 4 + length, 8)
            ]
            if size == 0xFFFFFFFF and values:
                size = values.pop(0)
            if packed == 0xFFFFFFFF and values:
                packed = values.pop(0)
            break
        position += 4 + length
    return packed, size


def _directory(reader: Reader, mark: bytes) -> bytes:
    """Pass over one record of the directory, which names again what was read; the comment in it."""
    if mark == _NAME:
        sizes = struct.unpack("<3H", reader.read(46)[28:34].ljust(6, b"\0"))
        reader.skip(sizes[0] + sizes[1])
        return reader.read(sizes[2])
    if mark == END:
        return reader.read(int.from_bytes(reader.read(22)[20:22], "little"))
    reader.skip(20 if mark == _ZIP64_LOCATOR else 12 + int.from_bytes(reader.peek(12)[4:12], "little"))
    return b""


def _until_mark(reader: Reader) -> Reader:
    """What stands before the next entry or the directory; at least a byte."""
    done = False
    first = 1

    def fill() -> bytes:
        nonlocal done, first
        if done:
            return b""
        data = reader.peek(64 << 10)
        found = (data.find(mark, first) for mark in (ENTRY, _NAME, END))
        at = min((place for place in found if place >= 0), default=-1)
        first = 0
        done = at >= 0 or len(data) < 64 << 10
        return reader.read(at if at >= 0 else len(data) - (0 if done else 3))

    return Reader(fill)


def _until_descriptor(reader: Reader) -> Reader:
    """Stored content whose size stands behind it: it ends where a descriptor states just that size."""
    done = False
    made = 0

    def fill() -> bytes:
        nonlocal done, made
        if done:
            return b""
        data = reader.peek(64 << 10)
        at = data.find(DESCRIPTOR)
        while at >= 0:
            stated = reader.peek(at + 12)[at + 8 : at + 12]
            if int.from_bytes(stated, "little") == (made + at) & 0xFFFFFFFF:
                done = True
                return reader.read(at)
            at = data.find(DESCRIPTOR, at + 1)
        keep = 3 if len(data) == 64 << 10 else 0
        done = not keep
        made += len(data) - keep
        return reader.read(len(data) - keep)

    return Reader(fill)
