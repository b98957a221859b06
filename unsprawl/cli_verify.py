"""``unsprawl verify``: do the found secrets still work?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unsprawl.cli_options import (
    Command,
    debug_option,
    finding_filters,
    inform,
    output_options,
    quiet_option,
    session,
    store_options,
)
from unsprawl.cli_store import writing
from unsprawl.errors import ExitCode
from unsprawl.records import Validity

if TYPE_CHECKING:
    from unsprawl.checking import Answered
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.store.findings import Store

__all__ = ["verify"]

_NOTHING: Final = "Nothing to check: no finding is chosen by that."
_FORMATS: Final = ("table", "json", "jsonl", "csv", "markdown")
_COLUMNS: Final = ("finding", "rule", "secret", "validity", "privilege", "evidence")
_DRY_COLUMNS: Final = ("finding", "rule", "secret", "requests", "evidence")


@click.command(cls=Command)
@click.argument("findings", metavar="[ID]...", nargs=-1)
@click.option("--due", is_flag=True, help="Those whose check is due: for a scheduler.")
@click.option("--dry-run", is_flag=True, help="Ask nobody: print what would be called.")
@click.option("--again", is_flag=True, help="Ask again also where an answer is fresh.")
@click.option(
    "--fail-on",
    type=click.Choice(("active", "never")),
    default="never",
    show_default=True,
    help="Exit 1 when a secret works.",
)
@store_options
@output_options(_FORMATS)
@finding_filters
@quiet_option
@debug_option
def verify(
    findings: tuple[str, ...],
    due: bool,
    dry_run: bool,
    again: bool,
    fail_on: str,
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
    quiet: bool,
    **filters: Any,
) -> int:
    """Ask providers whether found secrets still work.

    Findings are named by their ids (the first digits do) or chosen by the filters of `findings list`; without
    either, all that are open. Answers that are fresh are not asked for again. The values come from the store,
    where it keeps them sealed, else they are read again from the sources of --config. One harmless request a
    secret goes to its provider, and to no host that neither a rule nor `checks.hosts` names. What is not
    proven stays `unknown`, with the reason.

    Examples:
      unsprawl verify --config nightly.yaml
      unsprawl verify 3fa9c1 --store nightly.db
      unsprawl verify --rule aws.credentials --dry-run
      unsprawl verify --only-active --again --fail-on active --format json

    Exit codes: 0 done, 1 with --fail-on active and something works, 2 a wrong option or an unknown finding,
    4 the store or its key failed.
    """
    from unsprawl.checking import Verifier
    from unsprawl.cli_report import choose_format
    from unsprawl.config import Checks
    from unsprawl.detectors import rules as rule_files
    from unsprawl.store.keys import load_keys

    chosen = choose_format(format, output)
    filtered = any(value for value in filters.values())
    if findings and filtered:
        raise click.UsageError("give ids or filters, not both")
    if due and (findings or filtered):
        raise click.UsageError("--due chooses by itself: leave out ids and filters")
    session().when_stopped = "what was answered is kept"
    answers: list[Answered] = []
    with writing(store, config) as (opened, loaded):
        extra = loaded.rules if loaded else ()
        rules = rule_files.load(extra).by_id
        keys = load_keys(loaded.key if loaded else None, create=False)
        verifier = Verifier(
            store=opened,
            keys=keys,
            rules=rules,
            checks=loaded.checks if loaded else Checks(),
            config=loaded,
            detector=cache(lambda: _detector(extra)),
            again=again,
        )
        wanted = opened.checks_due() if due else _wanted(opened, findings, filters)
        for answer in verifier.run(wanted, dry=dry_run):
            answers.append(answer)
            if not quiet and not dry_run:
                _tell(answer)
        _write(answers, chosen, output, dry=dry_run)
    if not quiet and not dry_run:
        inform(_sum(answers))
    elif not quiet and not answers:
        inform(_NOTHING)
    active = any(answer.check.validity == "active" for answer in answers)
    return int(ExitCode.FINDINGS if fail_on == "active" and active else ExitCode.CLEAN)


def _detector(extra: tuple[Path, ...]) -> ContentDetector:
    from unsprawl.detectors.detector import build

    return build(extra, (), doubts=True)


def _wanted(store: Store, ids: tuple[str, ...], filters: dict[str, Any]) -> list[str]:
    from unsprawl.store.findings import Filter
    from unsprawl.store.triage import SETTLED

    if ids:
        return list(dict.fromkeys(store.find(one) for one in ids))
    active = filters.pop("only_active")
    wanted = Filter(
        **filters,
        validity="active" if active else None,
        without=() if filters["status"] else SETTLED,
    )
    return [case["finding"] for case in store.findings(wanted)]


def _tell(answer: Answered) -> None:
    if answer.check.validity not in {answer.before, Validity.UNKNOWN}:
        was = f" (was {answer.before})" if answer.before != "unknown" else ""
        inform(f"{answer.it.finding} {answer.check.validity}{was}: {answer.check.evidence}")


def _sum(answers: list[Answered]) -> str:
    if not answers:
        return _NOTHING
    counts = Counter(str(answer.check.validity) for answer in answers)
    asked = sum(answer.asked for answer in answers)
    words = ", ".join(
        f"{counts[name]:,} {name}" for name in ("active", "inactive", "unknown") if counts[name]
    )
    return f"{words}. {asked:,} asked now, {sum(answer.cached for answer in answers):,} known from before."


def _record(answer: Answered) -> dict[str, Any]:
    from unsprawl.store.rows import timestamp

    at = answer.check.checked_at
    return {
        "finding": answer.it.finding,
        "rule": answer.it.rule,
        "secret": answer.it.secret,
        "fingerprint": answer.it.fingerprint,
        "status": answer.it.status,
        "validity": str(answer.check.validity),
        "before": str(answer.before),
        "evidence": answer.check.evidence,
        "privilege": answer.check.privilege or None,
        "checked_at": timestamp(at) if at else None,
        "asked": answer.asked,
        "cached": answer.cached,
        "requests": list(answer.shown),
    }


def _write(answers: list[Answered], format: str, output: Path | None, *, dry: bool) -> None:
    from unsprawl.cli_report import sink
    from unsprawl.report import escape
    from unsprawl.report.tables import records

    found = [_record(answer) for answer in answers]
    with sink(output) as out:
        if format == "json":
            out.write(escape.json_line({"checks": found, "dry_run": dry}) + "\n")
        elif format == "jsonl":
            out.writelines(escape.json_line(record) + "\n" for record in found)
        else:
            columns = _DRY_COLUMNS if dry else _COLUMNS
            records(columns, list(_lines(found, columns)), format, out)


def _lines(found: list[dict[str, Any]], columns: tuple[str, ...]) -> Iterator[list[object]]:
    for record in found:
        cells = (record[name] for name in columns)
        yield ["; ".join(cell) if isinstance(cell, list) else cell or "" for cell in cells]
