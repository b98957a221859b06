"""The inner side of ``apart``: a process that reads one document after the other, within limits.

Both sides talk in frames, a kind and a size before the content: a document in, then the members found
in it, each begun, filled and ended, and what could not be read, and at last that this was all.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from collections.abc import Callable
from typing import BinaryIO, Final

__all__ = ["BEGIN", "CUT", "DATA", "DONE", "END", "HEADER", "LONGEST", "NESTED", "Members", "serve"]

HEADER: Final = struct.Struct("<cQ")
#: A member to scan, one that may hold others; their content; the end of it. What was not read, as member,
#: NUL and reason; and the end of the document.
BEGIN, NESTED, DATA, END, CUT, DONE = (bytes([letter]) for letter in b"BNDECO")
#: Bytes of the longest answer.
LONGEST: Final = 4 << 20
_NAME: Final = 4 << 10


class Members:
    """What a parser has found, on its way out."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._open = False

    def begin(self, name: str, *, nested: bool = False) -> None:
        """A new member, which may itself be a container if it is ``nested``."""
        self.end()
        self._frame(NESTED if nested else BEGIN, _encoded(name)[:_NAME])
        self._open = True

    def data(self, content: bytes | bytearray | memoryview) -> None:
        """More of the member."""
        with memoryview(content) as view:
            for at in range(0, len(view), LONGEST):
                self._frame(DATA, view[at : at + LONGEST])

    def end(self) -> None:
        if self._open:
            self._frame(END, b"")
        self._open = False

    def leaf(self, name: str, text: str) -> None:
        """A whole member made of text, if there is any."""
        if text and not text.isspace():
            self.begin(name)
            self.data(_encoded(text))
            self.end()

    def cut(self, reason: str, name: str = "") -> None:
        self.end()
        self._frame(CUT, _encoded(name)[:_NAME].replace(b"\0", b"") + b"\0" + _encoded(reason))

    def done(self, *, last: bool = False) -> None:
        """The document is read; ``last`` if this process should read no other."""
        self.end()
        self._frame(DONE, b"!" if last else b"")

    def _frame(self, kind: bytes, content: bytes | memoryview) -> None:
        self._out.write(HEADER.pack(kind, len(content)))
        self._out.write(content)
        if kind in (END, DONE):
            self._out.flush()


def serve(parse: Callable[[bytes, Members], None], *, seconds: int, memory: int) -> None:
    """Parse what comes in until nothing comes, within processor seconds a document and bytes of memory."""
    # What a library prints must not stand between the frames.
    out = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(limit, (value, value))
    members = Members(out)
    while len(header := sys.stdin.buffer.read(HEADER.size)) == HEADER.size:
        body = sys.stdin.buffer.read(HEADER.unpack(header)[1])
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime) + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
        spoilt = False
        try:
            parse(body, members)
        except MemoryError:
            spoilt = True
            members.cut(f"takes more than {memory >> 20} MiB of memory to read")
        except Exception as error:  # noqa: BLE001 - a parser of hostile files fails in every way there is
            members.cut(f"cannot be read further: {_words(error) or type(error).__name__}")
        del body
        members.done(last=spoilt)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _words(error: Exception) -> str:
    # What could not be decoded or understood is quoted in these, and must not be shown.
    quoting = isinstance(error, ValueError | LookupError)
    return "" if quoting else " ".join(str(error).split())[:160]
