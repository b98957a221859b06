"""Which files an image layer brings, deletes and covers: names alone, read from its tar headers.

A file that a later layer deletes or overwrites is gone from the running container and still lies in
its own layer, for whoever pulls the image. To say so, the headers of the layers above are read.
"""

from __future__ import annotations

import io
import posixpath
import re
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import BinaryIO, Final, Literal, cast

import zstandard
from isal import igzip, isal_zlib

from unsprawl.errors import UnreadableError
from unsprawl.structs import Struct, field

__all__ = ["LayerNames", "NamesCache", "decompressed", "member_path", "read_names"]

_BLOCK: Final = 512
_MOST_NAMES: Final = 1_000_000
#: Names of all layers that are kept in memory, some hundred bytes each.
_MOST_CACHED: Final = 400_000
_LONGEST_NAME: Final = 64 * 1024
#: What one layer may unpack to before its names are given up. Skipping bytes costs time only.
_MOST_BYTES: Final = 64 << 30
_WINDOW: Final = 1 << 27
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_ISAL_ERROR: Final = cast("type[Exception]", isal_zlib.error)


class LayerNames(Struct):
    """``entries``: path to whether it is a directory. ``deleted``: paths. ``opaque``: emptied directories."""

    entries: dict[str, bool] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)

    def add(self, name: str, is_directory: bool) -> None:
        path = member_path(name)
        parent, base = posixpath.split(path)
        if base == _OPAQUE:
            self.opaque.add(parent)
        elif base.startswith(_WHITEOUT):
            self.deleted.add(posixpath.join(parent, base.removeprefix(_WHITEOUT)))
        elif path:
            self.entries[path] = is_directory

    def does(self, path: str) -> Literal["deletes", "overwrites", ""]:
        """What this layer does to a file of a layer below."""
        lineage = [path, *_parents(path)]
        if any(one in self.deleted for one in lineage):
            return "deletes" if path not in self.entries else "overwrites"
        if path in self.entries:
            return "overwrites"
        if any(one in self.opaque for one in [*lineage[1:], ""]):
            return "deletes"
        if any(self.entries.get(one) is False for one in lineage[1:]):
            return "overwrites"
        return ""

    def __len__(self) -> int:
        return len(self.entries) + len(self.deleted) + len(self.opaque)


class NamesCache:
    """Names of the layers read last, up to a total number of names. Threads may share it."""

    def __init__(self, most: int = _MOST_CACHED) -> None:
        self._most = most
        self._held: OrderedDict[str, LayerNames] = OrderedDict()
        self._total = 0
        self._lock = Lock()

    def get(self, digest: str) -> LayerNames | None:
        with self._lock:
            names = self._held.get(digest)
            if names is not None:
                self._held.move_to_end(digest)
            return names

    def put(self, digest: str, names: LayerNames) -> None:
        with self._lock:
            if digest in self._held:
                return
            self._held[digest] = names
            self._total += len(names)
            while self._total > self._most and len(self._held) > 1:
                _, oldest = self._held.popitem(last=False)
                self._total -= len(oldest)


def member_path(member: str) -> str:
    """The path inside the image of an archive member: no leading ``./`` or slash, no inner member."""
    outer = member.partition("!/")[0]
    path = posixpath.normpath("/" + outer).lstrip("/")
    return "" if path == "." else path


def read_names(file: BinaryIO) -> LayerNames:
    """The names of a layer, packed or not. A missing end of the tar is no error: umoci writes no padding."""
    names = LayerNames()
    for name, is_directory in _headers(decompressed(file)):
        names.add(name, is_directory)
        if len(names) > _MOST_NAMES:
            raise UnreadableError(f"a layer with more than {_MOST_NAMES} entries")
    return names


def decompressed(file: BinaryIO) -> BinaryIO:
    """``file`` without its gzip or zstd packing, told by its first bytes, not by its media type."""
    # One that is buffered is not wrapped: the wrapper would warn that nobody has closed it.
    held = isinstance(file, io.BufferedReader)
    buffered = cast(io.BufferedReader, file) if held else io.BufferedReader(cast(io.RawIOBase, file), 1 << 18)
    magic = buffered.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        unpacked = igzip.GzipFile(fileobj=buffered, mode="rb")  # type: ignore[no-untyped-call]
        return cast(BinaryIO, unpacked)
    if magic == b"\x28\xb5\x2f\xfd" or (magic[1:] == b"\x2a\x4d\x18" and magic[0] & 0xF0 == 0x50):
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        return cast(BinaryIO, decompressor.stream_reader(buffered, read_across_frames=True))
    return cast(BinaryIO, buffered)


# --- tar headers ---------------------------------------------------------------------------------


class _Tar(Struct):
    """A stream of blocks under a budget."""

    file: BinaryIO
    left: int = _MOST_BYTES

    def take(self, count: int) -> bytes:
        """Up to ``count`` bytes: fewer at the end of the archive."""
        parts: list[bytes] = []
        while count > 0:
            part = self._read(min(count, 1 << 20))
            if not part:
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        while count > 0:
            part = self._read(min(count, 1 << 20))
            if not part:
                return
            count -= len(part)

    def _read(self, count: int) -> bytes:
        try:
            part = self.file.read(count)
        except EOFError:
            raise UnreadableError("the layer's packing ends early") from None
        except (OSError, ValueError, zlib.error, _ISAL_ERROR, zstandard.ZstdError) as error:
            raise UnreadableError("the layer cannot be unpacked") from error
        self.left -= len(part)
        if self.left < 0:
            raise UnreadableError(f"a layer that unpacks to more than {_MOST_BYTES >> 30} GiB")
        return part


def _headers(file: BinaryIO) -> Iterator[tuple[str, bool]]:
    """Name and "is a directory" of every entry. Understands ustar, GNU and PAX long names."""
    tar = _Tar(file)
    long_name = ""
    long_size: int | None = None
    while len(header := tar.take(_BLOCK)) == _BLOCK:
        if not header.strip(b"\0"):
            continue  # the trailer, or padding between concatenated archives
        kind = header[156:157]
        size = _number(header[124:136])
        if size < 0 or not _sound(header):
            raise UnreadableError("the layer is not a tar archive")
        if kind in b"xLK":
            text = tar.take(min(size, _LONGEST_NAME))
            tar.skip(_padded(size) - len(text))
            if kind == b"L":
                long_name = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif kind == b"x":
                records = _pax(text)
                long_name = records.get("path", records.get("GNU.sparse.name", long_name))
                said = records.get("size", "")
                long_size = int(said) if said.isascii() and said.isdigit() else None
            continue
        if kind == b"S":
            more = header[482:483] != b"\0"
            while more and len(block := tar.take(_BLOCK)) == _BLOCK:
                more = block[504:505] != b"\0"
        name = long_name or _name(header)
        if kind != b"g":
            yield name, kind == b"5" or name.endswith("/")
            long_name, size, long_size = "", size if long_size is None else long_size, None
        # Links, devices and directories have no content, whatever their size says.
        tar.skip(0 if kind in b"123456" and kind else _padded(size))


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].split(b"\0", 1)[0]
        name = prefix + b"/" + name if prefix else name
    return name.decode("utf-8", "surrogateescape")


def _number(octets: bytes) -> int:
    """Octal text, or base 256 when the first bit is set. -1 when it is neither."""
    if octets[0] & 0x80:
        return int.from_bytes(bytes([octets[0] & 0x7F]) + octets[1:], "big")
    text = octets.split(b"\0", 1)[0].strip()
    return (int(text, 8) if re.fullmatch(rb"[0-7]+", text) else -1) if text else 0


def _sound(header: bytes) -> bool:
    expected = _number(header[148:156])
    bare = header[:148] + b" " * 8 + header[156:]
    return expected in (sum(bare), sum(byte - 256 if byte > 127 else byte for byte in bare))


def _pax(text: bytes) -> dict[str, str]:
    """Records of length, blank, key, equals sign, value, newline. A wrong length ends the reading."""
    records: dict[str, str] = {}
    while match := re.match(rb"(\d{1,9}) ([^=]+)=", text):
        length = int(match[1])
        if length <= match.end() or length > len(text):
            break
        value = text[match.end() : length - 1]
        records[match[2].decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        text = text[length:]
    return records


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _parents(path: str) -> list[str]:
    """Every directory above ``path``, the nearest first, without the root."""
    found = []
    while path := posixpath.dirname(path):
        found.append(path)
    return found
