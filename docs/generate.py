"""Writes the pages and schemas that the program knows better than any author: ``make docs``.

With ``--check`` nothing is written, and the exit code is 1 when a file is not what it should be.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from unsprawl.cli import unsprawl

__all__ = ["pages"]

_HERE = Path(__file__).parent
#: Behind this heading of rules.md everything is written here.
_CATALOGUE = "## The built-in rules\n\n"
#: The width of a terminal that every reader has.
_COLUMNS = 88


def pages() -> dict[str, str]:
    """The generated files by their name in ``docs/``."""
    from unsprawl import config
    from unsprawl.detectors.rulebook import rulekeys

    return {
        "cli.md": _command_line(),
        "config.schema.json": _json(config.schema()),
        "rule.schema.json": _json(rulekeys.schema()),
        "rules.md": _rules((_HERE / "rules.md").read_text("utf-8")),
    }


def _json(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _rules(page: str) -> str:
    """The page as it was written by hand, with the built-in rules behind its last heading."""
    from unsprawl.detectors.rules import load

    rules = load().rules
    providers = {rule.provider for rule in rules}
    lines = [
        page.partition(_CATALOGUE)[0] + _CATALOGUE,
        f"{len(rules)} rules for {len(providers)} providers; `unsprawl rules list` tells more.",
        "",
        "| rule | finds | severity | is | proved by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in rules:
        proofs = [f"offline: {rule.offline}" if rule.offline else "", "a request" if rule.check else ""]
        proof = ", ".join(filter(None, proofs))
        lines.append(f"| `{rule.id}` | {_cell(rule.name)} | {rule.severity} | {rule.kind} | {proof} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _command_line() -> str:
    head = "# The command line\n\nWhat `--help` says, command by command. Written by `make docs`.\n"
    parts = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in _helps("unsprawl", unsprawl, None)]
    return "\n".join([head, *parts])


def _helps(name: str, command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    settings = {**command.context_settings, "terminal_width": _COLUMNS, "max_content_width": _COLUMNS}
    with click.Context(command, info_name=name.rpartition(" ")[2], parent=parent, **settings) as context:
        yield name, command.get_help(context).strip()
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                if found is not None and not found.hidden:
                    yield from _helps(f"{name} {child}", found, context)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, tell what would change")
    check = parser.parse_args().check
    stale = [name for name, text in pages().items() if not _same(_HERE / name, text)]
    for name in stale:
        if check:
            print(f"docs/{name} is not current; run: make docs", file=sys.stderr)
        else:
            (_HERE / name).write_text(pages()[name], encoding="utf-8")
            print(f"docs/{name}")
    return int(check and bool(stale))


def _same(file: Path, text: str) -> bool:
    return file.exists() and file.read_text("utf-8") == text


if __name__ == "__main__":
    raise SystemExit(main())
