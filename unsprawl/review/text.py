"""A review as text: Markdown for a ticket or a wiki, tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from unsprawl.report import escape
from unsprawl.report.tables import console
from unsprawl.review.gather import Review
from unsprawl.review.sections import Section, facts, sections

__all__ = ["markdown", "terminal"]


def markdown(review: Review, out: TextIO, *, digest: bool) -> None:
    text = escape.markdown
    out.write(f"# {text(review.title)}\n\n")
    for fact in facts(review):
        note = f" ({text(fact.note)})" if fact.note else ""
        out.write(f"- **{text(fact.name)}:** {text(fact.value)}{note}\n")
    for section in sections(review, digest=digest):
        out.writelines(_section(section))


def _section(section: Section) -> Iterator[str]:
    text = escape.markdown
    yield f"\n## {text(section.title)}\n"
    if section.note:
        yield f"\n{text(section.note)}\n"
    if section.lines:
        rules = ("---:" if at in section.numbers else "---" for at in range(len(section.columns)))
        yield f"\n| {' | '.join(map(text, section.columns))} |\n| {' | '.join(rules)} |\n"
        yield from (f"| {' | '.join(map(text, line))} |\n" for line in section.lines)
    if section.more:
        yield f"\nand {section.more:,} more\n"


def terminal(review: Review, out: TextIO, *, digest: bool) -> None:
    screen = console(out)
    screen.print(Text(escape.plain(review.title), style="bold"))
    for fact in facts(review):
        line = Text(f"  {fact.name:<20} ", style="dim").append(escape.plain(fact.value), style="bold default")
        screen.print(line.append(f"  {escape.plain(fact.note)}", style="dim"))
    for section in sections(review, digest=digest):
        screen.print(Text(f"\n{section.title}", style="bold"))
        if section.note:
            screen.print(Text(escape.plain(section.note), style="dim"))
        if section.key == "top":
            _cases(review, screen)
        elif section.lines:
            screen.print(_table(section))
        if section.more:
            screen.print(Text(f"and {section.more:,} more", style="dim"))


def _cases(review: Review, screen: Console) -> None:
    """Open cases below each other: a row of a table would be too narrow for their places and steps."""
    for case in review.top:
        head = Text(f"{case.risk:>4}  {case.severity:<9} ")
        screen.print(head.append(escape.plain(f"{case.name} {case.secret}"), style="bold"), overflow="fold")
        known = case.validity if case.validity != "unknown" else ""
        told = ", ".join(
            filter(None, (known, case.owner or "nobody owns it", f"since {case.first_seen[:10]}"))
        )
        more = f" and {case.places - 1:,} more" if case.places > 1 else ""
        for line in (f"{case.where}{more}  ({told})", f"next: {case.next}", case.command):
            screen.print(Padding(Text(escape.plain(line), style="dim", overflow="fold"), (0, 0, 0, 16)))


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for at, name in enumerate(section.columns):
        number = at in section.numbers
        table.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in section.lines:
        table.add_row(*(Text(escape.plain(cell)) for cell in row))
    return table
