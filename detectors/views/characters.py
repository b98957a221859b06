"""Characters that escapes stand for, as a reader sees them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["decoded", "shown"]

#: The only control characters that a text may gain.
_CONTROL: Final = frozenset("\t\n\r\x07\x08\x1b")
#: Characters that nobody sees, as a table for ``str.translate``: NUL is between letters in UTF-16.
_UNSEEN: Final = {
    code: ""
    for row in (
        (0, 0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF),
        range(0x200B, 0x2010),
        range(0x202A, 0x202F),
        range(0x2060, 0x2070),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
    for code in row
} | dict.fromkeys((160, *range(8192, 8203), 8239, 8287, 12288), " ")


#: A token that begins at once.
_LONG: Final = re.compile(rb"[A-Za-z0-9_-]{16}")


def shown(text: str) -> bytes | None:
    """``text`` as a reader sees it; None if it is no text."""
    text = text.translate(_UNSEEN)
    if not text.isprintable() and any(not one.isprintable() and one not in _CONTROL for one in text):
        return None
    return text.encode("utf-8", "replace")


@lru_cache(maxsize=4096)
def decoded(raw: bytes, following: bytes) -> bytes | None:
    """``raw`` if it is text, or something that ends where a token begins."""
    try:
        text = shown(raw.decode())
    except UnicodeDecodeError:
        text = None
    if text is None and _LONG.match(following):
        return b" "
    return text
