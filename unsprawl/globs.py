"""The one pattern language of ``exclude`` and ``accept``.

``*`` and ``?`` stay within one name, ``**`` crosses names, ``[ab]`` and ``[!ab]`` are sets. A pattern
without ``/`` matches a name anywhere (``node_modules``, ``*.min.js``), one with ``/`` begins at the top
of the path or uri (``vendor/*.js``, ``s3://backups/archive``), unless ``**/`` stands in front. What lies
below a match is matched with it. Upper and lower case differ.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["matches"]

_TOKEN = re.compile(r"\*{2,}/|\*{2,}|\*|\?|\[!?\]?[^\]/]+\]|[^*?\[]+|\[", re.DOTALL)


def matches(patterns: tuple[str, ...], path: str) -> bool:
    """Whether any of the patterns matches the path (or uri), or a folder above it."""
    return bool(patterns) and _compiled(patterns).match(path.removeprefix("/")) is not None


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_translated(pattern) for pattern in patterns), re.DOTALL)


def _translated(pattern: str) -> str:
    body = pattern.rstrip("/")
    anywhere = "/" not in body
    regex = "".join(_token(part) for part in _TOKEN.findall(body.removeprefix("/")))
    return ("(?:.*/)?" if anywhere else "") + regex + r"(?:/|\Z)"


def _token(part: str) -> str:
    if part.startswith("**"):
        return "(?:[^/]*/)*" if part.endswith("/") else ".*"
    if part[0] == "*":
        return "[^/]*"
    if part[0] == "?":
        return "[^/]"
    if part[0] == "[" and len(part) > 2:
        negated = part[1] == "!"
        members = re.sub(r"([\\\[\]^&~|])", r"\\\1", part[2 if negated else 1 : -1])
        try:
            re.compile(f"[{members}]")
        except re.error:  # a range that runs backwards: taken as it is written
            return re.escape(part)
        return f"(?!/)[{'^' if negated else ''}{members}]"
    return re.escape(part)
