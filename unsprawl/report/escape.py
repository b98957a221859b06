"""Text from outside, made harmless for the place where it is shown.

File names, titles, authors and reasons are written by strangers. Each function here returns the same
text in a form that the target cannot mistake for its own syntax: a terminal, Markdown, a spreadsheet.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

__all__ = ["cell", "json_line", "markdown", "plain", "uri"]

# C0, DEL and C1 controls; marks that hide or reorder text (bidirectional overrides, zero-width,
# tag characters); line separators; lone surrogates, which stand for bytes that are not UTF-8.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_MARKDOWN = re.compile(r"[\\`*_{}\[\]()<>#|~&@!]|(?<=\w):(?=//)|^[-+=]|^(?=\d+[.)])")
_FORMULA = frozenset("=+-@\t\n\uff1d\uff0b\uff0d\uff20")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain(text: str) -> str:
    """One line without control characters: what cannot be seen is spelled out (an escape as its code)."""
    return _UNSEEN.sub(_visible, text)


def markdown(text: str) -> str:
    """Literal text for Markdown, also inside a table cell: no markup, no links, no mentions."""
    return _MARKDOWN.sub(lambda m: "".join(f"&#{ord(c)};" for c in m[0]), plain(text))


def cell(value: object) -> str:
    """A spreadsheet cell that is never a formula (a leading apostrophe, which spreadsheets hide)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    text = value if isinstance(value, str) else json_line(value)
    if _UNSEEN.search(text):
        lines = text.replace("\r\n", "\n").split("\n")
        text = "\n".join("\t".join(plain(part) for part in line.split("\t")) for line in lines)
    return f"'{text}" if text.lstrip(" ")[:1] in _FORMULA else text


def json_line(value: Any) -> str:
    """JSON on one line, readable, yet safe to print: what cannot be seen stands as its code."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return _UNSEEN.sub(lambda m: json.dumps(m[0])[1:-1], text)


def uri(text: str) -> str:
    """A URI reference by RFC 3986: what may not stand in one is percent-encoded, the rest is kept."""
    return quote(
        _STRAY_PERCENT.sub("%25", text).encode("utf-8", "surrogateescape"),
        safe="%:/?#@!$&'()*+,;=~-._",
    )
