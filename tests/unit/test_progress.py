from __future__ import annotations

import io
import sys

import pytest

from unsprawl.progress import Lines, Live, watching
from unsprawl.records import Batch, Counts, Gap, Unit


def batch(source: str = "wiki", *, done: bool = True, failed: bool = False) -> Batch:
    failure = Gap("x", "y") if failed else None
    counts = Counts(documents=3, unchanged=2, read_bytes=1_500_000)
    return Batch(source=source, unit=Unit("u"), counts=counts, done=done, failure=failure)


def test_quiet_shows_nothing() -> None:
    with watching(quiet=True) as progress:
        assert progress is None


def test_without_a_terminal_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = Lines(clock=lambda: now[0])
    lines.source("wiki", 1)
    lines.batch(batch())
    assert capsys.readouterr().err == ""
    now[0] = 11.0
    lines.source("wiki", 4)
    lines.batch(batch())
    now[0] = 22.0
    lines.source("wiki", None)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "1 of 4+ units, 3 documents, 1.5 MB, 0 findings",
        "2 of 4 units, 6 documents, 3.0 MB, 0 findings",
    ]


def test_a_terminal_sees_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with watching(quiet=False) as progress:
        assert isinstance(progress, Live)
        progress.source("wi\x1b]0;ki", 2)
        progress.batch(batch("wi\x1b]0;ki", failed=True))
        progress.source("wi\x1b]0;ki", None)
        progress.note("the bucket is \x1b[31mslow")
    text = screen.getvalue()
    assert "wi\\x1b]0;ki" in text
    assert "1/2 units, 1 failed" in text
    assert "the bucket is \\x1b[31mslow" in text


def test_stdout_is_for_results_only(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(quiet=False) as progress:
        assert isinstance(progress, Lines)
        progress.note("slow")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "slow\n")
