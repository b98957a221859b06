"""Twenty gigabytes of layers from a registry that makes them as they are asked for (SOAK_GIGABYTES)."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from unsprawl.estate.imagery import OCI, Blob, Image
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Fault, RegistryServer, Streamed
from unsprawl.placeholders import fill

GIGABYTES = float(os.environ.get("SOAK_GIGABYTES", "20"))
LAYERS = 10
BLOCK = 1 << 20
MOST_MEMORY = 400_000_000
WORDS = "import return value config server user_name self.client timeout retry update select where".split()

pytestmark = pytest.mark.soak


def blocks() -> list[bytes]:
    """Text and binaries, a megabyte each."""
    chance = random.Random(20)
    words = "\n".join(" ".join(chance.choices(WORDS, k=9)) for _ in range(40_000)).encode()
    return [words[at : at + BLOCK] for at in range(0, 8 * 1024, 1024)] + [chance.randbytes(BLOCK)]


def packed(part: bytes) -> bytes:
    return gzip.compress(part, 1, mtime=0)


def plain(part: bytes) -> bytes:
    return part


def maker(number: int, members: int, pack: Callable[[bytes], bytes]) -> Callable[[int], Iterator[bytes]]:
    """A layer of so many files. A packed one is a row of gzip members, of which the large ones repeat."""
    contents = [(len(block), pack(block)) for block in blocks()]

    def parts(offset: int) -> Iterator[bytes]:
        at = 0
        for part in pieces():
            at += len(part)
            if at > offset:
                yield part[max(0, len(part) - (at - offset)) :]

    def pieces() -> Iterator[bytes]:
        secret = f"GITHUB_TOKEN={fill('<github-token:ghp_>', f'soak {number}')}\n".encode()
        for index in range(members):
            size, content = contents[index % len(contents)]
            yield pack(header(f"srv/{number}/d{index % 100}/f{index}", size)) + content
        info = header(f"srv/{number}/.env", len(secret))
        yield pack(info + secret.ljust(512, b"\0") + b"\0" * 1024)

    return parts


def header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def layer(number: int, members: int) -> tuple[dict[str, object], str, Streamed]:
    pack, suffix = (packed, "+gzip") if number % 2 else (plain, "")
    parts = maker(number, members, pack)
    digest, size, content = hashlib.sha256(), 0, hashlib.sha256()
    for part in parts(0):
        digest.update(part)
        size += len(part)
    # Every layer has an identity of its own; that it is not its content's digest is not looked at.
    content.update(f"content {number}".encode())
    name = f"sha256:{digest.hexdigest()}"
    described = {"mediaType": f"{OCI}.layer.v1.tar{suffix}", "digest": name, "size": size}
    return described, f"sha256:{content.hexdigest()}", Streamed(size, parts)


def _measure() -> Any:
    """The benchmarks' own, read from its file: the root of the repository never joins ``sys.path``."""
    place = Path(__file__).parents[2] / "benchmarks" / "measure.py"
    spec = importlib.util.spec_from_file_location("soak_measure", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.measure


def test_layers_of_gigabytes_in_four_hundred_megabytes(tmp_path):
    members = max(2, int(GIGABYTES * 1e9 / LAYERS / BLOCK))
    made = [layer(number, members) for number in range(LAYERS)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [identity for _, identity, _ in made]},
    }
    described = Blob(f"{OCI}.config.v1+json", json.dumps(config).encode())
    content = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": described.descriptor(),
        "layers": [layer for layer, _, _ in made],
    }
    manifest = Blob(f"{OCI}.manifest.v1+json", json.dumps(content).encode())
    with RegistryServer() as server:
        push(server.url, "team/huge", Image(manifest, (described,)), "v1")
        for one, _, stream in made:
            server.repositories["team/huge"].streams[str(one["digest"])] = stream
        # Each layer breaks once, far inside: it is taken up at its byte.
        server.faults += [Fault(str(one["digest"]), cut=s.size // 2, times=1) for one, _, s in made]
        source = {"type": "registry", "url": server.url}
        (tmp_path / "config.yaml").write_text(json.dumps({"sources": {"images": source}}))
        env = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(tmp_path / "key")}
        # Rules are compiled once for a user, which takes more memory than any night.
        subprocess.run([sys.executable, "-m", "unsprawl", "scan", __file__, "--quiet"], env=env, check=False)
        command = [sys.executable, "-m", "unsprawl", "crawl", str(tmp_path / "config.yaml"), "--quiet"]
        began = time.monotonic()
        took = _measure()(command, env, memory=True)
        seconds = time.monotonic() - began
        moved = sum(stream.size for _, _, stream in made)
        for one, _, stream in made:
            asked = server.asked("GET", str(one["digest"]))
            assert [request.headers.get("range") for request in asked] == [
                None,
                f"bytes={stream.size // 2}-",
            ]
    assert took.code == 0, took.stderr
    assert took.peak_bytes is not None
    told = f"{moved / 1e9:.1f} GB in {seconds:.0f} s, {moved / 1e6 / seconds:.0f} MB/s"
    print(f"\n{told}, {took.cpu_s:.0f} s of CPU, at most {took.peak_bytes / 1e6:.0f} MB")  # noqa: T201 - the figure to report
    store = ["--store", str(tmp_path / "unsprawl.db"), "--format", "jsonl"]
    listed = subprocess.run(
        [sys.executable, "-m", "unsprawl", "findings", "list", *store],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert len({json.loads(line)["finding"] for line in listed.stdout.splitlines()}) == LAYERS
    assert took.peak_bytes < MOST_MEMORY
