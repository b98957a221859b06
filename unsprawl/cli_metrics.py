"""``unsprawl metrics``: the store for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsprawl.cli_options import Command, debug_option, inform, store_options
from unsprawl.cli_store import reading

if TYPE_CHECKING:
    from unsprawl.store.findings import Store

__all__ = ["metrics"]


@click.command(cls=Command)
@store_options
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
    help="Write FILE at once, for the textfile collector of a node exporter.",
)  # fmt: skip
@click.option(
    "--serve", metavar="HOST:PORT", help="Answer scrapes at this address until stopped; 127.0.0.1 is meant."
)
@debug_option
def metrics(store: Path | None, config: Path | None, output: Path | None, serve: str | None) -> int:
    """Show what the store holds as Prometheus reads it.

    Findings by severity, status and validity, the last run of each job, the coverage of each source. Names of
    sources and numbers only.

    Examples:
      unsprawl metrics --store nightly.db
      unsprawl metrics --config nightly.yaml --output /var/lib/node_exporter/unsprawl.prom
      unsprawl metrics --config nightly.yaml --serve 127.0.0.1:9464

    Exit codes: 0 done, 2 a wrong option, 4 the store or its key failed.
    """
    from unsprawl.cli_report import sink
    from unsprawl.metrics import StoreCollector, text

    @contextmanager
    def opened() -> Iterator[Store]:
        with reading(store, config) as (one, _):
            yield one

    if serve is None:
        with sink(output) as out:
            out.write(text(opened))
        return 0
    host, _, port = serve.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(f"{serve!r} is no HOST:PORT")
    with opened():
        pass  # what is wrong with the store is said now, not at the first scrape

    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry(auto_describe=False)
    registry.register(StoreCollector(opened))
    try:
        server, _thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise click.UsageError(f"{serve} cannot be served: {error.strerror}") from None
    inform(f"Serving on http://{host}:{server.server_port}/metrics until stopped.")
    threading.Event().wait()
    return 0
