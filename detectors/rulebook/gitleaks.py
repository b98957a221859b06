"""Rule files of Gitleaks and Betterleaks (TOML), read as rules of ours.

Format: https://github.com/gitleaks/gitleaks#configuration
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from unsprawl.detectors.rulebook.translated import Translation, number, text, texts
from unsprawl.detectors.rules import Allow, Companion
from unsprawl.errors import RuleError

__all__ = ["read"]

_KNOWN: Final = frozenset(
    (
        *("id", "description", "regex", "path", "secretGroup", "entropy", "keywords", "tags"),
        *("allowlist", "allowlists", "required", "skipReport"),
    )
)
_TARGETS: Final = {"": "secret", "secret": "secret", "match": "match", "line": "line"}


def read(content: bytes, name: str) -> Translation:
    """Raises ``RuleError`` for what is no such file at all."""
    try:
        source = content.decode()
        config = tomllib.loads(source)
    except UnicodeDecodeError:
        raise RuleError(f"{name}: not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"{name}: bad TOML: {error}") from None
    rules = config.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise RuleError(f"{name}: 'rules' must be tables ([[rules]])")
    result = Translation(name, "gitleaks", lambda rule: _line(source, rule))
    for key in ("extend", "betterleaks", "validation", "validators"):
        if key in config:
            result.note("", f"'{key}' is not followed: give its files with --rules as well")
    shared = _lists(config, "", result)
    by_id = {rule["id"]: rule for rule in rules if isinstance(rule.get("id"), str)}
    for rule in rules:
        _rule(rule, by_id, shared, result)
    return result


def _rule(
    rule: Mapping[str, Any],
    by_id: Mapping[str, Mapping[str, Any]],
    shared: Sequence[Allow],
    result: Translation,
) -> None:
    id = rule.get("id")
    if not isinstance(id, str) or not id:
        raise RuleError(f"{result.name}: a rule without an id")
    place = f"{result.name}: rule '{id}'"
    for key in rule:
        if key not in _KNOWN:
            result.note(id, f"'{key}' is not taken over: the rule may find more than it did there")
    pattern, path = text(rule, "regex", place), text(rule, "path", place)
    if not pattern:
        result.note(id, "left out: it names files and has no regex" if path else "left out: it has no regex")
        return
    if rule.get("skipReport") is True:
        return  # only a part of other rules
    # No group given: the first one that is there holds the secret.
    group = int(number(rule, "secretGroup", place)) or (
        1 if "(" in re.sub(r"\\.|\(\?[^P<]", "", pattern) else 0
    )
    result.add(
        id,
        text(rule, "description", place),
        pattern,
        group=group,
        keywords=texts(rule.get("keywords"), f"{place}: 'keywords'"),
        min_entropy=number(rule, "entropy", place),
        path=path,
        allow=[*_lists(rule, id, result), *shared],
        companions=_parts(rule, id, by_id, result),
    )


def _parts(
    rule: Mapping[str, Any], id: str, by_id: Mapping[str, Mapping[str, Any]], result: Translation
) -> list[Companion]:
    found = []
    for part in rule.get("required") or ():
        other = by_id.get(part.get("id", "")) if isinstance(part, dict) else None
        if other is None or not isinstance(other.get("regex"), str):
            result.note(id, "a required part names no rule of this file: it is not asked for")
            continue
        lines = part.get("withinLines")
        companion = result.companion(
            id, other["id"], other["regex"], lines if isinstance(lines, int) else None, required=True
        )
        found += [companion] if companion else []
    return found


def _lists(table: Mapping[str, Any], id: str, result: Translation) -> list[Allow]:
    """Both spellings of an allow list, the old single one and the new row of them."""
    old, new = table.get("allowlist"), table.get("allowlists", table.get("allowlist"))
    every = [*([old] if isinstance(old, dict) else []), *(new if isinstance(new, list) else [])]
    return [allow for one in every if isinstance(one, dict) for allow in _allow(one, id, result)]


def _allow(one: Mapping[str, Any], id: str, result: Translation) -> list[Allow]:
    place = f"{result.name}: rule '{id}'" if id else result.name
    if one.get("commits"):
        result.note(id, "allowed commits are not taken over")
    if one.get("targetRules") and not id:
        result.note(id, "an allow list for some rules only is not taken over")
        return []
    target = _TARGETS.get(text(one, "regexTarget", place))
    if target is None:
        raise RuleError(f"{place}: regexTarget is secret, match or line")
    conditions: dict[str, tuple[str, ...]] = {}
    for key, name in (("regexes", target), ("paths", "path"), ("stopwords", "words")):
        if found := texts(one.get(key), f"{place}: '{key}'"):
            conditions[name] = tuple(found)
    if str(one.get("condition", "OR")).upper() in ("AND", "&&"):
        return [Allow(**conditions)] if conditions else []
    return [Allow(**{name: patterns}) for name, patterns in conditions.items()]


def _line(source: str, id: str) -> int:
    found = re.search(rf"""^[ \t]*id[ \t]*=[ \t]*["']+{re.escape(id)}["']""", source, re.MULTILINE)
    return source.count("\n", 0, found.start()) + 1 if found else 1
