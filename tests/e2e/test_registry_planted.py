"""Every place of an image where a secret can lie, crawled by the installed command, with its provenance."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from typing import Any

import pytest

from unsprawl.estate.imagery import Blob, Step, artifact, attestation, build, index, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import RegistryServer
from unsprawl.estate.servers import docker_registry, has_docker_registry
from unsprawl.placeholders import fill

KINDS = [
    "built in",
    pytest.param(
        "docker-registry",
        marks=pytest.mark.skipif(not has_docker_registry(), reason="docker-registry is not installed"),
    ),
]
PLACES = (
    "env",
    "argument",
    "label",
    "healthcheck",
    "onbuild",
    "deleted",
    "overwritten",
    "nested",
    "amd64",
    "arm64",
    "provenance",
    "signed statement",
    "annotation",
    "chart",
    "base",
    "log",
)
TOKENS = {place: fill("<github-token:ghp_>", place) for place in PLACES}


def archive(token: str) -> bytes:
    """A zip that holds a tar.gz that holds the token."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        content = f"github_token: {token}\n".encode()
        info = tarfile.TarInfo("etc/app.yaml")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("backup.tar.gz", inner.getvalue())
    return outer.getvalue()


BASE = layer({"etc/base.conf": f"token = {TOKENS['base']}\n"})
OWN = layer(
    {
        "app/.env": f"GITHUB_TOKEN={TOKENS['deleted']}\n",
        "app/settings.ini": f"[github]\ntoken = {TOKENS['overwritten']}\n",
        "app/backup.zip": archive(TOKENS["nested"]),
        "var/log/build.log.gz": gzip.compress(f"+ export GITHUB_TOKEN={TOKENS['log']}\n".encode(), mtime=0),
    }
)
REMOVES = layer({"app/settings.ini": "[github]\n"}, deletes=["app/.env"], packing="zstd")
HERE, THERE = (layer({"opt/key": f"token={TOKENS[one]}\n"}, packing="none") for one in ("amd64", "arm64"))
BOTTOM = build([Step("ADD rootfs.tar /", BASE), Step('CMD ["sh"]')], labels={"maintainer": "base@acme.test"})
STEPS = [
    Step("ADD rootfs.tar /", BASE),
    Step('CMD ["sh"]'),
    Step(f"ARG NPM_TOKEN={TOKENS['argument']}"),
    Step("COPY . /app", OWN),
    Step("RUN rm /app/.env && echo > /app/settings.ini", REMOVES),
]
AMD = build(
    [*STEPS, Step("COPY amd64 /opt", HERE)],
    env=[f"GITHUB_TOKEN={TOKENS['env']}"],
    labels={"maintainer": "shop@acme.test", "deploy.key": TOKENS["label"]},
    annotations={"org.acme.deploy": TOKENS["annotation"]},
    Healthcheck={"Test": ["CMD-SHELL", f"curl -H 'Authorization: token {TOKENS['healthcheck']}' localhost"]},
    OnBuild=[f"RUN git clone https://x-access-token:{TOKENS['onbuild']}@github.com/acme/shop"],
)
ARM = build([*STEPS, Step("COPY arm64 /opt", THERE)], platform="linux/arm64", author="shop@acme.test")
PROVENANCE = attestation(
    AMD,
    {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "predicate": {"invocation": {"parameters": {"args": {"build-arg:TOKEN": TOKENS["provenance"]}}}},
    },
    {"predicateType": "https://spdx.dev/Document", "predicate": {"packages": []}},
)
STATEMENT = base64.b64encode(json.dumps({"predicate": {"token": TOKENS["signed statement"]}}).encode())
SIGNED = artifact(
    "",
    Blob("application/vnd.oci.image.config.v1+json", b'{"rootfs": {"type": "layers", "diff_ids": []}}'),
    Blob(
        "application/vnd.dsse.envelope.v1+json",
        json.dumps({"payloadType": "application/vnd.in-toto+json", "payload": STATEMENT.decode()}).encode(),
    ),
)
CHART = artifact(
    "",
    Blob("application/vnd.cncf.helm.config.v1+json", b'{"name": "shop", "version": "1.0.0"}'),
    Blob(
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        layer({"shop/values.yaml": f"github:\n  token: {TOKENS['chart']}\n"}).blob.data,
    ),
)


@pytest.fixture(scope="module", params=KINDS)
def night(request, tmp_path_factory):
    """What one crawl found, by place, and what a second one did."""
    folder = tmp_path_factory.mktemp("planted")
    with contextlib.ExitStack() as stack:
        if request.param == "docker-registry":
            url = stack.enter_context(docker_registry(folder / "registry"))
        else:
            url = stack.enter_context(RegistryServer()).url
        push(url, "acme/base", BOTTOM, "1")
        push(url, "acme/shop", index([AMD, ARM, PROVENANCE]), "1.0", "latest")
        push(url, "acme/shop", SIGNED, AMD.digest.replace(":", "-") + ".att")
        push(url, "charts/shop", CHART, "1.0.0")
        config = {"store": "crawl.db", "sources": {"images": {"type": "registry", "url": url}}}
        (folder / "config.yaml").write_text(json.dumps(config))
        env = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key")}

        def unsprawl(*words: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "unsprawl", *words],
                cwd=folder,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode in (0, 1), done.stderr
            return done.stdout

        def listed(*words: str) -> list[dict[str, Any]]:
            told = unsprawl(*words, "--store", "crawl.db", "--format", "jsonl")
            return [json.loads(line) for line in told.splitlines()]

        unsprawl("crawl", "config.yaml")
        rows = listed("findings", "list")
        first = listed("coverage")
        unsprawl("crawl", "config.yaml")
        yield rows, first, listed("coverage"), listed("findings", "list")


def place_of(row: dict[str, Any]) -> str:
    """By the four characters that a preview shows at the end."""
    (place,) = [place for place, token in TOKENS.items() if row["secret"].endswith(token[-4:])]
    return place


def test_every_secret_is_found_and_nothing_twice(night):
    rows, ledger, _, _ = night
    found = [place_of(row) for row in rows if row["provider"] == "github"]
    assert sorted(set(found)) == sorted(PLACES)
    assert {row["status"] for row in ledger} == {"complete"}
    in_layers = [place_of(row) for row in rows if "layer" in row["attrs"]]
    assert len(in_layers) == len(set(in_layers))


def test_where_each_of_them_is(night):
    rows = {place_of(row): row for row in night[0] if row["provider"] == "github"}
    attrs = {place: row["attrs"] for place, row in rows.items()}
    both = ["acme/shop:1.0", "acme/shop:latest"]

    deleted = attrs["deleted"]
    assert deleted["layer"] == OWN.blob.digest
    assert deleted["diff_id"] == OWN.diff_id
    assert deleted["instruction"] == "COPY . /app"
    assert deleted["deleted_in"] == REMOVES.blob.digest
    assert deleted["deleted_by"] == "RUN rm /app/.env && echo > /app/settings.ini"
    assert deleted["images"] == both
    assert deleted["platform"] == "linux/amd64, linux/arm64"
    assert deleted["origin"] == "own"
    assert rows["deleted"]["author"] == "shop@acme.test"
    assert attrs["overwritten"]["overwritten_in"] == REMOVES.blob.digest
    assert "hidden" not in attrs["nested"]
    assert rows["nested"]["path"].endswith("!/app/backup.zip!/backup.tar.gz!/etc/app.yaml")
    assert rows["log"]["path"].endswith("!/var/log/build.log.gz!/build.log")

    # The base is an image of its own: it is there that it has to be mended.
    assert attrs["base"]["images"] == ["acme/base:1", *both]
    assert (attrs["base"]["origin"], attrs["base"]["made_for"]) == ("own", ["acme/base:1"])

    assert attrs["amd64"]["platform"] == "linux/amd64"
    assert attrs["arm64"]["platform"] == "linux/arm64"
    for place in ("env", "label", "healthcheck", "onbuild"):
        assert rows[place]["uri"].endswith(f"@{AMD.blobs[0].digest}#config")
        assert attrs[place]["images"] == both
    # Both platforms were built with the argument.
    assert rows["argument"]["path"].endswith("configuration")
    assert rows["annotation"]["uri"].endswith(f"@{AMD.digest}#manifest")
    assert attrs["provenance"]["about"] == both
    assert attrs["signed statement"]["about"] == both
    assert rows["signed statement"]["views"]
    assert attrs["chart"]["artifact"] == "application/vnd.cncf.helm.config.v1+json"
    assert rows["chart"]["path"].endswith("!/shop/values.yaml")


def test_the_second_night_reads_nothing_and_loses_nothing(night):
    rows, first, again, kept = night
    assert sum(row["documents"] for row in again) == 0
    assert sum(row["unchanged"] for row in again) == sum(row["documents"] for row in first)
    assert {row["finding"] for row in kept if not row["gone_at"]} == {row["finding"] for row in rows}
