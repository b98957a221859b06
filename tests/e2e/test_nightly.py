"""A nightly as a scheduler runs it: alone on its store, within its budget, and on from where it stopped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slack_worlds import NOON

from unsprawl.estate.slack_server import Fault, SlackServer
from unsprawl.estate.slack_workspace import Workspace, post
from unsprawl.placeholders import fill

TOKEN = "the-token-of-a-test"
CHANNELS = 6
Done = subprocess.CompletedProcess[str]


def team() -> Workspace:
    """Six channels of three pages, each with two secrets in messages and one in a thread."""
    made = Workspace()
    made.user("anna", "Anna")
    for number in range(CHANNELS):
        channel = made.channel(f"c{number}")
        for index in range(60):
            at = NOON - 2 * 86_400 + index * 700
            secret = fill("<github-token:ghp_>", f"{number} {index}")
            text = f"GITHUB_TOKEN={secret}" if index % 30 == 7 else f"plain {index}"
            message = channel.add(post(at, "U1", text))
            if index == 20:
                reply = fill("<github-token:ghp_>", f"reply {number}")
                channel.reply(message, post(at + 60, "U1", f"use GITHUB_TOKEN={reply}"))
    return made


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer(team(), {TOKEN: None}) as server:
        server.pages = {"conversations.history": 20}
        yield server


class Nightly:
    """A folder with a configuration of one Slack source, and the key of its own user."""

    def __init__(self, folder: Path, server: SlackServer, **more: Any) -> None:
        folder.mkdir()
        self.folder = folder
        source = {"type": "slack", "token": "${SLACK_TOKEN}", "base_url": server.url, **more}
        (folder / "nightly.yaml").write_text(json.dumps({"sources": {"chat": source}}))
        self.env = {**os.environ, "SLACK_TOKEN": TOKEN, "UNSPRAWL_CONFIG_DIR": str(folder / "key")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "unsprawl", "crawl", "nightly.yaml", *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def crawl(self, *arguments: str) -> Done:
        process = self.start(*arguments)
        out, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors, errors
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def rows(self, *what: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "unsprawl", *what, "--store", "unsprawl.db", "--format", "jsonl"]
        shown = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, check=False, text=True
        )
        return [json.loads(line) for line in shown.stdout.splitlines()]

    def findings(self) -> list[tuple[str, str]]:
        return sorted((row["uri"], row["secret"]) for row in self.rows("findings", "list"))

    def begun(self, process: subprocess.Popen[str]) -> None:
        """Wait until ``process`` holds the lock."""
        lock = self.folder / "unsprawl.db.crawl.lock"
        until = time.monotonic() + 300  # the rules are compiled before, on a machine that is busy
        while not (lock.exists() and f'"pid":{process.pid}'.encode() in lock.read_bytes()):
            assert process.poll() is None, "it ended before it began"
            assert time.monotonic() < until
            time.sleep(0.02)


def test_of_two_nightlies_one_runs_and_a_killed_one_leaves_no_lock(
    tmp_path: Path, slack: SlackServer
) -> None:
    nightly = Nightly(tmp_path / "n", slack)
    slack.faults.append(Fault("history", status=429, headers={"Retry-After": "60"}, times=1))
    first = nightly.start("--quiet")
    try:
        nightly.begun(first)
        second = nightly.crawl("--quiet")
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 2
    (line, hint) = second.stderr.splitlines()
    who = rf"already running \(pid {first.pid} on \S+, since [-\d]+ [:\d]+ UTC, last heartbeat \d+ s ago\)"
    assert re.search(who, line), line
    assert "wait for it" in hint
    third = nightly.crawl("--quiet")
    assert (third.returncode, third.stderr) == (0, "")
    assert len(nightly.findings()) == 3 * CHANNELS


def test_a_budget_of_requests_ends_a_night_and_the_nights_together_find_what_one_would(
    tmp_path: Path, slack: SlackServer
) -> None:
    undisturbed = Nightly(tmp_path / "undisturbed", slack)
    assert undisturbed.crawl("--quiet").returncode == 0
    all_of_it = len(slack.requests)

    nightly = Nightly(tmp_path / "n", slack, budget={"requests": 26})
    codes = []
    for _ in range(6):
        slack.requests.clear()
        done = nightly.crawl("--format", "json")
        codes.append(done.returncode)
        spent = json.loads(done.stdout)["sources"]["chat"]
        assert spent["requests"] == len(slack.requests)
        if done.returncode == 0:
            assert spent["budget"] == "kept"
            break
        # Each of the four steps that run at once goes on to its next checkpoint.
        assert 26 <= len(slack.requests) <= 26 + 2 * 4 < all_of_it
        assert spent["budget"] == "spent"
        rows = nightly.rows("coverage")
        left = [row for row in rows if row["status"] != "complete"]
        assert {row["status"] for row in left} <= {"partial", "skipped"}
        gaps = [gap for row in left for gap in row["gaps"]]
        assert {gap["reason"] for gap in gaps} == {"budget spent: 26 requests"}
        assert all("the next run goes on there" in gap["hint"] for gap in gaps)
        named = {row["title"] for row in rows}
        assert named >= {f"#c{number}" for number in range(CHANNELS)}  # also those that were not reached
        assert "chat: budget spent: 26 requests" in done.stderr
    assert len(codes) > 1
    assert codes[-1] == 0
    assert nightly.findings() == undisturbed.findings()


def test_a_budget_of_time_ends_a_night(tmp_path: Path, slack: SlackServer) -> None:
    nightly = Nightly(tmp_path / "n", slack, budget={"time": "1s"})
    slack.faults.append(Fault("history", drip=0.02))
    done = nightly.crawl()
    assert done.returncode == 3
    (budget,) = re.findall(r"^Budget     (.*)$", done.stdout, re.MULTILINE)
    assert re.fullmatch(r"chat: budget spent: 1s, after [\d.]+ s and [\d,]+ requests", budget)
    assert "Incomplete " in done.stdout
    slack.faults.clear()
    for _ in range(10):
        if nightly.crawl("--quiet").returncode == 0:
            break
    assert len(nightly.findings()) == 3 * CHANNELS
