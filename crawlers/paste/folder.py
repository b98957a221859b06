"""Dumps that somebody else collects: a folder that fills up, and standard input.

Files are taken in the order in which they came into the folder. That is the time of their last change of
status, which, unlike that of their content, nobody can set back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote

from unsprawl.crawlers.files import FilesSource
from unsprawl.crawlers.paste.items import Item, Listing
from unsprawl.crawlers.walk import Rules, as_uri, walk
from unsprawl.errors import UnreadableError
from unsprawl.records import Diagnosis, Document, Json, Skipped
from unsprawl.structs import replace

__all__ = ["Folder", "parts"]

_AT_ONCE: Final = 2_000
_PART: Final = 4 << 20
#: A part ends with a line, as long as lines are shorter than this.
_LONGEST_LINE: Final = 1 << 20


class Folder:
    """The files below ``path``. Their uris are those of the source ``files``."""

    def __init__(self, path: str, *, exclude: tuple[str, ...], max_bytes: int | None) -> None:
        self._path = str(Path(path).resolve())
        self._rules = Rules(exclude, largest=max_bytes)
        self._files = FilesSource("", FilesSource.Config(paths=(self._path,), exclude=exclude))
        self.site = self._path

    def listing(self, newest: float | None, etag: str) -> Listing:  # noqa: ARG002
        if not Path(self._path).is_dir():
            raise UnreadableError("there is no such folder", hint="check path:")
        items: list[Item] = []
        refused: list[Skipped] = []
        for found in walk(self._path, self._path, self._rules):
            if isinstance(found, Skipped):
                refused.append(found)
                continue
            for name, size, modified, changed, inode in found.entries:
                at = changed / 1e9
                if newest is None or at >= newest:
                    version = f"{modified:x}.{changed:x}.{size:x}.{inode:x}"
                    items.append(Item(id=as_uri(found.path + name), version=version, at=at, size=size))
        items.sort(key=lambda item: (item.at or 0.0, item.id))
        return Listing(items[:_AT_ONCE], full=False, more=len(items) > _AT_ONCE, refused=tuple(refused))

    def content(self, item: Item) -> Iterator[Document | Skipped]:
        found = self._files.fetch(item.id)
        yield replace(found, attrs={"feed": "folder"}) if isinstance(found, Document) else found

    def find(self, rest: str) -> Document | Skipped | None:
        found = self._files.fetch(as_uri(unquote(rest, errors="surrogateescape")))
        return replace(found, attrs={"feed": "folder"}) if isinstance(found, Document) else found

    def diagnose(self) -> Iterator[Diagnosis]:
        yield from self._files.diagnose()


def parts(stream: BinaryIO | None = None) -> Iterator[Document]:
    """Standard input, in documents that end where a line does, so that memory does not grow with it."""
    source = stream or sys.stdin.buffer
    held, number, line = b"", 0, 1
    while True:
        piece = source.read(_PART - len(held))
        held += piece
        if not held:
            return
        cut = len(held)
        if piece:
            end = max(held.rfind(b"\n\n", -_LONGEST_LINE), held.rfind(b"\n", -_LONGEST_LINE))
            cut = end + 1 if end > 0 and len(held) == _PART else len(held)
            if len(held) < _PART:
                continue
        body, held = held[:cut], held[cut:]
        number += 1
        attrs: dict[str, Json] = {"feed": "folder", "part": number, "first_line": line}
        uri = "stdin:" if number == 1 else f"stdin:?part={number}"
        yield Document(uri=uri, body=body, path="-", attrs=attrs)
        line += body.count(b"\n")
