"""Slack against servers of others: the emulator of npm, and Prism with Slack's official description.

``CONTRACTS`` names the folder with the description; both programs come from npm.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from slack_worlds import NOON, Memory, small, ts_of

from unsprawl.crawlers.slack.source import SlackSource
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import post

pytestmark = pytest.mark.servers

TOKEN = "test_token_admin"


def installed(folder: Path, package: str) -> Path:
    """The folder of programs of an npm package, at exactly this version."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the emulator and Prism come from there")
    subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", package], cwd=folder, check=True, capture_output=True
    )
    return folder / "node_modules" / ".bin"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(10)


# --- the emulator --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("emulate")
    program = str(installed(folder, "emulate@0.8.0") / "emulate")
    subprocess.run([program, "init", "--service", "slack"], cwd=folder, check=True, capture_output=True)
    port = free_port()
    with running([program, "start", "--service", "slack", "--port", str(port)], folder, port):
        yield f"http://127.0.0.1:{port}"


def call(root: str, method: str, **form: Any) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{root}/api/{method}", urlencode(form).encode(), {"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request) as answer:
        content: dict[str, Any] = json.load(answer)
    assert content["ok"], content
    return content


def test_the_emulator_is_crawled_with_threads_edits_and_files(
    emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slack_sdk import WebClient

    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    channels = call(emulator, "conversations.list", limit=100)["channels"]
    general = next(one["id"] for one in channels if one["name"] == "general")
    root = call(emulator, "chat.postMessage", channel=general, text="first of a thread")["ts"]
    call(emulator, "chat.postMessage", channel=general, text="an answer", thread_ts=root)
    edited = call(emulator, "chat.postMessage", channel=general, text="before")["ts"]
    call(emulator, "chat.update", channel=general, ts=edited, text="after the edit")
    for number in range(30):
        call(emulator, "chat.postMessage", channel=general, text=f"message number {number:02}")
    client = WebClient(token=TOKEN, base_url=f"{emulator}/api/")
    client.files_upload_v2(channel=general, content="content of a file", filename="notes.txt")
    source = SlackSource("chat", SlackSource.Config(token="${SLACK_TOKEN}", base_url=f"{emulator}/api"))
    # The emulator knows no times, only cursors; small pages show that the history is read to its end.
    source._session.page_size = lambda: 7  # type: ignore[method-assign]
    memory = Memory()
    night = memory.crawl(source)
    text = night.text
    for wanted in (b"first of a thread\nan answer", b"after the edit", b"content of a file"):
        assert wanted in text, wanted
    assert b"before" not in text
    for number in range(30):
        assert text.count(f"message number {number:02}".encode()) == 1
    assert {one.uri for one in night.skipped if not one.excluded} <= {
        f"slack://{source._session.identity.team}/usergroups"
    }
    call(emulator, "chat.update", channel=general, ts=edited, text="after another edit")
    call(emulator, "chat.postMessage", channel=general, text="one more answer", thread_ts=root)
    later = memory.crawl(source)
    assert b"after another edit" in later.text
    assert b"one more answer" in later.text
    assert len(later.documents) <= 2


# --- the official description --------------------------------------------------------------------


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SlackServer, str]]:
    """Our server behind Prism, which refuses what the description does not allow, on either side."""
    contracts = os.environ.get("CONTRACTS", "")
    if not contracts:
        pytest.skip("CONTRACTS=DIR names the folder with slack-web-api-post.openapi.json")
    folder = tmp_path_factory.mktemp("prism")
    program = str(installed(folder, "@stoplight/prism-cli@5.16.0") / "prism")
    description = str(Path(contracts).resolve() / "slack-web-api-post.openapi.json")
    team = small()
    del team.channels[1]  # refusals come as 200, which the description does not know
    for number in range(30):
        team.channels[0].add(post(NOON + 20_000 + number * 700, "U00000001", f"more {number}"))
    port = free_port()
    with SlackServer(team, {TOKEN: None}) as server:
        server.described = True
        server.pages = {"conversations.history": 20}
        command = [program, "proxy", "-p", str(port), description, server.url, "--errors"]
        with running(command, folder, port):
            yield server, f"http://127.0.0.1:{port}"


def test_requests_and_answers_are_those_of_the_official_description(
    described: tuple[SlackServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = described
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    documented = {"auth.test", "users.list", "usergroups.list", "users.conversations", "conversations.list",
                  "conversations.history", "conversations.replies", "files.list"}  # fmt: skip
    config = SlackSource.Config(
        token="${SLACK_TOKEN}", base_url=proxy, file_hosts=("127.0.0.1",), max_wait=1.0
    )
    memory = Memory()
    night = memory.crawl(SlackSource("chat", config))
    # Bookmarks are younger than the description.
    assert night.gaps == {f"slack://T0ACME/{server.workspace.channels[0].id}?bookmarks"}
    assert documented <= set(server.asked)
    assert b"password: see below" in night.text
    assert b"more 29" in night.text
    server.workspace.channels[0].add(post(NOON + 60_000, "U00000002", "new"))
    assert b"new" in memory.crawl(SlackSource("chat", config)).text


def test_prism_refuses_what_is_not_described(described: tuple[SlackServer, str]) -> None:
    _, proxy = described
    form = urlencode({"channel": "C00000000", "limit": "many", "latest": ts_of(NOON)}).encode()
    request = urllib.request.Request(
        f"{proxy}/conversations.history", form, {"Authorization": f"Bearer {TOKEN}"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 422
    refused.value.close()
