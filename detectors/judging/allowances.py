"""What a rule itself leaves alone: other documents than its own, and the values of its allow list."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from unsprawl.detectors.linear import linear
from unsprawl.detectors.rules import Allow, Rule

__all__ = ["is_spared"]

#: How far the ends of a line are looked for, in bytes.
_REACH: Final = 2048


def is_spared(rule: Rule, text: bytes, span: tuple[int, int], whole: tuple[int, int], path: str) -> bool:
    """Whether ``rule`` has no say about the secret ``text[span]``, found by a match of ``text[whole]``.

    ``path`` is that of the document, with its member.
    """
    if rule.path and not _found((rule.path,), path.encode("utf-8", "surrogateescape")):
        return True
    return any(_applies(allow, text, span, whole, path) for allow in rule.allow)


def _applies(allow: Allow, text: bytes, span: tuple[int, int], whole: tuple[int, int], path: str) -> bool:
    """Every list that is given must have a say."""
    secret = text[slice(*span)]
    if allow.secret and not _found(allow.secret, secret):
        return False
    if allow.words and not any(word.lower().encode() in secret.lower() for word in allow.words):
        return False
    if allow.match and not _found(allow.match, text[slice(*whole)]):
        return False
    if allow.path and not _found(allow.path, path.encode("utf-8", "surrogateescape")):
        return False
    return not allow.line or _found(allow.line, _line(text, span))


def _line(text: bytes, span: tuple[int, int]) -> bytes:
    low = text.rfind(b"\n", max(0, span[0] - _REACH), span[0]) + 1
    high = text.find(b"\n", span[1], span[1] + _REACH)
    return text[low or max(0, span[0] - _REACH) : high if high >= 0 else span[1] + _REACH]


def _found(patterns: Iterable[str], text: bytes) -> bool:
    return any(_compiled(pattern).search(text) for pattern in patterns)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Any:
    return linear(pattern)
