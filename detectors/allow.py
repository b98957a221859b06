"""Tags that people write beside a string to say that it may stay, ours and those of other scanners."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["allowed"]

_TAG: Final = re.compile(
    rb"unsprawl:allow|gitleaks:allow|betterleaks:allow|trufflehog:ignore|kingfisher:ignore"
    rb"|pragma:?[ \t]*(?:allow|white)list[ \t]+secret"
)
_NEXT_LINE: Final = re.compile(rb"pragma:?[ \t]*(?:allow|white)list[ \t]+nextline[ \t]+secret")
#: How far from the secret the ends of its line are looked for, in bytes.
_REACH: Final = 2048


def allowed(data: bytes, start: int, end: int) -> bool:
    """Whether a tag stands on a line of the span, or a ``nextline`` tag on the line before it."""
    low = max(0, start - _REACH)
    high = min(len(data), end + _REACH)
    first = data.rfind(b"\n", low, start) + 1 or low
    last = data.find(b"\n", end, high)
    # The secret itself is no place for a tag: a value that contains one would hide itself.
    line_end = high if last < 0 else last
    if _TAG.search(data, first, start) or _TAG.search(data, end, line_end):
        return True
    if first <= low:
        return False
    before = data.rfind(b"\n", low, first - 1) + 1 or low
    return _NEXT_LINE.search(data, before, first) is not None
