"""Strings of programs and of JSON, read as the program reads them: escapes, and strings written in pieces.

Escapes are everywhere in source code and JSON, and hardly one of them matters. So an edit is only
made where a secret would read differently without the escape: an ``n`` that glues to a token, a
quote between a name and its value, a code for a character of a token. Each backslash is taken with
those beside it, so that a string in a string in a string is read at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from unsprawl.detectors.views.characters import decoded, shown
from unsprawl.detectors.views.edits import Edit, merged

__all__ = ["TELLING", "edits"]

_T: Final = r"[A-Za-z0-9_+/=.~-]"
#: Where an escape or a joint may matter, as the engines search it. Each holds two fixed characters at
#: least, for otherwise it would cost as much as all rules.
TELLING: Final = (
    rf"\\[nrt]{_T}{{16}}",
    r"\\[nrt][A-Za-z0-9_.-]{2,40}[\"'`\])]{0,3}[ \t]{0,4}[=:]",
    r"\\[nrt](?i:passw|pwd|secret|token|login|user)",
    r"\\[nrt]-----",
    (
        r"(?i:pass|pwd|secret|token|key|auth|cred|user|login)[A-Za-z0-9_.-]{0,20}\\{1,8}[\"'][ \t]{0,4}"
        r"(?:=>|[:=,])[ \t]{0,4}\\{1,8}[\"']"
    ),
    r"\\u00[0-7][0-9A-Fa-f]",
    r"\\u(?:200[b-f]|206[0-4]|[fF][eE][fF][fF]|00[aA][dD])",
    r"\\u\{[0-9A-Fa-f]{2,6}\}",
    r"\\U000000[2-7]",
    r"\\x[2-7][0-9A-Fa-f]\\x[2-7]",
    rf"\\x[2-7][0-9A-Fa-f]{_T}{{2}}",
    rf"{_T}{{2}}\\x[2-7][0-9A-Fa-f]",
    r"\\[01][0-7]{2}\\[01][0-7]{2}\\[01][0-7]{2}",
    r"\\(?:033|e|x1[bB]|u001[bB])\[",
    r":\\/\\/[A-Za-z0-9]",
    r"[A-Za-z0-9]{3}\\[_*][A-Za-z0-9]{3}",
    rf"{_T}{{4}}\\\r?\n[ \t]{{0,40}}{_T}{{4}}",
    rf"[\"'] \+[ \t]{{0,4}}(?:\\?\r?\n[ \t]{{0,60}})?[rbuf]?[\"']{_T}{{4}}",
    rf"[\"']\+[ \t]{{0,4}}[\"']{_T}{{4}}",
    rf"[\"'] \.{{1,2}} [\"']{_T}{{4}}",
    rf"[\"'] & [\"']{_T}{{4}}",
    rf'{_T}"\r?\n[ \t]{{1,60}}[rbuf]?"{_T}{{4}}',
    rf"{_T}'\r?\n[ \t]{{1,60}}[rbuf]?'{_T}{{4}}",
    rf"[\"'] \\\r?\n[ \t]{{0,60}}[\"']{_T}{{4}}",
    rf"\n[ \t]{{1,60}}\+ [\"']{_T}{{4}}",
    rf'{_T}{{20}}\\n",[ \t\r\n]{{1,60}}"{_T}',
    r'-----",[ \t\r\n]{0,60}"',
)

#: Characters that tokens are made of.
_TOKEN: Final = rb"[A-Za-z0-9_+/=.~-]"
#: What follows an escaped line end when it matters: a token, a name with its operator, a word to look for.
_TELLING: Final = (
    rb"(?=" + _TOKEN + rb"{16}|[A-Za-z0-9_.-]{2,40}+[\"'`\])\\]*+[ \t]*+[=:]"
    rb"|(?i:passw|pwd|secret|token|login|user|key)|-----)"
)

# --- backslashes ---------------------------------------------------------------------------------

#: Punctuation and pictures that no token holds, and halves that do not begin a pair.
_DULL: Final = rb"(?!20[1-5]|2[1-9A-Ba-b]|[Dd]83[C-Ec-e]|[Dd][C-Fc-f])"
_HEX4: Final = rb"[0-9A-Fa-f]{4}"
#: Each run of backslashes is begun once, at its first, and never given back: a million of them are no work.
_BACKSLASH: Final = re.compile(
    rb"\\(?<!\\\\)\\*+(?:"
    rb"(?P<code>u" + _DULL + _HEX4 + rb"(?:\\++u" + _HEX4 + rb")*+"
    rb"|u\{[0-9A-Fa-f]{1,6}\}(?:\\++u\{[0-9A-Fa-f]{1,6}\})*+|U[0-9A-Fa-f]{8}"
    rb"|u[Dd]8[0-9A-Fa-f]{2}\\++u[Dd][C-Fc-f][0-9A-Fa-f]{2}(?<=[A-Za-z0-9_]\\u.{4}\\u.{4})(?=[A-Za-z0-9_]))"
    rb"|(?P<bytes>x[0-9A-Fa-f]{2}(?:\\++x[0-9A-Fa-f]{2})*+)"
    rb"|(?P<octal>[0-3][0-7]{2}(?:(?:\\++[0-3][0-7]{2})++|(?<=033)(?=\[)))"
    rb"|(?P<escape>e)(?=\[[0-9;]*+[mK])"
    rb"|(?P<blank>[nrt](?:\\++[nrt])*+)" + _TELLING +
    # A name, a value: one edit for both quotes.
    rb"|(?P<quote>[\"'](?:[ \t]*+(?:=>|[:=,])[ \t]*+\\++[\"'](?=[^\s\\\"'])|(?=[ \t]*+[,;)}\]])))"
    rb"|(?P<plain>/++(?:\\++/)*+(?=[A-Za-z0-9_+%?&=#.~@\\-])|[_*~#!@$-](?=[A-Za-z0-9]))"
    # A line that goes on: in a string, or in the midst of a word; or with the next option of a command.
    rb"|(?P<line>\r?\n(?:(?<=" + _TOKEN + rb"\\\n)|(?<=" + _TOKEN + rb"\\\r\n))"
    rb"(?:(?=" + _TOKEN + rb")|[ \t]++(?=[A-Za-z0-9_+/=]{12})))"
    rb"|(?P<command>\r?\n(?:(?<=[ \t]\\\n)|(?<=[ \t]\\\r\n))[ \t]*+)(?=[\"']?-)"
    rb")"
)
#: A quote behind an operator or an opening bracket: looks back, so that it stands apart.
_OPENING: Final = re.compile(rb"\\(?:(?<=[=:({\[,]\\)|(?<=[=:,] \\))\\*+[\"'](?=[^\s\\\"'])")
_BLANKS: Final = bytes.maketrans(b"nrt", b"\n\r\t")


def _codes(found: bytes) -> bytes | None:
    """What the codes of characters mean; UTF-16 where they are pairs."""
    try:
        numbers = [int(code.strip(b"{}"), 16) for code in re.split(rb"\\*[uU]", found)[1:]]
        units = b"".join(chr(number).encode("utf-16-le", "surrogatepass") for number in numbers)
        return shown(units.decode("utf-16-le"))
    except (ValueError, UnicodeError, OverflowError):
        return None


def _backslashes(data: bytes) -> Iterator[Edit]:
    for match in _BACKSLASH.finditer(data):
        kind = match.lastgroup or ""
        start, end = match.span()
        found = match[kind]
        text: bytes | None
        if kind == "code":
            text = _codes(found)
        elif kind == "bytes":
            text = decoded(bytes.fromhex(found.translate(None, b"\\x").decode()), data[end : end + 16])
        elif kind == "octal":
            codes = found.translate(None, b"\\")
            raw = bytes(int(codes[at : at + 3], 8) for at in range(0, len(codes), 3))
            text = decoded(raw, data[end : end + 16])
        elif kind == "blank":
            text = found.translate(_BLANKS, b"\\")
        elif kind == "escape":
            text = b"\x1b"
        elif kind in ("line", "command"):
            text = b"" if kind == "line" else b" "
        elif kind == "plain" and found[:1] != b"/" and not data[max(start - 1, 0) : start].isalnum():
            continue  # Markdown and the shell escape what stands within a word
        else:
            text = found.translate(None, b"\\")
        if text is not None:
            yield Edit(start, end, text, "joined" if kind in ("line", "command") else "escape")


def _openings(data: bytes) -> Iterator[Edit]:
    for match in _OPENING.finditer(data):
        start, end = match.span()
        yield Edit(start, end, data[end - 1 : end], "escape")


# --- strings in pieces ---------------------------------------------------------------------------

_GAP: Final = rb"[ \t]*+(?:[\\`_]?\r?\n[ \t]*+)?"
_PREFIX: Final = rb"[rRbBuUfFL@$]{0,2}"
#: Strings joined by an operator, or by nothing but a line end. The one before ends visibly, or in an
#: operator and a blank: where words are put together nothing hides. At the first column stand rows of
#: tables, unless the string before ends its line.
_JOINED: Final = tuple(
    re.compile(
        mark
        + rb"(?:(?<=[!-~]"
        + mark
        + rb")|(?<=[:=] "
        + mark
        + rb"))"
        + rb"(?:"
        + _GAP
        + rb"(?:\+|\.\.?|&|\|\|)"
        + _GAP
        + _PREFIX
        + rb"[\"']"
        + rb"|[ \t]*+\\?\r?\n(?:[ \t]++|(?<=\\n"
        + mark
        + rb"\n))"
        + _PREFIX
        + mark
        + rb")"
        + rb"(?=[!-~])(?![\"'])"
    )
    for mark in (rb'"', rb"'")
)
#: Lines of a key in an array, as notebooks and some JSON keep them.
_LINES: Final = re.compile(
    rb'",(?:(?<=[A-Za-z0-9+/=-]{20}\\n",)|(?<=[A-Za-z0-9+/]{64}",)|(?<=-----",)|(?=\s*+"-----END))'
    rb'\s*+"(?=[A-Za-z0-9+/=]|-----)'
)
#: A command over several lines, in PowerShell.
_BACKTICK: Final = re.compile(rb"`(?<=[ \t]`)\r?\n[ \t]*+(?=-)")


def _pieces(data: bytes) -> Iterator[list[Edit]]:
    for pattern in _JOINED:
        yield [Edit(*match.span(), b"", "joined") for match in pattern.finditer(data)]
    yield [
        Edit(match.start(), match.end(), _line_end(data, match.start()), "joined")
        for match in _LINES.finditer(data)
    ]
    yield [Edit(*match.span(), b" ", "joined") for match in _BACKTICK.finditer(data)]


def _line_end(data: bytes, end: int) -> bytes:
    """What joins lines: nothing if the one that ends at ``end`` holds its line end."""
    return b"" if data[end - 2 : end] == b"\\n" else b"\n"


def edits(data: bytes) -> list[Edit]:
    """What stands escaped or in pieces in ``data``."""
    rows: list[list[Edit]] = []
    if b"\\" in data:
        rows += ([*_backslashes(data)], [*_openings(data)])
    return merged([*rows, *_pieces(data)])
