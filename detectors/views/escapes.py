"""Escapes and encodings of single characters: of addresses and of markup, and what nobody sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from typing import Final
from urllib.parse import unquote_to_bytes

from unsprawl.detectors.views.characters import shown
from unsprawl.detectors.views.edits import Edit, merged

__all__ = ["TELLING", "edits"]

_T: Final = r"[A-Za-z0-9_+/=.~-]"
#: Where an escape may matter, as the engines search it.
TELLING: Final = (
    rf"{_T}%[2-7][0-9A-Fa-f]",
    rf"%[2-7][0-9A-Fa-f]{_T}{{3}}",
    r"%[2-7][0-9A-Fa-f]%[2-7][0-9A-Fa-f]",
    rf"(?:{_T}|[:=,>][ \t]?)&#[xX]?[0-9A-Fa-f]{{2,6}};",
    rf"&#[xX]?[0-9A-Fa-f]{{2,6}};{_T}{{3}}",
    rf"{_T}{{2}}&[A-Za-z]{{2,8}};{_T}{{2}}",
    r"&quot;[ \t]{0,3}[:=,]",
    r"[:=,][ \t]{0,3}&(?:quot|apos);",
    r"&[lg]t;/?[a-z]",
    rf"{_T}\xe2\x80[\x8b-\x8f\xaa-\xae]{_T}",
    rf"{_T}\xe2\x81[\xa0-\xaf]{_T}",
    rf"{_T}\xc2\xad{_T}",
    rf"{_T}\xef\xbb\xbf{_T}",
    rf"{_T}\xef\xb8[\x80-\x8f]{_T}",
    r"[:=](?:\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe3\x80\x80)",
)

# --- percent and ampersand -----------------------------------------------------------------------

_PERCENT_ONE: Final = (
    rb"(?:[2-6][0-9A-Fa-f]|7[0-9A-Ea-e]|0[9AaDd]|1[Bb]|u[0-9A-Fa-f]{4}|[CDcd][0-9A-Fa-f]%[89ABab][0-9A-Fa-f]"
    rb"|[Ee][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f]){2}|[Ff][0-4](?:%[89ABab][0-9A-Fa-f]){3})"
)
_PERCENT: Final = re.compile(rb"%" + _PERCENT_ONE + rb"(?:%" + _PERCENT_ONE + rb")*+")
_PERCENT_CODE: Final = re.compile(rb"%u([0-9A-Fa-f]{4})")
_PERCENT_SINGLE: Final = {
    b"%" + digits: bytes([number])
    for number in (9, 10, 13, 27, *range(32, 127))
    for digits in (b"%02x" % number, b"%02X" % number)
}


def _percents(data: bytes) -> Iterator[Edit]:
    for match in _PERCENT.finditer(data):
        found = match[0]
        text = _PERCENT_SINGLE.get(found)
        if text is None:
            text = _unquoted(found)
            if text is None:
                continue
        yield Edit(*match.span(), text, "percent")


def _unquoted(found: bytes) -> bytes | None:
    if b"%u" in found:
        found = _PERCENT_CODE.sub(lambda code: chr(int(code[1], 16)).encode("utf-8", "replace"), found)
    try:
        return shown(unquote_to_bytes(found).decode())
    except UnicodeDecodeError:
        return None


_ENTITY: Final = re.compile(rb"&(?:#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6})|[A-Za-z][A-Za-z0-9]{1,24});")
_NAMED: Final = {
    f"&{name}".encode(): seen
    for name, text in html5.items()
    if name.endswith(";") and (seen := shown(text)) is not None
}


def _entities(data: bytes) -> Iterator[Edit]:
    for match in _ENTITY.finditer(data):
        found = match[0]
        text = _NAMED.get(found)
        if text is None:
            if found[1] != 0x23:
                continue
            digits = found[2:-1]
            number = int(digits[1:], 16) if digits[:1] in b"xX" else int(digits)
            if number > 0x10FFFF or (seen := shown(chr(number))) is None:
                continue
            text = seen
        yield Edit(*match.span(), text, "entity")


# --- what is not seen ----------------------------------------------------------------------------

#: Characters that nobody sees, and blanks that are none to a rule. Pictures are full of joiners and
#: selectors, so that only those count that stand beside a visible character of ASCII.
_INVISIBLE: Final = tuple(
    (re.compile(code + rb"(?:(?=[!-~])|(?<=[!-~]" + b"." * width + b"))", re.DOTALL), text)
    for code, width, text in (
        (rb"\xe2(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf])", 3, b""),
        (rb"\xc2\xad", 2, b""),
        (rb"\xef(?:\xbb\xbf|\xb8[\x80-\x8f])", 3, b""),
        (rb"\xcd\x8f", 2, b""),
        (rb"\xc2\xa0", 2, b" "),
        (rb"\xe2(?:\x80[\x80-\x8a\xaf]|\x81\x9f)", 3, b" "),
        (rb"\xe3\x80\x80", 3, b" "),
    )
)


def _invisible(data: bytes) -> Iterator[list[Edit]]:
    for pattern, text in _INVISIBLE:
        # What begins the text is a byte order mark.
        yield [Edit(*match.span(), text, "invisible") for match in pattern.finditer(data, 1)]


def edits(data: bytes) -> list[Edit]:
    """What stands escaped or unseen in ``data``."""
    # Each row comes from one pattern, and is in order.
    rows: list[list[Edit]] = []
    if b"%" in data:
        rows.append([*_percents(data)])
    if b"&" in data:
        rows.append([*_entities(data)])
    if not data.isascii():
        rows += _invisible(data)
    return merged(rows)
