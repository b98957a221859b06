"""``unsprawl notify``: send what waits, or try the channels."""

from __future__ import annotations

from pathlib import Path

import click

from unsprawl.cli_options import Command, debug_option
from unsprawl.errors import ExitCode

__all__ = ["notify"]


@click.command(cls=Command)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--test", is_flag=True, help="Send one message that says it is a test to every channel.")
@debug_option
def notify(config: Path, test: bool) -> int:
    """Send the alerts that wait, or try the channels.

    Jobs send their alerts when they end. What a channel did not take waits in the store, and the next job
    sends it; this command does so now. Each event is told once a channel.

    Examples:
      unsprawl notify nightly.yaml --test
      unsprawl notify nightly.yaml

    Exit codes:
      0  nothing waits any more
      2  a wrong option or configuration
      3  something still waits
      4  the store or its key failed
    """
    from unsprawl.alerts import delivery
    from unsprawl.config import load
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import load_keys

    loaded = load(config)
    if not loaded.notify:
        raise click.UsageError(f"{config} names nobody to tell: add `notify:` (docs/alerts.md)")
    if test:
        told = [delivery.test(channel) for channel in loaded.notify]
    else:
        with Store.open(loaded.store, load_keys(loaded.key, create=False)) as store:
            told = delivery.deliver(store, loaded.notify, at_once=True)
    for one in told:
        click.echo(str(one))
    return int(ExitCode.INCOMPLETE if any(one.failure for one in told) else ExitCode.CLEAN)
