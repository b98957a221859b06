"""Doubts: what the filters refuse and a classifier that reads the surroundings should see all the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from unsprawl.detectors.judging.chosen import SETTER

if TYPE_CHECKING:
    from unsprawl.detectors.rules import Rule

__all__ = ["tell"]

#: Filters that are often wrong about what people chose. The others leave nothing to judge: of code, names
#: and references next to nothing is ever a credential.
_DOUBTS: Final = frozenset(
    {
        "hash",
        "key names something else",
        "low entropy",
        "made up",
        "number",
        "placeholder",
        "prose",
        "type of a variable",
        "user and password",
    }
)
#: These are wrong about strings where no drawn key is expected.
_OF_STRINGS: Final = frozenset({"words", "identifier"})
#: ``DB_PASSWORD=red_kettle``: in the environment a word with a bar is no name of a variable.
_ENVIRONMENT: Final = re.compile(rb"(?:^|[\s\"'-])[A-Z][A-Z0-9_]*=$")
_CODE_OF_STRINGS: Final = re.compile(rb"[A-Za-z0-9_!@#$%^*+.~-]+")
#: A word without a sign in it, all small or all capital: ``JWT_SECRET=ofwhiteporcelain``.
_ONE_WORD: Final = re.compile(rb"[a-z0-9]{6,40}|[A-Z0-9]{6,40}")
_QUOTES: Final = (b'"', b"'", b"`")
_LINE: Final = 96
_TENTATIVE: Final = "unusual syntax"
_OF_TENTATIVE: Final = frozenset({"made up", "number", "placeholder"})


def tell(rule: Rule, reason: str, value: bytes, before: bytes) -> str:
    """Why a classifier should judge ``value``, "" where there is no doubt.

    ``reason`` is why the filters refuse it ("" if they do not), ``before`` what stands before it.
    """
    if rule.tentative:
        return _TENTATIVE if not reason or reason in _OF_TENTATIVE else ""
    if rule.kind != "generic":
        return ""
    if not reason or reason in _DOUBTS:
        return reason
    quoted = before.endswith(_QUOTES)
    line = before[-_LINE:].rpartition(b"\n")[2]
    if reason in _OF_STRINGS:
        if quoted and not rule.min_entropy:
            return reason
        named = not rule.min_entropy and reason == "identifier"
        told = quoted or named or _ENVIRONMENT.search(line)
        return reason if told and _ONE_WORD.fullmatch(value) else ""
    if reason == "code":
        written = SETTER.search(line) if quoted else _ENVIRONMENT.search(line)
        return reason if written and _CODE_OF_STRINGS.fullmatch(value) else ""
    return ""
