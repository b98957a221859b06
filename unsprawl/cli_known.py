"""``unsprawl known``: what vaults keep, so that a leaked value is told by its path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unsprawl.cli_options import (
    Command,
    Group,
    debug_option,
    inform,
    output_options,
    quiet_option,
    store_options,
)
from unsprawl.cli_report import choose_format, sink
from unsprawl.cli_store import reading
from unsprawl.errors import ConfigError, ExitCode, SourceError
from unsprawl.report.wording import counted

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.keepers.entries import Kept
    from unsprawl.keepers.sync import Synced

__all__ = ["known"]

_FORMATS: Final = ("table", "json", "jsonl", "csv", "markdown")
_COLUMNS: Final = ("vault", "path", "key", "version", "current", "findings", "last_seen")


@click.group(cls=Group)
def known() -> None:
    """Know the secrets that your vaults keep, without keeping them.

    Values are read one by one, fingerprinted in memory with the store's key, and forgotten. What stays is the
    fingerprint, the path, the key and the version. A finding with such a fingerprint then tells where the
    value belongs, and whether it is still the current one.
    """


@known.command(cls=Command)
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--only", multiple=True, metavar="NAME", help="Only this keeper of the configuration. Repeatable."
)
@click.option(
    "--ask", type=click.Choice(("hmsl", "hibp")), multiple=True,
    help="Ask a list of leaked values for each current one, without telling it: hmsl (HasMySecretLeaked) or "
         "hibp (Pwned Passwords). Repeatable.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path), metavar="FILE",
    help="The store, instead of the one the configuration names.",
)  # fmt: skip
@quiet_option
@debug_option
def sync(config: Path, only: tuple[str, ...], ask: tuple[str, ...], store: Path | None, quiet: bool) -> int:
    """Read the vaults that a configuration names under `known:`.

    HashiCorp Vault and OpenBao (KV versions 1 and 2), AWS Secrets Manager, parameters of AWS Systems Manager,
    and files. What was replaced or removed since the last time is marked as no longer current.

    Examples:
      unsprawl known sync nightly.yaml
      unsprawl known sync nightly.yaml --only production
      unsprawl known sync nightly.yaml --ask hmsl

    Exit codes: 0 all was read, 1 a list of leaked values knows a current one, 2 a wrong option or
    configuration, 3 something could not be read or asked, 4 the store or its key failed, or nothing could be
    read at all.
    """
    from unsprawl.config import load
    from unsprawl.detectors.detector import build
    from unsprawl.given import of_text
    from unsprawl.keepers.sync import sync as read
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import load_keys
    from unsprawl.store.known import KnownLedger

    loaded = load(config)
    keepers = _chosen(loaded, only)
    path = store.absolute() if store else loaded.store
    keys = load_keys(loaded.key, create=not path.exists())
    detector = build(loaded.rules, loaded.exclude_rules)
    done: list[Synced] = []
    leaked, silent = 0, False
    with Store.open(path, keys) as opened:
        ledger = KnownLedger(opened)
        for keeper in keepers:
            lists = _Lists(keeper.name, ask)
            inner = partial(of_text, name="value", detector=detector)
            one = read(keeper, ledger, keys, inner, lists if ask else None)
            leaked += lists.leaked
            silent = silent or lists.silent
            done.append(one)
            if not quiet:
                inform(_line(one))
    for one in done:
        for gap in one.gaps:
            if not gap.excluded:
                inform(f"not read: {gap.uri}: {gap.reason}" + (f"; {gap.hint}" if gap.hint else ""))
    if all(one.complete for one in done) and not silent:
        return int(ExitCode.FINDINGS if leaked else ExitCode.CLEAN)
    return int(ExitCode.INCOMPLETE if any(one.values for one in done) else ExitCode.FAILED)


class _Lists:
    """Asks the chosen lists, and tells what they know at once."""

    def __init__(self, vault: str, names: Sequence[str]) -> None:
        self._vault, self._names = vault, names
        self.leaked = 0
        self.silent = False

    def __call__(self, kept: Sequence[Kept]) -> None:
        from unsprawl import leaklists

        for name in () if self.silent else self._names:
            try:
                leaks = leaklists.ask(name, [one.secret for one in kept])
            except SourceError as error:
                self.silent = True
                inform(f"not asked: {error.message}" + (f"; {error.hint}" if error.hint else ""))
                continue
            self.leaked += len(leaks)
            for leak in leaks:
                one = kept[leak.number]
                inform(f"leaked  {self._vault}:{one.path} {one.key}  {leak}")


def _chosen(config: Config, only: tuple[str, ...]) -> list[Any]:
    if not config.known:
        raise ConfigError(
            f"{config.file}: no vault is configured", hint="write `known: {production: {type: vault, …}}`"
        )
    names = [keeper.name for keeper in config.known]
    for name in only:
        if name not in names:
            raise ConfigError(f"there is no keeper {name}", hint=f"there are: {', '.join(names)}")
    return [keeper for keeper in config.known if not only or keeper.name in only]


def _line(one: Synced) -> str:
    text = f"{one.vault}: {counted(one.values, 'value')} of {counted(len(one.secrets), 'secret')}"
    text += f", {one.replaced:,} no longer current" if one.replaced else ""
    return text + ("" if one.complete else "; not all could be read")


@known.command(name="list", cls=Command)
@store_options
@click.option("--vault", metavar="NAME", help="Only this keeper.")
@click.option("--leaked", is_flag=True, help="Only values that were found somewhere.")
@output_options(_FORMATS)
@debug_option
def list_known(
    store: Path | None,
    config: Path | None,
    vault: str | None,
    leaked: bool,
    format: str | None,
    output: Path | None,
) -> int:
    """List what the vaults keep, and what of it has leaked.

    Examples:
      unsprawl known list --store nightly.db
      unsprawl known list --config nightly.yaml --leaked --format json

    Exit codes: 0 shown, 2 a wrong option, 4 the store or its key failed.
    """
    from unsprawl.report import escape

    chosen = choose_format(format, output)
    if chosen not in _FORMATS:
        raise click.UsageError(f"known values are written as {', '.join(_FORMATS)}, not {chosen}")
    with reading(store, config) as (opened, _), sink(output) as out:
        entries = (entry for entry in opened.known(vault) if entry["findings"] or not leaked)
        if chosen == "json":
            out.write(escape.json_line({"known": list(entries)}) + "\n")
        elif chosen == "jsonl":
            out.writelines(escape.json_line(entry) + "\n" for entry in entries)
        else:
            from unsprawl.report.tables import records

            lines = ([_cell(entry[name]) for name in _COLUMNS] for entry in entries)
            records(_COLUMNS, lines, chosen, out)
    return 0


def _cell(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
