"""A real Buildbot, master and worker, whose logs are read as they are.

``make test-servers`` installs it beside the virtual environment; ``BUILDBOT`` names the program.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unsprawl.crawlers.ci.source import CiSource
from unsprawl.detectors.detector import build
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Checkpoint, Cursor, Document, Skipped, Unit

pytestmark = pytest.mark.servers

MASTER = """
from buildbot.plugins import schedulers, steps, util, worker
c = BuildmasterConfig = {{}}
c["workers"] = [worker.LocalWorker("local")]
c["protocols"] = {{"null": {{}}}}
factory = util.BuildFactory([
    steps.ShellCommand(name="env", command=["printenv", "LEAKED"], env={{"LEAKED": {token!r}}}),
    steps.ShellCommand(name="long", command=["sh", "-c", "seq 1 12000"]),
    steps.ShellCommand(name="colour", command=["printf", {coloured!r}]),
])
c["builders"] = [util.BuilderConfig(name="shop", workernames=["local"], factory=factory)]
c["schedulers"] = [schedulers.ForceScheduler(name="force", builderNames=["shop"])]
c["www"] = {{"port": "tcp:{port}:interface=127.0.0.1", "plugins": {{}}}}
c["db"] = {{"db_url": "sqlite:///state.sqlite"}}
c["buildbotURL"] = "http://127.0.0.1:{port}/"
c["buildbotNetUsageData"] = None
"""


@dataclass(frozen=True)
class Master:
    url: str
    token: str

    def ask(self, path: str, body: Any = None) -> Any:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        content = json.dumps(body).encode() if body else None
        request = urllib.request.Request(
            f"{self.url}/api/v2/{path}", content, {"content-type": "application/json"}
        )
        with direct.open(request, timeout=30) as answer:
            return json.loads(answer.read())

    def force(self) -> None:
        params = {"builderNames": ["shop"], "reason": "t", "owner": "ann"}
        self.ask("forceschedulers/force", {"jsonrpc": "2.0", "method": "force", "id": 1, "params": params})
        wanted = len(self.ask("builds?complete=true")["builds"]) + 1
        deadline = time.monotonic() + 60
        while len(self.ask("builds?complete=true")["builds"]) < wanted:
            assert time.monotonic() < deadline, "the build does not end"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    program = os.environ.get("BUILDBOT") or shutil.which("buildbot")
    assert program, (
        "buildbot is not on the path: pip install 'buildbot[bundle]' buildbot-worker, or name it in BUILDBOT"
    )
    folder: Path = tmp_path_factory.mktemp("buildbot")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = fill("<github-token:ghp_>")
    coloured = f"{token[:9]}\\033[32m{token[9:]}\\n"
    subprocess.run([program, "create-master", str(folder)], check=True, capture_output=True, timeout=120)
    (folder / "master.cfg").write_text(MASTER.format(token=token, coloured=coloured, port=port))
    with (folder / "out.log").open("wb") as log:
        command = [program, "start", "--nodaemon", str(folder)]
        process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
        try:
            one = Master(f"http://127.0.0.1:{port}", token)
            deadline = time.monotonic() + 60
            while True:
                try:
                    one.ask("builders")
                    break
                except OSError:
                    assert process.poll() is None, (folder / "out.log").read_text()[-2000:]
                    assert time.monotonic() < deadline, "buildbot does not start"
                    time.sleep(0.3)
            one.force()
            yield one
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def read(source: CiSource, cursors: dict[str, Cursor], seen: dict[str, str]) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for unit in source.units(seen.get):
        assert isinstance(unit, Unit)
        for event in source.read(unit, cursors.get(unit.id), seen.get):
            assert not isinstance(event, Skipped), event
            if isinstance(event, Document):
                documents[event.uri] = event
                seen[event.key] = event.version or ""
            elif isinstance(event, Checkpoint):
                cursors[unit.id] = event.cursor
    return documents


def test_the_logs_of_a_real_master_are_read_and_the_second_night_reads_nothing(master: Master) -> None:
    source = CiSource("builds", CiSource.Config(system="buildbot", url=master.url))
    cursors: dict[str, Cursor] = {}
    seen: dict[str, str] = {}
    documents = read(source, cursors, seen)
    logs = {str(one.attrs["step"]): one for uri, one in documents.items() if "/job/" in uri}
    assert {"env", "long", "colour"} <= logs.keys()
    long = logs["long"].body
    assert isinstance(long, bytes)
    assert b"\n1\n2\n3\n" in long
    assert b"\n11999\n12000\n" in long
    detector = build()
    for step in ("env", "colour"):
        body = logs[step].body
        assert isinstance(body, bytes)
        found = [one for one in detector.scan(logs[step]) if isinstance(one, Candidate)]
        hits = [one for one in found if one.secret.text() == master.token]
        assert hits, step
        rows = body.split(b"\n")
        assert all(master.token[:9].encode() in rows[one.line - 1] for one in hits)
    before = source.requests
    assert read(source, cursors, seen) == {}
    assert source.requests - before <= 3
    master.force()
    assert read(source, cursors, seen)
    assert all(one.ok for one in source.diagnose())
    source.close()
