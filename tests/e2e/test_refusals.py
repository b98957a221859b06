"""Whatever cannot be read stands in the ledger with its reason and a hint, and all else is scanned."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from objects import Blob, ObjectServer, Refuse, serving

from unsprawl.estate.imagery import Step, build, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Access, RegistryServer
from unsprawl.placeholders import fill

#: A file that nobody can read from its start, whatever their rights.
UNREADABLE = "/proc/self/mem"
SECRET_ENV = {"ACCESS": "reader", "SECRET": "reader", "WRONG": "somebody-else", "PASSWORD": "pass"}


def token(name: str) -> str:
    return fill("<github-token:ghp_>", seed=f"refusals {name}")


@dataclass(frozen=True)
class Crawled:
    code: int
    errors: str
    ledger: list[dict[str, Any]]
    rows: list[dict[str, Any]]

    def gaps(self, source: str) -> list[dict[str, Any]]:
        return [gap for row in self.ledger if row["source"] == source for gap in row["gaps"]]

    def statuses(self, source: str) -> set[str]:
        return {row["status"] for row in self.ledger if row["source"] == source}

    def found(self, name: str) -> bool:
        tail = token(name)[-4:]
        return any(row["secret"] == f"ghp_…{tail}" for row in self.rows)


def command(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unsprawl", *arguments],
        cwd=cwd,
        env={**os.environ, **SECRET_ENV, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def crawl(folder: Path, sources: dict[str, Any]) -> Crawled:
    (folder / "all.yaml").write_text(json.dumps({"store": "all.db", "sources": sources}))
    env = {"UNSPRAWL_CONFIG_DIR": str(folder / "keys")}
    done = command("crawl", "all.yaml", "--quiet", "--output", "out.jsonl", cwd=folder, env=env)
    ledger = command("coverage", "--store", "all.db", "--format", "json", cwd=folder, env=env)
    rows = command("findings", "export", "--store", "all.db", "--format", "jsonl", cwd=folder, env=env)
    assert "Traceback" not in done.stderr
    shown = json.loads(ledger.stdout)
    assert shown["complete"] is (done.returncode == 0)
    found = [json.loads(line) for line in rows.stdout.splitlines()]
    return Crawled(done.returncode, done.stderr, shown["coverage"], found)


def laptop(folder: Path) -> Path:
    folder.mkdir()
    (folder / "fine.env").write_text(f"GITHUB_TOKEN={token('file')}\n")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("before.txt", f"token {token('beside the bomb')}\n")
        archive.writestr("bomb.txt", b"\0" * (400 << 20))
    (folder / "bomb.zip").write_bytes(bomb.getvalue())
    packed = gzip.compress(f"token {token('cut')}\n".encode() + os.urandom(1 << 20))
    (folder / "cut.gz").write_bytes(packed[:-5000])
    return folder


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    """One crawl over sources each of which fails in its own way, and one that does not."""
    folder = tmp_path_factory.mktemp("refusals")
    objects = ObjectServer(access_key="reader")
    objects.buckets = {
        "open": {
            "a.txt": Blob(text=f"token {token('object')}\n".encode()),
            "lost.txt": Blob(text=b"listed, then gone"),
            "ice/cold.tar": Blob(text=b"cold", storage="GLACIER"),
        },
        "closed": {"b.txt": Blob(text=b"never seen")},
    }
    objects.always = {
        ("closed", ""): Refuse(403, "AccessDenied"),
        ("open", "lost.txt"): Refuse(404, "NoSuchKey"),
    }
    whole = layer({"app/.env": f"GITHUB_TOKEN={token('layer')}\n"})
    torn = layer({"app/big.bin": os.urandom(200_000), "app/last.env": "nothing"})
    image = build([Step("COPY .env /app/", whole), Step("COPY big.bin /app/", torn)])
    access = Access(users={"bot": "pass"}, scheme="basic")
    with RegistryServer(access) as registry, serving(objects):
        login = {"Authorization": "Basic Ym90OnBhc3M="}
        push(registry.url, "team/app", image, "v1", headers=login)
        for repository in registry.repositories.values():
            data = repository.blobs[torn.blob.digest]
            repository.blobs[torn.blob.digest] = data[:-1000]
        s3 = {"type": "s3", "endpoint_url": objects.url, "secret_key": "${SECRET}", "region": "us-east-1"}
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
            yield crawl(
                folder,
                {
                    "laptop": {"type": "files", "paths": [str(laptop(folder / "laptop")), UNREADABLE]},
                    "buckets": {**s3, "access_key": "${ACCESS}"},
                    "stranger": {**s3, "access_key": "${WRONG}"},
                    "images": {
                        "type": "registry",
                        "url": registry.url,
                        "user": "bot",
                        "token": "${PASSWORD}",
                    },
                    "intruder": {"type": "registry", "url": registry.url, "user": "bot", "token": "${WRONG}"},
                    "nowhere": {"type": "registry", "url": nowhere},
                },
            )


def test_an_incomplete_crawl_says_so(crawled: Crawled) -> None:
    assert crawled.code == 3


def test_every_gap_has_a_reason_and_a_hint(crawled: Crawled) -> None:
    gaps = [gap for row in crawled.ledger for gap in row["gaps"]]
    assert len(gaps) >= 8
    assert [gap for gap in gaps if not gap["reason"]] == []
    assert [gap for gap in gaps if not gap["hint"]] == []


@pytest.mark.parametrize("name", ["file", "beside the bomb", "cut", "object", "layer"])
def test_all_that_could_be_read_was_scanned(crawled: Crawled, name: str) -> None:
    assert crawled.found(name)


@pytest.mark.parametrize(
    ("source", "uri", "reason"),
    [
        ("laptop", "bomb.zip", "unpack"),
        ("laptop", "cut.gz", "truncated"),
        ("laptop", "/mem", "could not read"),
        ("buckets", "s3://closed", "denied"),
        ("buckets", "s3://open/lost.txt", "deleted"),
        ("buckets", "s3://open/ice/cold.tar", "GLACIER"),
        ("images", "team/app", "truncated"),
    ],
)
def test_one_thing_that_cannot_be_read_is_one_gap(
    crawled: Crawled, source: str, uri: str, reason: str
) -> None:
    gaps = [gap for gap in crawled.gaps(source) if uri in gap["uri"]]
    assert len(gaps) == 1, crawled.gaps(source)
    assert reason in gaps[0]["reason"]


@pytest.mark.parametrize("source", ["stranger", "intruder", "nowhere"])
def test_a_source_that_cannot_be_used_has_failed(crawled: Crawled, source: str) -> None:
    assert crawled.statuses(source) == {"failed"}


def test_the_other_sources_are_not_worse_than_partial(crawled: Crawled) -> None:
    for source in ("laptop", "buckets", "images"):
        assert "failed" not in crawled.statuses(source)


def test_no_source_at_all_is_exit_code_four(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert crawl(tmp_path, {"nowhere": {"type": "registry", "url": nowhere}}).code == 4


def test_an_accepted_gap_leaves_the_run_complete(tmp_path: Path) -> None:
    objects = ObjectServer()
    cold = Blob(text=b"cold", storage="GLACIER")
    objects.buckets = {"open": {"a.txt": Blob(text=b"a"), "ice/cold.tar": cold}}
    with serving(objects):
        source: dict[str, Any] = {
            "type": "s3", "endpoint_url": objects.url, "buckets": ["open"], "region": "us-east-1",
            "access_key": "${ACCESS}", "secret_key": "${SECRET}",
        }  # fmt: skip
        assert crawl(tmp_path, {"buckets": source}).code == 3
        gap = {"match": "s3://open/ice/*", "reason": "GLACIER", "why": "cold", "until": "2999-01-01"}
        source["accept"] = [gap]
        accepted = crawl(tmp_path, {"buckets": source})
    assert accepted.code == 0
    assert [gap["excluded"] for gap in accepted.gaps("buckets")] == [True]
