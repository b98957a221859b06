"""What the owner left out: glob patterns over paths that are separated by ``/``.

``*`` and ``?`` stay within one name, ``**`` crosses names, ``[abc]`` and ``[!abc]`` are classes. A
pattern without ``/`` matches a name anywhere (``node_modules``, ``*.min.js``), one with ``/`` is
anchored at the top (``vendor/**``, ``/vendor``). What lies below a match is left out with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["excluder"]


def excluder(patterns: Sequence[str]) -> Callable[[str], str | None]:
    """A function that answers the pattern a path is excluded by, None when it is not."""
    compiled = [(pattern, re.compile(_expression(pattern), re.DOTALL)) for pattern in patterns]

    def excluded_by(path: str) -> str | None:
        for pattern, expression in compiled:
            if expression.search(path):
                return pattern
        return None

    return excluded_by


def _expression(pattern: str) -> str:
    body = pattern.strip("/")
    anchored = "/" in pattern.rstrip("/")
    return (r"\A" if anchored else r"(?:\A|/)") + _translated(body) + r"(?=/|\Z)"


def _translated(pattern: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            parts.append("(?:[^/]+/)*")
            position += 3
        elif pattern.startswith("**", position):
            parts.append(".*")
            position += 2
        elif pattern[position] == "*":
            parts.append("[^/]*")
            position += 1
        elif pattern[position] == "?":
            parts.append("[^/]")
            position += 1
        elif pattern[position] == "[" and (end := pattern.find("]", position + 2)) > 0:
            parts.append(_character_class(pattern[position + 1 : end]))
            position = end + 1
        else:
            parts.append(re.escape(pattern[position]))
            position += 1
    return "".join(parts)


def _character_class(members: str) -> str:
    negated = members[0] in "!^"
    listed = members[1:] if negated else members
    # Everything but the range sign is escaped, so that no class can break the expression.
    escaped = "".join(char if char == "-" else re.escape(char) for char in listed)
    try:
        re.compile(f"[{escaped}]")
    except re.error:
        return re.escape(f"[{members}]")
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
