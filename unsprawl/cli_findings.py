"""``unsprawl findings``: what the store holds."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from unsprawl import __version__
from unsprawl.cli_assign import assign
from unsprawl.cli_options import (
    Command,
    Group,
    debug_option,
    finding_filters,
    inform,
    output_options,
    store_options,
)
from unsprawl.cli_refetch import refetch
from unsprawl.cli_report import choose_format, deliver
from unsprawl.cli_store import notes, reading, writing
from unsprawl.cli_triage import decisions, triage

__all__ = ["findings"]


@click.group(cls=Group)
def findings() -> None:
    """List, show, judge and export what was found.

    Examples:
      unsprawl findings list
      unsprawl findings show 3fa9c1
      unsprawl findings triage 3fa9c1 --as false-positive --reason "test key of the sandbox"
      unsprawl findings export --format csv --output findings.csv

    Exit codes: 0 done, 2 a wrong option or an unknown finding, 4 the store or its key failed.
    """


@findings.command("list", cls=Command)
@store_options
@output_options()
@finding_filters
@click.option("--all", "every", is_flag=True, help="Also false positives, and what is accepted.")
@click.option("--show-gone", is_flag=True, help="Also places where the secret no longer stands.")
@click.option("--show-secrets", is_flag=True, help="Show the values that the store keeps sealed.")
@debug_option
def list_(show_gone: bool, every: bool, **chosen: Any) -> int:
    """List what stands somewhere now, most urgent first.

    A table on a terminal, elsewhere one JSON line an occurrence. False positives, and what is accepted until
    a date, are shown with --all or their --status.

    Examples:
      unsprawl findings list --store nightly.db
      unsprawl findings list --config nightly.yaml --rule github.personal-token --format json
    """
    from unsprawl.store.triage import SETTLED

    settled = () if every or chosen["status"] else SETTLED
    return _report(include_gone=show_gone, without=settled, piped="jsonl", urgent_first=True, **chosen)


@findings.command(cls=Command)
@store_options
@output_options()
@finding_filters
@click.option("--show-secrets", is_flag=True, help="Write the values that the store keeps sealed.")
@debug_option
def export(format: str | None, output: Path | None, **chosen: Any) -> int:
    """Write every occurrence, also of false positives (`status`), and those that are gone (`gone_at`).

    One JSON line an occurrence, unless --format or the ending of --output says otherwise.

    Examples:
      unsprawl findings export > findings.jsonl
      unsprawl findings export --format sarif --output findings.sarif
      unsprawl findings export --source wiki --output wiki.html
    """
    if format is None and output is None:
        format = "jsonl"
    return _report(include_gone=True, without=(), piped="jsonl", format=format, output=output, **chosen)


def _report(
    *,
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
    rule: str | None,
    source: str | None,
    path: str | None,
    status: str | None,
    min_confidence: float,
    only_active: bool,
    include_gone: bool,
    without: tuple[str, ...],
    show_secrets: bool,
    piped: str,
    urgent_first: bool = False,
) -> int:
    from unsprawl.report.export import Report
    from unsprawl.store.audit import person
    from unsprawl.store.findings import Filter

    chosen = choose_format(format, output, piped=piped)
    wanted = Filter(
        rule=rule,
        source=source,
        path=path,
        status=status,
        min_confidence=min_confidence,
        validity="active" if only_active else None,
        include_gone=include_gone,
        without=without,
    )
    # A reveal is recorded before anything is shown, so the store has to be writable.
    with (writing if show_secrets else reading)(store, config) as (opened, loaded):
        if show_secrets:
            opened.reveal(wanted, person())
        coverage = opened.coverage()
        runs = opened.runs()
        rules = notes(loaded)
        if not any(True for _ in opened.rows(wanted)):
            _doubt_names(rule, rules, source, {row.source for row in coverage})
        report = Report(
            title=f"Findings of {opened.path.name}",
            rows=lambda: opened.rows(wanted, show_secrets=show_secrets, urgent_first=urgent_first),
            coverage=coverage,
            complete=bool(runs) and runs[0].status == "complete",
            rules=rules,
            facts={
                **({"run": runs[0].id} if runs else {}),
                "audit_anchor": None if (anchor := opened.anchor()) is None else str(anchor),
            },
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
    from unsprawl.store.audit import person
    from unsprawl.store.findings import Filter

    chosen = choose_format(format, output, piped="table")
    if chosen not in casefile.FORMATS:
        raise click.UsageError(f"a single finding is written as {', '.join(casefile.FORMATS)}, not {chosen}")
    with (writing if show_secrets else reading)(store, config) as (opened, loaded):
        case = opened.finding(finding)
        wanted = Filter(finding=case["finding"], include_gone=True)
        if show_secrets:
            opened.reveal(wanted, person())
        rows = list(opened.rows(wanted, show_secrets=show_secrets))
        file = casefile.CaseFile(
            case,
            rows,
            notes(loaded).get(case["rule"]),
            opened.decisions(case["finding"]),
            list(opened.audited(subject=case["finding"])),
            opened.risk_parts(case["finding"]),
            checks=opened.check_history(case["finding"]),
        )
        with sink(output) as out:
            casefile.write(file, chosen, out)
    return 0


findings.add_command(triage)
findings.add_command(refetch)
findings.add_command(assign)
findings.add_command(decisions)
