"""Slack through the command: found once, gaps told, killed and gone on, cheap the second night."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest
from crawls import Crawl
from slack_worlds import NOON

from unsprawl.estate.slack_server import Fault, SlackServer
from unsprawl.estate.slack_workspace import Workspace, post
from unsprawl.placeholders import fill

TOKEN = "the-token-of-a-test"


def token(name: str) -> str:
    return fill("<github-token:ghp_>", name)


def team_of(channels: int = 6, messages: int = 120) -> Workspace:
    team = Workspace()
    team.user("anna", "Anna")
    for number in range(channels):
        channel = team.channel(f"c{number}")
        for index in range(messages):
            at = NOON - 2 * 86_400 + index * 700
            text = f"GITHUB_TOKEN={token(f'{number} {index}')}" if index % 40 == 7 else f"plain {index}"
            message = channel.add(post(at, f"U{index % 3}", text))
            if index % 30 == 0:
                channel.reply(message, post(at + 60, "U1", f"use GITHUB_TOKEN={token(f'r{number} {index}')}"))
    team.channel("closed", kind="private_channel").refusal = "not_in_channel"
    return team


def crawl_of(folder: Path, server: SlackServer) -> Crawl:
    source = {"type": "slack", "token": "${SLACK_TOKEN}", "base_url": server.url}
    return Crawl(folder, source, {"SLACK_TOKEN": TOKEN})


def findings(crawl: Crawl) -> list[tuple[str, str]]:
    rows = crawl.rows("findings", "list")
    assert all(row["gone_at"] is None for row in rows)
    return sorted((row["uri"], row["secret"]) for row in rows)


@pytest.fixture
def slack():
    with SlackServer(team_of(), {TOKEN: None}) as server:
        server.pages = {"conversations.history": 20}
        yield server


def test_each_secret_is_found_once_the_refused_channel_is_told_and_the_second_night_is_cheap(
    tmp_path: Path, slack: SlackServer
) -> None:
    crawl = crawl_of(tmp_path / "a", slack)
    slack.faults += [
        Fault(r"\.", status=429, headers={"Retry-After": "0"}, share=0.05),
        Fault(r"history", cut=40, share=0.05),
    ]
    assert crawl.finish() == 3
    found = findings(crawl)
    planted = sum(
        "GITHUB_TOKEN" in one["text"] for channel in slack.workspace.channels for one in channel.messages
    )
    replies = sum(len(thread) for channel in slack.workspace.channels for thread in channel.threads.values())
    assert len(found) == len(set(found)) == planted + replies
    gaps = [gap["uri"] for row in crawl.rows("coverage") for gap in row["gaps"]]
    assert gaps == [f"slack://T0ACME/{slack.workspace.channels[-1].id}"]
    slack.faults.clear()
    slack.requests.clear()
    slack.pages = {}
    assert crawl.finish() == 3
    assert slack.asked["conversations.history"] == len(slack.workspace.channels)
    assert slack.asked["conversations.replies"] == 0
    assert sum(row["documents"] for row in crawl.rows("coverage")) == 0
    assert findings(crawl) == found


def test_killed_and_gone_on_it_holds_what_an_undisturbed_crawl_does(
    tmp_path: Path, slack: SlackServer
) -> None:
    undisturbed = crawl_of(tmp_path / "undisturbed", slack)
    started = time.monotonic()
    assert undisturbed.finish() == 3
    duration = time.monotonic() - started
    killed = crawl_of(tmp_path / "killed", slack)
    chance = random.Random(5)
    for _ in range(3):
        process = killed.start()
        try:
            process.communicate(timeout=chance.uniform(0.5, 0.95) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    assert killed.finish() == 3
    assert findings(killed) == findings(undisturbed)
