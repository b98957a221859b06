"""A crawl that is killed at any instant, and continued, ends where an undisturbed one ends."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from unsprawl.estate.imagery import Layer, Step, build, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import RegistryServer
from unsprawl.placeholders import fill

KILLS = 20
TIMES = ("first_seen", "last_seen", "modified_at", "gone_at")


class Crawl:
    """One configuration crawled by the installed command, each run a process of its own."""

    def __init__(self, folder: Path, sources: dict[str, Any], env: dict[str, str]) -> None:
        self.folder = folder
        self.env = {**os.environ, **env, "UNSPRAWL_CONFIG_DIR": str(folder.parent / "keys")}
        folder.mkdir()
        config = {"store": "unsprawl.db", "jobs": 2, "sources": sources}
        (folder / "nightly.yaml").write_text(json.dumps(config))

    def start(self) -> subprocess.Popen[bytes]:
        output = str(self.folder / "out.jsonl")
        arguments = ["crawl", str(self.folder / "nightly.yaml"), "--quiet", "--output", output]
        command = [sys.executable, "-m", "unsprawl", *arguments]
        return subprocess.Popen(command, env=self.env, stderr=subprocess.PIPE)

    def finish(self) -> int:
        process = self.start()
        _, errors = process.communicate(timeout=120)
        assert b"Traceback" not in errors, errors.decode()
        return process.returncode

    def finished(self) -> bool:
        """Whether the latest run in the store came to its end."""
        path = self.folder / "unsprawl.db"
        if not path.exists():
            return False
        with closing(sqlite3.connect(path, timeout=10)) as store:
            try:
                row = store.execute("SELECT status FROM runs ORDER BY id DESC LIMIT 1").fetchone()
            except sqlite3.OperationalError:  # killed before the first migration
                return False
        return row is not None and row[0] != "running"

    def ask(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "unsprawl", *arguments, "--store", str(self.folder / "unsprawl.db")]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout

    def facts(self) -> tuple[list[dict[str, Any]], Any]:
        """Everything the store holds, times aside."""
        rows = [json.loads(line) for line in self.ask("findings", "export", "--format", "jsonl").splitlines()]
        for row in rows:
            for name in TIMES:
                del row[name]
        ledger = json.loads(self.ask("coverage", "--format", "json"))
        return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True)), timeless(ledger)


def timeless(value: Any) -> Any:
    """``value`` without what may differ between two runs: their ids, times and durations."""
    if isinstance(value, dict):
        aside = {name for name in value if name in ("run", "id", "seconds") or name.endswith("_at")}
        return {name: timeless(value[name]) for name in sorted(set(value) - aside)}
    if isinstance(value, list):
        return sorted((timeless(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Some hundred files and objects with secrets, one refusal and one broken archive among them."""
    import boto3
    from moto.server import ThreadedMotoServer

    shared = fill("<github-token:ghp_>", seed="shared")
    root = tmp_path_factory.mktemp("tree")
    for n in range(1200):
        folder = root / f"d{n % 12}"
        folder.mkdir(exist_ok=True)
        token = shared if n % 7 == 0 else fill("<github-token:ghp_>", seed=f"file {n}")
        text = f"# {n}\nGITHUB_TOKEN={token}\n" if n % 3 == 0 else f"nothing {n}\n" * 50
        (folder / f"f{n}.env").write_text(text)
    (root / "broken.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\x03not deflate at all")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    env = {"RESUME_ACCESS": "resume", "RESUME_SECRET": "resume"}
    s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                      aws_access_key_id="resume", aws_secret_access_key="resume")  # fmt: skip
    s3.create_bucket(Bucket="acme")
    for n in range(150):
        token = shared if n % 11 == 0 else fill("<github-token:ghp_>", seed=f"object {n}")
        s3.put_object(Bucket="acme", Key=f"p{n % 5}/o{n}.txt", Body=f"{n} token: {token}\n".encode())
    s3.put_object(Bucket="acme", Key="p1/cold.txt", Body=b"cold", StorageClass="GLACIER")
    base = layer({"etc/base.env": f"GITHUB_TOKEN={shared}\n"})
    with RegistryServer() as registry:
        for n in range(12):
            push(registry.url, f"team/app{n % 4}", build(steps_of(n, base)), f"v{n}")
        images = {"type": "registry", "url": registry.url}
        yield {**sources_of(root, endpoint), "images": images}, env
    server.stop()


def steps_of(n: int, base: Layer) -> list[Step]:
    """An image on a base that all share, with a secret of its own that the next layer deletes."""
    token = fill("<github-token:ghp_>", seed=f"image {n}")
    secret = layer({"app/.env": f"GITHUB_TOKEN={token}\n", "app/data": f"{n}\n" * 2000})
    return [
        Step("ADD base /", base),
        Step(f"COPY app{n} /app", secret),
        Step("RUN rm /app/.env", layer({}, deletes=["app/.env"])),
    ]


def sources_of(root: Path, endpoint: str) -> dict[str, Any]:
    return {
        "tree": {"type": "files", "paths": [str(root)]},
        "bucket": {
            "type": "s3", "endpoint_url": endpoint, "buckets": ["acme"], "region": "us-east-1",
            "access_key": "${RESUME_ACCESS}", "secret_key": "${RESUME_SECRET}",
        },
    }  # fmt: skip


def test_killed_at_random_instants_it_converges(
    tmp_path: Path, surfaces: tuple[dict[str, Any], dict[str, str]]
) -> None:
    # The rules are compiled once: a duration that holds this would be longer than any crawl after it.
    assert Crawl(tmp_path / "first", *surfaces).finish() == 3
    undisturbed = Crawl(tmp_path / "undisturbed", *surfaces)
    started = time.monotonic()
    assert undisturbed.finish() == 3
    duration = time.monotonic() - started
    killed = Crawl(tmp_path / "killed", *surfaces)
    chance = random.Random(20)
    interrupted = 0
    while interrupted < KILLS:
        process = killed.start()
        try:
            process.communicate(timeout=chance.uniform(0.15, 0.75) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if killed.finished():
            # It came to its end; the next crawl would be another night, so begin this one anew.
            assert killed.facts() == undisturbed.facts()
            for left in killed.folder.glob("unsprawl.db*"):
                left.unlink()
        else:
            interrupted += 1
    assert killed.finish() == 3
    assert killed.facts() == undisturbed.facts()


def test_a_second_crawl_reads_nothing_that_did_not_change(
    tmp_path: Path, surfaces: tuple[dict[str, Any], dict[str, str]]
) -> None:
    crawl = Crawl(tmp_path / "twice", *surfaces)
    assert crawl.finish() == 3
    before, first = crawl.facts()
    assert crawl.finish() == 3
    after, second = crawl.facts()
    assert after == before
    documents = [row["documents"] for row in rows_of(first)]
    unchanged = [row["unchanged"] for row in rows_of(second)]
    broken = 1  # the archive that could not be read is tried again
    assert sum(unchanged) == sum(documents) - broken
    assert sum(row["documents"] for row in rows_of(second)) == broken


def rows_of(ledger: Any) -> list[dict[str, Any]]:
    rows = ledger["coverage"] if isinstance(ledger, dict) else ledger
    assert rows
    return list(rows)
