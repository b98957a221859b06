"""One layer in several registries: read once, known in each, with every image that carries it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from unsprawl.estate.imagery import Step, build, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import RegistryServer
from unsprawl.placeholders import fill

TOKEN = fill("<github-token:ghp_>", "shared")
BASE = layer({"etc/app.env": f"GITHUB_TOKEN={TOKEN}\n"})
REMOVES = layer({}, deletes=["etc/app.env"])


class Nights:
    def __init__(self, folder):
        self._folder = folder
        self._env = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key")}

    def crawl(self, **registries: RegistryServer) -> list[dict[str, Any]]:
        sources = {name: {"type": "registry", "url": server.url} for name, server in registries.items()}
        config = {"store": "crawl.db", "sources": sources}
        (self._folder / "config.yaml").write_text(json.dumps(config))
        for server in registries.values():
            server.requests.clear()
        self._unsprawl("crawl", "config.yaml")
        told = self._unsprawl("findings", "list", "--store", "crawl.db", "--format", "jsonl")
        return sorted((json.loads(line) for line in told.splitlines()), key=lambda row: row["source"])

    def _unsprawl(self, *words: str) -> str:
        command = [sys.executable, "-m", "unsprawl", *words]
        done = subprocess.run(
            command, cwd=self._folder, env=self._env, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path)


@pytest.fixture
def here():
    with RegistryServer() as server:
        push(server.url, "team/app", build([Step("COPY . /", BASE), Step("RUN rm", REMOVES)]), "v1")
        yield server


@pytest.fixture
def there():
    with RegistryServer() as server:
        yield server


def layers_asked(server):
    return [one.path for one in server.asked("GET", BASE.blob.digest)]


def test_what_carries_a_layer_is_told_anew_each_night(nights, here):
    (first,) = nights.crawl(here=here)
    assert first["attrs"]["images"] == ["team/app:v1"]
    push(here.url, "a/first", build([Step("COPY . /", BASE)], env=["OTHER=1"]), "v9")
    (second,) = nights.crawl(here=here)
    assert layers_asked(here) == []
    # It has a name that comes before in the alphabet, and it is the same sighting.
    assert second["attrs"]["images"] == ["a/first:v9", "team/app:v1"]
    assert second["attrs"]["image_count"] == 2
    assert second["path"].startswith("a/first:v9 ")
    assert second["uri"].endswith(f"/a/first@{BASE.blob.digest}!/etc/app.env")
    assert second["attrs"]["deleted_in"] == REMOVES.blob.digest
    assert (second["finding"], second["first_seen"]) == (first["finding"], first["first_seen"])
    assert second["line"] == first["line"]


def test_a_layer_that_another_source_read_is_not_read_again(nights, here, there):
    (first,) = nights.crawl(here=here)
    push(there.url, "mirror/app", build([Step("COPY . /", BASE)]), "v1")
    rows = nights.crawl(here=here, there=there)
    assert layers_asked(there) == layers_asked(here) == []
    assert [row["source"] for row in rows] == ["here", "there"]
    mirror = rows[1]
    assert mirror["finding"] == rows[0]["finding"] == first["finding"]
    assert mirror["attrs"]["images"] == ["mirror/app:v1"]
    assert mirror["uri"].startswith(f"registry://{there.url.removeprefix('http://')}/mirror/app@")
    assert mirror["path"].endswith("!/etc/app.env")
    # Nothing hides it there.
    assert "deleted_in" not in mirror["attrs"]
    assert (mirror["secret"], mirror["line"], mirror["context"]) == (
        first["secret"],
        first["line"],
        first["context"],
    )
    third = nights.crawl(here=here, there=there)
    assert [row["attrs"] for row in third] == [row["attrs"] for row in rows]
