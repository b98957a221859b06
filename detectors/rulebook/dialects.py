"""Regular expressions of other scanners' rule files, as this engine takes them.

Go's syntax is RE2's; Rust's differs in verbose mode and in how groups are named. What neither can
say stays as it is, and the loader refuses it with a reason.
"""

from __future__ import annotations

import re
from typing import Final

from unsprawl.detectors.rulebook import freespacing

__all__ = ["named", "plain"]

_FLAGS: Final = re.compile(r"^\s*\(\?([a-zA-Z]+)\)")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_NAME: Final = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")


def plain(pattern: str) -> str:
    """``pattern`` without verbose mode: blanks and comments stripped, ``(?xi)`` become ``(?i)``."""
    flags = _FLAGS.match(pattern)
    if flags is None or "x" not in flags[1]:
        return pattern.strip() if flags else pattern
    left = flags[1].replace("x", "")
    # Verbose mode of Rust drops blanks inside of classes too.
    body = _CLASS.sub(lambda found: re.sub(r"(?<!\\)\s+", "", found[0]), pattern[flags.end() :])
    return (f"(?{left})" if left else "") + freespacing.strip(body)


def named(pattern: str, group: int | str | None) -> str:
    """``pattern`` with its capturing group ``group`` called ``secret``; None: the last one, or all of it.

    Other named groups keep their names, in small letters, and others are companions ``part1``, ``part2``
    where the secret is the last of several.
    """
    opens = list(_capturing(pattern))
    wanted = next((index for index, (_, _, name) in enumerate(opens, 1) if name == group and name), 0)
    if isinstance(group, int):
        wanted = group
    elif not wanted:
        wanted = len(opens)
    if wanted == 0 or wanted > len(opens):
        flags = _FLAGS.match(pattern)
        head = flags.end() if flags else 0
        return f"{pattern[:head]}(?P<secret>{_uncaptured(pattern[head:])})"
    pieces: list[str] = []
    position = 0
    for index, (start, end, name) in enumerate(opens, 1):
        called = "secret" if index == wanted else (name.lower() if name else "")
        if called == "secret" and index != wanted:
            called = f"part{index}"
        if not called and index < wanted and group is None:
            called = f"part{index}"
        pieces += (pattern[position:start], f"(?P<{called}>" if called else "(?:")
        position = end
    return "".join([*pieces, pattern[position:]])


def _uncaptured(pattern: str) -> str:
    for start, end, _ in reversed(list(_capturing(pattern))):
        pattern = f"{pattern[:start]}(?:{pattern[end:]}"
    return pattern


def _capturing(pattern: str) -> list[tuple[int, int, str]]:
    """Start and end of every opening of a capturing group, and its name."""
    found = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            position += 2
        elif char == "[" and (inside := _CLASS.match(pattern, position)):
            position = inside.end()
        elif char == "(":
            name = _NAME.match(pattern, position)
            if name:
                found.append((position, name.end(), name[1]))
            elif pattern[position + 1 : position + 2] != "?":
                found.append((position, position + 1, ""))
            position = name.end() if name else position + 1
        else:
            position += 1
    return found
