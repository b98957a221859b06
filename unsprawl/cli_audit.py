"""``unsprawl audit``: who did what with the findings, and whether that log is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unsprawl.cli_options import Command, Group, debug_option, output_options, store_options
from unsprawl.cli_store import reading
from unsprawl.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from unsprawl.store.audit import Anchor

__all__ = ["audit"]

_SHOWN: Final = ("table", "jsonl", "csv", "markdown")
_COLUMNS: Final = ("row", "at", "who", "from", "action", "subject", "detail")
_LARGEST_BYTES: Final = 64 << 20
_FAULTS_TOLD: Final = 20
#: How JSON, HTML and Markdown carry an anchor.
_CARRIED: Final = (
    r'"(?:audit_)?anchor":\s*"([^"\s]{1,99})"|data-audit-anchor="([^"\s]{1,99})"|^Audit log: (\S{1,99})$'
)


@click.group(cls=Group)
def audit() -> None:
    """Show the audit log, or prove that nobody has rewritten it.

    Decisions, live checks, reveals of values, clean-ups, closed and reopened findings stand in it: who, what,
    when and from where, never a value. Each row is sealed together with the one before it.

    Examples:
      unsprawl audit show --subject 3fa9c1
      unsprawl audit verify --anchor report.json

    Exit codes: 0 done and intact, 1 it was tampered with, 2 a wrong option, 4 the store or its key failed.
    """


@audit.command(cls=Command)
@click.option("--subject", metavar="ID", default="", help="Only what was done to this finding.")
@click.option("--action", metavar="NAME", default="", help="Only actions that begin so (`triage.`).")
@store_options
@output_options(_SHOWN)
@debug_option
def show(
    subject: str,
    action: str,
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
) -> int:
    """List who did what, when and from where, the oldest first.

    Examples:
      unsprawl audit show --action secret.revealed
      unsprawl audit show --format jsonl --output audit.jsonl
    """
    from unsprawl.cli_report import choose_format, sink
    from unsprawl.report import escape, tables

    chosen = choose_format(format, output, piped="jsonl")
    if chosen not in _SHOWN:
        raise click.UsageError(f"the audit log is written as {', '.join(_SHOWN)}, not {chosen}")
    with reading(store, config) as (opened, _), sink(output) as out:
        named = opened.find(subject) if subject else ""
        rows = opened.audited(subject=named, action=action)
        if chosen == "jsonl":
            out.writelines(escape.json_line(row) + "\n" for row in rows)
        else:
            tables.records(_COLUMNS, [_line(row) for row in rows], chosen, out)
    return 0


@audit.command(cls=Command)
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="ANCHOR|FILE",
    help="An anchor kept elsewhere (`12:9f3c…`), or a JSON, HTML or Markdown report with one. Repeatable.",
)
@store_options
@output_options(("table", "json"))
@debug_option
def verify(
    anchors: tuple[str, ...],
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
) -> int:
    """Prove that no row was changed, dropped, moved, added or cut off.

    A store that was put back to an earlier day as a whole is intact in itself: give the anchor of a later
    report, and it shows. Keep reports where those who can write the store cannot write.

    Examples:
      unsprawl audit verify
      unsprawl audit verify --config nightly.yaml --anchor last-week.json
    """
    from unsprawl.cli_report import choose_format, sink
    from unsprawl.report import escape

    chosen = choose_format(format, output, piped="table")
    kept = {name: _anchor(name) for name in anchors}
    with reading(store, config) as (opened, _):
        verdict = opened.verify_audit(kept)
    document: dict[str, Any] = {
        "intact": verdict.intact,
        "rows": verdict.rows,
        "anchor": None if verdict.anchor is None else str(verdict.anchor),
        "faults": list(verdict.faults),
    }
    with sink(output) as out:
        if chosen == "json":
            out.write(escape.json_line(document) + "\n")
        else:
            rows = f"{verdict.rows:,} row{'' if verdict.rows == 1 else 's'}"
            head = "the audit log is intact" if verdict.intact else "the audit log was TAMPERED WITH"
            out.write(f"{head}: {rows}\n")
            out.writelines(f"  {escape.plain(fault)}\n" for fault in verdict.faults[:_FAULTS_TOLD])
            if len(verdict.faults) > _FAULTS_TOLD:
                out.write(f"  and {len(verdict.faults) - _FAULTS_TOLD:,} more\n")
            if verdict.anchor is not None:
                out.write(f"anchor {verdict.anchor}\n")
    return int(ExitCode.CLEAN if verdict.intact else ExitCode.FINDINGS)


def _line(row: dict[str, Any]) -> list[object]:
    from unsprawl.report import escape

    detail = ", ".join(
        f"{name}: {value if isinstance(value, str) else escape.json_line(value)}"
        for name, value in row["detail"].items()
        if value not in (None, "")
    )
    return [row["id"], row["at"][:19], row["who"], row["origin"], row["action"], row["subject"], detail]


def _anchor(given: str) -> Anchor:
    """The anchor itself, or the one that a report carries."""
    import re

    from unsprawl.store.audit import Anchor

    path = Path(given)
    if not path.is_file():
        return Anchor.parse(given)
    with path.open("rb") as file:
        content = file.read(_LARGEST_BYTES).decode("utf-8", "replace")
    found = re.search(_CARRIED, content, re.MULTILINE)
    if found is None:
        raise ConfigError(
            f"{json.dumps(path.name)} carries no anchor of an audit log",
            hint="JSON and HTML reports of the store do, and `unsprawl audit verify --format json`",
        )
    return Anchor.parse(next(filter(None, found.groups())))
