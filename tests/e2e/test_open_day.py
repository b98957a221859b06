"""The organisation that stays open: what it tells a newcomer to type works as it stands there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unsprawl.estate.paste_server import PasteServer
from unsprawl.estate.pastes import stranger_posts
from unsprawl.estate.planted import PLANTED

COMMAND = [sys.executable, "-m", "unsprawl", "demo", "--serve"]
TYPED = ("cd ", "unsprawl ", "grep ", "echo ")


def test_what_it_says_can_be_typed(tmp_path: Path) -> None:
    folder = tmp_path / "a cme"
    with subprocess.Popen(
        [*COMMAND, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
        try:
            assert served.stdout is not None
            told = []
            while "may be deleted" not in (line := served.stdout.readline()):
                assert line, served.stderr and served.stderr.read()
                told.append(line.partition("#")[0].strip())
            typed = [line for line in told if line.startswith(TYPED) and "watch" not in line]
            assert len(typed) == 8
            script = "\n".join((*typed, "unsprawl watch acme.yaml --once --format table"))
            plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
            done = subprocess.run(
                ["bash", "-c", script], env=plain, capture_output=True, text=True, check=False
            )
            served.send_signal(signal.SIGINT)
            rest, errors = served.communicate(timeout=60)
        finally:
            served.kill()
    assert "New        42" in done.stdout, done.stdout + done.stderr
    assert "New        1" in done.stdout
    assert "hit " in done.stdout + done.stderr
    assert " ours " in done.stdout
    assert (served.returncode, errors) == (0, "")
    assert "Acme is closed." in rest


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    refused = subprocess.run([*COMMAND, str(tmp_path)], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "is no empty folder" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("number", "ours"), [(0, False), (2, True), (3, False), (8, True)])
def test_strangers_post_something_of_ours_now_and_then(number: int, ours: bool) -> None:
    with PasteServer() as server:
        stranger_posts(server, number, 1_772_500_000.0)
        [paste] = server.pastes
        assert any(planted.value in paste.text for planted in PLANTED) is ours
