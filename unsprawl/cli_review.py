"""``unsprawl report``: what is open, what changed, how long it took, what was read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import click

from unsprawl import __version__
from unsprawl.cli_options import Command, Moment, debug_option, inform, output_options, store_options
from unsprawl.cli_report import choose_format, sink
from unsprawl.cli_store import notes, reading
from unsprawl.errors import ExitCode

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.review.gather import Review

__all__ = ["report"]

_FORMATS: Final = ("table", "html", "markdown", "json")


class Period(click.ParamType[timedelta]):
    """How many days or weeks back: ``7d``, ``4w``."""

    name = "period"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        text = str(value)
        days = {"d": 1, "w": 7}.get(text[-1:], 0)
        if isinstance(value, timedelta):
            return value
        if not (days and text[:-1].isascii() and text[:-1].isdigit() and 0 < int(text[:-1]) <= 9_999):
            self.fail(f"{text!r} is no period: write 7d or 4w", param, ctx)
        return timedelta(days=days * int(text[:-1]))


@click.command(cls=Command)
@store_options
@click.option("--since", type=Moment(), metavar="WHEN", help="The period begins: 30d, 12h, or a date (UTC).")
@click.option("--until", type=Moment(), metavar="WHEN", help="It ends; now, unless given.")
@click.option("--period", type=Period(), metavar="7d", help="A digest of so many days or weeks.")
@click.option("--weekly", is_flag=True, help="A digest of the last seven days: --period 7d.")
@click.option(
    "--top", type=click.IntRange(1, 500), default=15, show_default=True,
    help="So many cases are named of each kind.",
)  # fmt: skip
@click.option("--send", is_flag=True, help="Send the digest to the channels of --config, too.")
@output_options(_FORMATS)
@debug_option
def report(
    store: Path | None,
    config: Path | None,
    since: datetime | None,
    until: datetime | None,
    period: timedelta | None,
    weekly: bool,
    top: int,
    send: bool,
    format: str | None,
    output: Path | None,
) -> int:
    """Report what is open, what changed, how long it took, what was read.

    Exposures by source, severity and age; what came and what ended; the time from written to found and from
    found to proven dead; how often people called it false; what every run read, what it could not and why;
    and the next step of each open case that matters most. As a page with plots, Markdown, JSON or a table;
    nothing in it is a secret.

    Without a period it tells of all time. --since and --until choose one, and compare it with as long a
    time before. --period and --weekly make a digest: what changed, what is open, what was read; --send tells
    it to the channels that `notify:` of --config names (Jira, which keeps cases, is left out).

    Examples:
      unsprawl report --config nightly.yaml --output report.html
      unsprawl report --store nightly.db --since 2026-10-01 --until 2026-11-01 --format markdown
      unsprawl report --config nightly.yaml --weekly --send --output week.md

    Exit codes:
      0  written, and sent if it was asked for
      2  a wrong option or configuration
      3  a channel did not take the digest
      4  the store or its key failed
    """
    from unsprawl.review.gather import gather

    if weekly:
        if period is not None:
            raise click.UsageError("--weekly is --period 7d: give one of them")
        period = timedelta(days=7)
    if period is not None and since is not None:
        raise click.UsageError("--period and --since both say when it begins: give one of them")
    if send and (config is None or period is None):
        raise click.UsageError("--send needs --weekly or --period, and --config with the channels")
    chosen = choose_format(format, output, piped="markdown")
    if chosen not in _FORMATS:
        raise click.UsageError(f"a report is written as {', '.join(_FORMATS)}, not {chosen}")
    end = until or datetime.now(UTC)
    # Nothing is older than the first day that a date can name.
    begin = since if period is None else end - min(period, end - datetime.min.replace(tzinfo=UTC))
    if begin is not None and begin >= end:
        raise click.UsageError("the period ends before it begins")
    title = f"Digest of {_length(period)}" if period is not None else "Exposed secrets"
    with reading(store, config) as (opened, loaded):
        made = gather(
            opened, notes(loaded), title=title, since=begin, until=end, most=top, version=__version__
        )
    with sink(output) as out:
        _write(made, chosen, out, digest=period is not None)
    if output is not None:
        inform(f"Written to {output}.")
    return int(_send(made, loaded) if send else ExitCode.CLEAN)


def _length(period: timedelta) -> str:
    days = period.days
    if days % 7 == 0:
        return "a week" if days == 7 else f"{days // 7} weeks"
    return "a day" if days == 1 else f"{days} days"


def _write(made: Review, format: str, out: TextIO, *, digest: bool) -> None:
    if format == "json":
        from unsprawl.report import escape
        from unsprawl.review.gather import record

        out.write(escape.json_line(record(made)) + "\n")
    elif format == "html":
        from unsprawl.review import page

        page.write(made, out, digest=digest)
    else:
        from unsprawl.review import text

        (text.markdown if format == "markdown" else text.terminal)(made, out, digest=digest)


def _send(made: Review, loaded: Config | None) -> ExitCode:
    from unsprawl.review.digest import send

    if loaded is None or not loaded.notify:
        raise click.UsageError("the configuration names nobody to tell: add `notify:` (docs/alerts.md)")
    told = send(made, loaded.notify)
    for line in told:
        inform(str(line))
    return ExitCode.INCOMPLETE if any(line.failure for line in told) else ExitCode.CLEAN
