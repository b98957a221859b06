"""Archives inside archives, read as streams: never extracted, never seeking, within a budget.

Everything is recognised by its first bytes, not by its name. A zip is read from its local headers
in the order of the file, not from the directory at its end: that needs no seeking and no buffer,
reads what a truncated file still holds, and sees each byte once, so overlapping entries gain nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from unsprawl.detectors.containers.streams import Account, Reader, damaged_at_once, decompressed, member

__all__ = ["Cut", "Leaf", "leaves", "may_be_packed"]

_COMPRESSED: Final = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_STARTS: Final = (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x28\xb5", b"PK", b"7z", b"Ra", b"\xff\xfe", b"\xfe\xff")
_UNREAD: Final = ((b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"))
_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst", ".tgz", ".tbz2", ".txz", ".gzip", ".zstd")
_BLOCK: Final = 512
_PROBE: Final = 4 << 10
_SIZE_DIGITS: Final = 20
_LONGEST_NAME: Final = 64 << 10
_ZIP_ENTRY: Final = b"PK\x03\x04"
_ZIP_NAME: Final = b"PK\x01\x02"
_ZIP_END: Final = b"PK\x05\x06"
_ZIP64_END: Final = b"PK\x06\x06"
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_ZIP_DESCRIPTOR: Final = b"PK\x07\x08"
_ZIP_METHODS: Final = {8: "deflate", 12: "bzip2", 93: "zstd", 95: "xz"}
_HINT: Final = "The rest of it was not scanned: unpack it and scan the result, or exclude it."


@dataclass(frozen=True, slots=True)
class Leaf:
    """Content to scan. It must be read before the next one is asked for."""

    member: str
    reader: Reader


@dataclass(frozen=True, slots=True)
class Cut:
    """A member, or the rest of one, that was not read."""

    member: str
    reason: str
    hint: str = _HINT


#: Pieces of an archive, and whether it ended as it should.
_Pieces: TypeAlias = Generator[Leaf | Cut, None, bool]


def may_be_packed(body: bytes) -> bool:
    """A quick look: no text and no picture starts like this, or it may be an archive or UTF-16."""
    # The last line knows the oldest tars, which have no magic: a checksum in octal stands there.
    return (
        body[:2] in _STARTS
        or body[257:262] == b"ustar"
        or (body[148:155].strip(b" \0").isdigit() and bool(_kind(body[:_BLOCK])))
    )


def leaves(
    reader: Reader, name: str, account: Account, path: str = "", depth: int = 0
) -> Iterator[Leaf | Cut]:
    """All content of ``reader``, as deep as the budget allows.

    ``name`` is its file name, ``path`` its member path. What stands behind the end of an archive is
    content like any other: a second one, or text that someone appended.
    """
    while (yield from _content(reader, name, account, path, depth)):
        if account.spent or not _more(reader):
            return


def _more(reader: Reader) -> bool:
    """Whether anything but padding is left."""
    while data := reader.some():
        if rest := data.lstrip(b"\0"):
            reader.give_back(rest)
            return True
    return False


def _content(reader: Reader, name: str, account: Account, path: str, depth: int) -> _Pieces:
    """One archive, or all there is; True if it was an archive that ended well."""
    head = reader.peek(_BLOCK)
    kind = _kind(head)
    if not kind:
        yield Leaf(path, reader)
        return False
    if kind in ("7z", "rar"):
        yield Leaf(path, reader)
        yield Cut(path, f"{kind} archives are not unpacked", "Unpack it and scan the result, or exclude it.")
        return False
    if depth >= account.budget.depth:
        yield Cut(path, f"archives nested more than {account.budget.depth} deep")
        return False
    if kind == "tar":
        return (yield from _tar(reader, account, path, depth))
    if kind == "zip":
        return (yield from _zip(reader, account, path, depth))
    reason = damaged_at_once(reader.peek(_PROBE), kind)
    if reason:
        # It only looked compressed, or nothing of it can be had: scan what is there.
        yield Leaf(path, reader)
        yield Cut(path, reason)
        return False
    inner = decompressed(reader, kind, account)
    first = inner.peek(_BLOCK)
    stem = _stem(name)
    yield from leaves(inner, stem, account, path if _kind(first) else _joined(path, stem), depth + 1)
    if inner.fault:
        yield Cut(path, inner.fault)
    return not inner.fault


def _kind(head: bytes) -> str:
    for magic, kind in _COMPRESSED:
        if head.startswith(magic) and (kind != "bzip2" or head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")):
            return kind
    if head.startswith((_ZIP_ENTRY, _ZIP_DESCRIPTOR + _ZIP_ENTRY, b"PK\x05\x06")):
        return "zip"
    for magic, kind in _UNREAD:
        if head.startswith(magic):
            return kind
    if (
        len(head) == _BLOCK
        and head[0]
        and (head[257:262] == b"ustar" or head[148:155].strip(b" \x00").isdigit())
    ):
        return "tar" if _checksum_fits(head) else ""
    return ""


def _stem(name: str) -> str:
    name = name.rsplit("/", 1)[-1]
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)] + (".tar" if suffix.startswith(".t") else "")
    return name or "content"


def _joined(path: str, name: str) -> str:
    return f"{path}!/{name}" if path else name


def _below(reader: Reader, name: str, account: Account, path: str, depth: int) -> Iterator[Leaf | Cut]:
    """One entry of an archive. Its name is shown whole, its base name decides nothing."""
    yield from leaves(reader, name, account, _joined(path, name), depth + 1)
    if reader.fault:
        yield Cut(_joined(path, name), reader.fault)


def _name(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace")
    while text.startswith(("./", "/")):
        text = text[1:] if text[0] == "/" else text[2:]
    return text or "."


def _counted(account: Account, path: str) -> Cut | None:
    """Count an entry; a cut where that is one too many."""
    account.entries += 1
    if account.entries <= account.budget.entries:
        return None
    account.spent = f"more than {account.budget.entries} archive entries"
    return Cut(path, account.spent)


# --- tar -----------------------------------------------------------------------------------------


def _tar(reader: Reader, account: Account, path: str, depth: int) -> _Pieces:
    long_name = b""
    extended: dict[bytes, bytes] = {}
    for_all: dict[bytes, bytes] = {}
    while not account.spent:
        header = reader.read(_BLOCK)
        if not header.strip(b"\0"):
            return True  # the trailer, or the end: some writers leave padding and trailer out
        if len(header) < _BLOCK or not _checksum_fits(header):
            if not reader.fault:
                truncated = len(header) < _BLOCK
                yield Cut(path, "truncated tar archive" if truncated else "damaged tar header")
            return False
        over = _counted(account, path)
        if over:
            yield over
            return False
        kind = header[156:157]
        size = _number(header[124:136])
        if size is None:
            yield Cut(path, "damaged tar header: impossible size")
            return False
        if kind in b"LKxgX" and kind:
            raw = reader.read(size) if size <= _LONGEST_NAME * 16 else b""
            if len(raw) < size:
                yield Cut(
                    path, "damaged tar header: impossible extension" if size > len(raw) else "truncated"
                )
                return False
            reader.skip(-size % _BLOCK)
            if kind == b"L":
                long_name = raw.rstrip(b"\0")[:_LONGEST_NAME]
            elif kind in b"xX":
                extended = _records(raw)
            elif kind == b"g":
                for_all |= _records(raw)
            continue
        known = for_all | extended
        stated = known.get(b"size", b"")
        size = int(stated) if stated.isdigit() and len(stated) < _SIZE_DIGITS else size
        name = _name(known.get(b"GNU.sparse.name") or known.get(b"path") or long_name or _short_name(header))
        long_name, extended = b"", {}
        if kind not in (b"0", b"\0", b"7", b"S"):
            # Links, devices and folders hold no content; a size on them is a lie or a leftover.
            if kind not in (b"1", b"2", b"3", b"4", b"5", b"6") or (kind == b"5" and size):
                reader.skip(size + -size % _BLOCK)
            continue
        if kind == b"S" and not _skip_sparse_map(reader, header):
            yield Cut(_joined(path, name), "damaged sparse map")
            return False
        if name.endswith("/") or not size:
            continue
        begin = reader.position
        content = member(reader, size)
        yield from _below(content, name, account, path, depth)
        left = size - (reader.position - begin)
        if left and reader.skip(left) < left:
            if not reader.fault:
                whole = reader.position - begin
                yield Cut(_joined(path, name), f"truncated: {whole} of {size} bytes are there")
            return False
        reader.skip(-size % _BLOCK)
    return False


def _checksum_fits(header: bytes) -> bool:
    stated = _number(header[148:156])
    blank = header[:148] + b" " * 8 + header[156:]
    if stated == sum(blank):
        return True
    # Very old writers summed signed characters.
    return stated == sum(byte - 256 if byte > 127 else byte for byte in blank)


def _number(field: bytes) -> int | None:
    """Octal, or base 256 where the first bit is set. None for what is neither, or is negative."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        return value if field[0] == 0x80 and value < 1 << 62 else None
    text = field.strip(b" \0")
    try:
        value = int(text or b"0", 8)
    except ValueError:
        return None
    return value if value >= 0 else None


def _short_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _records(raw: bytes) -> dict[bytes, bytes]:
    """``28 path=some/long/name`` and a line end, and so on; what is malformed ends the list."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(raw):
        blank = raw.find(b" ", position, position + 20)
        digits = raw[position:blank] if blank > 0 else b""
        if not digits.isdigit() or int(digits) <= len(digits) + 1:
            break
        key, _, value = raw[blank + 1 : position + int(digits) - 1].partition(b"=")
        found[key] = value
        position += int(digits)
    return found


def _skip_sparse_map(reader: Reader, header: bytes) -> bool:
    """Old GNU sparse files list their holes before the content, which is scanned without the holes."""
    more = header[482:483] == b"\1"
    while more:
        block = reader.read(_BLOCK)
        if len(block) < _BLOCK:
            return False
        more = block[504:505] == b"\1"
    return True


# --- zip -----------------------------------------------------------------------------------------


def _zip(reader: Reader, account: Account, path: str, depth: int) -> _Pieces:
    if reader.peek(4) == _ZIP_DESCRIPTOR:
        reader.skip(4)  # the mark of an archive that was meant to be split
    directory = False
    while not account.spent:
        mark = reader.peek(4)
        if mark != _ZIP_ENTRY:
            if mark in (_ZIP_NAME, _ZIP_END, _ZIP64_END, _ZIP64_LOCATOR):
                if comment := _directory(reader, mark):
                    yield Leaf(path, _placed(Reader.of(comment), reader.position - len(comment)))
                if mark == _ZIP_END:
                    return True
                directory = True
                continue
            # Other tools put blocks of their own between entries; and a header may lie about a size.
            if mark:
                between = _placed(_until_mark(reader), reader.position)
                yield Leaf(path, between)
                between.skip(1 << 62)
            if not reader.peek(1):
                if not (reader.fault or directory):
                    yield Cut(path, "truncated zip archive: its directory is missing")
                return False
            continue
        over = _counted(account, path)
        if over:
            yield over
            return False
        header = reader.read(30)
        if len(header) < 30:
            yield Cut(path, "truncated zip archive")
            return False
        _, _, flags, method, _, _, _, packed, size, name_size, extra_size = struct.unpack("<4s5H3I2H", header)
        name = _name(reader.read(name_size))
        extra = reader.read(extra_size)
        packed, size = _zip64(extra, packed, size)
        here = _joined(path, name)
        streamed = bool(flags & 8) and not packed
        if flags & 1:
            yield Cut(here, "encrypted", "Decrypt it and scan the result, or exclude it.")
            reader.skip(packed)
            continue
        if method and method not in _ZIP_METHODS:
            yield Cut(here, f"zip compression method {method} is not read")
            reader.skip(packed)
            continue
        if not method:
            content = _until_descriptor(reader) if streamed else member(reader, packed)
            begin = reader.position
            yield from _below(content, name, account, path, depth)
            if not streamed and not _passed(reader, begin, packed):
                if not reader.fault:
                    yield Cut(here, "truncated")
                return False
            content.skip(1 << 62)
        else:
            source = reader if streamed else member(reader, packed)
            begin = reader.position
            content = decompressed(source, _ZIP_METHODS[method], account)
            yield from _below(content, name, account, path, depth)
            if streamed:
                content.skip(1 << 62)
                if content.fault:
                    return False
            elif not _passed(reader, begin, packed):
                if not (content.fault or reader.fault):
                    yield Cut(here, "truncated")
                return False
        if flags & 8 and reader.peek(4) == _ZIP_DESCRIPTOR:
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
    if mark == _ZIP_NAME:
        sizes = struct.unpack("<3H", reader.read(46)[28:34].ljust(6, b"\0"))
        reader.skip(sizes[0] + sizes[1])
        return reader.read(sizes[2])
    if mark == _ZIP_END:
        return reader.read(int.from_bytes(reader.read(22)[20:22], "little"))
    reader.skip(20 if mark == _ZIP64_LOCATOR else 12 + int.from_bytes(reader.peek(12)[4:12], "little"))
    return b""


def _placed(reader: Reader, position: int) -> Reader:
    """``reader``, which counts on from ``position`` of the archive."""
    reader.position = position
    return reader


def _until_mark(reader: Reader) -> Reader:
    """What stands before the next entry or the directory; at least a byte."""
    done = False
    first = 1

    def fill() -> bytes:
        nonlocal done, first
        if done:
            return b""
        data = reader.peek(64 << 10)
        found = (data.find(mark, first) for mark in (_ZIP_ENTRY, _ZIP_NAME, _ZIP_END))
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
        at = data.find(_ZIP_DESCRIPTOR)
        while at >= 0:
            stated = reader.peek(at + 12)[at + 8 : at + 12]
            if int.from_bytes(stated, "little") == (made + at) & 0xFFFFFFFF:
                done = True
                return reader.read(at)
            at = data.find(_ZIP_DESCRIPTOR, at + 1)
        keep = 3 if len(data) == 64 << 10 else 0
        done = not keep
        made += len(data) - keep
        return reader.read(len(data) - keep)

    return Reader(fill)
