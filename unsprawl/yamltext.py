"""YAML as plain values with the line of every key, read from text that may be hostile.

The types are those of YAML 1.2, so that ``on``, ``no``, ``012`` and ``2026-01-01`` are texts and
mean what they look like. Mapping keys are always text. Refused, with file and line: duplicate keys,
merge keys, tags, more than one document, deep nesting and aliases that multiply.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

import yaml

from unsprawl.errors import ConfigError
from unsprawl.redaction import Redactor
from unsprawl.shape import Path

__all__ = ["parse"]

_DEEPEST: Final = 40
_MOST_NODES: Final = 100_000

_SCALARS: Final = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)", "-+0123456789"),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}
_TAG: Final = "tag:yaml.org,2002:"

# libyaml's parser is a C extension; PyYAML comes without it on few platforms.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the base is chosen at run time
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _name, (_pattern, _starts) in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})\\Z"), list(_starts))
_Loader.add_implicit_resolver(_TAG + "merge", re.compile(r"<<\Z"), ["<"])


def parse(text: str, file: str) -> tuple[Any, dict[Path, int]]:
    """The one document in ``text`` and the line of each of its keys. Empty text gives None.

    ``file`` names the text in errors, which are :class:`ConfigError` with ``file:line:``.
    """
    try:
        _refuse_depth(text, file)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        words = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise ConfigError(f"{where}: not valid YAML: {words}", hint=_syntax_hint(words)) from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", "") or "it cannot be read"
        raise ConfigError(f"{file}: not valid YAML: {reason}") from None
    if node is None:
        return None, {}
    builder = _Builder(file)
    return builder.build(node, (), 0), builder.places


def _refuse_depth(text: str, file: str) -> None:
    # Composing recurses in C and ends the process on a deep document; the event stream does not.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ConfigError(f"{file}:{line}: nested deeper than {_DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _syntax_hint(words: str) -> str:
    if "\\t" in words or "cannot start any token" in words:
        return "indent with blanks, and put values that begin with % @ ` or a tab in quotes"
    if "mapping values are not allowed" in words:
        return "put a value that holds a colon and a blank in quotes, and check the indentation"
    return ""


class _Builder:
    """Nodes to plain values. ``places`` grows beside them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path, int] = {}
        self._count = 0

    def build(self, node: yaml.Node, path: Path, depth: int) -> Any:
        self._count += 1
        # Aliases repeat a node without being text: a short file can stand for billions of values.
        if self._count > _MOST_NODES or depth > _DEEPEST:
            raise self._error(node, "its aliases multiply to more than can be meant")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            values = []
            for index, child in enumerate(node.value):
                self.places[(*path, index)] = child.start_mark.line + 1
                values.append(self.build(child, (*path, index), depth + 1))
            return values
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path, depth)
        raise self._error(node, "tags are not understood", "write plain values")

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, "a key must be text")
            if key_node.tag == _TAG + "merge":
                raise self._error(key_node, "merge keys (<<) are not understood", "write the keys out")
            key = key_node.value
            line = key_node.start_mark.line + 1
            if key in mapping:
                first = self.places[(*path, key)]
                shown = Redactor().text(repr(key))  # a key may be a password in the wrong line
                raise self._error(key_node, f"the key {shown} stands here twice, first in line {first}")
            self.places[(*path, key)] = line
            mapping[key] = self.build(value_node, (*path, key), depth + 1)
        return mapping

    def _scalar(self, node: yaml.ScalarNode) -> None | bool | int | float | str:
        text: str = node.value
        match node.tag.removeprefix(_TAG):
            case "str" | "merge":
                return text
            case "null":
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
                return int(text)
            case "int" if re.fullmatch(_SCALARS["int"][0], text):
                return text  # too long for a count: an account or a client id written without quotes
            case "float" if re.fullmatch(_SCALARS["float"][0], text) and len(text) < 64:
                return float(text)
        raise self._error(node, "tags are not understood", "write plain values")

    def _error(self, node: yaml.Node, what: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.file}:{node.start_mark.line + 1}: {what}", hint=hint)
