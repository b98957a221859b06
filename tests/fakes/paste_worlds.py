"""A paste site on which people post all the time, some of it ours, and a watch over it as a process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import psutil

from unsprawl.estate.paste_server import PasteServer
from unsprawl.placeholders import fill

__all__ = ["OWN", "Poster", "Watch", "memory", "own_token", "prose", "strangers_token"]

#: Tokens that stand inside the organisation.
OWN = 20
_WORDS = (
    "server client request answer table queue index cache thread module import return value error "
    "warning figure notebook homework lecture recipe garden engine bicycle winter summer orange"
).split()


def own_token(number: int) -> str:
    return fill("<github-token:ghp_>", f"ours {number % OWN}")


def strangers_token(number: int) -> str:
    return fill("<github-token:gho_>", f"theirs {number}")


def prose(draw: random.Random, words: int = 60) -> str:
    return "\n".join(" ".join(draw.choices(_WORDS, k=8)) + f" {draw.random()}" for _ in range(words // 8))


class Poster:
    """Posts ``rate`` pastes a second to ``server``; every ``share``-th holds a token of ours.

    ``posted`` maps the id of each of ours to the time at which it was posted.
    """

    def __init__(self, server: PasteServer, *, rate: float = 10.0, share: int = 100) -> None:
        self.server, self.rate, self.share = server, rate, share
        self.posted: dict[str, float] = {}
        self.count = 0
        self._stop = threading.Event()
        self._draw = random.Random(7)
        self._thread = threading.Thread(target=self._post, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _post(self) -> None:
        begun = time.monotonic()
        while not self._stop.wait(max(0.0, begun + self.count / self.rate - time.monotonic())):
            self.count += 1
            text = prose(self._draw)
            ours = self.count % self.share == self.share // 2
            if ours:
                text = text.replace("\n", f"\nexport TOKEN={own_token(self.count // self.share)}\n", 1)
            elif self.count % 50 == 3:
                text += f"\ntoken = {strangers_token(self.count)}\n"
            now = time.time()
            paste = self.server.post(text, now)
            if ours:
                self.posted[paste.id] = now
            with self.server.lock:
                # As on the real ones, what is old is no longer there; and this process shall not grow.
                del self.server.pastes[:-2000], self.server.requests[:-100]


class Watch:
    """``unsprawl watch`` over ``server``, after a crawl of a folder with the tokens that are ours."""

    def __init__(self, folder: Path, server: PasteServer, **settings: Any) -> None:
        self.folder = folder
        self.env = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key")}
        inside = folder / "inside"
        inside.mkdir(parents=True)
        (inside / "deploy.env").write_text("".join(f"TOKEN_{n}={own_token(n)}\n" for n in range(OWN)))
        source = {"type": "paste", "feed": "pastebin", "url": server.url, "every": "1s", "limit": 250}
        source |= {"request_interval": 0, "max_wait": 2, **settings}
        config: dict[str, Any] = {"sources": {"disk": {"type": "files", "paths": ["inside"]}}}
        (folder / "night.yaml").write_text(json.dumps(config))
        config = {"watch": {"domains": ["acme.example"]}, "sources": {"pastes": source}}
        (folder / "watch.yaml").write_text(json.dumps(config))
        self.events = folder / "events.jsonl"
        self.arrived: dict[str, float] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        assert self.call("crawl", "night.yaml", "--quiet").returncode == 0

    def call(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "unsprawl", *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, timeout=300)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "unsprawl", "watch", "watch.yaml", "--output", "events.jsonl"]
        process = subprocess.Popen(
            [*command, *arguments], cwd=self.folder, env=self.env, stderr=subprocess.PIPE
        )
        self._started.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            if process.stderr and not process.stderr.closed:
                process.communicate()

    def lines(self) -> list[dict[str, Any]]:
        """All events so far; when each was first read here is kept in ``arrived``."""
        if not self.events.exists():
            return []
        now = time.time()
        found = [json.loads(line) for line in self.events.read_text().splitlines() if line.endswith("}")]
        for event in found:
            self.arrived.setdefault(event["event"]["id"], now)
        return found

    def ours(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"]["kind"] == "ours"]

    def ledger(self) -> list[dict[str, Any]]:
        shown = self.call("coverage", "--store", "unsprawl.db", "--format", "jsonl")
        return [json.loads(line) for line in shown.stdout.splitlines()]


def memory(process: subprocess.Popen[bytes]) -> int:
    """Bytes that a process and its children hold."""
    parent = psutil.Process(process.pid)
    return sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)])
