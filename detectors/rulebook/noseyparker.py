"""Rule files of Nosey Parker and Kingfisher (YAML), read as rules of ours.

Formats: https://github.com/praetorian-inc/noseyparker (docs), https://github.com/mongodb/kingfisher (docs)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from unsprawl.detectors.rulebook.translated import Translation, number, text, texts
from unsprawl.detectors.rules import Allow, Companion
from unsprawl.errors import RuleError
from unsprawl.shape import Places

__all__ = ["is_theirs", "read"]

#: Keys that a rule of theirs may have and one of ours never has.
_THEIRS: Final = frozenset(
    (
        *("categories", "confidence", "depends_on_rule", "description", "negative_examples"),
        *(
            "pattern_requirements",
            "prefilter",
            "references",
            "revocation",
            "tls_mode",
            "validation",
            "visible",
        ),
    )
)
_THEIR_ID: Final = re.compile(r"(?:kingfisher|np|titus|betterleaks)\.")
_SILENT: Final = frozenset(
    (
        *(
            "name",
            "id",
            "pattern",
            "min_entropy",
            "confidence",
            "examples",
            "negative_examples",
            "references",
        ),
        *("categories", "description", "visible", "depends_on_rule", "pattern_requirements"),
    )
)


def is_theirs(rules: Sequence[Any]) -> bool:
    """Whether these rules are written in their format."""
    found = [rule for rule in rules if isinstance(rule, dict)]
    return any(
        not _THEIRS.isdisjoint(rule) or _THEIR_ID.match(str(rule.get("id", ""))) for rule in found
    ) and not any("severity" in rule or "keywords" in rule or "context" in rule for rule in found)


def read(rules: Sequence[Any], name: str, places: Places) -> Translation:
    """Raises ``RuleError`` for a rule without id or pattern."""
    ids = {rule.get("id"): index for index, rule in enumerate(rules) if isinstance(rule, dict)}

    def line(id: str) -> int:
        return places.get(("rules", ids.get(id, 0)), 1)

    result = Translation(name, "kingfisher", line)
    by_id = {rule["id"]: rule for rule in rules if isinstance(rule, dict) and isinstance(rule.get("id"), str)}
    for index, rule in enumerate(rules):
        place = f"{name}:{places.get(('rules', index), 1)}"
        if not isinstance(rule, dict) or not isinstance(rule.get("id"), str):
            raise RuleError(f"{place}: a rule without an id")
        if not isinstance(rule.get("pattern"), str):
            raise RuleError(f"{place}: rule '{rule['id']}': 'pattern' is missing")
        if rule.get("visible") is not False:  # else only a part of other rules
            _rule(rule, by_id, result, f"{place}: rule '{rule['id']}'")
    return result


def _rule(
    rule: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]], result: Translation, place: str
) -> None:
    id = rule["id"]
    for key in rule:
        if key in ("validation", "revocation"):
            result.note(id, f"'{key}' is not taken over: it is not checked live")
        elif key not in _SILENT:
            result.note(id, f"'{key}' is not taken over")
    wanted = rule.get("pattern_requirements") or {}
    if not isinstance(wanted, dict):
        raise RuleError(f"{place}: 'pattern_requirements' must be a mapping")
    for key in wanted:
        if key != "ignore_if_contains":
            result.note(
                id,
                f"'pattern_requirements.{key}' is not taken over: the rule may find more than it did there",
            )
    words = tuple(texts(wanted.get("ignore_if_contains"), f"{place}: 'ignore_if_contains'"))
    result.add(
        id,
        text(rule, "name", place),
        rule["pattern"],
        group="TOKEN" if "<TOKEN>" in rule["pattern"] else None,
        severity=text(rule, "confidence", place),
        min_entropy=number(rule, "min_entropy", place),
        allow=[Allow(words=words)] if words else [],
        companions=_parts(rule, by_id, result),
    )


def _parts(
    rule: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]], result: Translation
) -> list[Companion]:
    found = []
    for part in rule.get("depends_on_rule") or ():
        other = by_id.get(part.get("rule_id", "")) if isinstance(part, dict) else None
        if other is None or not isinstance(other.get("pattern"), str):
            result.note(rule["id"], "it depends on a rule that is not in this file: it is found without it")
            continue
        name = str(part.get("variable") or other["id"]).lower()
        companion = result.companion(rule["id"], name, other["pattern"], None, required=False)
        found += [companion] if companion else []
    return found
