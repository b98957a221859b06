"""Large buckets and large objects, read by the command: nothing is lost, and memory stays where it was."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from objects import Blob, Cut, ObjectServer, Refuse, Retag, serving

from unsprawl.placeholders import fill

pytestmark = pytest.mark.soak

OBJECTS = int(os.environ.get("UNSPRAWL_SOAK_OBJECTS", "100000"))
GIGABYTES = float(os.environ.get("UNSPRAWL_SOAK_GIGABYTES", "5"))
MEMORY = 400 << 20


class Night:
    """Crawls one store again and again."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        source = {"type": "s3", "endpoint_url": url, "access_key": "${KEY}", "secret_key": "${KEY}"}
        (folder / "crawl.yaml").write_text(json.dumps({"store": "s.db", "sources": {"lake": source}}))
        self.environment = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key"), "KEY": "x" * 20}

    def crawl(self) -> tuple[int, float, int]:
        """Exit code, seconds, and the memory in bytes of the largest process."""
        began = time.monotonic()
        process = psutil.Popen(
            [sys.executable, "-m", "unsprawl", "crawl", "crawl.yaml", "--quiet"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )
        most = 0
        while process.poll() is None:
            try:
                family = [process, *process.children(recursive=True)]
                most = max(most, *(one.memory_info().rss for one in family))
            except psutil.Error:
                continue
            time.sleep(0.2)
        return process.returncode, time.monotonic() - began, most

    def rows(self, *words: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "unsprawl", *words, "--store", "s.db", "--format", "jsonl"]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]


def test_many_objects_and_a_hundredth_of_faults(tmp_path: Path) -> None:
    chance = random.Random(7)
    keys = [f"logs/{index % 97:02}/{index:06}.log" for index in range(OBJECTS)]
    blobs = {key: Blob(text=f"step {number} of {key} ok\n".encode()) for number, key in enumerate(keys)}
    planted = {key: fill("<github-token:ghp_>", key) for key in chance.sample(keys, 50)}
    for key, token in planted.items():
        blobs[key] = Blob(text=f"GITHUB_TOKEN={token}\n".encode())
    server = ObjectServer()
    server.buckets = {"lake": blobs}
    faulty = chance.sample(keys, OBJECTS // 100)
    refused = set()
    for number, key in enumerate(faulty):
        place = ("lake", key)
        if number % 5 == 0:
            server.always[place] = Refuse(403, "AccessDenied")
            refused.add(key)
        elif number % 5 == 1:
            server.always[place] = Refuse(404, "NoSuchKey")
            refused.add(key)
        elif number % 5 == 2:
            server.faults[place].append(Refuse(503, "SlowDown"))
        elif number % 5 == 3:
            server.faults[place].append(Cut(0))
        else:
            server.always[place] = Retag("0" * 32)
    readable = {key for key in planted if key not in refused}
    with serving(server):
        night = Night(tmp_path, server.url)
        code, seconds, memory = night.crawl()
        assert code == 3
        first = night.rows("coverage")
        found = {row["path"].removeprefix("lake/") for row in night.rows("findings", "list")}
        gets = server.requests["get"]
        again, second_seconds, _ = night.crawl()
        second = night.rows("coverage")
    sys.stdout.write(
        f"\n{OBJECTS} objects: {seconds:.0f} s ({OBJECTS / seconds:.0f}/s), {memory >> 20} MiB, {gets} GETs; "
        f"again: {second_seconds:.0f} s, {server.requests['get'] - gets} GETs\n"
    )
    assert found == readable
    assert again == 3
    assert sum(row["documents"] for row in first) == OBJECTS - len(refused)
    assert sum(row["skipped"] for row in first) == len(refused)
    assert sum(row["documents"] for row in second) == 0
    assert sum(row["unchanged"] for row in second) == OBJECTS - len(refused)
    # Only what was never read is asked for again.
    assert server.requests["get"] - gets == len(refused)
    assert memory < MEMORY


def test_an_object_of_gigabytes_in_little_memory(tmp_path: Path) -> None:
    size = int(GIGABYTES * (1 << 30))
    token = fill("<github-token:ghp_>", "huge")
    server = ObjectServer()
    server.buckets = {"lake": {"huge.log": Blob(size, planted={size - 200: f"\nTOKEN={token}\n".encode()})}}
    with serving(server):
        night = Night(tmp_path, server.url)
        code, seconds, memory = night.crawl()
        (row,) = night.rows("findings", "list")
    sys.stdout.write(
        f"\n{size >> 20} MiB: {seconds:.0f} s ({(size >> 20) / seconds:.0f} MiB/s), {memory >> 20} MiB\n"
    )
    assert code == 0
    assert row["start"] == size - 200 + len("\nTOKEN=")
    assert memory < MEMORY
