"""Prism in front of a server of ours: requests and answers are held against a published description.

It answers 422 to a request that breaks the description and 500 in place of an answer that does, so what is
wrong with either side fails the crawl. Paths that the description does not have go straight to the server.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from unsprawl.estate.loopback import Answer, LoopbackServer, Request

_SECONDS = 120


def description(name: str) -> Path:
    """A file of the folder that ``CONTRACTS`` names."""
    folder = os.environ.get("CONTRACTS", "")
    assert folder, "CONTRACTS has to name the folder with the API descriptions"
    return Path(folder) / name


@contextmanager
def proxied(described: Path, upstream: str, log: Path) -> Iterator[str]:
    """The address of a Prism between the description and the server."""
    with _running(log, "proxy", "--errors", str(described), upstream) as url:
        yield url


@contextmanager
def mocked(described: Path, log: Path) -> Iterator[str]:
    """The address of a Prism that answers by itself, with the examples of the description."""
    with _running(log, "mock", str(described)) as url:
        yield url


def described_by(package: str, file: str) -> Path:
    """A file of an npm package that is installed where Prism is."""
    place = Path(_program()).parents[1] / package / file
    assert place.is_file(), f"{package} is not there: npm install {package} beside Prism"
    return place


def _program() -> str:
    program = os.environ.get("PRISM") or shutil.which("prism")
    assert program, "prism is not on the path: npm install -g @stoplight/prism-cli, or name it in PRISM"
    return program


@contextmanager
def _running(log: Path, kind: str, *arguments: str) -> Iterator[str]:
    program = _program()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, kind, "--port", str(port), *arguments]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            deadline = time.monotonic() + _SECONDS
            while b"is listening" not in log.read_bytes():
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, "Prism does not start"
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class Splitter(LoopbackServer):
    """Sends paths that match ``pattern`` one way and all others the other. ``bad`` holds what was refused."""

    def __init__(self, pattern: str, there: str, elsewhere: str) -> None:
        super().__init__()
        self._pattern = pattern
        self._there = there
        self._elsewhere = elsewhere
        self.bad: list[str] = []
        self.through = 0

    def answer(self, request: Request) -> Answer:
        described = re.search(self._pattern, request.path) is not None
        host = urlsplit(self._there if described else self._elsewhere).netloc
        connection = http.client.HTTPConnection(host, timeout=_SECONDS)
        try:
            headers = {name: value for name, value in request.headers.items() if name != "host"}
            connection.request(request.method, request.raw, request.body or None, headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        self.through += described
        violations = response.headers.get("sl-violations", "")
        if described and (violations or response.status in (405, 422, 500)):
            self.bad.append(f"{request.method} {request.line}: {response.status} {violations} {body[:600]!r}")
        kept = {name: value for name, value in response.headers.items() if name.lower() in _KEPT}
        return Answer(response.status, body, kept)


_KEPT = {"content-type", "location", "retry-after", "content-range", "accept-ranges", "etag"}
