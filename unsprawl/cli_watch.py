"""``unsprawl watch``: paste feeds, joined with one's own secrets, until somebody says stop."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from unsprawl.cli_options import Command, debug_option, inform, quiet_option, session
from unsprawl.cli_report import fail_on_option, tell_gaps
from unsprawl.errors import ConfigError, ExitCode
from unsprawl.report.cases import SEVERITIES
from unsprawl.report.escape import json_line, plain
from unsprawl.structs import replace

if TYPE_CHECKING:
    from unsprawl.watch.daemon import Outcome

__all__ = ["watch"]

_FORMATS: Final = ("table", "jsonl")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_STYLE: Final = {"critical": "red", "high": "red", "medium": "yellow", "low": "cyan"}


class _Duration(click.ParamType[float]):
    """``90s``, ``10m``, ``2h``, ``7d``: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if match is None:
            self.fail(f"{value!r} is no duration: write 90s, 10m, 2h or 7d", param, ctx)
        return float(int(match[1]) * _UNITS[match[2]])


@click.command(cls=Command)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Look at every feed once, then end: for a timer.")
@click.option("--for", "duration", type=_Duration(), metavar="DURATION", help="End after 90s, 10m, 2h, 7d.")
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The store, instead of the one the configuration names.",
)
@click.option("-f", "--format", type=click.Choice(_FORMATS), metavar="FORMAT", help="table or jsonl.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append to FILE (readable by you alone) instead of stdout.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="Leave out what is less likely a credential, unless it is known to be yours.",
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Ask providers whether a secret still works: not here, `unsprawl verify` does.",
)
@fail_on_option("never")
@quiet_option
@debug_option
def watch(
    config: Path,
    once: bool,
    duration: float | None,
    store: Path | None,
    format: str | None,
    output: Path | None,
    min_confidence: float | None,
    verify: bool | None,
    fail_on: str,
    quiet: bool,
) -> int:
    """Watch the paste feeds of a configuration for what is yours.

    Every word of a paste is compared with the fingerprints of your own secrets, its text with your names, and
    what is left goes through the rules. Each event is one line, told within seconds of the look that found
    it: on a terminal for people, else as JSON with the fields of every other report and `event` beside
    them. The same dump posted again is no new event.

    Runs until it is stopped (SIGTERM, Ctrl-C), which ends it cleanly. One that was killed goes on where it
    was, and tells what it had not told.

    Examples:
      unsprawl watch breach-watch.yaml
      unsprawl watch breach-watch.yaml --for 1h --output events.jsonl
      unsprawl watch breach-watch.yaml --once --fail-on any

    Exit codes:
      0  all feeds were read, and nothing at or above --fail-on
      1  events at or above --fail-on
      2  a wrong option or configuration
      3  incomplete: a feed failed, or pastes went by unseen (wins over 1)
      4  the store or its key failed, or no feed could be read at all
    """
    from unsprawl.config import load

    loaded = load(config)
    if verify:
        raise click.UsageError("watch asks no provider: run `unsprawl verify` beside it")
    if store is not None:
        loaded = replace(loaded, store=store.absolute())
    if once and duration is not None:
        raise click.UsageError("give either --once or --for")

    from unsprawl.jobs import Options
    from unsprawl.watch.daemon import watch as run

    options = Options(min_confidence=min_confidence, debug=session().debug)
    session().when_stopped = "what was read is kept: the next watch goes on"
    with _lines(output) as out, _stopping() as stop:
        chosen = format or ("table" if output is None and out.isatty() else "jsonl")
        write = _people(out) if chosen == "table" else _programs(out)
        outcome = run(
            loaded,
            options,
            tell=write,
            stop=stop,
            once=once,
            seconds=duration,
            note=(lambda _text: None) if quiet else inform,
        )
    code = _exit_code(outcome, fail_on)
    if code in (ExitCode.INCOMPLETE, ExitCode.FAILED):
        tell_gaps(outcome.coverage, sys.stderr)
    if code is ExitCode.FAILED:
        click.echo("error: no feed could be read at all", err=True)
    if not quiet:
        inform(_sum(outcome))
    return int(code)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that is set by SIGTERM and Ctrl-C, where signals can be caught."""
    stop = threading.Event()
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _lines(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {output}: {error.strerror}", hint="give another --output"
        ) from None
    with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as out:
        yield out


def _programs(out: TextIO) -> Callable[[Mapping[str, Any]], None]:
    def write(line: Mapping[str, Any]) -> None:
        out.write(json_line(line) + "\n")
        out.flush()

    return write


def _people(out: TextIO) -> Callable[[Mapping[str, Any]], None]:
    color = out.isatty() and "NO_COLOR" not in os.environ

    def write(line: Mapping[str, Any]) -> None:
        event = line["event"]
        at, severity = event["at"][11:19], f"{line['severity']:<8}"
        if color:
            severity = click.style(
                severity, fg=_STYLE.get(line["severity"]), bold=line["severity"] == "critical"
            )
        what = f"{line['name']} {line['secret']}".strip()
        place = line["url"] or line["uri"]
        text = "  ".join(map(plain, (f"{event['kind']:<7}", what, place, event["note"])))
        out.write(f"{at}  {severity}  {text}\n")
        out.flush()

    return write


def _exit_code(outcome: Outcome, fail_on: str) -> ExitCode:
    if not outcome.readable:
        return ExitCode.FAILED
    if not outcome.complete:
        return ExitCode.INCOMPLETE
    if fail_on == "never":
        return ExitCode.CLEAN
    if fail_on == "active":
        return ExitCode.FINDINGS if outcome.active else ExitCode.CLEAN
    worse = SEVERITIES if fail_on == "any" else SEVERITIES[: SEVERITIES.index(fail_on) + 1]
    return ExitCode.FINDINGS if any(outcome.severities.get(one) for one in worse) else ExitCode.CLEAN


def _sum(outcome: Outcome) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(outcome.told.items())) or "no events"
    return (
        f"{kinds}; {outcome.totals.documents:,} pastes read in {outcome.seconds:.0f} s. "
        f"Coverage {'complete' if outcome.complete else 'incomplete'}."
    )
