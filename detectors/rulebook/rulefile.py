"""One rule file, checked key by key. The words of every error are made here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from unsprawl.detectors.judging import offline
from unsprawl.detectors.matching.confirm import same_group
from unsprawl.detectors.matching.drawn import drawn_lead
from unsprawl.detectors.rulebook import contextual, freespacing, noseyparker
from unsprawl.detectors.rulebook.rulekeys import FORMS, KEYS, REQUIRED
from unsprawl.detectors.rules import Allow, Companion, Note, Rule, nearest
from unsprawl.errors import ConfigError, RuleError
from unsprawl.records import Severity
from unsprawl.shape import Path, Places
from unsprawl.yamltext import parse as parse_yaml

__all__ = ["parse"]

#: A rule file is written by a person. What is larger is a mistake or an attack.
_LARGEST: Final = 4 << 20
_HOLE: Final = r"\{(\w+)\}"


def parse(text: bytes, name: str) -> tuple[list[Rule], list[Note]]:
    """The rules of one file called ``name``, ours or another scanner's, and notes on the latter.

    Raises ``RuleError`` for the first mistake.
    """
    if len(text) > _LARGEST:
        raise RuleError(f"{name}: {len(text)} bytes are too large for a rule file")
    try:
        value, lines = parse_yaml(text.decode(), name)
    except UnicodeDecodeError:
        raise RuleError(f"{name}: not text in UTF-8") from None
    except ConfigError as error:
        raise RuleError(error.message, hint=error.hint) from None
    if not isinstance(value, dict):
        raise RuleError(f"{name}: a rule file has one key 'rules' with a list", hint="See docs/rules.md.")
    for key in value:
        if key != "rules":
            raise RuleError(f"{name}:{lines[key,]}: unknown key '{key}'{nearest(key, ['rules'])}")
    if not isinstance(value.get("rules"), list):
        raise RuleError(f"{name}: a rule file has one key 'rules' with a list", hint="See docs/rules.md.")
    if noseyparker.is_theirs(value["rules"]):
        translation = noseyparker.read(value["rules"], name, lines)
        return translation.rules, translation.notes
    return [_Reader(name, lines, index).rule(item) for index, item in enumerate(value["rules"])], []


class _Reader:
    """Builds one rule; knows where each of its keys stands."""

    def __init__(self, name: str, lines: Places, index: int) -> None:
        self._name = name
        self._lines = lines
        self._root: Path = ("rules", index)
        self._id = ""

    def rule(self, item: Any) -> Rule:
        if not isinstance(item, dict):
            raise self._error((), "a rule is a mapping")
        self._id = item["id"] if isinstance(item.get("id"), str) else ""
        for key in item:  # before the missing ones: a misspelt key is both
            if key not in KEYS:
                raise self._error((key,), f"unknown key '{key}'{nearest(key, KEYS)}")
        for key in REQUIRED:
            if key not in item:
                raise self._error((), f"'{key}' is missing")
        for key, value in item.items():
            self._conforms(value, KEYS[key], (key,))
        words = tuple(item.get("context", ()))
        pattern, superset, keywords = self._pattern(item, words)
        value = freespacing.strip(item.get("value", ""))
        groups = self._groups(pattern, superset)
        yielded = offline.YIELDS.get(item.get("offline", ""), ())
        companions = self._companions(item.get("companions", {}))
        groups = [*groups, *(companion.name for companion in companions)]
        for index, group in enumerate(item.get("identity", ())):
            if group not in groups and group not in yielded:
                raise self._error(
                    ("identity", index), f"the pattern has no group '{group}'{nearest(group, groups)}"
                )
        self._request(item.get("check"), groups)
        return Rule(
            id=item["id"],
            name=item["name"],
            provider=item["id"].partition(".")[0],
            severity=Severity(item["severity"]),
            keywords=keywords,
            pattern=pattern,
            superset=superset,
            prefix=item.get("prefix") or freespacing.literal_prefix(pattern),
            kind=item.get("kind", "contextual" if words else "exact"),
            identity=tuple(item.get("identity", ())),
            offline=item.get("offline", ""),
            min_entropy=float(item.get("min_entropy", 0)),
            context=words,
            value=value,
            cue=item.get("cue", False),
            drawn=bool(words) and bool(drawn_lead(value)),
            tentative=item.get("tentative", False),
            companions=companions,
            path=self._regex(item.get("path", ""), ("path",)),
            allow=tuple(self._allow(one, index) for index, one in enumerate(item.get("allow", ()))),
            check=item.get("check"),
            remediation=tuple(item.get("remediation", ())),
            examples=tuple(item.get("examples", ())),
            negatives=tuple(item.get("negatives", ())),
            file=self._name,
            line=self._line(()),
        )

    def _pattern(self, item: Any, words: Sequence[str]) -> tuple[str, str, tuple[str, ...]]:
        """The pattern of either form, its superset and its keywords."""
        for form, other in (FORMS, FORMS[::-1]):
            found = [key for key in form if key in item]
            if found and not any(key in item for key in other):
                for key in form:
                    if key not in item:
                        raise self._error((), f"'{key}' is missing: it goes with '{found[0]}'")
                break
        else:
            raise self._error((), "a rule has either 'keywords' and 'pattern', or 'context' and 'value'")
        if not words:
            keywords = tuple(word.lower() for word in item["keywords"])
            return freespacing.strip(item["pattern"]), freespacing.strip(item.get("superset", "")), keywords
        value = freespacing.strip(item["value"])
        if "(?P<" in value:
            raise self._error(("value",), "a value has no named groups: write a 'pattern'")
        if "superset" in item:
            raise self._error(("superset",), "a superset goes with a pattern, not with a context")
        # Where the value begins with a drawn run, that is looked for: the rest may be none.
        superset = contextual.superset(words, drawn_lead(value) or value)
        return contextual.pattern(words, value), superset, contextual.keywords(words)

    def _line(self, path: Path) -> int:
        full = (*self._root, *path)
        while full not in self._lines:
            full = full[:-1]
        return self._lines[full]

    def _error(self, path: Path, what: str, hint: str = "") -> RuleError:
        rule = f" rule '{self._id}':" if self._id else ""
        return RuleError(f"{self._name}:{self._line(path)}:{rule} {what}", hint=hint)

    def _conforms(self, value: Any, wanted: Mapping[str, Any], path: Path) -> None:
        """The part of JSON Schema that :data:`KEYS` uses, with errors that a person can act on."""
        what = ".".join(str(part) for part in path if not isinstance(part, int))
        if "enum" in wanted:
            known = wanted["enum"]
            if value not in known:
                raise self._error(path, f"'{what}' is one of {', '.join(known)}{nearest(str(value), known)}")
            return
        kind = wanted.get("type")
        python: Mapping[str, Any] = {
            "string": str,
            "array": list,
            "object": dict,
            "number": (int, float),
            "integer": int,
            "boolean": bool,
        }
        if kind and (not isinstance(value, python[kind]) or (isinstance(value, bool) and kind != "boolean")):
            names = {
                "string": "text (in quotes)",
                "array": "a list",
                "object": "a mapping",
                "boolean": "true or false",
            }
            raise self._error(path, f"'{what}' must be {names.get(kind, 'a number')}")
        if kind == "string":
            if len(value.strip()) < wanted.get("minLength", 0):
                raise self._error(path, f"'{what}' is empty")
            if "pattern" in wanted and not re.search(wanted["pattern"], value):
                raise self._error(
                    path, f"'{what}' does not look like {wanted.get('description') or wanted['pattern']}"
                )
        elif kind in ("number", "integer"):
            if not wanted.get("minimum", value) <= value <= wanted.get("maximum", value):
                raise self._error(path, f"'{what}' must be {wanted['minimum']} to {wanted['maximum']}")
        elif kind == "array":
            if not wanted.get("minItems", 0) <= len(value) <= wanted.get("maxItems", len(value)):
                raise self._error(path, f"'{what}' has {len(value)} items, {wanted['minItems']} are needed")
            for index, item in enumerate(value):
                self._conforms(item, wanted["items"], (*path, index))
        elif kind == "object":
            self._mapping(value, wanted, path, what)

    def _mapping(self, value: Any, wanted: Mapping[str, Any], path: Path, what: str) -> None:
        properties = wanted.get("properties", {})
        others = wanted.get("additionalProperties", True)
        if len(value) < wanted.get("minProperties", 0):
            raise self._error(path, f"'{what}' is empty")
        for key in wanted.get("required", ()):
            if key not in value:
                raise self._error(path, f"'{what}.{key}' is missing")
        for key, item in value.items():
            if key in properties:
                self._conforms(item, properties[key], (*path, key))
            elif others is False:
                raise self._error((*path, key), f"unknown key '{what}.{key}'{nearest(key, properties)}")
            elif isinstance(others, Mapping):
                self._conforms(item, others, (*path, key))

    def _groups(self, pattern: str, superset: str) -> Sequence[str]:
        """The named groups of the pattern, after a look at everything that can be wrong with it."""
        import re2

        quiet = re2.Options()
        quiet.log_errors = False
        try:
            names = list(re2.compile(f"(?m){pattern}", options=quiet).groupindex)
        except re2.error as error:
            words = _words(error)
            # Only what RE2 cannot say at all is worth a back-tracking engine.
            if not superset or "perl operator" not in words:
                hint = "RE2 has no look-around; such a pattern needs a 'superset' that RE2 can read."
                raise self._error(("pattern",), f"bad pattern: {words}", hint) from None
            names = self._beyond_re2(pattern)
        if superset:
            try:
                re2.compile(f"(?m){superset}", options=quiet)
            except re2.error as error:
                raise self._error(("superset",), f"bad superset: {_words(error)}") from None
        if names.count("secret") != 1:
            raise self._error(("pattern",), "the pattern needs one group (?P<secret>…)")
        return [*dict.fromkeys(map(same_group, names))]

    def _allow(self, said: Mapping[str, Sequence[str]], index: int) -> Allow:
        for key, patterns in said.items():
            for number, pattern in enumerate(patterns if key != "words" else ()):
                self._regex(pattern, ("allow", index, key, number))
        return Allow(**{key: tuple(patterns) for key, patterns in said.items()})

    def _regex(self, pattern: str, path: Path) -> str:
        import re2

        quiet = re2.Options()
        quiet.log_errors = False
        try:
            re2.compile(pattern, options=quiet)
        except re2.error as error:
            raise self._error(path, f"bad pattern: {_words(error)}") from None
        return pattern

    def _companions(self, named: Mapping[str, Any]) -> tuple[Companion, ...]:
        import re2

        quiet = re2.Options()
        quiet.log_errors = False
        found = []
        for name, said in named.items():
            pattern = freespacing.strip(said["pattern"])
            try:
                groups = re2.compile(f"(?m){pattern}", options=quiet).groups
            except re2.error as error:
                raise self._error(("companions", name, "pattern"), f"bad pattern: {_words(error)}") from None
            if groups > 1:
                raise self._error(("companions", name, "pattern"), "a companion has one group at most")
            found.append(
                Companion(name, pattern, said.get("within", 1024), required=said.get("required", False))
            )
        return tuple(found)

    def _beyond_re2(self, pattern: str) -> list[str]:
        import regex

        try:
            return list(regex.compile(pattern).groupindex)
        except regex.error as error:
            raise self._error(("pattern",), f"bad pattern: {error}") from None

    def _request(self, check: Any, groups: Sequence[str]) -> None:
        """A check may be sent to the hosts it names, and to no other."""
        if check is None:
            return
        request = check["request"]
        for name, pattern in request.get("derive", {}).items():
            self._regex(pattern, ("check", "request", "derive", name))
        known = [*groups, *request.get("derive", ()), "secret"]
        for key, value in request.items():
            for name in _holes(value, whole=key == "json") if key not in ("derive", "hosts") else ():
                if name not in known:
                    raise self._error(
                        ("check", "request", key), f"the pattern has no group '{name}'{nearest(name, known)}"
                    )
        if "{" in urlsplit(request["url"]).netloc and not request.get("hosts"):
            raise self._error(("check", "request"), "a url with a companion for host needs 'hosts'")


def _holes(value: Any, *, whole: bool = False) -> Iterator[str]:
    """The names in braces. In JSON a hole is a ``whole`` text: GraphQL has braces of its own."""
    if isinstance(value, str):
        found = [re.fullmatch(_HOLE, value)] if whole else re.finditer(_HOLE, value)
        yield from (match[1] for match in found if match)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _holes(inner, whole=whole)
    elif isinstance(value, list):
        for inner in value:
            yield from _holes(inner, whole=whole)


def _words(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    text = first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
    return " ".join(text.split())
