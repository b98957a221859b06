"""Real engines, filled with images and containers, read by the command people run."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from engines import docker_engine, podman_engine

from unsprawl.estate.imagery import Step, build, layer
from unsprawl.estate.saving import save
from unsprawl.placeholders import fill

pytestmark = pytest.mark.servers

SECRETS = {
    name: fill("<github-token:ghp_>", f"engine {name}")
    for name in "env arg label deleted overwritten nested added changed runtime".split()
}


def _zip(name: str, content: str) -> bytes:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


ENGINES = {"dockerd": docker_engine, "podman": podman_engine}
BASE = layer({"etc/os-release": "NAME=Acme\n", "etc/app.conf": "debug=no\n"})
CODE = layer(
    {
        "app/.env": f"GITHUB_TOKEN={SECRETS['deleted']}\n",
        "app/config.ini": f"token = {SECRETS['overwritten']}\n",
        "app/backup.zip": _zip("old/.env", f"GITHUB_TOKEN={SECRETS['nested']}\n"),
    }
)
CLEAN = layer({"app/config.ini": "token = none\n"}, deletes=["app/.env"])
SHOP = build(
    [
        Step("ADD rootfs /", BASE),
        Step(f"ARG GITHUB_TOKEN={SECRETS['arg']}"),
        Step("COPY . /app", CODE),
        Step("RUN rm /app/.env", CLEAN),
    ],
    env=[f"GITHUB_TOKEN={SECRETS['env']}"],
    labels={"github.token": SECRETS["label"]},
)
JOB = build([Step("ADD rootfs /", BASE), Step("COPY . /app", CODE), Step("CMD job")])


def tar(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_750_000_000
            archive.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


def fill_engine(url: str) -> None:
    import docker

    client = docker.DockerClient(url, version="auto")
    try:
        for name, image in (("acme/shop:1", SHOP), ("acme/job:1", JOB)):
            client.images.load(save({name: image}, "tars"))
        names = {tag for image in client.images.list() for tag in image.tags}
        shop = next(name for name in names if name.endswith("acme/shop:1"))
        web = client.containers.create(
            shop, command=["/bin/start"], name="web", environment={"GITHUB_TOKEN": SECRETS["runtime"]}
        )
        web.put_archive("/", tar({"srv/new/.env": f"GITHUB_TOKEN={SECRETS['added']}\n"}))
        web.put_archive("/", tar({"etc/app.conf": f"token = {SECRETS['changed']}\n"}))
    finally:
        client.close()


def crawl(folder: Path, url: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    config = {
        "store": "crawl.db",
        "sources": {"host": {"type": "engine", "base_url": url, "exclude": ["busy"]}},
    }
    (folder / "crawl.yaml").write_text(json.dumps(config))
    environment = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key")}

    def unsprawl(*words: str) -> str:
        command = [sys.executable, "-m", "unsprawl", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        for value in SECRETS.values():
            assert value not in done.stdout + done.stderr
        return done.stdout

    def rows(*words: str) -> list[dict[str, Any]]:
        text = unsprawl(*words, "--store", "crawl.db", "--format", "jsonl")
        return [json.loads(line) for line in text.splitlines()]

    unsprawl("crawl", "crawl.yaml")
    return rows("findings", "list"), rows("coverage")


@pytest.mark.parametrize("program", ENGINES)
def test_an_engine_tells_everything_with_its_provenance(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    with ENGINES[program]() as url:
        fill_engine(url)
        found, ledger = crawl(tmp_path, url)
        again, second = crawl(tmp_path, url)
    assert {row["finding"] for row in found} == {row["finding"] for row in again}
    assert len({row["finding"] for row in found}) == len(SECRETS)
    assert sum(row["documents"] for row in second) == 0
    assert {row["status"] for row in ledger} == {"complete"}
    places = {row["path"].partition("!/")[2] or row["path"]: row for row in found}
    deleted = places["app/.env"]
    assert deleted["attrs"]["diff_id"] == CODE.diff_id
    assert deleted["attrs"]["instruction"] == "COPY . /app"
    assert deleted["attrs"]["deleted_by"] == "RUN rm /app/.env"
    assert [name.rpartition("acme/")[2] for name in deleted["attrs"]["images"]] == ["job:1", "shop:1"]
    assert places["app/config.ini"]["attrs"]["overwritten_by"] == "RUN rm /app/.env"
    assert "app/backup.zip!/old/.env" in places
    assert places["web:/srv/new/.env"]["attrs"]["container"] == "web"
    assert "web:/etc/app.conf" in places
    assert "container web" in places
    assert sum(row["path"].endswith("configuration") for row in found) == 3
