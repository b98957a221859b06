"""``unsprawl findings assign``: whose case it is, where the mapping and the authors do not know."""

from __future__ import annotations

from pathlib import Path

import click

from unsprawl.cli_options import Command, debug_option, inform, store_options
from unsprawl.cli_store import writing

__all__ = ["assign"]

_LONGEST = 200


@click.command(cls=Command)
@click.argument("findings", metavar="ID...", nargs=-1, required=True)
@click.option("--owner", required=True, metavar="NAME", help='Whose it is; "" lets the mapping say it again.')
@store_options
@debug_option
def assign(findings: tuple[str, ...], owner: str, store: Path | None, config: Path | None) -> int:
    """Say whose findings are. It stays, whatever `owners:` and the authors say.

    Examples:
      unsprawl findings assign 3fa9c1 8b02d7 --owner @payments
      unsprawl findings assign 3fa9c1 --owner ""

    Exit codes: 0 done, 2 an unknown finding, 4 the store or its key failed.
    """
    from unsprawl.printable import printable
    from unsprawl.report.wording import counted
    from unsprawl.store import owners
    from unsprawl.store.audit import person

    name = " ".join(printable(owner).split())
    if len(name) > _LONGEST:
        raise click.UsageError(f"the --owner is longer than {_LONGEST} characters")
    with writing(store, config) as (opened, loaded):
        chosen = list(dict.fromkeys(opened.find(prefix) for prefix in findings))
        opened.assign(chosen, name, person())
        if not name:
            mapping = loaded.owners if loaded else None
            opened.assign_all(owners.load(mapping) if mapping else owners.Owners())
    inform(
        f"{counted(len(chosen), 'finding')} {f'assigned to {name}' if name else 'given back to the mapping'}."
    )
    return 0
