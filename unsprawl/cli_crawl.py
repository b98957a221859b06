"""``unsprawl crawl``: every source of a configuration, into the store."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from unsprawl.cli_options import (
    DURATION,
    Command,
    debug_option,
    detection_options,
    output_options,
    quiet_option,
    session,
)
from unsprawl.cli_report import choose_format, deliver, exit_code, fail_on_option, report_of, tell_gaps
from unsprawl.errors import ExitCode
from unsprawl.structs import replace

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.jobs import Result
    from unsprawl.report.cases import Row, Tally

__all__ = ["crawl", "summary"]


@click.command(cls=Command)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Read everything again, also what did not change.")
@click.option(
    "--rescan",
    is_flag=True,
    help="After new rules: read old text again bit by bit, in as many runs as it takes.",
)
@click.option(
    "--rescan-for", type=DURATION, default="1h", show_default=True, metavar="TIME",
    help="With --rescan: how long a run reads old text again (30m, 2h).",
)  # fmt: skip
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The store, instead of the one the configuration names.",
)
@output_options()
@detection_options
@click.option("--only-active", is_flag=True, help="Report only secrets that are known to work.")
@fail_on_option("never")
@quiet_option
@debug_option
def crawl(
    config: Path,
    full: bool,
    rescan: bool,
    rescan_for: float,
    store: Path | None,
    format: str | None,
    output: Path | None,
    jobs: int | None,
    rules: tuple[Path, ...],
    exclude_rule: tuple[str, ...],
    min_confidence: float | None,
    since: datetime | None,
    verify: bool | None,
    only_active: bool,
    fail_on: str,
    quiet: bool,
) -> int:
    """Crawl every source of a configuration into the store.

    Reads what is new or changed since the last crawl, and records what was read and what was not. A crawl
    that was killed goes on where it stopped when the same command is run again. One failing source never
    stops the others.

    When the rules or the model have changed, everything is read again by them. With --rescan that is spread
    over runs: what is new and changed is read as always, and of the rest as much as --rescan-for allows.
    `unsprawl coverage` shows how far it is.

    Prints a summary; with --format or --output also all findings of the store.

    Examples:
      unsprawl crawl nightly.yaml
      unsprawl crawl nightly.yaml --quiet --fail-on high
      unsprawl crawl nightly.yaml --output report.html
      unsprawl crawl nightly.yaml --full
      unsprawl crawl nightly.yaml --rescan --rescan-for 2h

    Exit codes:
      0  complete, and nothing at or above --fail-on
      1  findings at or above --fail-on
      2  a wrong option, configuration or rule
      3  incomplete: see `unsprawl coverage` (wins over 1)
      4  the store or its key failed, or no source could be read at all
    """  # fmt: skip
    from unsprawl.config import load

    if full and rescan:
        raise click.UsageError("--full reads everything in this run, --rescan in several: leave one out")
    loaded = load(config)
    if store is not None:
        loaded = replace(loaded, store=store.absolute())
    wanted = choose_format(format, output) if format or output else None

    from unsprawl.jobs import Options
    from unsprawl.jobs import crawl as run
    from unsprawl.progress import watching
    from unsprawl.report.cases import tally

    options = Options(
        jobs=jobs,
        rules=rules,
        exclude_rules=exclude_rule,
        min_confidence=min_confidence,
        full=full,
        since=since,
        verify=verify if verify is not None else loaded.verify,
        debug=session().debug,
        rescan_s=rescan_for if rescan else None,
    )
    session().when_stopped = "what was read is kept: run the same command again to go on"
    with watching(quiet) as progress:
        result = run(loaded, options, progress=progress)
    counts = tally(result.rows())
    code = exit_code(result, counts, fail_on)
    if wanted:

        def rows() -> Iterator[Row]:
            return (row for row in result.rows() if not only_active or row["validity"] == "active")

        report = report_of(f"Crawl of {config.name}", result, rows, code, result.rules, counts)
        deliver(report, wanted, output, quiet=True, gaps=quiet)
    elif quiet:
        tell_gaps(result.coverage, sys.stderr)
    for one in result.told:
        if one.failure:
            click.echo(f"warning: alerts: {one}", err=True)
    if code is ExitCode.FAILED:
        click.echo("error: no source could be read at all", err=True)
    if not quiet:
        summary(loaded, result, counts, code, sys.stderr if wanted and output is None else sys.stdout)
    return int(code)


def summary(config: Config, result: Result, counts: Tally, code: ExitCode, out: TextIO) -> None:
    """What a person wants to know in the morning: what is new, what was read, what to do next."""
    from unsprawl.report.wording import reread, severities, size

    worst = severities(counts.open_severity)
    still_open = sum(counts.open_severity.values())
    rows = result.coverage
    states = Counter(str(row.status) for row in rows)
    totals = result.totals
    checked = ", ".join(f"{count:,} {name}" for name, count in sorted(result.checked.items()))
    lines: list[tuple[str, str]] = [
        ("New", f"{result.new:,}"),
        ("Reopened", f"{result.reopened:,}"),
        ("Active", f"{counts.open_active:,} known to work"),
        ("Gone", f"{result.gone:,}"),
        ("Closed", f"{result.closed:,}"),
        *(
            [("Silenced", f"{result.silenced:,}, like what was marked as a false positive")]
            if result.silenced
            else []
        ),
        *([("Checked", checked)] if checked else []),
        *[("Alerts", str(one)) for one in result.told],
        ("Open now", f"{still_open:,}" + (f" ({worst})" if worst else "")),
        (
            "Read",
            f"{totals.documents:,} documents, {size(totals.read_bytes)} in {result.seconds:.1f} s",
        ),
        ("Unchanged", f"{totals.unchanged:,} documents, not read again"),
        *[
            ("Budget", f"{name}: {one.cut}, after {one.seconds:.1f} s and {one.requests:,} requests")
            for name, one in sorted(result.used.items())
            if one.cut
        ],
        *([("Reread", reread(result.reread))] if reread(result.reread) else []),
        (
            "Coverage",
            ", ".join(f"{count} {name}" for name, count in sorted(states.items())) or "nothing to read",
        ),
    ]
    out.writelines(f"{name:<10} {value}\n" for name, value in lines)
    if result.canaries:
        seen = sum(bool(one.uri) for one in result.canaries)
        lost = ", ".join(f"{one.source} ({one.title})" for one in result.canaries if not one.uri)
        out.write(f"{'Canaries':<10} {seen:,} of {len(result.canaries):,} seen")
        out.write(f"; missed: {lost}\n" if lost else "\n")
    missing = Counter(row.source for row in rows if row.status != "complete")
    if missing:
        told = ", ".join(f"{name} ({count:,})" for name, count in sorted(missing.items()))
        out.write(f"{'Incomplete':<10} {told}\n")
    store = f"--store {config.store}"
    if code in (ExitCode.INCOMPLETE, ExitCode.FAILED):
        tell_gaps(rows, out)
        out.write(f"Not everything was read. What and why: unsprawl coverage {store}\n")
    if still_open:
        out.write(f"Next: unsprawl findings list {store}\n")
