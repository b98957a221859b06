"""``unsprawl canary``: values that are planted for each crawl to find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsprawl.cli_options import Command, Group, debug_option
from unsprawl.errors import ConfigError, ExitCode
from unsprawl.report.escape import plain

if TYPE_CHECKING:
    from unsprawl.config import Config

__all__ = ["canary"]

_CONFIG = click.argument("config", type=click.Path(path_type=Path))
_SOURCE = click.option("--source", metavar="NAME", help="The source of the configuration that is to find it.")


@click.group(cls=Group)
def canary() -> None:
    """Plant values for each crawl to find, and look for them.

    A crawl that finds nothing may have read nothing. So plant a worthless value on each surface, in a test
    channel, on a page, in an object, and write its fingerprint below the source. A crawl that does not meet
    it reports the source as failed; where it is met stands in the ledger, never among the findings.
    """


@canary.command(cls=Command)
@_CONFIG
@_SOURCE
@debug_option
def new(config: Path, source: str | None) -> int:
    """Make a canary: print what to paste where, and what to write into the configuration.

    The value is random and opens nothing. It is shown this once; what goes into the configuration is its
    fingerprint, made with the store's key.

    Examples:
      unsprawl canary new nightly.yaml --source chat

    Exit codes: 0 made, 2 a wrong option or configuration, 4 the store or its key failed.
    """
    from unsprawl.canaries import new_value
    from unsprawl.config import load
    from unsprawl.secret import Secret
    from unsprawl.store.keys import load_keys

    loaded = load(config)
    name = _source(loaded, source)
    keys = load_keys(loaded.key, create=not loaded.store.exists())
    value = new_value()
    where = f"`{name}`" if name else "the source"
    click.echo(f"Paste this where {where} is read, and leave it there. It opens nothing and is shown once:")
    click.echo(f"\n  {value}\n")
    click.echo(f"Write this below sources.{name or 'NAME'} in {loaded.file.name}:")
    click.echo(f"\n    canaries:\n      - fingerprint: {keys.fingerprint(Secret(value))}")
    click.echo("      # at: URI        # where it has to stand; without it any place will do")
    click.echo("\nThe next crawl meets it; `unsprawl coverage` then shows its uri.")
    return int(ExitCode.CLEAN)


@canary.command(cls=Command)
@_CONFIG
@_SOURCE
@debug_option
def check(config: Path, source: str | None) -> int:
    """Look now for each canary whose place is known: written as `at`, or met by an earlier crawl.

    Nothing is stored.

    Examples:
      unsprawl canary check nightly.yaml

    Exit codes: 0 all were met, 2 a wrong option or configuration, 3 one was not, 4 the store or its key
    failed.
    """
    from unsprawl.canaries import looked_for
    from unsprawl.config import load
    from unsprawl.detection import examiner_of
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import load_keys

    loaded = load(config)
    name = _source(loaded, source)
    keys = load_keys(loaded.key, create=False)
    if not loaded.store.exists():
        raise ConfigError(f"there is no store {loaded.store}", hint="crawl once: unsprawl crawl CONFIG")
    lost = False
    with Store.open(loaded.store, keys, readonly=True) as store:
        outcome = looked_for(loaded, store, keys, examiner_of(loaded, keys), name)
        for one in outcome:
            lost |= not one.uri
            click.echo(plain(f"{one.source}: {one.title}: {f'seen at {one.uri}' if one.uri else one.why}"))
    return int(ExitCode.INCOMPLETE if lost else ExitCode.CLEAN)


def _source(config: Config, name: str | None) -> str | None:
    if name is not None and name not in config.sources:
        raise ConfigError(
            f"no source is called {name!r}", hint=f"the configuration has: {', '.join(config.sources)}"
        )
    return name if name or len(config.sources) > 1 else next(iter(config.sources))
