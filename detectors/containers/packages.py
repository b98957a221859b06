"""Packages of operating systems and browsers: ar (deb), cpio and what wraps it (rpm), extensions."""

from __future__ import annotations

from typing import Final

from unsprawl.detectors.containers.pieces import Inside, Leaf, Pieces, entry_name
from unsprawl.detectors.containers.streams import Reader, member
from unsprawl.detectors.containers.zips import zip_entries

__all__ = ["ar_entries", "browser_extension", "cpio_entries", "rpm"]

_AR_MAGIC: Final = 8
_AR_HEADER: Final = 60
_AR_END: Final = b"`\n"
#: Bytes of a table of long names, and of a name.
_NAMES: Final = 4 << 20
_NAME: Final = 4 << 10

_NEW_ASCII: Final = (b"070701", b"070702")
_OLD_ASCII: Final = b"070707"
_CPIO_END: Final = b"TRAILER!!!"
_FORMAT: Final = 0o170000
_FILE: Final = 0o100000

_RPM_LEAD: Final = 96
_RPM_HEADER: Final = b"\x8e\xad\xe8"
_RPM_SIZES: Final = 64 << 20


def ar_entries(reader: Reader, inside: Inside) -> Pieces:
    """The members of an ar archive: a Debian package, a static library."""
    reader.skip(_AR_MAGIC)
    names = b""
    while not inside.account.spent:
        header = reader.read(_AR_HEADER)
        if not header.strip(b"\0\n"):
            return True
        digits = header[48:58].strip()
        if len(header) < _AR_HEADER or header[58:] != _AR_END or not digits.isdigit():
            reader.give_back(header)
            yield inside.cut("truncated or damaged ar archive")
            yield Leaf(inside.own, reader)
            return False
        if one_too_many := inside.counted():
            yield one_too_many
            return False
        size, raw = int(digits), header[:16].rstrip()
        if raw == b"//" and size <= _NAMES:
            names = reader.read(size)
            reader.skip(size % 2)
            continue
        begin = reader.position
        if raw.startswith(b"#1/") and raw[3:].isdigit():
            raw = reader.read(min(int(raw[3:]), size, _NAME)).rstrip(b"\0")
        elif raw[:1] == b"/" and raw[1:].isdigit():
            at = int(raw[1:])
            raw = names[at : at + _NAME].split(b"\n", 1)[0]
        name = entry_name(raw.removesuffix(b"/"))
        content = member(reader, size - (reader.position - begin))
        yield from inside.below(content, name)
        left = size - (reader.position - begin)
        if reader.skip(left) < left:
            yield inside.cut("truncated", name)
            return False
        reader.skip(size % 2)
    return False


def cpio_entries(reader: Reader, inside: Inside) -> Pieces:
    """The files of a cpio archive in one of its two text formats: a package, an initial file system."""
    while not inside.account.spent:
        magic = reader.peek(6)
        sizes = (
            _new_ascii(reader) if magic in _NEW_ASCII else _old_ascii(reader) if magic == _OLD_ASCII else None
        )
        if sizes is None:
            yield inside.cut("truncated or damaged cpio archive")
            yield Leaf(inside.own, reader)
            return False
        mode, name_size, size, padding = sizes
        raw = reader.read(min(name_size, _NAME)).rstrip(b"\0")
        reader.skip(max(name_size - _NAME, 0))
        reader.skip(-(110 + name_size) % padding)
        if raw == _CPIO_END:
            return True
        if one_too_many := inside.counted():
            yield one_too_many
            return False
        name = entry_name(raw)
        begin = reader.position
        if mode & _FORMAT == _FILE and size:
            yield from inside.below(member(reader, size), name)
        left = size - (reader.position - begin)
        if reader.skip(left) < left:
            yield inside.cut("truncated", name)
            return False
        reader.skip(-size % padding)
    return False


def _new_ascii(reader: Reader) -> tuple[int, int, int, int] | None:
    header = reader.peek(110)
    try:
        fields = [int(header[at : at + 8], 16) for at in range(6, 110, 8)]
    except ValueError:
        return None
    if len(header) < 110 or min(fields) < 0:
        return None
    reader.skip(110)
    return fields[1], fields[11], fields[6], 4


def _old_ascii(reader: Reader) -> tuple[int, int, int, int] | None:
    header = reader.peek(76)
    try:
        mode, name_size, size = (int(header[a:b], 8) for a, b in ((18, 24), (59, 65), (65, 76)))
    except ValueError:
        return None
    if len(header) < 76 or min(mode, name_size, size) < 0:
        return None
    reader.skip(76)
    return mode, name_size, size, 1


def rpm(reader: Reader, inside: Inside) -> Pieces:
    """The headers of an RPM package, which hold its scripts, and its files."""
    reader.skip(_RPM_LEAD)
    for padding in (8, 1):
        header = reader.peek(16)
        size = 16 * int.from_bytes(header[8:12], "big") + int.from_bytes(header[12:16], "big")
        if header[:3] != _RPM_HEADER or len(header) < 16 or size > _RPM_SIZES:
            yield inside.cut("truncated or damaged rpm package")
            yield Leaf(inside.own, reader)
            return False
        size += 16
        content = member(reader, size)
        if padding == 1:
            yield Leaf(inside.member("header"), content)
        content.skip(1 << 62)
        reader.skip(-size % padding)
    yield from inside.below(reader, "payload")
    return False


def browser_extension(reader: Reader, inside: Inside) -> Pieces:
    """A browser extension: a zip behind a signature."""
    header = reader.peek(16)
    sizes = [int.from_bytes(header[at : at + 4], "little") for at in (8, 12)]
    reader.skip(12 + sizes[0] if header[4] == 3 else 16 + sum(sizes))
    return (yield from zip_entries(reader, inside))
