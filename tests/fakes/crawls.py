"""The command people run over one source, each run a process of its own; and one that is killed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from unsprawl.estate.loopback import Fault, LoopbackServer

#: What the clock alone may change between two questions: risk grows with the age of what was found.
_TIMES = ("first_seen", "last_seen", "gone_at", "risk", "because")


class Crawl:
    """A configuration with one ``source`` in a folder that is made, and a store beside it.

    ``secrets`` are variables of the environment that hold credentials: none may be said.
    """

    def __init__(self, folder: Path, source: dict[str, Any], secrets: dict[str, str]) -> None:
        self.folder = folder
        self.secrets = secrets
        self.env = {**os.environ, **secrets, "UNSPRAWL_CONFIG_DIR": str(folder.parent / "keys")}
        folder.mkdir()
        text = json.dumps({"store": "unsprawl.db", "sources": {"here": source}})
        (folder / "nightly.yaml").write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "unsprawl", "crawl", str(self.folder / "nightly.yaml"), "--quiet"]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def finish(self) -> int:
        """The exit code of a crawl that runs to its end."""
        process = self.start()
        _, errors = process.communicate(timeout=300)
        assert b"Traceback" not in errors, errors.decode()
        assert not [name for name, value in self.secrets.items() if value.encode() in errors]
        return process.returncode

    def unfinished(self) -> bool:
        """Whether the last run never came to its end."""
        path = self.folder / "unsprawl.db"
        if not path.exists():
            return True
        with closing(sqlite3.connect(path, timeout=10)) as store:
            try:
                row = store.execute("SELECT status FROM runs ORDER BY id DESC LIMIT 1").fetchone()
            except sqlite3.OperationalError:
                return True
        return row is None or row[0] == "running"

    def rows(self, *command: str) -> list[dict[str, Any]]:
        """What a command answers of the store."""
        arguments = [*command, "--store", str(self.folder / "unsprawl.db"), "--format", "jsonl"]
        ended = subprocess.run(
            [sys.executable, "-m", "unsprawl", *arguments], env=self.env, check=False, capture_output=True
        )
        assert ended.returncode < 2, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def facts(self) -> tuple[Any, Any]:
        """What was found and what was not read, times aside."""
        found = [
            {name: row[name] for name in row if name not in _TIMES} for row in self.rows("findings", "export")
        ]
        ledger = [
            {name: row[name] for name in ("title", "status", "gaps") if name in row}
            for row in self.rows("coverage")
        ]
        return sorted(found, key=json.dumps), sorted(ledger, key=json.dumps)


def killed(crawl: Crawl, server: LoopbackServer, requests: Iterable[int]) -> None:
    """Start ``crawl`` again and again, and kill it at the request of each of these numbers."""
    for request in requests:
        server.faults = []
        process = crawl.start()
        server.faults = [Fault("", before=process.kill, after=request, times=1)]
        process.communicate(timeout=300)
        assert crawl.unfinished()
    server.faults = []
