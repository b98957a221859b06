"""Tables for people: a grouped list of findings, the ledger, and any list of records.

Everything that comes from outside is escaped before it reaches the terminal.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from unsprawl.report import escape
from unsprawl.report.cases import Case, Row, account, gather, near
from unsprawl.report.wording import counted, severities, size
from unsprawl.store.sink import CoverageRow

if TYPE_CHECKING:
    from unsprawl.report.export import Report, Section

__all__ = ["console", "coverage", "findings", "records"]

_PLACES: Final = 3
#: Nobody reads more in a terminal, and laying them out takes seconds.
_CASES: Final = 500
#: Without a terminal there is no width to fit; wide enough that few paths are cut.
_WIDTH_IN_FILES: Final = 160
_STYLE: Final = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "active": "bold red",
    "inactive": "green",
    "complete": "green",
    "partial": "yellow",
    "skipped": "yellow",
    "failed": "bold red",
    "excluded": "dim",
    "running": "cyan",
}


def console(out: TextIO) -> Console:
    """A console that writes to ``out``, without markup, links or guesses about what the text means."""
    width = None if out.isatty() or os.environ.get("COLUMNS") else _WIDTH_IN_FILES
    return Console(file=out, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


@dataclass(frozen=True, slots=True)
class _Where:
    """A place that loses its beginning rather than its end when the column is narrow."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text
        if cell_len(text) > options.max_width:
            while text and (over := cell_len(text) - (options.max_width - 1)) > 0:
                # A character is two cells wide at most.
                text = text[(over + 1) // 2 :]
            text = f"…{text}"
        yield Text(text, style=self.style, no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(16, cell_len(self.text)), cell_len(self.text))


def _styled(value: str) -> Text:
    return Text(escape.plain(value), style=_STYLE.get(value, ""))


def _grid() -> Table:
    return Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1), expand=False)


def findings(report: Report, out: TextIO) -> None:
    """Findings, worst first, each with its first places, then what was not read, then the sum."""
    screen = console(out)
    cases = gather(report.rows(), _PLACES)
    if cases:
        screen.print(_findings_grid(cases[:_CASES], screen.width))
    if len(cases) > _CASES:
        screen.print(
            Text(f"and {len(cases) - _CASES:,} more findings; --format jsonl has all\n", style="dim")
        )
    for section in report.sections:
        if section.lines:
            _section(section, screen)
    gaps = [gap for _, gap in report.gaps() if not gap.excluded]
    for gap in gaps[:_GAPS]:
        text = Text("not read  ", style="yellow")
        text.append(f"{escape.plain(gap.uri)}: {escape.plain(gap.reason)}", style="default")
        screen.print(text, overflow="fold")
        if gap.hint:
            screen.print(Text(f"          {escape.plain(gap.hint)}", style="dim"), overflow="fold")
    if len(gaps) > _GAPS:
        screen.print(Text(f"          and {len(gaps) - _GAPS} more", style="dim"))
    counts = report.tally()
    worst = severities(counts.severity)
    total = f"{counted(counts.findings, 'finding')}{f' ({worst})' if worst else ''}"
    if counts.occurrences != counts.findings:
        total += f" in {counted(counts.occurrences, 'place')}"
    end = Text(f"{total}. ", style="bold" if counts.findings else "green")
    end.append(
        "Coverage complete." if report.complete else "Coverage incomplete.",
        "green" if report.complete else "yellow",
    )
    screen.print(end)


def _section(section: Section, screen: Console) -> None:
    screen.print(Text(section.title, style="bold"))
    grid = _grid()
    for column in section.columns:
        grid.add_column(column, overflow="fold")
    for line in section.lines:
        grid.add_row(*(_styled(cell or "–") for cell in line))
    screen.print(grid)
    if section.more:
        screen.print(Text(f"and {section.more:,} more\n", style="dim"))


_GAPS: Final = 20


def _findings_grid(cases: Sequence[Case], width: int) -> Table:
    """Wide: a column for everything. Narrow: the secret below its rule, short ids, no status."""
    grid = _grid()
    wide = width >= 140
    grid.add_column("Severity", no_wrap=True)
    grid.add_column("Finding", no_wrap=True, style="dim")
    grid.add_column("Rule", no_wrap=True, overflow="ellipsis", max_width=22 if width < 100 else 34)
    if wide:
        grid.add_column("Secret", no_wrap=True, overflow="ellipsis", max_width=40)
    grid.add_column("Where", ratio=1)
    if wide:
        grid.add_column("Label", no_wrap=True)
        grid.add_column("Status", no_wrap=True)
    grid.add_column("×", justify="right", no_wrap=True)
    for case in cases:
        row = case.row
        places: list[_Where | Text] = [
            _Where(escape.plain(near(p)), "" if n == 0 else "dim") for n, p in enumerate(case.places)
        ]
        if case.copies > len(places):
            places.append(_Where(f"and {case.copies - len(places)} more", "dim"))
        if row["because"]:
            places.append(_line(row["because"], "dim italic"))
        where = Group(*places)
        start = (_styled(row["severity"]), _text(row["finding"][: 12 if wide else 8]))
        copies = _text(case.copies)
        if wide:
            grid.add_row(
                *start,
                _text(row["rule"]),
                _secret(row),
                where,
                _text(row["label"]),
                _status(row),
                copies,
            )
        else:
            rule = Group(_line(row["rule"]), _secret(row, "dim"))
            grid.add_row(*start, rule, where, copies)
    return grid


def _line(value: str, style: str = "") -> Text:
    return Text(escape.plain(value), style=style, no_wrap=True, overflow="ellipsis")


def _secret(row: Row, style: str = "") -> Text:
    """The preview, and whose it is: ten mailboxes with one password are ten lines."""
    shown = _line(row["secret"], style)
    return shown.append(f"  {escape.plain(account(row))}", "dim") if account(row) else shown


def _status(row: Row) -> Text:
    if row["gone_at"]:
        return Text("gone", style="green")
    return _styled(row["validity"]) if row["validity"] != "unknown" else _styled(row["status"])


def _text(value: object) -> Text:
    return Text(escape.plain(str(value)))


def coverage(rows: Sequence[CoverageRow], out: TextIO) -> None:
    """The ledger, then each gap with its reason and what to do about it."""
    screen = console(out)
    grid = _grid()
    grid.add_column("Source", no_wrap=True)
    grid.add_column("What", ratio=1)
    grid.add_column("Status", no_wrap=True)
    for name in ("Read", "Unchanged", "Skipped", "Excluded", "Bytes"):
        grid.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = (row.documents, row.unchanged, row.skipped, row.excluded)
        cells = [Text(f"{n:,}" if n else "–", style="" if n else "dim") for n in numbers]
        grid.add_row(
            _text(row.source),
            _Where(escape.plain(row.title)),
            _styled(str(row.status)),
            *cells,
            size(row.read_bytes),
        )
    if rows:
        screen.print(grid)
    gaps = list(dict.fromkeys(gap for row in rows for gap in row.gaps))
    for gap in gaps[:_GAPS_IN_LEDGER]:
        head = Text("excluded  " if gap.excluded else "not read  ", style="dim" if gap.excluded else "yellow")
        head.append(f"{escape.plain(gap.uri)}: {escape.plain(gap.reason)}", style="default")
        screen.print(head, overflow="fold")
        if gap.hint:
            screen.print(Text(f"          {escape.plain(gap.hint)}", style="dim"), overflow="fold")
    if len(gaps) > _GAPS_IN_LEDGER:
        left = len(gaps) - _GAPS_IN_LEDGER
        screen.print(Text(f"          and {left:,} more; --format json has all", style="dim"))


_GAPS_IN_LEDGER: Final = 200


def records(columns: Sequence[str], values: Iterable[Sequence[object]], format: str, out: TextIO) -> None:
    """Any list with the same columns a line, as table, csv or markdown."""
    if format == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([escape.cell(v) for v in line] for line in values)
    elif format == "markdown":
        out.write(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n")
        out.writelines(
            f"| {' | '.join(escape.markdown(escape.cell(v)) for v in line)} |\n" for line in values
        )
    else:
        grid = _grid()
        for column in columns:
            grid.add_column(column.replace("_", " ").capitalize(), overflow="fold")
        for line in values:
            grid.add_row(*(_styled("–" if v is None or v == "" else str(v)) for v in line))
        console(out).print(grid)
