"""RE2 over bytes: whatever the text, it takes linear time."""

from __future__ import annotations

from typing import Any

__all__ = ["linear"]


def linear(pattern: str, *, lines: bool = False, longest: bool = False) -> Any:
    """``pattern`` compiled for bytes, each of which is a character.

    With ``lines``, ``^`` and ``$`` stand at every line. With ``longest``, the longest of the leftmost matches
    is taken, whichever the pattern prefers. Raises ``re2.error``.
    """
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.longest_match = longest
    return re2.compile((f"(?m){pattern}" if lines else pattern).encode(), options)
