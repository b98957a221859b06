"""The command line's frame: exit codes, errors as lines, help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from unsprawl import __version__, cli
from unsprawl.cli import COMMANDS, main, unsprawl
from unsprawl.errors import AuthError, ConfigError, RuleError, StoreError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Put a command in the place of ``scan``."""

    def put(body: Callable[[], Any]) -> None:
        from unsprawl.cli_options import Command, debug_option

        made = click.command("scan", cls=Command)(debug_option(body))
        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: made)

    return put


def test_every_command_is_there_and_its_line_is_its_own() -> None:
    context = click.Context(unsprawl)
    for name, (_, summary) in COMMANDS.items():
        found = unsprawl.get_command(context, name)
        assert found is not None
        assert found.name == name
        assert found.get_short_help_str(200) == summary
        assert summary.endswith(".")


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    first = capsys.readouterr().out
    assert main(["-h"]) == 0
    assert capsys.readouterr().out == first
    for name in COMMANDS:
        assert f"\n  {name} " in first
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"unsprawl {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from unsprawl.cli import main; main(['--help']);"
        "heavy = {'rich', 'yaml', 'boto3', 'hyperscan', 'msgspec', 'jinja2', 'sqlite3', 'cryptography',"
        " 'httpx2', 'asyncio', 'multiprocessing', 'importlib.metadata'};"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["scna"], "error: no command 'scna'; did you mean 'scan'?"),
        (["scan"], "error: Missing argument 'PATH...'"),
        (["scan", "--jbos", "2", "."], "error: No such option '--jbos'. Did you mean '--jobs'?"),
        (
            ["scan", ".", "--jobs", "0"],
            "error: Invalid value for '-j' / '--jobs'",
        ),
        (["scan", ".", "--fail-on", "huge"], "error: Invalid value for '--fail-on'"),
        (["scan", "no/such/\x1b[31mplace"], "error: no such file or folder: no/such/\\x1b[31mplace"),
        (["scan", ".", "--output", "/no/such/folder/x.json"], "error: the folder of --output does not exist"),
        (["findings", "lst"], "error: No such command 'lst'."),
        (["crawl", "missing.yaml"], "error: missing.yaml: cannot read the configuration"),
    ],
)
def test_a_wrong_command_line_is_one_line_a_hint_and_exit_code_2(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == ""
    assert lines[0].startswith(error.rstrip("."))
    assert lines[1].startswith("hint: ")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("wrong key", hint="write it so"), 2),
        (RuleError("wrong rule", hint="mend it"), 2),
        (AuthError("refused", hint="grant it"), 3),
        (StoreError("damaged", hint="restore it"), 4),
    ],
)
def test_deliberate_errors_are_a_line_and_a_hint(
    error: Exception, code: int, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise error

    command(body)
    assert main(["scan"]) == code
    assert capsys.readouterr().err.splitlines() == [f"error: {error}", f"hint: {error.hint}"]  # type: ignore[attr-defined]


def test_an_unforeseen_error_tells_its_kind_and_no_value(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise ValueError("the secret is swordfish")

    command(body)
    assert main(["scan"]) == 4
    err = capsys.readouterr().err
    assert err.splitlines()[0] == "error: unexpected ValueError"
    assert "--debug" in err
    assert "swordfish" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--debug", "scan"], ["scan", "--debug"]])
def test_debug_shows_where(arguments: list[str], command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise ConfigError("wrong \x1b[2J key")

    command(body)
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "test_cli.py" in err
    assert "\x1b" not in err


def test_foreign_text_in_errors_cannot_drive_the_terminal(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise StoreError("bad \x1b]0;title\x07 name\r\n\u202egnp", hint="\x9b2J")

    command(body)
    main(["scan"])
    assert (
        capsys.readouterr().err == "error: bad \\x1b]0;title\\x07 name\\x0d\\x0a\\u202egnp\nhint: \\x9b2J\n"
    )


def test_a_system_error_names_its_file(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise OSError(28, "No space left on device", "report.html")

    command(body)
    assert main(["scan"]) == 4
    assert capsys.readouterr().err == "error: No space left on device: report.html\n"


def test_ctrl_c_says_what_became_of_the_work(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        from unsprawl.cli_options import session

        session().when_stopped = "what was read is kept"
        raise KeyboardInterrupt

    command(body)
    assert main(["scan"]) == 130
    assert capsys.readouterr().err.strip() == "error: stopped\nhint: what was read is kept"


def test_a_closed_pipe_is_quiet() -> None:
    reader = "import sys; sys.stdin.readline()"
    writer = [sys.executable, "-m", "unsprawl", "rules", "list", "--format", "json"]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        subprocess.run([sys.executable, "-c", reader], stdin=first.stdout, check=True)
        assert first.stdout is not None
        assert first.stderr is not None
        first.stdout.close()
        assert first.stderr.read() == b""
    assert first.returncode == 141


def test_sigterm_ends_the_process_with_its_code() -> None:
    code = (
        "import os, signal, unsprawl.cli as cli, click\n"
        "def stop(*_):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "cli.LazyGroup.get_command = lambda *_: click.command('scan')(stop)\n"
        "import sys; sys.argv = ['unsprawl', 'scan']; sys.exit(cli.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_ascii_terminals_are_served() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "unsprawl", "rules", "list", "--format", "table"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
