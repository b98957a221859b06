"""A small workspace, and a Slack that serves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slack_worlds import TOKEN, forget_sessions, small

from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import Workspace


@pytest.fixture
def team() -> Workspace:
    return small()


@pytest.fixture
def slack(team: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    with SlackServer(team, {TOKEN: None}) as server:
        yield server
    forget_sessions()
