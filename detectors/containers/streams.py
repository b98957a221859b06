"""Pulling bytes through layers of compression, in bounded memory.

A :class:`Reader` never raises for what is broken inside: it ends early and keeps the reason in
``fault``, so that everything before the damage is still scanned. Only the far side's own errors
(``SourceError``) pass.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, BinaryIO, Final, Protocol, cast

from unsprawl.detectors.containers.zstdframes import Frames
from unsprawl.structs import Struct

__all__ = ["Account", "Budget", "Reader", "damaged_at_once", "decompressed", "member", "over"]

#: Bytes pulled from below at once, given to a decompressor at once (damage takes them with it), made at once.
_IN: Final = 256 << 10
_PIECE: Final = 64 << 10
_OUT: Final = 1 << 20
#: Windows above this are refused: 128 MiB is what zstd --long and xz -9 need at most.
_WINDOW: Final = 128 << 20


class Budget(Struct, frozen=True):
    """What one document may cost while it is unpacked. Sizes in bytes.

    ``ratio`` bounds each compressed stream, once it has made more than ``ratio_floor``.
    """

    depth: int = 8
    unpacked: int = 64 << 30
    ratio: int = 200
    ratio_floor: int = 32 << 20
    entries: int = 2_000_000
    seconds: float = 3600.0


class Account(Struct):
    """What one document has cost so far."""

    budget: Budget
    unpacked: int = 0
    entries: int = 0
    deadline: float = 0.0
    spent: str = ""
    """Why nothing more of the document is unpacked."""
    closed: bool = False
    """Whether containers within containers are left closed, for others to open."""

    def __post_init__(self) -> None:
        self.deadline = monotonic() + self.budget.seconds


class Reader:
    """Bytes in order. ``source`` gives the next piece, ``b""`` at the end."""

    __slots__ = ("_chunk", "_offset", "fault", "position", "source")

    def __init__(self, source: Callable[[], bytes]) -> None:
        self.source = source
        self._chunk = b""
        self._offset = 0
        self.position = 0
        self.fault = ""

    @classmethod
    def of(cls, body: bytes | BinaryIO) -> Reader:
        if isinstance(body, bytes):
            reader = cls(lambda: b"")
            reader._chunk = body
            return reader
        read = body.read
        return cls(lambda: read(_OUT))

    def read(self, size: int) -> bytes:
        """``size`` bytes; fewer only at the end."""
        offset, chunk = self._offset, self._chunk
        have = len(chunk) - offset
        if have >= size:
            self._offset = offset + size
            self.position += size
            return chunk if not offset and have == size else chunk[offset : offset + size]
        pieces = [chunk[offset:] if offset else chunk]
        while have < size:
            chunk = self.source()
            if not chunk:
                break
            pieces.append(chunk)
            have += len(chunk)
        extra = have - size
        if extra > 0:
            self._chunk, self._offset = chunk, len(chunk) - extra
            pieces[-1] = chunk[: len(chunk) - extra]
        else:
            self._chunk, self._offset = b"", 0
        data = pieces[-1] if len(pieces) == 2 and not pieces[0] else b"".join(pieces)
        self.position += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, left where they are; fewer only at the end."""
        if len(self._chunk) - self._offset < size:
            data = self.read(max(size, _IN))
            self.position -= len(data)
            rest = self._chunk[self._offset :] if self._offset else self._chunk
            self._chunk, self._offset = (data + rest if rest else data), 0
        return self._chunk[self._offset : self._offset + size]

    def some(self, most: int = 1 << 62) -> bytes:
        """Whatever is at hand, from one to ``most`` bytes; ``b""`` at the end."""
        offset, chunk = self._offset, self._chunk
        if offset >= len(chunk):
            offset, chunk = 0, self.source()
        data = chunk if not offset and len(chunk) <= most else chunk[offset : offset + most]
        self._chunk, self._offset = chunk, offset + len(data)
        self.position += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Undo the reading of ``data``, the bytes read last."""
        if len(data) <= self._offset:
            self._offset -= len(data)
        else:
            self._chunk, self._offset = data + self._chunk[self._offset :], 0
        self.position -= len(data)

    def skip(self, size: int) -> int:
        """Pass over ``size`` bytes; the number that were there."""
        left = size
        while left > 0:
            data = self.some(left)
            if not data:
                break
            left -= len(data)
        return size - left


def member(parent: Reader, size: int) -> Reader:
    """The next ``size`` bytes of ``parent`` as a reader of their own; it ends early where the parent does."""
    left = size

    def fill() -> bytes:
        nonlocal left
        if not left:
            return b""
        data = parent.read(min(left, _OUT))
        left -= len(data)
        if not data:
            left = 0
        return data

    return Reader(fill)


class _Decompressor(Protocol):
    """What ``bz2``, ``lzma`` and ``isal`` agree upon."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def damaged_at_once(head: bytes, kind: str) -> str:
    """Why nothing at all can be unpacked from what begins with ``head``, if that is so."""
    probe = decompressed(Reader.of(head), kind, Account(Budget()))
    return probe.fault if not probe.peek(1) and probe.fault.startswith("damaged") else ""


def decompressed(parent: Reader, kind: str, account: Account) -> Reader:
    """What ``parent`` unpacks to. ``kind``: gzip, bzip2, xz, zstd; ``deflate`` ends with its stream."""
    reader = Reader(bytes)  # it gets its source below, which needs the reader to tell of faults
    reader.source = (
        _zstd_fill(reader, parent, account) if kind == "zstd" else _fill(reader, parent, kind, account)
    )
    return reader


def _fill(reader: Reader, parent: Reader, kind: str, account: Account) -> Callable[[], bytes]:
    new, errors = _codec(kind)
    start = parent.position
    state: _Decompressor | None = new()
    made = 0

    def fill() -> bytes:
        nonlocal state, made
        while state is not None and not reader.fault:
            try:
                if state.eof:
                    parent.give_back(state.unused_data)
                    state = new() if kind != "deflate" and _continues(parent, kind) else None
                    continue
                data = parent.some(_PIECE) if state.needs_input else b""
                if state.needs_input and not data:
                    reader.fault = parent.fault or f"truncated {kind} data"
                    return b""
                out = state.decompress(data, _OUT)
            except errors as error:
                reader.fault = f"damaged {kind} data: {_words(error)}"
                return b""
            except EOFError:
                state = None
                return b""
            if out:
                made += len(out)
                reader.fault = over(account, len(out), made, parent.position - start)
                return out
        return b""

    return fill


def _continues(parent: Reader, kind: str) -> bool:
    """Whether another stream follows; padding and trailing garbage do not count as one."""
    magic = {"gzip": b"\x1f\x8b\x08", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}[kind]
    return parent.peek(len(magic)) == magic


def _codec(kind: str) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    if kind in ("gzip", "deflate"):
        from isal import igzip_lib, isal_zlib

        flag = igzip_lib.DECOMP_GZIP if kind == "gzip" else igzip_lib.DECOMP_DEFLATE
        return (lambda: igzip_lib.IgzipDecompressor(flag)), (cast("type[Exception]", isal_zlib.error),)
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor, (OSError, ValueError)
    import lzma

    return (lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW)), (lzma.LZMAError,)


def _zstd_fill(reader: Reader, parent: Reader, account: Account) -> Callable[[], bytes]:
    import zstandard

    frames = Frames()

    class Source:
        """The file that zstandard reads from."""

        def read(self, size: int = -1) -> bytes:
            data = parent.read(size if size > 0 else _PIECE)
            frames.feed(data)
            return data

    start = parent.position
    made = 0
    stream: Any = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
        cast("BinaryIO", Source()), read_size=_PIECE, read_across_frames=True
    )

    def fill() -> bytes:
        nonlocal made
        if reader.fault:
            return b""
        try:
            out = bytes(stream.read(_OUT))
        except zstandard.ZstdError as error:
            reader.fault = f"damaged zstd data: {_words(error)}"
            return b""
        if not out:
            reader.fault = parent.fault or ("" if frames.whole else "truncated zstd data")
            return b""
        made += len(out)
        reader.fault = over(account, len(out), made, parent.position - start)
        return out

    return fill


def over(account: Account, size: int, made: int, taken: int) -> str:
    """Which budget the last ``size`` bytes broke, if any, of ``made`` that came out of ``taken`` in all."""
    budget = account.budget
    account.unpacked += size
    if made > budget.ratio_floor and made > budget.ratio * max(taken, 1):
        return f"unpacks to more than {budget.ratio} times its size"
    if account.unpacked > budget.unpacked:
        account.spent = f"unpacks to more than {budget.unpacked >> 20} MiB"
    elif monotonic() > account.deadline:
        account.spent = f"takes more than {budget.seconds:.0f} s"
    return account.spent


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
