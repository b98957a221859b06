"""Options that several commands share, and what one call of the command line remembers."""

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import click

from unsprawl.report.escape import plain

__all__ = [
    "DEFAULT_STORE",
    "DURATION",
    "FORMATS",
    "Command",
    "Group",
    "Moment",
    "Session",
    "debug_option",
    "detection_options",
    "finding_filters",
    "inform",
    "output_options",
    "quiet_option",
    "session",
    "store_options",
]

FORMATS: Final = ("table", "json", "jsonl", "sarif", "csv", "markdown", "html", "ocsf", "defectdojo")
DEFAULT_STORE: Final = Path("unsprawl.db")
STATUSES: Final = ("open", "acknowledged", "rotated", "closed", "false_positive", "accepted", "reopened")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Moment(click.ParamType[datetime]):
    """A date or time in UTC (``2026-11-01``, ``2026-11-01T08:00``), or how long ago (``14d``, ``12h``)."""

    name = "moment"
    _AGO = re.compile(r"(\d{1,5})([wdhm])")
    _UNITS: ClassVar = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        try:
            if ago := self._AGO.fullmatch(value):
                return now - timedelta(**{self._UNITS[ago[2]]: int(ago[1])})
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no moment: write 14d, 12h, 2026-11-01 or 2026-11-01T08:00", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


_MOMENT: Final = Moment()


class Duration(click.ParamType[float]):
    """How long: ``90s``, ``30m``, ``2h``, ``1d``; in seconds."""

    name = "duration"
    _TEXT = re.compile(r"(\d{1,6})([smhd])")
    _SECONDS: ClassVar = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = self._TEXT.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is no duration: write 90s, 30m or 2h", param, ctx)
        return int(match[1]) * self._SECONDS[match[2]]


DURATION: Final = Duration()


class _Taught(click.Command):
    """Help that is laid out as it was written: paragraphs with indented lines are not wrapped."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        context = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        super().__init__(*arguments, **{"context_settings": context} | named)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        help_text = inspect.cleandoc(self.help or "")
        paragraphs = [f"\b\n{p}" if "\n  " in p else p for p in help_text.split("\n\n")]
        self.help = "\n\n".join(paragraphs)
        super().format_help_text(ctx, formatter)
        self.help = help_text


class Command(_Taught):
    """A command of ours."""


class Group(_Taught, click.Group):
    """A command with commands."""

    command_class = Command


class Session:
    """``when_stopped`` tells who presses Ctrl-C what became of the work."""

    def __init__(self) -> None:
        self.debug = False
        self.when_stopped = ""


def session() -> Session:
    """The session of the running command."""
    return click.get_current_context().ensure_object(Session)


def inform(text: str) -> None:
    """Tell a person something that is neither a result nor an error."""
    click.echo(plain(text), err=True)


def _debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).debug = True
        # Ours alone: what HTTP and cloud libraries log at this level holds tokens.
        logger = logging.getLogger("unsprawl")
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.handlers = [handler]
        logger.setLevel(logging.DEBUG)


def debug_option(command: _Command) -> _Command:
    return click.option(
        "--debug", is_flag=True, expose_value=False, is_eager=True, callback=_debug,
        help="Show tracebacks and what goes on inside, on stderr.",
    )(command)  # fmt: skip


def quiet_option(command: _Command) -> _Command:
    return click.option(
        "-q", "--quiet", is_flag=True, help="No progress and no summary: results and errors only."
    )(command)


def output_options(formats: tuple[str, ...] = FORMATS) -> Callable[[_Command], _Command]:
    """``--format`` and ``--output``."""

    def decorate(command: _Command) -> _Command:
        command = click.option(
            "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
            help="Write to FILE (readable by you alone, replaced as a whole) instead of stdout.",
        )(command)  # fmt: skip
        return click.option(
            "-f", "--format", type=click.Choice(formats), metavar="FORMAT",
            help=f"One of {', '.join(formats)}.",
        )(command)  # fmt: skip

    return decorate


def store_options(command: _Command) -> _Command:
    """Which store to read."""
    command = click.option(
        "--config", type=click.Path(path_type=Path), metavar="CONFIG",
        help="Read the store that this configuration names.",
    )(command)  # fmt: skip
    return click.option(
        "--store", type=click.Path(path_type=Path), metavar="FILE",
        help=f"The store to read (default: {DEFAULT_STORE}).",
    )(command)  # fmt: skip


def finding_filters(command: _Command) -> _Command:
    """Which findings of a store are meant."""
    for option in reversed(
        [
            click.option("--rule", metavar="ID", help="Only this rule."),
            click.option("--source", metavar="NAME", help="Only this source of the configuration."),
            click.option("--path", metavar="GLOB", help="Only paths or uris like this (`**/tests/**`)."),
            click.option("--status", type=click.Choice(STATUSES), help="Only findings of this status."),
            click.option("--min-confidence", type=click.FloatRange(0, 1), default=0.0, metavar="0..1",
                         help="Only what is at least this likely a credential."),
            click.option("--only-active", is_flag=True, help="Only secrets that are known to work."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def detection_options(command: _Command) -> _Command:
    """Which rules look, and how sure they have to be."""
    for option in reversed(
        [
            click.option("-j", "--jobs", type=click.IntRange(1, 1024), metavar="N",
                         help="Worker processes (default: one a CPU core)."),
            click.option("--rules", type=click.Path(path_type=Path), multiple=True, metavar="PATH",
                         help="Rules of your own besides ours: a file or a folder; those of Gitleaks, "
                              "Betterleaks, Kingfisher and Nosey Parker are translated. Repeatable."),
            click.option("--exclude-rule", multiple=True, metavar="ID",
                         help="Leave a rule out, by its id or a pattern (`generic.*`). Repeatable."),
            click.option("--min-confidence", type=click.FloatRange(0, 1), metavar="0..1",
                         help="Report only what is at least this likely a credential."),
            click.option("--since", type=_MOMENT, metavar="WHEN",
                         help="Leave out what was last modified before: 14d, 12h, or a date (UTC)."),
            click.option("--verify/--no-verify", default=None,
                         help="Ask providers whether a secret still works (default: off)."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command
