"""``unsprawl findings refetch``: is it gone, place by place?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsprawl.cli_options import Command, debug_option, finding_filters, inform, output_options, quiet_option
from unsprawl.cli_store import writing
from unsprawl.errors import ExitCode

if TYPE_CHECKING:
    from unsprawl.refetch import Outcome
    from unsprawl.store.findings import Store

__all__ = ["chosen_findings", "refetch"]


@click.command(cls=Command)
@click.argument("findings", metavar="[ID]...", nargs=-1)
@click.option("--due", is_flag=True, help="Those whose time has come: for a scheduler.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="CONFIG",
    required=True,
    help="The configuration with the sources and the store.",
)
@click.option("--store", type=click.Path(path_type=Path), metavar="FILE", help="Another store than its own.")
@output_options(("table", "json", "jsonl"))
@finding_filters
@quiet_option
@debug_option
def refetch(
    findings: tuple[str, ...],
    due: bool,
    config: Path,
    store: Path | None,
    format: str | None,
    output: Path | None,
    quiet: bool,
    **filters: Any,
) -> int:
    """Read every place of findings again: where does it still stand, and where is it gone?

    Only an answer counts. What is refused, cannot be reached or only be read in part stays `unknown` and as
    it was. A finding that is gone everywhere and proven dead (`unsprawl verify`) closes; one that was closed
    and stands somewhere again reopens. Without ids and filters: every finding that is not settled.

    Examples:
      unsprawl findings refetch 3fa9c1 --config nightly.yaml
      unsprawl findings refetch --due --config nightly.yaml --quiet

    Exit codes: 0 all are gone, 1 some still stand, 2 a wrong option or an unknown finding, 3 some places
    could not be read, 4 the store or its key failed.
    """
    from unsprawl.cli_report import choose_format, sink
    from unsprawl.detection import examiner_of
    from unsprawl.refetch import refetch as look_again
    from unsprawl.report import escape
    from unsprawl.store import owners
    from unsprawl.store.audit import person
    from unsprawl.store.keys import load_keys

    if due and (findings or any(filters.values())):
        raise click.UsageError("--due chooses by itself: give it alone")
    chosen = choose_format(format, output, piped="jsonl")
    totals: Counter[str] = Counter()
    with writing(store, config) as (opened, loaded), sink(output) as out:
        assert loaded is not None
        wanted = opened.due() if due else list(chosen_findings(opened, findings, filters))
        examiner = examiner_of(loaded, load_keys(loaded.key, create=False))
        documents = []
        for outcome in look_again(opened, loaded, examiner, wanted, person()):
            totals += outcome.counts
            totals["closed"] += outcome.closed
            totals["reopened"] += outcome.reopened
            if chosen == "table":
                out.writelines(f"{escape.plain(line)}\n" for line in _told(outcome))
            elif chosen == "jsonl":
                out.write(escape.json_line(_document(outcome)) + "\n")
            else:
                documents.append(_document(outcome))
        opened.assign_all(owners.load(loaded.owners) if loaded.owners else owners.Owners())
        if chosen == "json":
            out.write(escape.json_line({"findings": documents, "counts": dict(totals)}) + "\n")
    if not quiet:
        inform(
            f"{len(wanted):,} findings: {totals['gone']:,} places gone, {totals['stands']:,} stand, "
            f"{totals['unknown']:,} unknown; {totals['closed']:,} closed, {totals['reopened']:,} reopened."
        )
    if totals["unknown"]:
        return int(ExitCode.INCOMPLETE)
    return int(ExitCode.FINDINGS if totals["stands"] else ExitCode.CLEAN)


def chosen_findings(store: Store, prefixes: tuple[str, ...], filters: dict[str, Any]) -> Iterator[str]:
    """Whole ids: of those named, else of those the filters choose, settled ones left out unless asked for."""
    from unsprawl.store.findings import Filter
    from unsprawl.store.triage import SETTLED

    if prefixes:
        if any(filters.values()):
            raise click.UsageError("give ids or filters, not both")
        yield from dict.fromkeys(store.find(prefix) for prefix in prefixes)
        return
    wanted = Filter(
        rule=filters["rule"],
        source=filters["source"],
        path=filters["path"],
        status=filters["status"],
        min_confidence=filters["min_confidence"],
        validity="active" if filters["only_active"] else None,
        without=() if filters["status"] else (*SETTLED, "closed"),
        include_gone=True,
    )
    yield from [case["finding"] for case in store.findings(wanted)]


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "finding": outcome.finding,
        "status": outcome.status,
        "closed": outcome.closed,
        "reopened": outcome.reopened,
        "counts": {name: outcome.counts[name] for name in ("gone", "stands", "unknown")},
        "places": [
            {
                "source": one.place.source,
                "uri": one.place.uri,
                "look": one.look,
                "reason": one.reason,
                "hint": one.hint,
            }
            for one in outcome.looked
        ],
    }


def _told(outcome: Outcome) -> Iterator[str]:
    end = " (closed with proof)" if outcome.closed else " (reopened)" if outcome.reopened else ""
    yield f"{outcome.finding}  {outcome.status}{end}"
    for one in outcome.looked:
        hint = f"; {one.hint}" if one.hint else ""
        yield f"  {one.look:<8} {one.place.source}: {one.place.uri}: {one.reason}{hint}"
