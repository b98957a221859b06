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

__all__ = ["REACH", "keywords", "pattern"]

#: Bytes that may stand between the word and what is around the value.
REACH: Final = 48
#: What may follow the word at once. "abstract" is not the start of "abstraction".
_GOES_ON: Final = (
    "api|app|key|token|secret|auth|access|client|user|pass|pwd|account|acct|hq|cred|bearer|dev|prod"
    "|service|sdk|bot|config|host|admin|login|project|workspace|server|integration"
)
#: What stands around a value: it is no part of a longer one, of a path or of a host name.
_BEFORE: Final = r"[\s\"'`=:>(\[,;|{&*\\<@?]"
_AFTER: Final = r"(?:[^A-Za-z0-9_+/-]|\z)"
_SEPARATOR: Final = r"[\s_.-]?"
_PLAIN: Final = re.compile(r"[a-z0-9]+")


def pattern(words: Sequence[str], value: str) -> str:
    """A pattern that finds ``value``, itself a pattern, up to ``REACH`` bytes behind one of ``words``.

    A blank in a word stands for any separator or none. The word begins at a border: after anything but
    a letter, or with its capital after a small letter (``myAbstractKey``).
    """
    any_case = "|".join(_spelled(word) for word in words)
    capital = "|".join(_spelled(word[0].upper() + word[1:]) for word in words if word[0].isalpha())
    camel = f"|[a-z](?:{capital})" if capital else ""
    return (
        f"(?:(?:^|[^A-Za-z])(?i:{any_case}){camel})"
        f"(?:(?:[^a-z]|(?i:{_GOES_ON}))(?s:.{{0,{REACH}}}?))?{_BEFORE}(?P<secret>{value}){_AFTER}"
    )


def keywords(words: Sequence[str]) -> tuple[str, ...]:
    """The literals that every match holds: the longest part of each word."""
    return tuple(dict.fromkeys(max(_PLAIN.findall(word.lower()), key=len) for word in words))


def _spelled(word: str) -> str:
    parts = re.split(r"\s+", word)
    return _SEPARATOR.join(re.sub(r"([^A-Za-z0-9])", r"\\\1", part) for part in parts)
