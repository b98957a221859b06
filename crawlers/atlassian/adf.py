"""Rich text in JSON (Atlassian Document Format) as the text that a reader sees.

Sibling inline nodes are joined without anything between them, for a token may be split by its marks;
blocks end a line, cells of a table stand in one, with a tab between them. What a reader meets only by a
click counts too: targets of links and cards, titles of expands, parameters of macros, names of files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["is_adf", "text_of"]

#: Deeper markup is an attack. It is handed on as the JSON it is, so that nothing can hide in it.
_DEEPEST: Final = 200
_INLINE: Final = frozenset(
    {
        "text",
        "hardBreak",
        "mention",
        "emoji",
        "date",
        "status",
        "inlineCard",
        "placeholder",
        "inlineExtension",
    }
)
#: Attributes that say something. The others are ids, sizes and colours.
_TELLING: Final = ("text", "title", "url", "href", "alt", "shortName")


def is_adf(value: object) -> bool:
    """Whether a value is such a document."""
    return (
        isinstance(value, Mapping) and value.get("type") == "doc" and isinstance(value.get("content"), list)
    )


def text_of(document: Any) -> str:
    """The text of a document or of any node in it. Unknown nodes are walked like all others."""
    lines = "".join(_walk(document, 0)).split("\n")
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _walk(node: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield json.dumps(node)
        return
    if isinstance(node, list):
        for child in node:
            yield from _walk(child, depth + 1)
        return
    if not isinstance(node, Mapping):
        return
    kind = str(node.get("type"))
    if kind == "text":
        yield str(node.get("text") or "")
        yield from _targets(node)
        return
    if kind == "hardBreak":
        yield "\n"
        return
    if kind == "tableRow":
        yield from _row(node, depth)
        return
    attributes = node.get("attrs")
    if isinstance(attributes, Mapping):
        said = " ".join(str(attributes[name]) for name in _TELLING if isinstance(attributes.get(name), str))
        yield said if kind in _INLINE or not said else f"{said}\n"
        parameters = attributes.get("parameters")
        if parameters:
            yield "".join(f"{line}\n" for line in _leaves(parameters, depth + 1))
    yield from _walk(node.get("content"), depth + 1)
    if kind not in _INLINE:
        yield "\n"


def _row(node: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Cells beside each other, as long as each is one line: a name and its value belong together."""
    cells = node.get("content")
    texts = [
        "".join(_walk(cell, depth + 1)).strip("\n") for cell in (cells if isinstance(cells, list) else ())
    ]
    yield ("\n" if any("\n" in text for text in texts) else "\t").join(texts)
    yield "\n"


def _targets(node: Mapping[str, Any]) -> Iterator[str]:
    """Where the marks of a text lead, behind it and only where the text does not say so itself."""
    marks = node.get("marks")
    for mark in marks if isinstance(marks, list) else ():
        attributes = mark.get("attrs") if isinstance(mark, Mapping) else None
        target = attributes.get("href") if isinstance(attributes, Mapping) else None
        if isinstance(target, str) and target != node.get("text"):
            yield f" <{target}> "


def _leaves(value: Any, depth: int, name: str = "") -> Iterator[str]:
    """``name: value`` for each text in a macro's parameters, whatever their shape."""
    if depth > _DEEPEST:
        yield json.dumps(value)
        return
    if isinstance(value, Mapping):
        for key, child in value.items():
            # {"language": {"value": "bash"}} is how most macros write language = bash.
            yield from _leaves(child, depth + 1, name if key == "value" and name else str(key))
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(child, depth + 1, name)
    elif isinstance(value, str) and value:
        yield f"{name}: {value}" if name else value
