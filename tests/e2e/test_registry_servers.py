"""The real registry, filled by the tools people use, read by the command people run."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from token_issuer import token_issuer

from unsprawl.estate.imagery import Blob, Step, artifact, build, index, layer
from unsprawl.estate.push import push
from unsprawl.estate.servers import docker_registry
from unsprawl.placeholders import fill

pytestmark = pytest.mark.servers

DELETED = fill("<github-token:ghp_>", "deleted")
OPAQUE = fill("<github-token:gho_>", "opaque")
ENV = fill("<github-token:ghs_>", "env")
ZSTD = fill("<github-token:ghu_>", "zstd")
PUBLIC = fill("github_pat_<alnum:22>_<alnum:59>", "public")


def tool(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Workshop:
    """umoci, skopeo and podman in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tool("umoci", "init", "--layout", "oci", cwd=folder)

    def image(self, name: str, *steps: tuple[str, dict[str, str] | str], env: str = "") -> None:
        """Steps are (command, files) for a layer, (command, path) for a deletion, with * behind: opaque."""
        tool("umoci", "new", "--image", f"oci:{name}", cwd=self.folder)
        for number, (command, content) in enumerate(steps):
            insert = ["umoci", "insert", "--image", f"oci:{name}", "--history.created_by", command]
            if isinstance(content, str) and not content.endswith("*"):
                tool(*insert, "--whiteout", f"/{content}", cwd=self.folder)
                continue
            source = self.folder / f"{name}-{number}"
            opaque = isinstance(content, str)
            files = {"placeholder": ""} if isinstance(content, str) else content
            for path, text in files.items():
                target = source / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            where = f"/{content[:-2]}" if isinstance(content, str) else "/"
            tool(*insert, *(["--opaque"] if opaque else []), source, where, cwd=self.folder)
        if env:
            tool("umoci", "config", "--image", f"oci:{name}", "--config.env", env, cwd=self.folder)

    def push(self, name: str, url: str, target: str, *, zstd: bool = False, login: str = "") -> None:
        to = f"docker://{url.removeprefix('http://')}/{target}"
        source, flags = f"oci:oci:{name}", ["--dest-tls-verify=false"]
        if login:
            flags += ["--dest-creds", login]
        if zstd:
            packed = ["--dest-compress", "--dest-compress-format", "zstd"]
            tool("skopeo", "copy", *packed, source, f"dir:{name}-zstd", cwd=self.folder)
            source, flags = f"dir:{name}-zstd", [*flags, "--preserve-digests"]
        tool("skopeo", "copy", *flags, source, to, cwd=self.folder)

    def push_index(self, names: dict[str, str], url: str, target: str) -> None:
        podman = ["podman", "--root", "podman", "--runroot", "podman-run", "--storage-driver", "vfs"]
        tool(*podman, "manifest", "create", "many", cwd=self.folder)
        for architecture, name in names.items():
            tool(
                *podman, "manifest", "add", "--arch", architecture, "many", f"oci:oci:{name}", cwd=self.folder
            )
        to = f"docker://{url.removeprefix('http://')}/{target}"
        tool(*podman, "manifest", "push", "--all", "--tls-verify=false", "many", to, cwd=self.folder)


def crawl(folder: Path, code: int, **source: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Occurrences and ledger of one crawl of one registry."""
    token = source.pop("token", "")
    if token:
        source["token"] = "${REGISTRY_TOKEN}"
    config = {"store": "crawl.db", "sources": {"images": {"type": "registry", **source}}}
    (folder / "config.yaml").write_text(json.dumps(config))
    env = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key"), "REGISTRY_TOKEN": token}

    def unsprawl(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unsprawl", *arguments]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)

    done = unsprawl("crawl", "config.yaml")
    assert done.returncode == code, done.stderr + done.stdout
    rows = []
    for command in (("findings", "list"), ("coverage",)):
        shown = unsprawl(*command, "--store", "crawl.db", "--format", "jsonl")
        assert shown.returncode in (0, 1, 3), shown.stderr
        rows.append([json.loads(line) for line in shown.stdout.splitlines()])
    return rows[0], rows[1]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    shop = Workshop(tmp_path_factory.mktemp("workshop"))
    shop.image(
        "app",
        ("COPY . /app", {"app/.env": f"GITHUB_TOKEN={DELETED}\n", "app/conf/x.ini": f"token={OPAQUE}\n"}),
        ("RUN rm /app/.env", "app/.env"),
        ("RUN reset /app/conf", "app/conf/*"),
        env=f"GITHUB_TOKEN={ENV}",
    )
    shop.image("packed", ("COPY keys /keys", {"keys/token": f"token={ZSTD}\n"}))
    shop.image("public", ("COPY . /", {"opt/token": f"token={PUBLIC}\n"}))
    return shop


def test_a_registry_filled_by_umoci_skopeo_and_podman(workshop, tmp_path):
    with docker_registry(tmp_path / "registry") as url:
        workshop.push("app", url, "team/app:v1")
        workshop.push("packed", url, "team/packed:v1", zstd=True)
        workshop.push_index({"amd64": "public", "arm64": "packed"}, url, "team/multi:latest")
        rows, ledger = crawl(tmp_path, 0, url=url)
        again, ledger_again = crawl(tmp_path, 0, url=url)
    by_path = {row["path"].partition("!/")[2] or "config": row for row in rows}
    assert set(by_path) == {"app/.env", "app/conf/x.ini", "keys/token", "opt/token", "config"}

    deleted = by_path["app/.env"]["attrs"]
    assert deleted["instruction"] == "COPY . /app"
    assert deleted["deleted_by"] == "RUN rm /app/.env"
    assert deleted["deleted_in"].startswith("sha256:")
    assert deleted["deleted_in"] != deleted["layer"]
    assert "still extractable" in deleted["hidden"]
    assert by_path["app/conf/x.ini"]["attrs"]["deleted_by"] == "RUN reset /app/conf"

    # The packed image is in two repositories, packed by zstd here and by gzip there: one layer, one finding.
    packed = by_path["keys/token"]["attrs"]
    assert packed["images"] == ["team/multi:latest", "team/packed:v1"]
    assert by_path["opt/token"]["attrs"]["images"] == ["team/multi:latest"]
    assert by_path["config"]["attrs"]["images"] == ["team/app:v1"]

    # umoci leaves out padding and trailer of its layers: nothing is missing because of that.
    assert {(row["title"], row["status"]) for row in ledger} == {
        ("team/app", "complete"),
        ("team/packed", "complete"),
        ("team/multi", "complete"),
    }
    assert {row["finding"] for row in again} == {row["finding"] for row in rows}
    assert sum(row["documents"] for row in ledger_again) == 0
    assert sum(row["unchanged"] for row in ledger_again) > 0


def test_layers_are_really_zstd_and_really_without_trailer(workshop, tmp_path):
    """The premise of the test above: otherwise it would show nothing."""
    layout = workshop.folder / "oci"
    blobs = [path.read_bytes() for path in (layout / "blobs/sha256").iterdir()]
    layers = [gzip.decompress(blob) for blob in blobs if blob[:2] == b"\x1f\x8b"]
    assert any(len(layer) % 512 for layer in layers)
    packed = ["--dest-compress", "--dest-compress-format", "zstd"]
    tool("skopeo", "copy", *packed, f"oci:{layout}:packed", f"dir:{tmp_path}/z", cwd=tmp_path)
    assert any(path.read_bytes()[:4] == b"\x28\xb5\x2f\xfd" for path in (tmp_path / "z").iterdir())


@pytest.fixture
def guarded(workshop, tmp_path):
    """A registry that takes tokens alone, with one private and one public repository."""
    users = {"auditor": "pull-password"}
    with (
        token_issuer(tmp_path, users, public=("open/tool",)) as issuer,
        docker_registry(tmp_path / "registry", auth=issuer.auth()) as url,
    ):
        workshop.push("app", url, "team/app:v1", login="auditor:pull-password")
        workshop.push("public", url, "open/tool:v1", login="auditor:pull-password")
        issuer.scopes.clear()
        yield url, issuer


def test_a_login_by_token_reads_everything(guarded, tmp_path):
    url, issuer = guarded
    rows, ledger = crawl(tmp_path, 0, url=url, user="auditor", token="pull-password")
    assert {row["path"].partition("!/")[2] for row in rows} >= {"app/.env", "opt/token"}
    assert {row["status"] for row in ledger} == {"complete"}
    assert set(issuer.scopes) == {
        "registry:catalog:*",
        "repository:team/app:pull",
        "repository:open/tool:pull",
    }


def test_a_stranger_reads_what_is_public_and_is_told_the_rest(guarded, tmp_path):
    url, _ = guarded
    rows, ledger = crawl(tmp_path, 3, url=url, repositories=["open/tool", "team/app"])
    assert {row["path"].partition("!/")[2] for row in rows} == {"opt/token"}
    assert {row["title"]: row["status"] for row in ledger} == {"open/tool": "complete", "team/app": "skipped"}
    (gap,) = next(row["gaps"] for row in ledger if row["title"] == "team/app")
    assert "401" in gap["reason"]
    assert gap["hint"]


def test_a_stranger_may_not_list_the_catalog(guarded, tmp_path):
    url, _ = guarded
    rows, ledger = crawl(tmp_path, 4, url=url)
    assert rows == []
    assert "repositories" in json.dumps(ledger)


def test_wrong_credentials_are_told_and_not_shown(guarded, tmp_path):
    url, _ = guarded
    rows, ledger = crawl(tmp_path, 4, url=url, user="auditor", token="not-the-password")
    assert rows == []
    assert "refused user and token" in json.dumps(ledger)
    assert "not-the-password" not in json.dumps(ledger)


def test_the_catalog_in_pages_heads_ranges_and_attached_tags(workshop, tmp_path):
    """What the protocol leaves to the registry, counted by its own log: pages, HEAD, a break, referrers."""
    small = build([Step("COPY a /", layer({"a": "1"}))])
    token = fill("<github-token:ghp_>", "attached")
    note = Blob("application/vnd.acme.note", f"token={token}\n".encode())
    with docker_registry(tmp_path / "registry", access_log=True) as url:
        for number in range(103):
            push(url, f"many/r{number:03}", small, "v1")
        workshop.push("app", url, "team/app:v1")
        # This registry lists no referrers: they lie under a tag that is made of the digest.
        empty = Blob("application/vnd.oci.empty.v1+json", b"{}")
        attached = artifact("application/vnd.acme.note", empty, note, subject=small)
        push(url, "many/r000", index([attached]), small.digest.replace(":", "-"))
        log = tmp_path / "registry" / "registry.log"
        start = log.stat().st_size
        rows, ledger = crawl(tmp_path, 0, url=url)
        first = requests(log, start)
        middle = log.stat().st_size
        crawl(tmp_path, 0, url=url)
        second = requests(log, middle)
    assert len(ledger) == 104
    assert sum("/v2/_catalog" in path for _, path, _ in first) == 2
    assert {status for _, path, status in first if "/referrers/" in path} == {"404"}
    assert sum("/referrers/" in path for _, path, _ in first) <= 8, "asked once, by those who began together"
    (attached_row,) = [row for row in rows if row["secret"].endswith(token[-4:])]
    assert attached_row["attrs"]["artifact"] == "application/vnd.acme.note"
    assert "many/r000:v1" in attached_row["attrs"]["about"]
    manifests = [(method, path) for method, path, _ in first if "/manifests/" in path]
    assert len([one for one in manifests if one[0] == "HEAD"]) == 105
    # A second night: the catalog, the tags, and one HEAD for each of them.
    rest = [method for method, path, _ in second if "/tags/list" not in path and "/_catalog" not in path]
    assert rest.count("HEAD") == 105
    assert len(rest) == 106, "and whether it is a registry"


def requests(log: Path, start: int) -> list[tuple[str, str, str]]:
    """Method, path and status of every answer since."""
    time.sleep(0.3)
    text = log.read_bytes()[start:].decode("utf-8", "replace")
    return re.findall(r'"([A-Z]+) (/v2/\S*) HTTP/1\.1" (\d+) ', text)
