"""A review as text: Markdown for a ticket or a wiki, tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from unsprawl.report import escape
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
    from rich.table import Table
    from rich.text import Text

    from unsprawl.report.tables import console

    screen = console(out)
    screen.print(Text(escape.plain(review.title), style="bold"))
    for fact in facts(review):
        line = Text(f"  {fact.name:<20} ", style="dim").append(escape.plain(fact.value), style="bold default")
        screen.print(line.append(f"  {escape.plain(fact.note)}", style="dim"))
    for section in sections(review, digest=digest):
        screen.print(Text(f"\n{section.title}", style="bold"))
        if section.note:
            screen.print(Text(escape.plain(section.note), style="dim"))
        if not section.lines:
            continue
        table = Table(box=None, pad_edge=False, header_style="dim")
        for at, name in enumerate(section.columns):
            table.add_column(name, justify="right" if at in section.numbers else "left", overflow="fold")
        for row in section.lines:
            table.add_row(*(Text(escape.plain(cell)) for cell in row))
        screen.print(table)
        if section.more:
            screen.print(Text(f"and {section.more:,} more", style="dim"))
