"""The command line: finds the command, runs it, and turns whatever happens into a line and an exit code.

Commands are imported when they are called, so that ``unsprawl --help`` stays fast.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from unsprawl import __version__
from unsprawl.cli_options import Group, Session, debug_option
from unsprawl.errors import ExitCode, UnsprawlError

__all__ = ["COMMANDS", "main", "unsprawl"]

#: Name, where it lives, and its line in the list of commands (a test holds it equal to the command's own).
COMMANDS: Final = {
    "scan": ("unsprawl.cli_scan:scan", "Scan files, folders or standard input."),
    "crawl": ("unsprawl.cli_crawl:crawl", "Crawl every source of a configuration into the store."),
    "sweep": ("unsprawl.cli_sweep:sweep", "Find every copy of leaked values on every surface."),
    "watch": ("unsprawl.cli_watch:watch", "Watch the paste feeds of a configuration for what is yours."),
    "findings": ("unsprawl.cli_findings:findings", "List, show, judge and export what was found."),
    "verify": ("unsprawl.cli_verify:verify", "Ask providers whether found secrets still work."),
    "playbook": ("unsprawl.cli_playbook:playbook", "Show the steps that end one exposure."),
    "remediate": ("unsprawl.cli_remediate:remediate", "Plan clean-ups, and apply a reviewed plan."),
    "notify": (
        "unsprawl.cli_notify:notify",
        "Send the alerts that wait, or try the channels.",
    ),
    "audit": ("unsprawl.cli_audit:audit", "Show the audit log, or prove that nobody has rewritten it."),
    "canary": ("unsprawl.cli_canary:canary", "Plant values for each crawl to find, and look for them."),
    "known": ("unsprawl.cli_known:known", "Know the secrets that your vaults keep, without keeping them."),
    "report": (
        "unsprawl.cli_review:report",
        "Report what is open, what changed, how long it took, what was read.",
    ),
    "metrics": ("unsprawl.cli_metrics:metrics", "Show what the store holds as Prometheus reads it."),
    "coverage": ("unsprawl.cli_coverage:coverage", "Show what was read, what was not, and why."),
    "rules": ("unsprawl.cli_rules:rules", "List the rules, or check your own."),
    "model": (
        "unsprawl.cli_model:model",
        "Train the classifier, measure it, read its card, or use another.",
    ),
    "init": ("unsprawl.cli_init:init", "Ask what there is, write a configuration, and try it."),
    "doctor": ("unsprawl.cli_doctor:doctor", "Try every source of a configuration, reading nothing."),
    "demo": ("unsprawl.cli_demo:demo", "Crawl an invented organisation on this machine."),
}

_INTERRUPTED: Final = 130
_TERMINATED: Final = 143
_BROKEN_PIPE: Final = 141


class LazyGroup(Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # as click calls it
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            raise click.UsageError(
                f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(__version__, "--version", prog_name="unsprawl", message="%(prog)s %(version)s")
@debug_option
def unsprawl() -> None:
    """Find exposed secrets on every surface, prove the coverage, close the case.

    Examples:
      unsprawl scan .                          this folder, now
      git diff --cached | unsprawl scan -      what you are about to commit
      unsprawl doctor nightly.yaml             can every source be reached?
      unsprawl crawl nightly.yaml              what is new since the last crawl
      unsprawl sweep sweep.yaml --values -     every copy of a leaked value
      unsprawl watch breach-watch.yaml         what strangers post of yours
      unsprawl findings list                   what is open
      unsprawl demo                            see it work on an invented organisation

    Exit codes:
      0  clean and complete
      1  findings at or above --fail-on
      2  the command line, the configuration or a rule is wrong
      3  incomplete: something could not be read (wins over 1)
      4  the store or its key failed, or nothing could be read at all

    Values are shown redacted unless --show-secrets is given. `unsprawl COMMAND --help` explains a command.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and answer its exit code. Never raises, except ``SystemExit`` on SIGTERM."""
    session = Session()
    # What a run makes is freed as it goes out of use; to look for cycles every 700 objects costs a twentieth.
    gc.set_threshold(50_000, 20, 50)
    if arguments is None:
        signal.signal(signal.SIGTERM, _terminated)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            result = unsprawl.main(
                args=None if arguments is None else list(arguments),
                prog_name="unsprawl",
                standalone_mode=False,
                obj=session,
            )
            sys.stdout.flush()
        except SystemExit as stop:
            if stop.code == _TERMINATED:
                raise
            return _quiet_pipe()  # in this mode click itself exits for a closed pipe alone
        except (KeyboardInterrupt, click.Abort):
            _say("stopped", session.when_stopped)
            return _INTERRUPTED
        except Exception as error:  # noqa: BLE001  # the last line of defence: one line, never a traceback
            return _failed(error, session)
    except BrokenPipeError:
        return _quiet_pipe()
    finally:
        if arguments is None:
            gc.freeze()  # the process ends, and nobody needs the memory of what is left
    return int(result or 0)


def _terminated(_number: int, _frame: Any) -> NoReturn:
    raise SystemExit(_TERMINATED)


def _quiet_pipe() -> int:
    # The reader of our output went away. What Python flushes at exit must find somewhere to go.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE


def _failed(error: Exception, session: Session) -> int:
    if session.debug:
        import traceback

        from unsprawl.report.escape import plain

        for line in "".join(traceback.format_exception(error)).splitlines():
            click.echo(plain(line), err=True)
    if isinstance(error, UnsprawlError):
        _say(error.message, error.hint)
        return int(error.exit_code)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "unsprawl"
        _say(error.format_message().rstrip("."), f"`{path} --help` explains it")
        return int(ExitCode.USAGE)
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if isinstance(error.filename, str) else ""
        _say(f"{error.strerror}{where}", "")
        return int(ExitCode.FAILED)
    # The text of an unforeseen error may quote what was read, so only its kind is told.
    hint = "this is a defect of unsprawl: run the same command with --debug and report what it prints"
    _say(f"unexpected {type(error).__name__}", "" if session.debug else hint)
    return int(ExitCode.FAILED)


def _say(message: str, hint: str) -> None:
    from unsprawl.report.escape import plain

    click.echo(f"error: {plain(message)}", err=True)
    if hint:
        click.echo(f"hint: {plain(hint)}", err=True)
