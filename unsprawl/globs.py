"""The one pattern language of ``exclude`` and ``accept``.

``*`` is any run of characters, slashes too; ``?`` is one character; ``[ab]`` and ``[!ab]`` are sets.
A pattern without a slash is compared with every single name on the way (``node_modules``,
``*.min.js``), one with a slash with the whole path or uri, where ``**/`` in front may also stand for
nothing. What matches a folder matches all below it. Upper and lower case differ.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["matches"]

_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|[^*?\[]+|\[", re.DOTALL)


def matches(patterns: tuple[str, ...], path: str) -> bool:
    """Whether any of the patterns matches the path (or uri), or a folder above it."""
    return bool(patterns) and _compiled(patterns).match(path) is not None


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_translated(pattern) for pattern in patterns), re.DOTALL)


def _translated(pattern: str) -> str:
    body = pattern.removesuffix("/**").rstrip("/") or "/"
    anywhere = "/" not in body or body.startswith("**/")
    body = body.removeprefix("**/")
    any_character = "[^/]" if "/" not in body and anywhere else "."
    tokens = _TOKEN.findall(body)
    regex = ""
    opened = 0
    stars = sum(token.startswith("*") for token in tokens)
    for token in tokens:
        if token.startswith("*"):
            regex += ")" * opened
            stars -= 1
            # A run is as short as what follows allows and is never reconsidered, except for the last:
            # no pattern makes a hostile path slow.
            regex += f"(?>{any_character}*?" if stars else f"{any_character}*"
            opened = 1 if stars else 0
        elif token == "?":  # noqa: S105  # a part of a pattern
            regex += any_character
        elif token.startswith("[") and len(token) > 2:
            negated = token[1] == "!"
            members = re.sub(r"([\\\[\]^&~|])", r"\\\1", token[2 if negated else 1 : -1])
            regex += _set("^" if negated else "", members, token)
        else:
            regex += re.escape(token)
    return rf"(?:.*/)?{regex}(?:/.*)?\Z" if anywhere else rf"{regex}(?:/.*)?\Z"


def _set(negation: str, members: str, token: str) -> str:
    try:
        re.compile(f"[{members}]")
    except re.error:  # a range that runs backwards: taken as it is written
        return re.escape(token)
    return f"[{negation}{members}]"
