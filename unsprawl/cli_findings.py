"""``unsprawl findings``: what the store holds."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

from unsprawl import __version__
from unsprawl.cli_options import Command, Group, debug_option, inform, output_options, store_options
from unsprawl.cli_report import choose_format, deliver
from unsprawl.cli_store import notes, reading

__all__ = ["findings"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

STATUSES = ("open", "acknowledged", "rotated", "closed", "false_positive", "accepted", "reopened")


@click.group(cls=Group)
def findings() -> None:
    """List, show and export what was found.

    Examples:
      unsprawl findings list
      unsprawl findings show 3fa9c1
      unsprawl findings export --format csv --output findings.csv

    Exit codes: 0 done, 2 a wrong option or an unknown finding, 4 the store or its key failed.
    """


def _filters(command: _Command) -> _Command:
    for option in reversed(
        [
            click.option("--rule", metavar="ID", help="Only this rule."),
            click.option("--source", metavar="NAME", help="Only this source of the configuration."),
            click.option("--status", type=click.Choice(STATUSES), help="Only findings of this status."),
            click.option("--min-confidence", type=click.FloatRange(0, 1), default=0.0, metavar="0..1",
                         help="Only what is at least this likely a credential."),
            click.option("--only-active", is_flag=True, help="Only secrets that are known to work."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@findings.command("list", cls=Command)
@store_options
@output_options()
@_filters
@click.option("--show-gone", is_flag=True, help="Also places where the secret no longer stands.")
@click.option("--show-secrets", is_flag=True, help="Show the values that the store keeps sealed.")
@debug_option
def list_(show_gone: bool, **chosen: Any) -> int:
    """List what stands somewhere now, most urgent first.

    A table on a terminal, elsewhere one JSON line an occurrence.

    Examples:
      unsprawl findings list --store nightly.db
      unsprawl findings list --config nightly.yaml --rule github.personal-token --format json
    """
    return _report(include_gone=show_gone, piped="jsonl", **chosen)


@findings.command(cls=Command)
@store_options
@output_options()
@_filters
@click.option("--show-secrets", is_flag=True, help="Write the values that the store keeps sealed.")
@debug_option
def export(format: str | None, output: Path | None, **chosen: Any) -> int:
    """Write every occurrence, also those that are gone (`gone_at` says since when).

    One JSON line an occurrence, unless --format or the ending of --output says otherwise.

    Examples:
      unsprawl findings export > findings.jsonl
      unsprawl findings export --format sarif --output findings.sarif
      unsprawl findings export --source wiki --output wiki.html
    """
    if format is None and output is None:
        format = "jsonl"
    return _report(include_gone=True, piped="jsonl", format=format, output=output, **chosen)


def _report(
    *,
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
    rule: str | None,
    source: str | None,
    status: str | None,
    min_confidence: float,
    only_active: bool,
    include_gone: bool,
    show_secrets: bool,
    piped: str,
) -> int:
    from unsprawl.report.export import Report
    from unsprawl.store.findings import Filter

    chosen = choose_format(format, output, piped=piped)
    wanted = Filter(
        rule=rule,
        source=source,
        status=status,
        min_confidence=min_confidence,
        validity="active" if only_active else None,
        include_gone=include_gone,
    )
    with reading(store, config) as (opened, loaded):
        coverage = opened.coverage()
        runs = opened.runs()
        rules = notes(loaded)
        if not any(True for _ in opened.rows(wanted)):
            _doubt_names(rule, rules, source, {row.source for row in coverage})
        report = Report(
            title=f"Findings of {opened.path.name}",
            rows=lambda: opened.rows(wanted, show_secrets=show_secrets),
            coverage=coverage,
            complete=bool(runs) and runs[0].status == "complete",
            rules=rules,
            facts={"run": runs[0].id} if runs else {},
            version=__version__,
        )
        deliver(report, chosen, output, quiet=output is None, gaps=False)
    return 0


def _doubt_names(rule: str | None, rules: Collection[str], source: str | None, sources: set[str]) -> None:
    """Nothing was found: was it asked for by a name that there is?"""
    for kind, name, known in (("rule", rule, rules), ("source", source, sources)):
        if name is not None and name not in known:
            from unsprawl.detectors.rules import nearest

            inform(f"note: no {kind} is called {name!r}{nearest(name, known)}")


@findings.command(cls=Command)
@click.argument("finding", metavar="ID")
@store_options
@output_options(("table", "json", "markdown"))
@click.option("--show-secrets", is_flag=True, help="Show the value, if the store keeps it sealed.")
@debug_option
def show(
    finding: str,
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
    show_secrets: bool,
) -> int:
    """Show one case: its places, its history and the steps that end it.

    ID may be shortened to its first digits, as long as they are unique.

    Examples:
      unsprawl findings show 3fa9c1
      unsprawl findings show 3fa9c1 --format markdown --output ticket.md
    """
    from unsprawl.cli_report import sink
    from unsprawl.report import casefile
    from unsprawl.store.findings import Filter

    chosen = choose_format(format, output, piped="table")
    if chosen not in casefile.FORMATS:
        raise click.UsageError(f"a single finding is written as {', '.join(casefile.FORMATS)}, not {chosen}")
    with reading(store, config) as (opened, loaded):
        case = opened.finding(finding)
        wanted = Filter(finding=case["finding"], include_gone=True)
        rows = list(opened.rows(wanted, show_secrets=show_secrets))
        file = casefile.CaseFile(case, rows, notes(loaded).get(case["rule"]))
        with sink(output) as out:
            casefile.write(file, chosen, out)
    return 0
