"""Text that is safe to print: what was found may hold terminal escapes and marks that turn text around."""

from __future__ import annotations

import re

__all__ = ["printable"]

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # control sequences: colours, cursor moves
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links
    r"|\x1b[ -/]*[0-~]?"
)
# No width, or another direction than they seem: joiners, soft hyphens, marks, overrides, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LINE_END = re.compile("\r\n?|[\u2028\u2029\x0b\x0c\x85]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: str, *, lines: bool = False) -> str:
    r"""``text`` without escapes, controls and invisible characters; bytes that are no text as ``\xff``.

    Line ends become blanks, unless ``lines`` keeps them (as ``\n``).
    """
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE.sub("", text)
    text = _LINE_END.sub("\n", text)
    text = _CONTROL.sub("", _INVISIBLE.sub("", text))
    text = _SURROGATE.sub(_as_bytes, text).replace("\t", " ")
    return text if lines else text.replace("\n", " ")


def _as_bytes(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else "\ufffd"
