r"""Rules for values that look like any other: the pattern is made from the words before them.

Most providers' keys are plain hexadecimal or letters and digits; what tells whose they are is the
provider's name shortly before. Such a rule says only that (``context`` and ``value``), and all of
them get their pattern here, so that they mean the same and cost the same: next to nothing, since
Hyperscan hooks on the word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["REACH", "keywords", "pattern", "reach", "spelled", "superset"]

#: Bytes that may stand between the word and what is around the value.
REACH: Final = 48
#: What may follow the word at once. "abstract" is not the start of "abstraction".
_GOES_ON: Final = (
    "api|app|key|token|secret|auth|access|client|user|pass|pwd|account|acct|hq|cred|bearer|dev|prod"
    "|service|sdk|bot|config|host|admin|login|project|workspace|server|integration"
)
_LONGEST_GOES_ON: Final = max(map(len, _GOES_ON.split("|")))
#: What stands around a value: it is no part of a longer one, of a path or of a host name.
_BEFORE: Final = r"[\s\"'`=:>(\[,;|{&*\\<@?]"
_AFTER: Final = r"(?:[^A-Za-z0-9_+/-]|\z)"
_SEPARATOR: Final = r"[\s_.-]?"
_PLAIN: Final = re.compile(r"[a-z0-9]+")
_SIGN: Final = re.compile(r"([^A-Za-z0-9])")


def pattern(words: Sequence[str], value: str) -> str:
    """A pattern that finds ``value``, itself a pattern, up to ``REACH`` bytes behind one of ``words``.

    A blank in a word stands for any separator or none. The word begins at a border: after anything but
    a letter, or with its capital after a small letter (``myAbstractKey``).
    """
    small = "|".join(map(spelled, words))
    mixed = "|".join(_cased(word) for word in words)
    capital = "|".join(_cased(word, first=False) for word in words)
    # "EXAMPLE" does not begin with the name of Exa: a capital goes on from small letters only.
    named = (
        f"(?:^|[^A-Za-z])(?:(?i:{small})(?:[^A-Za-z]|(?i:{_GOES_ON}))|(?:{mixed})[A-Z])"
        f"|[a-z](?:{capital})(?:[^a-z]|(?i:{_GOES_ON}))"
    )
    at_once = f"(?:^|[^A-Za-z])(?i:{small})|[a-z](?:{capital})"
    return f"(?:(?:{named})(?s:.{{0,{REACH}}}?)|{at_once}){_BEFORE}(?P<secret>{value}){_AFTER}"


def superset(words: Sequence[str], value: str) -> str:
    """What Hyperscan searches for :func:`pattern`: without the borders it needs a tenth of the memory."""
    small = "|".join(map(_loosely, words))
    return f"(?s:.?)(?i:{small})(?s:.{{0,{REACH + _LONGEST_GOES_ON}}}){_BEFORE}(?:{value})"


def reach(words: Sequence[str]) -> int:
    """How many bytes before a value the match of :func:`superset` may begin."""
    name = max(len(" ".join(word.split()).encode()) for word in words)
    return 1 + name + REACH + _LONGEST_GOES_ON + 1


def keywords(words: Sequence[str]) -> tuple[str, ...]:
    """The literals that every match holds: the longest part of each word."""
    return tuple(dict.fromkeys(max(_PLAIN.findall(word.lower()), key=len) for word in words))


def spelled(word: str) -> str:
    """``word`` as a pattern; its blanks stand for any separator or none."""
    return _SEPARATOR.join(_SIGN.sub(r"\\\1", part) for part in word.split())


def _loosely(word: str) -> str:
    """``word`` with any byte for the second letter of a first part that has two.

    Where two letters that it looks for first end right before a literal, Vectorscan 5.4.12 misses them: of
    "r2 secret" and "cloudflare r2 secret", ``r2secret``.
    """
    first, _, rest = word.partition(" ")
    return f"{first[0]}(?s:.{{1,2}}){spelled(rest)}" if rest and len(first) == 2 else spelled(word)


def _cased(word: str, *, first: bool = True) -> str:
    """``word`` in small letters; each part may begin with a capital, and the ``first`` one must if False."""
    parts = [f"[{part[0]}{part[0].upper()}]{spelled(part[1:])}" for part in re.split(r"\s+", word)]
    if not first:
        parts[0] = word[0].upper() + parts[0].partition("]")[2]
    return _SEPARATOR.join(parts)
