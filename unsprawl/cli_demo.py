"""``unsprawl demo``: see it work, on an organisation that exists on this machine only."""

from __future__ import annotations

from pathlib import Path

import click

from unsprawl.cli_options import Command, debug_option, session

__all__ = ["demo"]


@click.command(cls=Command)
@click.option("--keep", is_flag=True, help="Keep the store and the files at the end, and say where.")
@click.option(
    "--serve",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Only keep it open, in FOLDER, until Ctrl-C: to try the commands on.",
)
@debug_option
def demo(keep: bool, serve: Path | None) -> int:
    """Crawl an invented organisation on this machine.

    Starts small servers on the loopback interface that speak the real protocols, plants secrets that nobody
    ever issued, crawls them twice, and shows what was found, what was read, and what did not have to be read
    again. Nothing leaves this machine; everything is removed at the end, unless --keep is given.

    Examples:
      unsprawl demo
      unsprawl demo --serve acme

    Exit codes: 0 the demonstration went as it should, 4 it did not.
    """
    if serve is not None:
        from unsprawl.estate.open_day import serve as open_day

        return open_day(serve)
    from unsprawl.estate.demo import run

    session().when_stopped = "the demonstration was removed"
    return run(keep=keep)
