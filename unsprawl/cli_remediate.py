"""``unsprawl remediate``: a plan that a person reviews, and its application."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsprawl.cli_options import Command, debug_option, finding_filters, inform, output_options
from unsprawl.cli_refetch import chosen_findings
from unsprawl.cli_store import writing
from unsprawl.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from unsprawl.remedy import Done, Open

__all__ = ["remediate"]


@click.command(cls=Command)
@click.argument("findings", metavar="[ID]...", nargs=-1)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the plan here; nothing is done.",
)
@click.option(
    "--apply", "apply_file", type=click.Path(path_type=Path), metavar="FILE", help="Do a plan's steps."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="CONFIG",
    required=True,
    help="The configuration with the sources, whose credentials do the work.",
)
@click.option("--store", type=click.Path(path_type=Path), metavar="FILE", help="Another store than its own.")
@output_options(("table", "json"))
@finding_filters
@debug_option
def remediate(
    findings: tuple[str, ...],
    plan_file: Path | None,
    apply_file: Path | None,
    config: Path,
    store: Path | None,
    format: str | None,
    output: Path | None,
    **filters: Any,
) -> int:
    """Plan clean-ups, and apply a reviewed plan.

    --plan asks each surface what could be done and what is there now, and writes it down; nothing is changed.
    Review the file: set `do` to false, or take a step out. --apply does the rest with the credentials of the
    configuration: revokes the credential where its provider has a call for it, deletes messages, files,
    object versions and image digests, edits comments. A step is refused when it was altered, or when what is
    there is no longer what the plan was made for. Each step stands in the audit log; most cannot be undone.

    Examples:
      unsprawl remediate 3fa9c1 --config nightly.yaml --plan plan.json
      unsprawl remediate --config nightly.yaml --apply plan.json
      unsprawl findings refetch 3fa9c1 --config nightly.yaml

    Exit codes: 0 done, 2 a wrong option or a plan that was altered, 3 a step was refused, 4 the store or its
    key failed.
    """
    from unsprawl.cli_report import choose_format, sink
    from unsprawl.report import escape

    if (plan_file is None) == (apply_file is None):
        raise click.UsageError("give --plan FILE to write a plan, or --apply FILE to do one")
    if apply_file is not None and (findings or any(filters.values())):
        raise click.UsageError("a plan names its findings: --apply goes without ids and filters")
    if plan_file is not None and not findings and not any(filters.values()):
        raise click.UsageError(
            "name the findings by their ids, or choose them with --rule, --source or --path"
        )
    chosen = choose_format(format, output, piped="table")
    with _opened(store, config) as opened:
        if plan_file is not None:
            document = _planned(opened, list(chosen_findings(opened.store, findings, filters)), plan_file)
            with sink(output) as out:
                if chosen == "json":
                    out.write(escape.json_line(document) + "\n")
                else:
                    out.writelines(f"{escape.plain(line)}\n" for line in _proposed(document))
            inform(f"Nothing was changed. Review {plan_file}, then give it to --apply.")
            return 0
        assert apply_file is not None
        done = _applied(opened, apply_file)
        with sink(output) as out:
            if chosen == "json":
                out.write(escape.json_line({"steps": [_document(one) for one in done]}) + "\n")
            else:
                out.writelines(f"{escape.plain(line)}\n" for one in done for line in _told(one))
    counts = Counter(one.outcome for one in done)
    inform(f"{counts['done']} steps done, {counts['refused']} refused, {counts['left']} left out.")
    return int(ExitCode.INCOMPLETE if counts["refused"] else ExitCode.CLEAN)


@contextmanager
def _opened(store: Path | None, config: Path) -> Iterator[Open]:
    from unsprawl.detection import examiner_of
    from unsprawl.remedy import Open
    from unsprawl.store.audit import person
    from unsprawl.store.keys import load_keys

    with writing(store, config) as (held, loaded):
        assert loaded is not None
        settings = loaded
        keys = load_keys(settings.key, create=False)
        opened = Open(held, settings, keys, cache(lambda: examiner_of(settings, keys)), person())
        try:
            yield opened
        finally:
            opened.close()


def _planned(opened: Open, findings: list[str], file: Path) -> dict[str, Any]:
    from unsprawl.remedy import plan
    from unsprawl.report.export import check_output, destination

    check_output(file)
    document = plan(opened, findings)
    with destination(file) as out:
        json.dump(document, out, indent=2)
        out.write("\n")
    return document


def _applied(opened: Open, file: Path) -> list[Done]:
    from unsprawl.remedy import apply, read_plan

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{file}: cannot read the plan: {why}", hint="give the file of --plan") from None
    return list(apply(opened, read_plan(text, opened.keys, datetime.now(UTC))))


def _proposed(document: dict[str, Any]) -> Iterator[str]:
    for step in document["steps"]:
        yield f"{step['number']}. {step['finding'][:12]} {step['source'] or 'provider'}: {step['title']}"
        yield f"   undo: {step['undo']}"
    for one in document["by_hand"]:
        where = f"{one['source']} {one.get('uri', '')}".strip()
        hint = f"; {one['hint']}" if one["hint"] else ""
        yield f"by hand: {one['finding'][:12]} {where}: {one['reason']}{hint}"


def _document(one: Done) -> dict[str, Any]:
    return {
        "number": one.number,
        "finding": one.finding,
        "title": one.title,
        "outcome": one.outcome,
        "reason": one.reason,
        "hint": one.hint,
    }


def _told(one: Done) -> Iterator[str]:
    hint = f"; {one.hint}" if one.hint else ""
    why = f": {one.reason}{hint}" if one.reason else ""
    yield f"{one.outcome:<8} {one.number}. {one.finding[:12]} {one.title}{why}"
