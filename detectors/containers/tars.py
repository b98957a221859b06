"""Tar archives, in the order of the file: every dialect that is in use, whatever the sizes claim."""

from __future__ import annotations

from typing import Final

from unsprawl.detectors.containers.pieces import Inside, Pieces, entry_name
from unsprawl.detectors.containers.streams import Reader, member

__all__ = ["BLOCK", "checksum_fits", "tar_entries"]

#: Bytes of a header; contents are padded to a multiple of it.
BLOCK: Final = 512
_SIZE_DIGITS: Final = 20
_LONGEST_NAME: Final = 64 << 10


def tar_entries(reader: Reader, inside: Inside) -> Pieces:
    long_name = b""
    extended: dict[bytes, bytes] = {}
    for_all: dict[bytes, bytes] = {}
    while not inside.account.spent:
        header = reader.read(BLOCK)
        if not header.strip(b"\0"):
            return True  # the trailer, or the end: some writers leave padding and trailer out
        if len(header) < BLOCK or not checksum_fits(header):
            if not reader.fault:
                truncated = len(header) < BLOCK
                yield inside.cut("truncated tar archive" if truncated else "damaged tar header")
            return False
        over = inside.counted()
        if over:
            yield over
            return False
        kind = header[156:157]
        size = _number(header[124:136])
        if size is None:
            yield inside.cut("damaged tar header: impossible size")
            return False
        if kind in b"LKxgX" and kind:
            raw = reader.read(size) if size <= _LONGEST_NAME * 16 else b""
            if len(raw) < size:
                yield inside.cut("damaged tar header: impossible extension")
                return False
            reader.skip(-size % BLOCK)
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
        name = entry_name(
            known.get(b"GNU.sparse.name") or known.get(b"path") or long_name or _short_name(header)
        )
        long_name, extended = b"", {}
        if kind not in (b"0", b"\0", b"7", b"S"):
            # Links, devices and folders hold no content; a size on them is a lie or a leftover.
            if kind not in (b"1", b"2", b"3", b"4", b"5", b"6") or (kind == b"5" and size):
                reader.skip(size + -size % BLOCK)
            continue
        if kind == b"S" and not _skip_sparse_map(reader, header):
            yield inside.cut("damaged sparse map", name)
            return False
        if name.endswith("/") or not size:
            continue
        begin = reader.position
        content = member(reader, size)
        yield from inside.below(content, name)
        left = size - (reader.position - begin)
        if left and reader.skip(left) < left:
            if not reader.fault:
                whole = reader.position - begin
                yield inside.cut(f"truncated: {whole} of {size} bytes are there", name)
            return False
        reader.skip(-size % BLOCK)
    return False


def checksum_fits(header: bytes) -> bool:
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
        block = reader.read(BLOCK)
        if len(block) < BLOCK:
            return False
        more = block[504:505] == b"\1"
    return True
