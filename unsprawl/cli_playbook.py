"""``unsprawl playbook``: the steps that end one exposure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unsprawl.cli_options import Command, debug_option, output_options, store_options
from unsprawl.cli_store import notes, reading, writing

if TYPE_CHECKING:
    from unsprawl.store.findings import Store
    from unsprawl.store.playbook import Playbook

__all__ = ["composed", "playbook"]

_FORMATS: Final = ("table", "json", "markdown", "jira")


@click.command(cls=Command)
@click.argument("finding", metavar="ID")
@store_options
@output_options(_FORMATS)
@click.option(
    "--show-secrets", is_flag=True, help="Fill in the key id, if the store keeps it sealed. Never the secret."
)
@debug_option
def playbook(
    finding: str,
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
    show_secrets: bool,
) -> int:
    """Show the steps that end one exposure.

    Contain it at its provider, find its use, rotate it, clean up each place where it stands, tell people, and
    prove that it is dead and gone. Commands are filled with the finding's own ids and safe to copy; nothing
    is run. `unsprawl remediate` runs what can be run safely, from a plan that you have reviewed.

    `--format jira` writes the body of a Jira issue (REST API 3): add project and type, and post it.

    Examples:
      unsprawl playbook 3fa9c1 --config nightly.yaml
      unsprawl playbook 3fa9c1 --format markdown --output ticket.md

    Exit codes: 0 done, 2 an unknown finding or a wrong option, 4 the store or its key failed.
    """
    from unsprawl.cli_report import choose_format, sink
    from unsprawl.report import playbook as paper
    from unsprawl.store.audit import person
    from unsprawl.store.findings import Filter

    chosen = choose_format(format, output, piped="markdown")
    if chosen not in paper.FORMATS:
        raise click.UsageError(f"a playbook is written as {', '.join(paper.FORMATS)}, not {chosen}")
    with (writing if show_secrets else reading)(store, config) as (opened, loaded):
        id_ = opened.find(finding)
        if show_secrets:
            opened.reveal(Filter(finding=id_, include_gone=True), person())
        made = composed(opened, id_, notes(loaded), reveal=show_secrets, config=str(config or ""))
    with sink(output) as out:
        paper.write(made, chosen, out)
    return 0


def composed(store: Store, finding: str, rules: Any, *, reveal: bool = False, config: str = "") -> Playbook:
    """The playbook of a finding, by its whole id. ``reveal`` fills in the key id that is kept sealed."""
    from unsprawl.store.findings import Filter
    from unsprawl.store.playbook import compose

    case = store.finding(finding)
    rows = list(store.rows(Filter(finding=finding, include_gone=True)))
    rule = rules.get(case["rule"])
    held = store.sealed_values(finding).get("companion.id") if reveal else None
    return compose(
        case,
        rows,
        {place.source: place.surface for place in store.places(finding, gone=True)},
        rule.remediation if rule else (),
        identifier=held.decode("utf-8", "replace") if held else None,
        config=config,
    )
