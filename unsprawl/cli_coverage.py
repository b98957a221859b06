"""``unsprawl coverage``: the ledger of a run."""

from __future__ import annotations

from pathlib import Path

import click

from unsprawl.cli_options import Command, debug_option, output_options, store_options
from unsprawl.cli_report import choose_format, sink
from unsprawl.cli_store import reading
from unsprawl.errors import ConfigError

__all__ = ["coverage"]

_FORMATS = ("table", "json", "jsonl", "csv", "markdown")


@click.command(cls=Command)
@store_options
@click.option("--run", metavar="ID", help="A run other than the latest.")
@output_options(_FORMATS)
@debug_option
def coverage(
    store: Path | None, config: Path | None, run: str | None, format: str | None, output: Path | None
) -> int:
    """Show what was read, what was not, and why.

    Every bucket, repository and folder is complete, partial, skipped or failed, with counts, the reason and
    a hint. What the configuration leaves out, or accepts as a gap until a date, is excluded and counts as
    complete.

    Examples:
      unsprawl coverage --store nightly.db
      unsprawl coverage --config nightly.yaml --format json

    Exit codes: 0 shown, 2 a wrong option or run, 4 the store or its key failed.
    """
    from unsprawl.report import escape
    from unsprawl.report.export import coverage_record
    from unsprawl.report.wording import reread

    chosen = choose_format(format, output)
    if chosen not in _FORMATS:
        raise click.UsageError(f"the ledger is written as {', '.join(_FORMATS)}, not {chosen}")
    with reading(store, config) as (opened, _), sink(output) as out:
        runs = opened.runs()
        record = next((each for each in runs if run is None or each.id == run), None)
        if record is None and run is not None:
            known = ", ".join(each.id for each in runs[:5]) or "none yet"
            raise ConfigError(f"there is no run {run}", hint=f"the latest runs: {known}")
        rows = opened.coverage(record.id) if record else []
        again = opened.reread(record.detection) if record else []
        records = (coverage_record(row) for row in rows)
        if chosen == "json":
            head = {
                "run": record.id if record else None,
                "job": record.job if record else None,
                "status": record.status if record else None,
                "started_at": record.started_at if record else None,
                "finished_at": record.finished_at if record else None,
                "complete": bool(record) and all(row.status == "complete" for row in rows),
            }
            out.write(escape.json_line(head | {"reread": again, "coverage": list(records)}) + "\n")
        elif chosen == "jsonl":
            out.writelines(escape.json_line(each) + "\n" for each in records)
        elif chosen == "table":
            from unsprawl.report.tables import coverage as draw

            if record:
                ended = f", ended {record.finished_at[:16].replace('T', ' ')}" if record.finished_at else ""
                began = record.started_at[:16].replace("T", " ")
                out.write(f"Run {record.id} ({record.job}), {record.status}: began {began}{ended} UTC\n")
            else:
                out.write("No run yet.\n")
            draw(rows, out)
            if told := reread(again):
                out.write(f"Read {told}\n")
        else:
            from unsprawl.report.tables import records as listed

            lines = [
                {**each, "gaps": len(each["gaps"]), "reasons": "; ".join(each["reasons"])} for each in records
            ]
            columns = tuple(lines[0]) if lines else ("source", "title", "status")
            listed(columns, (tuple(line.values()) for line in lines), chosen, out)
    return 0
