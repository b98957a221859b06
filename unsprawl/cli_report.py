"""How a command ends: the report is written, a person is told the sum, a scheduler gets its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click

from unsprawl import __version__
from unsprawl.cli_options import inform
from unsprawl.errors import ExitCode
from unsprawl.report.cases import SEVERITIES, Row, Tally
from unsprawl.report.escape import plain
from unsprawl.report.export import Report, RuleNote, check_output, destination, write
from unsprawl.report.wording import counted, severities
from unsprawl.store.sink import CoverageRow

if TYPE_CHECKING:
    from unsprawl.budgets import Account
    from unsprawl.jobs import Result

__all__ = [
    "FAIL_ON",
    "choose_format",
    "deliver",
    "exit_code",
    "fail_on_option",
    "report_of",
    "sink",
    "tell_gaps",
    "total",
]

FAIL_ON: Final = ("any", "active", *reversed(SEVERITIES), "never")
_SUFFIXES: Final = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".sarif": "sarif", ".csv": "csv",
    ".md": "markdown", ".html": "html", ".htm": "html", ".txt": "table",
}  # fmt: skip
#: Formats that show by themselves what was not read.
_SHOW_COVERAGE: Final = frozenset({"table", "markdown", "html"})
_GAPS_TOLD: Final = 10


def fail_on_option(default: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    return click.option(
        "--fail-on", type=click.Choice(FAIL_ON), default=default, show_default=True,
        help="Exit 1 for any finding, for active ones, from a severity upwards, or never.",
    )  # fmt: skip


def choose_format(format: str | None, output: Path | None, *, piped: str = "jsonl") -> str:
    """What was asked for, else by the output file's ending, else a table for people, lines for programs."""
    if output is not None:
        check_output(output)
    if format:
        return format
    if output is not None:
        return _SUFFIXES.get(output.suffix.lower(), piped)
    return "table" if sys.stdout.isatty() else piped


def exit_code(result: Result, counts: Tally, fail_on: str) -> ExitCode:
    """Incomplete wins over findings: what was not read may hold the worst of them."""
    if not result.readable:
        return ExitCode.FAILED
    if not result.complete:
        return ExitCode.INCOMPLETE
    if fail_on == "never":
        return ExitCode.CLEAN
    if fail_on == "active":
        found = counts.open_active
    else:
        worse = SEVERITIES if fail_on == "any" else SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        found = sum(counts.open_severity.get(severity, 0) for severity in worse)
    return ExitCode.FINDINGS if found else ExitCode.CLEAN


def report_of(
    title: str,
    result: Result,
    rows: Callable[[], Iterable[Row]],
    code: ExitCode,
    rules: Mapping[str, RuleNote],
    counts: Tally | None = None,
) -> Report:
    """What a job did, ready for any format."""
    facts: dict[str, object] = {"exit_code": int(code), "readable": result.readable}
    facts["seconds"] = round(result.seconds, 3)
    if result.run:
        facts |= {"run": result.run, "new": result.new, "reopened": result.reopened, "gone": result.gone}
        facts |= {
            "closed": result.closed,
            "incomplete": sum(row.status != "complete" for row in result.coverage),
        }
        facts["active"] = counts.open_active if counts else 0
    if result.canaries:
        told = [
            {"source": one.source, "canary": one.title, "seen": one.uri or None} for one in result.canaries
        ]
        facts["canaries"] = told
    if result.used:
        facts["sources"] = {name: _used(account) for name, account in sorted(result.used.items())}
    if result.anchor:
        facts["audit_anchor"] = result.anchor
    return Report(
        title=title,
        rows=rows,
        coverage=result.coverage,
        complete=result.complete,
        rules=rules,
        facts=facts,
        version=__version__,
    )


def _used(account: Account) -> dict[str, object]:
    """What one source took of its budget: ``none`` where it has none, ``spent`` where that ended it."""
    budget = ("spent" if account.cut else "kept") if account.limited else "none"
    return {"requests": account.requests, "seconds": round(account.seconds, 3), "budget": budget}


@contextmanager
def sink(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or the file of ``--output``, which appears whole."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
    else:
        with destination(output) as out:
            yield out


def deliver(report: Report, format: str, output: Path | None, *, quiet: bool, gaps: bool = True) -> None:
    """Write the report to its place; what it does not show of the coverage is told on stderr."""
    with sink(output) as out:
        write(report, format, out)
    if gaps and (output is not None or format not in _SHOW_COVERAGE):
        tell_gaps(report.coverage, sys.stderr)
    if not quiet and (output is not None or format != "table"):
        inform(total(report) + (f" Written to {output}." if output else ""))


def tell_gaps(coverage: Sequence[CoverageRow], out: TextIO) -> None:
    """What was not read is never silent: the first gaps, and how many more there are."""
    gaps = list(dict.fromkeys(gap for row in coverage for gap in row.gaps if not gap.excluded))
    for gap in gaps[:_GAPS_TOLD]:
        hint = f"; {gap.hint}" if gap.hint else ""
        print(plain(f"not read: {gap.uri}: {gap.reason}{hint}"), file=out)
    if len(gaps) > _GAPS_TOLD:
        out.write(f"not read: {len(gaps) - _GAPS_TOLD:,} more\n")


def total(report: Report) -> str:
    """One line: how many findings, how bad, and whether everything was read."""
    counts = report.tally()
    worst = severities(counts.severity)
    sum_of = f"{counted(counts.findings, 'finding')}{f' ({worst})' if worst else ''}."
    return f"{sum_of} Coverage {'complete' if report.complete else 'incomplete'}."
