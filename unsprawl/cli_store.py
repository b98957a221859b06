"""Opening the store that a command is to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsprawl.cli_options import DEFAULT_STORE
from unsprawl.errors import StoreError

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.report.export import RuleNote
    from unsprawl.store.findings import Store

__all__ = ["notes", "reading", "writing"]


@contextmanager
def reading(store: Path | None, config: Path | None) -> Iterator[tuple[Store, Config | None]]:
    """The store of ``--store``, else the one ``--config`` names, else ``unsprawl.db`` here; never made."""
    with _opened(store, config, readonly=True) as opened:
        yield opened


@contextmanager
def writing(store: Path | None, config: Path | None) -> Iterator[tuple[Store, Config | None]]:
    """The same, to decide something about what is in it."""
    with _opened(store, config, readonly=False) as opened:
        yield opened


@contextmanager
def _opened(
    store: Path | None, config: Path | None, *, readonly: bool
) -> Iterator[tuple[Store, Config | None]]:
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import load_keys

    loaded = None
    if config is not None:
        from unsprawl.config import load

        loaded = load(config)
    path = store or (loaded.store if loaded else DEFAULT_STORE)
    if store is None and loaded is None and not path.exists():
        raise click.UsageError("there is no unsprawl.db here; give --store FILE or --config CONFIG")
    if not readonly and not path.exists():
        raise StoreError(f"there is no store at {path}", hint="a crawl makes it; look at `store:` or --store")
    keys = load_keys(loaded.key if loaded else None, create=False)
    with Store.open(path, keys, readonly=readonly) as opened:
        yield opened, loaded


def notes(config: Config | None) -> Mapping[str, RuleNote]:
    """What the rules say about themselves: ours, and those of the configuration."""
    from unsprawl.detectors.rules import load

    return load(config.rules if config else ()).by_id
