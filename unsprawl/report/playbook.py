"""A playbook on paper: Markdown for people, JSON for programs, a body for the issue tracker.

All that comes from outside is escaped for its target; commands stand in blocks that hold nothing else, so
that they can be copied whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final, TextIO

from unsprawl.report import escape
from unsprawl.store.playbook import KINDS, Playbook, Step

__all__ = ["FORMATS", "document", "write"]

FORMATS: Final = ("table", "json", "markdown", "jira")
_SUMMARY: Final = 200


def write(playbook: Playbook, format: str, out: TextIO) -> None:
    """Write ``playbook`` in one of :data:`FORMATS`."""
    if format == "json":
        out.write(escape.json_line(document(playbook)) + "\n")
    elif format == "jira":
        out.write(json.dumps(_issue(playbook), indent=1) + "\n")
    elif format == "markdown":
        out.writelines(_markdown(playbook))
    else:
        _page(playbook, out)


def document(playbook: Playbook) -> dict[str, Any]:
    """As plain values; fields of a step that are empty are left out."""
    return {
        "finding": playbook.finding,
        "title": playbook.title,
        "facts": dict(playbook.facts),
        "steps": [
            {"number": number, **{name: value for name, value in asdict(step).items() if value}}
            for number, step in enumerate(playbook.steps, 1)
        ],
        "limits": list(playbook.limits),
        "left_out": playbook.left_out,
    }


def _numbered(playbook: Playbook) -> Iterator[tuple[str, list[tuple[int, Step]]]]:
    numbered = list(enumerate(playbook.steps, 1))
    for kind, title in KINDS.items():
        steps = [(number, step) for number, step in numbered if step.kind == kind]
        if steps:
            yield title, steps


def _notes(step: Step) -> Iterator[tuple[str, str]]:
    for name, value in (("Why", step.why), ("Undo", step.undo)):
        if value:
            yield name, value
    if step.apply:
        yield "Or", "`unsprawl remediate` does it, with a plan that you have reviewed"


def _markdown(playbook: Playbook) -> Iterator[str]:
    text = escape.markdown
    yield f"# Playbook: {text(playbook.title)}\n\n"
    for name, value in playbook.facts.items():
        yield f"- **{name}:** {text(value)}\n"
    for title, steps in _numbered(playbook):
        yield f"\n## {title}\n\n"
        for number, step in steps:
            yield f"{number}. {text(step.text)}\n"
            if step.uri:
                yield f"   - Where: {text(step.source)}, {text(step.uri)}\n"
            if step.url:
                yield f"   - Open: {text(step.url)}\n"
            for name, value in _notes(step):
                yield f"   - {name}: {text(value)}\n"
            if step.command:
                yield f"\n   ```sh\n   {escape.plain(step.command).replace('```', '')}\n   ```\n\n"
    yield from _limits(playbook)


def _limits(playbook: Playbook) -> Iterator[str]:
    if playbook.left_out:
        yield f"\n{playbook.left_out:,} more places: clean these, refetch, and print the playbook again.\n"
    if playbook.limits:
        yield "\n## What cannot be cleaned\n\n"
        yield from (f"- {escape.markdown(limit)}\n" for limit in playbook.limits)


def _page(playbook: Playbook, out: TextIO) -> None:
    from rich.text import Text

    from unsprawl.report.tables import console

    screen = console(out)

    def line(text: str, style: str = "", indent: int = 0) -> None:
        screen.print(
            Text(" " * indent + escape.plain(text), style=style), overflow="fold", soft_wrap=bool(indent)
        )

    line(f"Playbook: {playbook.title}", "bold")
    for name, value in playbook.facts.items():
        screen.print(Text(f"  {name:<12} ", style="dim").append(escape.plain(value), style="default"))
    for title, steps in _numbered(playbook):
        line(title, "bold")
        for number, step in steps:
            line(f"{number}. {step.text}", "", 2)
            if step.uri:
                line(f"{step.source}: {step.uri}", "dim", 5)
            for name, value in _notes(step):
                line(f"{name.lower()}: {value}", "dim", 5)
            if step.command:
                line(f"$ {step.command}", "cyan", 5)
    if playbook.left_out:
        line(f"{playbook.left_out:,} more places: clean these, refetch, and print the playbook again.")
    if playbook.limits:
        line("What cannot be cleaned", "bold")
        for limit in playbook.limits:
            line(f"- {limit}", "", 2)


# --- a Jira issue ------------------------------------------------------------------------------------


def _issue(playbook: Playbook) -> dict[str, Any]:
    """The body of ``POST /rest/api/3/issue``; project and type of issue are for whoever sends it to add."""
    content = [_list("bulletList", [[_paragraph(f"{n}: {v}")] for n, v in playbook.facts.items()])]
    for title, steps in _numbered(playbook):
        content.append({"type": "heading", "attrs": {"level": 2}, "content": [_text(title)]})
        numbered = _list("orderedList", [_item(step) for _, step in steps])
        numbered["attrs"] = {"order": steps[0][0]}
        content.append(numbered)
    if playbook.limits:
        content.append(
            {"type": "heading", "attrs": {"level": 2}, "content": [_text("What cannot be cleaned")]}
        )
        content.append(_list("bulletList", [[_paragraph(limit)] for limit in playbook.limits]))
    return {
        "fields": {
            "summary": escape.plain(f"Exposed secret: {playbook.title}")[:_SUMMARY],
            "labels": ["unsprawl", f"unsprawl-{playbook.finding[:12]}"],
            "description": {"type": "doc", "version": 1, "content": content},
        }
    }


def _item(step: Step) -> list[dict[str, Any]]:
    blocks = [_paragraph(step.text)]
    if step.uri:
        blocks.append(_paragraph(f"Where: {step.source}, {step.uri}"))
    if step.url.startswith(("https://", "http://")):
        mark = {"type": "link", "attrs": {"href": escape.uri(step.url)}}
        blocks.append({"type": "paragraph", "content": [{**_text("Open the place"), "marks": [mark]}]})
    blocks += [_paragraph(f"{name}: {value}") for name, value in _notes(step)]
    if step.command:
        code = {"type": "codeBlock", "attrs": {"language": "shell"}, "content": [_text(step.command)]}
        blocks.append(code)
    return blocks


def _list(kind: str, items: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    return {"type": kind, "content": [{"type": "listItem", "content": item} for item in items]}


def _paragraph(text: str) -> dict[str, Any]:
    return {"type": "paragraph", "content": [_text(text)]}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": escape.plain(text) or "–"}
