"""``unsprawl doctor``: can every source be reached, and what will not be seen?"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsprawl.cli_options import Command, debug_option, output_options, session
from unsprawl.cli_report import choose_format, sink
from unsprawl.errors import ExitCode, StoreError, UnsprawlError

if TYPE_CHECKING:
    from unsprawl.config import Config, ConfiguredSource
    from unsprawl.records import Diagnosis

__all__ = ["doctor"]

_FORMATS = ("table", "json", "jsonl")
#: Sources tried side by side.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Line:
    """One thing that was tried. ``part`` is a source, ``store`` or ``key``."""

    part: str
    diagnosis: Diagnosis


@click.command(cls=Command)
@click.argument("config", type=click.Path(path_type=Path))
@output_options(_FORMATS)
@debug_option
def doctor(config: Path, format: str | None, output: Path | None) -> int:
    """Try every source of a configuration, reading nothing.

    Says of each source whether it can be reached with its credentials, what is missing, and what will not be
    seen; and whether the store and its key can be used.

    Examples:
      unsprawl doctor nightly.yaml
      unsprawl doctor nightly.yaml --format json

    Exit codes:
      0  everything can be reached
      2  the configuration is wrong
      3  a source cannot be reached, or not wholly
      4  the store or its key cannot be used
    """
    from unsprawl.config import load
    from unsprawl.report import escape

    loaded = load(config)
    chosen = choose_format(format, output, piped="table")
    if chosen not in _FORMATS:
        raise click.UsageError(f"a diagnosis is written as {', '.join(_FORMATS)}, not {chosen}")
    lines: list[_Line] = []
    with sink(output) as out:
        for line in _diagnose(loaded):
            lines.append(line)
            it = line.diagnosis
            if chosen == "table":
                out.write(
                    f"{'ok  ' if it.ok else 'FAIL'}  {escape.plain(line.part)}: {escape.plain(it.what)}\n"
                )
                if it.hint:
                    out.write(f"      {escape.plain(it.hint)}\n")
                out.flush()
            elif chosen == "jsonl":
                out.write(escape.json_line(_record(line)) + "\n")
        if chosen == "json":
            out.write(
                escape.json_line(
                    {"ok": all(x.diagnosis.ok for x in lines), "checks": [_record(x) for x in lines]}
                )
            )
            out.write("\n")
    failed = {line.part for line in lines if not line.diagnosis.ok}
    if failed & {"store", "key"}:
        return int(ExitCode.FAILED)
    return int(ExitCode.INCOMPLETE if failed else ExitCode.CLEAN)


def _record(line: _Line) -> dict[str, object]:
    return {
        "source": line.part,
        "what": line.diagnosis.what,
        "ok": line.diagnosis.ok,
        "hint": line.diagnosis.hint,
    }


def _diagnose(config: Config) -> Iterator[_Line]:
    yield from _store(config)
    # All at once: each may wait for a server that never answers.
    debug = session().debug
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tried = [(name, pool.submit(_source, source, debug)) for name, source in config.sources.items()]
        for name, answers in tried:
            for diagnosis in answers.result():
                yield _Line(name, diagnosis)


def _store(config: Config) -> Iterator[_Line]:
    from unsprawl.records import Diagnosis
    from unsprawl.store.findings import Store
    from unsprawl.store.keys import key_path, load_keys

    if config.key is None and not key_path().exists():
        what = f"no key yet: the first crawl makes {key_path()}"
        # A store without its key cannot be read again.
        known = config.store.exists()
        hint = (
            "the store was made with a key that is not here: restore it, or name it as `key:`"
            if known
            else ""
        )
        yield _Line("key", Diagnosis(what, ok=not known, hint=hint))
        return
    try:
        keys = load_keys(config.key, create=False)
    except StoreError as error:
        yield _Line("key", Diagnosis(error.message, ok=False, hint=error.hint))
        return
    yield _Line("key", Diagnosis("can be read", ok=True))
    if not config.store.exists():
        folder = config.store.parent
        hint = "" if folder.is_dir() else f"create the folder {folder}"
        yield _Line("store", Diagnosis(f"no store yet: the first crawl makes {config.store}", not hint, hint))
        return
    try:
        with Store.open(config.store, keys, readonly=True) as store:
            runs = store.runs()
    except StoreError as error:
        yield _Line("store", Diagnosis(error.message, ok=False, hint=error.hint))
        return
    last = f", the last one {runs[0].status}" if runs else ""
    yield _Line(
        "store", Diagnosis(f"can be read: {len(runs)} run{'s' if len(runs) != 1 else ''}{last}", ok=True)
    )


def _source(configured: ConfiguredSource, debug: bool) -> list[Diagnosis]:
    """All that :func:`_ask` answers, and what stopped it."""
    from unsprawl.records import Diagnosis

    answers: list[Diagnosis] = []
    try:
        answers.extend(_ask(configured))
    except UnsprawlError as error:
        answers.append(Diagnosis(error.message, ok=False, hint=error.hint))
    except Exception as error:
        if debug:
            raise
        hint = "this is a defect of unsprawl or of a plug-in: run with --debug and report it"
        answers.append(Diagnosis(f"unexpected {type(error).__name__}", ok=False, hint=hint))
    return answers


def _ask(configured: ConfiguredSource) -> Iterator[Diagnosis]:
    """What the source says of itself, else whether it can name its first piece of work."""
    from unsprawl.plugins import build_source
    from unsprawl.records import Diagnosable, Diagnosis, Skipped

    source = build_source(configured.name, configured.type, configured.config)
    if isinstance(source, Diagnosable):
        yield from source.diagnose()
        return
    first = next(iter(source.units(lambda _key: None)), None)
    if first is None:
        yield Diagnosis("reached, and empty", ok=True)
    elif isinstance(first, Skipped):
        yield Diagnosis(f"{first.uri}: {first.reason}", ok=first.excluded, hint=first.hint)
    else:
        yield Diagnosis("reached", ok=True)
