"""``unsprawl scan``: files, folders and standard input, without a store."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unsprawl.cli_options import (
    Command,
    debug_option,
    detection_options,
    inform,
    output_options,
    quiet_option,
    session,
)
from unsprawl.cli_report import choose_format, deliver, exit_code, fail_on_option, report_of
from unsprawl.errors import ConfigError, ExitCode
from unsprawl.report.cases import Row, tally
from unsprawl.report.escape import plain
from unsprawl.report.wording import counted
from unsprawl.structs import Struct, field

if TYPE_CHECKING:
    from unsprawl.models.memory import Memory

__all__ = ["scan"]

#: Decisions that are named when something is not reported.
_REASONS: Final = 10


@click.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@output_options()
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Paths that are not read (`**/node_modules/**`)."
)
@detection_options
@click.option("--only-active", is_flag=True, help="Report only secrets that are known to work.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A json or jsonl report of an earlier scan: what it holds is not reported again.",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A store of this user's key: what was triaged there, and what is like it, is not reported.",
)
@click.option("--all", "every", is_flag=True, help="With --store: also what was settled, and why.")
@fail_on_option("any")
@click.option("--show-secrets", is_flag=True, help="Show the values. Mind who reads the output.")
@quiet_option
@debug_option
def scan(
    paths: tuple[str, ...],
    format: str | None,
    output: Path | None,
    exclude: tuple[str, ...],
    jobs: int | None,
    rules: tuple[Path, ...],
    exclude_rule: tuple[str, ...],
    min_confidence: float | None,
    since: datetime | None,
    verify: bool | None,
    only_active: bool,
    baseline: Path | None,
    store: Path | None,
    every: bool,
    fail_on: str,
    show_secrets: bool,
    quiet: bool,
) -> int:
    """Scan files, folders or standard input.

    Archives in archives, UTF-16 and base64 are opened. `-` reads standard input. Nothing is stored: the same
    secret has the same finding id in every scan, and in the store of a crawl with the same key.

    On a terminal the result is a table, elsewhere one JSON line an occurrence; --format or the ending of
    --output (.json .jsonl .sarif .csv .md .html) says otherwise.

    Examples:
      unsprawl scan .
      unsprawl scan src deploy.tar.gz --fail-on high
      git diff --cached | unsprawl scan -
      unsprawl scan . --output report.html
      unsprawl scan . -f jsonl -o known.jsonl; unsprawl scan . --baseline known.jsonl
      unsprawl scan . --store unsprawl.db

    Exit codes:
      0  nothing found at or above --fail-on, everything read
      1  findings
      2  a wrong option, path or rule
      3  something could not be read (wins over 1)
      4  nothing could be read at all
    """  # fmt: skip
    _check_paths(paths)
    format = choose_format(format, output)
    known = _read_baseline(baseline) if baseline else frozenset()
    triaged = _triaged(store)

    from unsprawl.jobs import Options
    from unsprawl.jobs import scan as run
    from unsprawl.progress import watching

    options = Options(
        jobs=jobs,
        rules=rules,
        exclude_rules=exclude_rule,
        min_confidence=min_confidence,
        show_secrets=show_secrets,
        since=since,
        verify=bool(verify),
        debug=session().debug,
    )
    session().when_stopped = "nothing was reported: a scan stores nothing"
    with watching(quiet) as progress:
        result = run(paths, options, exclude=exclude, memory=triaged.memory, progress=progress)

    silenced: dict[str, str] = {}

    def rows() -> Iterator[Row]:
        for row in map(triaged.told, result.rows()):
            if row["status"] != "open":
                silenced[row["finding"]] = row["because"]
                if not every:
                    continue
            if (row["finding"], row["fingerprint"]) not in known and (
                not only_active or row["validity"] == "active"
            ):
                yield row

    code = exit_code(result, tally(rows()), fail_on)
    title = f"Scan of {', '.join('standard input' if p == '-' else plain(p) for p in paths[:3])}"
    title += f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    deliver(report_of(title, result, rows, code, result.rules), format, output, quiet=quiet)
    if silenced and not quiet:
        _tell(silenced, store, reported=every)
    if only_active and not verify and not quiet:
        inform("Validity is known only where the format tells it: --verify asks the providers.")
    return _told(code, quiet)


def _tell(silenced: Mapping[str, str], store: Path | None, *, reported: bool) -> None:
    """How many findings ask for nothing, and which decisions say so, the weightiest first."""
    number = counted(len(silenced), "finding")
    how = "settled by" if reported else "not reported, for"
    inform(f"{number} {how} what was decided in {store}{'' if reported else ' (--all reports them)'}:")
    reasons = Counter(why for why in silenced.values()).most_common()
    for why, count in reasons[:_REASONS]:
        inform(f"  {count:,} × {why}")
    if len(reasons) > _REASONS:
        inform(f"  and {sum(count for _, count in reasons[_REASONS:]):,} more")


def _told(code: ExitCode, quiet: bool) -> int:
    if code is ExitCode.FAILED:
        click.echo("error: nothing could be read", err=True)
    elif code is ExitCode.INCOMPLETE and not quiet:
        inform("Exit code 3: what was not read may hold secrets.")
    return int(code)


def _check_paths(paths: tuple[str, ...]) -> None:
    for path in paths:
        if path != "-" and not os.path.lexists(path):
            raise ConfigError(
                f"no such file or folder: {path}", hint="check the path; `-` reads standard input"
            )


class _Triaged(Struct, frozen=True):
    """What a store says: status and reason of what asks for nothing, and what tells others like it."""

    settled: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    memory: Memory | None = None

    def told(self, row: Row) -> Row:
        """``row`` with the status that the store gives it."""
        if row["finding"] in self.settled:
            status, because = self.settled[row["finding"]]
            return {**row, "status": status, "because": because}
        like = self.settled.get(row["because"] or "")
        return {**row, "because": f"like finding {row['because']} ({like[1]})"} if like else row


def _triaged(store: Path | None) -> _Triaged:
    """The findings about which a store says that nobody has to act, and what tells others like them."""
    if store is None:
        return _Triaged()
    from unsprawl.cli_store import reading
    from unsprawl.recall import load
    from unsprawl.store.findings import Filter
    from unsprawl.store.triage import SETTLED, wording

    with reading(store, None) as (opened, _):
        status = {case["finding"]: case["status"] for case in opened.findings(Filter(include_gone=True))}
        settled = {
            it["finding"]: (
                it["decision"],
                wording(it["decision"], it["until"], it["author"], it["at"], it["reason"]),
            )
            for it in opened.all_decisions()
            # What is only like something in the store is judged anew where it stands; what was accepted may
            # have ended.
            if it["decision"] in SETTLED and it["decision"] == status.get(it["finding"])
        }
        return _Triaged(settled, load(opened))


def _read_baseline(path: Path) -> frozenset[tuple[str, str]]:
    """Finding and fingerprint of all rows of a json or jsonl report.

    Both, since one weak password may have been accepted for one account only.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            f"--baseline {path}: {reason}", hint="give a json or jsonl report of unsprawl"
        ) from None
    try:
        return frozenset((row["finding"], row["fingerprint"]) for row in _rows_of(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(
            f"--baseline {path}: this is no report of unsprawl",
            hint="make one with: unsprawl scan PATH --format jsonl --output FILE",
        ) from None


def _rows_of(text: str) -> list[Any]:
    """The rows of a json report (one object), or of jsonl (an object a line)."""
    try:
        whole = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    return list(whole.get("findings", [whole]))
