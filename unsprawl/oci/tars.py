"""A tar in the order of its bytes: what stands in it and where links lead, whatever it claims of itself."""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, cast

from unsprawl.errors import UnreadableError
from unsprawl.structs import Struct

__all__ = ["Content", "Entry", "Owned", "entries"]

_BLOCK: Final = tarfile.BLOCKSIZE
_LONGEST_EXTENSION: Final = 1 << 20
_PIECE: Final = 1 << 20
_EARLY: Final = "the archive ends early"


class Entry(Struct, frozen=True):
    """``name`` has no leading ``./`` or slash. ``link`` is the name of another entry, "" where it is none.

    ``size`` is that of the content in bytes, ``modified`` in seconds since 1970.
    """

    name: str
    size: int
    is_file: bool
    is_directory: bool
    link: str = ""
    modified: float = 0.0


class Content(io.RawIOBase):
    """The content of the entry that was reached last. It ends when the walk goes on."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file = file
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file.read(min(len(view), self.left))
        if not data and self.left and len(view):
            raise UnreadableError(_EARLY)
        view[: len(data)] = data
        self.left -= len(data)
        return len(data)


class Owned(Content):
    """A content with the file it stands in, which is closed with it."""

    def __init__(self, content: Content, file: BinaryIO) -> None:
        super().__init__(cast("BinaryIO", content), content.left)
        self._whole = file

    def close(self) -> None:
        self._whole.close()
        super().close()


def entries(file: BinaryIO) -> Iterator[tuple[Entry, Content]]:
    """Every entry with its content, to be read before the next one is asked for.

    The trailer may be missing, as umoci leaves it out. Raises ``UnreadableError`` for what is no tar or ends
    within an entry.
    """
    seekable = file.seekable()
    extended: dict[str, str] = {}
    while header := _take(file, _BLOCK):
        if not header.strip(b"\0"):
            continue
        info = _parsed(header)
        if info.type in (b"L", b"K", b"x", b"g"):
            text = _take(file, info.size) if info.size <= _LONGEST_EXTENSION else b""
            if len(text) < info.size:
                raise UnreadableError("the archive has an impossible header")
            _skip(file, -info.size % _BLOCK, seekable)
            extended |= _extension(info.type, text)
            continue
        said = extended.get("size", "")
        has_content = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
        size = (int(said) if re.fullmatch(r"\d{1,18}", said) else info.size) if has_content else 0
        name = _plain(extended.get("path") or info.name)
        link = ""
        if info.issym():
            link = _plain(posixpath.join(posixpath.dirname(name), extended.get("linkpath") or info.linkname))
        elif info.islnk():
            link = _plain(extended.get("linkpath") or info.linkname)
        extended = {}
        content = Content(file, size)
        modified = float(info.mtime) if 0 <= info.mtime < 1 << 40 else 0.0
        yield Entry(name, size, info.isreg(), info.isdir(), link, modified), content
        if _skip(file, content.left, seekable) < content.left:
            raise UnreadableError(_EARLY)
        content.left = 0
        _skip(file, -size % _BLOCK, seekable)


def _parsed(header: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise UnreadableError(_EARLY if len(header) < _BLOCK else "this is no tar archive") from None
    if info.size < 0:
        raise UnreadableError("the archive has an impossible header")
    return info


def _extension(kind: bytes, text: bytes) -> dict[str, str]:
    if kind == b"g":
        return {}
    if kind in b"LK":
        name = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
        return {"path" if kind == b"L" else "linkpath": name}
    records: dict[str, str] = {}
    while match := re.match(rb"(\d{1,9}) ([^=]+)=", text):
        length = int(match[1])
        if length <= match.end() or length > len(text):
            break
        value = text[match.end() : length - 1].decode("utf-8", "surrogateescape")
        records[match[2].decode("utf-8", "replace")] = value
        text = text[length:]
    return records


def _plain(name: str) -> str:
    """The name below the top of the archive: nothing leads out of it."""
    return posixpath.normpath("/" + name).lstrip("/") or "."


def _take(file: BinaryIO, count: int) -> bytes:
    """``count`` bytes; fewer at the end."""
    parts: list[bytes] = []
    while count > 0 and (part := file.read(min(count, _PIECE))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _skip(file: BinaryIO, count: int, seekable: bool) -> int:
    """Pass over ``count`` bytes; the number that were there, as far as can be told."""
    if seekable:
        file.seek(count, io.SEEK_CUR)
        return count
    left = count
    while left > 0 and (part := file.read(min(left, _PIECE))):
        left -= len(part)
    return count - left
