"""Whose a value is that only its surroundings gave away: the provider named before it, if its values look so.

``Authorization: Bearer …`` says that something is a token and not of whom; the host in the line above does.
A rule by context reaches some bytes only, since it makes a finding of a name and a value. Here the value
is found already, so a name further away may still say whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from unsprawl.detectors.linear import linear
from unsprawl.detectors.rules import Rule
from unsprawl.detectors.sightings import Sighting
from unsprawl.structs import replace

__all__ = ["Attribution"]

#: Rules whose findings may be somebody's: they know a carrier, no vendor.
_ANYBODY: Final = frozenset({"commandline", "generic", "http", "jwt", "prose"})
#: How far before a value its provider may be named, in bytes.
_REACH: Final = 240
_SEPARATORS: Final = b" \t\n\r\f\v_.-"


class Attribution:
    """Knows the names of all rules by context."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._contextual = [rule for rule in rules if rule.context]
        self._values: dict[str, Any] = {}

    def of(self, found: Sighting) -> Sighting:
        """``found``, under the rule of the provider that is named nearest before it and whose form it has."""
        if found.rule.provider not in _ANYBODY or not self._contextual:
            return found
        start = found.match.start
        low = max(0, start - _REACH)
        # A name has no letter before it, and so the text itself begins with something else.
        before = (found.text[low:start] if low else b"\n" + found.text[:start]).lower()
        for name in reversed([match.group(1) for match in self._names(before)]):
            for rule in self._rules.get(_plain(name), ()):
                if self._value(rule)(found.value):
                    return replace(found, match=replace(found.match, rule=rule))
        return found

    # Both are made when something is found that may be anybody's.
    @cached_property
    def _rules(self) -> Mapping[bytes, Sequence[Rule]]:
        rules: dict[bytes, list[Rule]] = {}
        for rule in self._contextual:
            for word in rule.context:
                rules.setdefault(_plain(word.lower().encode()), []).append(rule)
        return rules

    @cached_property
    def _names(self) -> Any:
        from unsprawl.detectors.rulebook.contextual import spelled

        words = sorted({word.lower() for rule in self._contextual for word in rule.context})
        # In small letters alone: half the work of a pattern for both.
        return linear(f"[^a-z]({'|'.join(map(spelled, words))})").finditer

    def _value(self, rule: Rule) -> Any:
        matches = self._values.get(rule.id)
        if matches is None:
            matches = self._values[rule.id] = linear(f"(?:{rule.value})").fullmatch
        return matches


def _plain(name: bytes) -> bytes:
    """A name in small letters without its separators."""
    return name.translate(None, _SEPARATORS)
