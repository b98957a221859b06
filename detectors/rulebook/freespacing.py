"""Patterns as people write them (free spacing, comments) to patterns as the engines take them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["literal_prefix", "strip"]

_QUANTIFIERS: Final = frozenset("?*+{")
_META: Final = frozenset("\\^$.|?*+()[]{}")
_SECRET: Final = re.compile(r"\(\?P<secret>")
#: A shorter start says nothing about the kind of a token, and may be part of the holder's own value.
_SHORTEST_PREFIX: Final = 3


def strip(pattern: str) -> str:
    r"""Drop blanks and ``#`` comments outside of classes. ``\ ``, ``\#``, ``[ ]`` and ``[#]`` stay."""
    kept: list[str] = []
    position, size = 0, len(pattern)
    in_class = False
    while position < size:
        char = pattern[position]
        if char == "\\" and position + 1 < size:
            escaped = pattern[position + 1]
            kept.append(r"\x20" if escaped == " " and not in_class else char + escaped)
            position += 2
            continue
        if in_class:
            kept.append(char)
            in_class = char != "]"
        elif char == "[":
            in_class = True
            # "]" right after "[" or "[^" belongs to the class.
            head = re.match(r"\[\^?\]?", pattern[position:])
            text = head.group() if head else char
            kept.append(text)
            position += len(text)
            continue
        elif char == "#":
            end = pattern.find("\n", position)
            position = size if end < 0 else end
            continue
        elif not char.isspace():
            kept.append(char)
        position += 1
    return "".join(kept)


def literal_prefix(pattern: str) -> str:
    """The literal start of the group ``secret`` of a stripped pattern; "" when there is none."""
    found = _SECRET.search(pattern)
    if found is None:
        return ""
    rest = pattern[found.end() :]
    literal: list[str] = []
    position = 0
    while position < len(rest):
        char = rest[position]
        if char == "\\":
            char = rest[position + 1 : position + 2]
            if not char or char.isalnum():
                break
            step = 2
        elif char in _META:
            break
        else:
            step = 1
        if rest[position + step : position + step + 1] in _QUANTIFIERS:
            break
        literal.append(char)
        position += step
    if rest[position : position + 1] == "|" or _has_alternatives(rest):
        return ""
    text = "".join(literal)
    return text if len(text) >= _SHORTEST_PREFIX else ""


def _has_alternatives(rest: str) -> bool:
    """Whether a ``|`` stands at the top level of the group that ``rest`` begins in."""
    depth, position, in_class = 0, 0, False
    while position < len(rest):
        char = rest[position]
        if char == "\\":
            position += 2
            continue
        if in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == "(":
            depth += 1
        elif char == ")":
            if depth == 0:
                return False
            depth -= 1
        elif char == "|" and depth == 0:
            return True
        position += 1
    return False
