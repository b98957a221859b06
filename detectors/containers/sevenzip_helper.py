"""The process that unpacks 7z archives, which cannot be read in the order of the file. See ``apart``."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import Any, Final

import py7zr
from py7zr.exceptions import PasswordRequired, UnsupportedCompressionMethodError

from unsprawl.detectors.containers.helper import Members, serve

#: Processor seconds an archive, and bytes of memory: a dictionary has to fit in it besides the archive.
_SECONDS: Final = 900
_MEMORY: Final = 1536 << 20
#: Bytes that are unpacked at once.
_OUT: Final = 1 << 20


class _Writer(py7zr.Py7zIO):
    """Where the library writes a member; it is begun with its first byte, for folders have none."""

    def __init__(self, name: str, members: Members) -> None:
        self._name = name
        self._members = members
        self._size = 0

    def write(self, s: bytes | bytearray) -> int:
        if not self._size:
            self._members.begin(self._name, nested=True)
        self._size += len(s)
        self._members.data(s)
        return len(s)

    def read(self, size: int | None = None) -> bytes:  # noqa: ARG002 - what is asked for is nothing
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:  # noqa: ARG002 - it only grows
        return self._size

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return self._size


class _Writers(py7zr.WriterFactory):
    def __init__(self, members: Members) -> None:
        self._members = members

    def create(self, filename: str) -> py7zr.Py7zIO:
        return _Writer(filename, self._members)


def _read(body: bytes, members: Members) -> None:
    library: Any = py7zr.py7zr
    # It unpacks a quarter of what memory is free at once, if nobody tells it otherwise.
    library.get_memory_limit = lambda: _OUT
    # It reads nothing of an archive in which one name leads out of the folder; here are no folders.
    library.get_sanitized_output_path = lambda name, _: PurePosixPath(name)
    try:
        with py7zr.SevenZipFile(io.BytesIO(body)) as archive:
            if archive.needs_password():
                members.cut("encrypted")
                return
            archive.extractall(factory=_Writers(members))
    except PasswordRequired:
        members.cut("encrypted")
    except UnsupportedCompressionMethodError as error:
        members.cut(f"a compression method that is not read: {error}")


if __name__ == "__main__":
    serve(_read, seconds=_SECONDS, memory=_MEMORY)
