"""Sheets of spreadsheets as rows: a cell names its text by number, and the texts stand elsewhere.

Each member is scanned as it stands; what comes on top are edits that put the text of every cell in
its place, so that a password is read beside the word in the cell before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from unsprawl.detectors.containers.pieces import Cut, Inside, Leaf
from unsprawl.detectors.containers.streams import Reader
from unsprawl.detectors.views.edits import Edit

__all__ = ["Book", "Cells", "shared_strings"]

#: Bytes of shared strings, and of the sheets that stand before them, that are held at most.
_HELD: Final = 32 << 20
#: Bytes of one cell's text, and of all that is put in one piece of a sheet. A cell may name a long text
#: and take few bytes, so that without them a small sheet would read as gigabytes.
_CELL: Final = 4 << 10
_PUT: Final = 64 << 20
_VIEW: Final = "cells"

_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
_STRINGS: Final = "xl/sharedStrings.xml"

# Every pattern stops at the next `<` of the same kind, so that what is read twice stays short.
_PREFIX: Final = rb"(?:[A-Za-z]\w{0,15}:)?"
_PLACES: Final = re.compile(
    rb"<(?:" + _PREFIX + rb"c(?=[\s/>])([^<>]*?)"
    rb"(?:/>|>([^<]*+(?:<(?!/?" + _PREFIX + rb"c[\s/>])[^<]*+)*+)</" + _PREFIX + rb"c\s*>)"
    rb"|(/?)" + _PREFIX + rb"row(?=[\s/>])[^<>]*>)"
)
_PARTS: Final = re.compile(rb"<" + _PREFIX + rb"([vft])(?:\s[^<>]*)?>([^<]+)<")
_SHARED: Final = re.compile(rb"""\st\s*=\s*["']s["']""")
_STRING_END: Final = re.compile(rb"</" + _PREFIX + rb"si\s*>|<" + _PREFIX + rb"si\s*/>")
_PHONETIC: Final = re.compile(rb"<" + _PREFIX + rb"rPh[\s>][^<]*(?:<(?!/?" + _PREFIX + rb"rPh)[^<]*)*")
_ENTITY: Final = re.compile(rb"&(amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});|_x([0-9A-Fa-f]{4})_")
_ENTITIES: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


class Book:
    """The entries of a zip; worksheets among them wait for the shared strings."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._strings: Sequence[bytes] | None = None
        self._waiting: list[tuple[str, bytes, str]] = []
        self._size = 0

    def below(self, content: Reader, name: str) -> Iterator[Leaf | Cut]:
        """The next entry, and with it those that waited for it."""
        if name == _STRINGS:
            yield from self._read_strings(content, name)
        elif _SHEET.fullmatch(name):
            yield from self._read_sheet(content, name)
        else:
            yield from self._inside.below(content, name)

    def rest(self) -> Iterator[Leaf | Cut]:
        """The sheets that still wait when the zip is over: nothing will come."""
        waiting, self._waiting = self._waiting, []
        while waiting:
            name, body, fault = waiting.pop(0)
            content = Reader.of(body)
            content.fault = fault
            yield from self._sheet(content, name)

    def _read_strings(self, content: Reader, name: str) -> Iterator[Leaf | Cut]:
        body = content.read(_HELD + 1)
        if len(body) > _HELD:
            content.give_back(body)
            yield Leaf(self._inside.member(name), content)
            yield self._inside.damaged(
                f"more than {_HELD >> 20} MiB of shared strings: the sheets are read without them", name
            )
            self._strings = ()
        else:
            yield Leaf(self._inside.member(name), Reader.of(body))
            self._strings = shared_strings(body)
        if content.fault:
            yield self._inside.cut(content.fault, name)
        yield from self.rest()

    def _read_sheet(self, content: Reader, name: str) -> Iterator[Leaf | Cut]:
        if self._strings is not None:
            yield from self._sheet(content, name)
            return
        body = content.read(_HELD - self._size + 1)
        self._size += len(body)
        if self._size <= _HELD:
            self._waiting.append((name, body, content.fault))
            return
        self._size = _HELD
        content.give_back(body)
        yield from self._sheet(content, name)
        yield self._inside.damaged("a large sheet stands before its strings: it is read without them", name)

    def _sheet(self, content: Reader, name: str) -> Iterator[Leaf | Cut]:
        cells = Cells(self._strings or ())
        yield Leaf(self._inside.member(name), content, cells.edits)
        if cells.cut:
            yield self._inside.damaged("texts of cells repeat so often that not all were put in place", name)
        if content.fault:
            yield self._inside.cut(content.fault, name)


class Cells:
    """A sheet's edits: each cell reads as its text and a tab, each row ends its line."""

    def __init__(self, strings: Sequence[bytes]) -> None:
        self._strings = strings
        self.cut = False
        """Whether some cells were left as they stand, because there was too much to put."""

    def edits(self, data: bytes) -> list[Edit]:
        found: list[Edit] = []
        put = 0
        for place in _PLACES.finditer(data):
            attributes, body, closing = place.groups()
            if closing is not None:
                text = b"\n" if closing else b""
            else:
                text = self._text(attributes, body) + b"\t" if body else b"\t"
                put += len(text)
                if put > _PUT:
                    self.cut = True
                    break
            found.append(Edit(place.start(), place.end(), text, _VIEW))
        return found

    def _text(self, attributes: bytes, body: bytes) -> bytes:
        value, formula = b"", b""
        for part in _PARTS.finditer(body):
            kind, text = part.groups()
            if kind == b"f":
                formula = b"\t=" + _plain(text)
            elif kind == b"v" and _SHARED.search(attributes):
                value = self._string(text)
            else:
                value += _plain(text)
        return (value + formula)[:_CELL]

    def _string(self, number: bytes) -> bytes:
        number = number.strip()
        if number.isdigit() and len(number) < 9 and int(number) < len(self._strings):
            return self._strings[int(number)]
        return b""


def shared_strings(body: bytes) -> list[bytes]:
    """The texts of a shared strings member, in order: a cell names them by their number."""
    strings: list[bytes] = []
    begin = 0
    for end in _STRING_END.finditer(body):
        stretch = body[begin : end.start()]
        if b"rPh" in stretch:
            stretch = _PHONETIC.sub(b"", stretch)
        text = b"".join([part[2] for part in _PARTS.finditer(stretch) if part[1] == b"t"])
        strings.append(_plain(text)[:_CELL])
        begin = end.end()
    return strings


def _plain(text: bytes) -> bytes:
    return _ENTITY.sub(_character, text) if b"&" in text or b"_x" in text else text


def _character(match: re.Match[bytes]) -> bytes:
    name, unit = match.groups()
    if name in _ENTITIES:
        return _ENTITIES[name]
    digits = (unit or name[1:]).decode()
    code = int(digits[1:] if digits[0] in "xX" else digits, 16 if unit or digits[0] in "xX" else 10)
    if not code or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return match[0]
    return chr(code).encode()
