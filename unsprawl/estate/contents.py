"""The files, objects and images of the demo organisation, made from the planted values."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from unsprawl.estate.engine_server import RunContainer
from unsprawl.estate.imagery import Blob, Image, Step, artifact, attestation, build, index, layer
from unsprawl.estate.planted import MAILBOXES, canary, values

__all__ = [
    "CLOSED_BUCKET",
    "VERSIONED_BUCKET",
    "containers",
    "images",
    "local_images",
    "objects",
    "write_files",
]

#: Nobody but the bookkeepers may read it: it answers 403.
CLOSED_BUCKET: Final = "acme-finance"
#: It keeps what was replaced and deleted.
VERSIONED_BUCKET: Final = "acme-config"

_SOURCE: Final = '''"""The shop's cart."""

import os

TAX = 0.19


def total(prices: list[float]) -> float:
    """Net prices in, gross sum out."""
    return round(sum(prices) * (1 + TAX), 2)


def api_key() -> str:
    """Never in the source: the deployment sets it."""
    return os.environ["SHOP_API_KEY"]
'''


def write_files(folder: Path) -> None:
    """A developer's laptop: source tree, settings, shell history, a backup of a backup."""
    value = values()
    mailboxes = "".join(
        f"  - imaps://{address.replace('@', '%40')}:{value['one weak password for ten mailboxes']}"
        f"@mail.acme.internal:993/INBOX\n"
        for address in MAILBOXES
    )
    files: dict[str, str | bytes] = {
        "shop/cart.py": _SOURCE,
        "shop/README.md": f"# Shop\n\nCopy `.env.example` to `.env` and fill it in.\n<!-- {canary()} -->\n",
        "shop/.env.example": "GITHUB_TOKEN=\nLOG_LEVEL=info\n",
        "shop/.env": f"LOG_LEVEL=debug\nGITHUB_TOKEN={value['deploy token, on three surfaces']}\n",
        ".bash_history": (
            "cd shop\ngit status\n"
            f"export AWS_ACCESS_KEY_ID={value['cloud key in a shell history']}\n"
            f"export AWS_SECRET_ACCESS_KEY={value['cloud secret beside its key']}\nmake deploy\n"
        ),
        "ops/mailboxes.yaml": f"mailboxes:\n{mailboxes}",
        "backups/site-2024.zip": _backup(value["token in a backup of a backup"]),
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        # Written once only: a second crawl has to find the same times.
        if not path.exists():
            path.write_bytes(data)


def _backup(token: str) -> bytes:
    """A zip that holds a tar.gz that holds a settings file."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        content = f'{{"github": {{"token": "{token}"}}}}\n'.encode()
        info = tarfile.TarInfo("www/settings.json")
        info.size, info.mtime = len(content), 1_718_000_000
        tar.addfile(info, io.BytesIO(content))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("www.tar.gz", (2024, 6, 10, 8, 0, 0)), inner.getvalue())
        archive.writestr(
            zipfile.ZipInfo("README.txt", (2024, 6, 10, 8, 0, 0)), b"Nightly backup of the site.\n"
        )
    return outer.getvalue()


def objects() -> Iterator[tuple[str, str, bytes | None, Mapping[str, Any]]]:
    """Bucket, key, content and further arguments of every object, in this order; None deletes one."""
    value = values()
    deploy = (
        "\x1b[32m[deploy]\x1b[0m checking out\n"
        f"[deploy] + git clone https://x-access-token:{value['deploy token, on three surfaces']}"
        "@github.com/acme/shop.git\n[deploy] done in 12 s\n"
    )
    build_log = "".join(f"step {number} of 40 ok\n" for number in range(40))
    build_log += f"notify: SLACK_TOKEN={value['token in a packed build log']}\n"
    yield "acme-ci", "ci/2025/deploy-4711.log", deploy.encode(), {}
    yield "acme-ci", "ci/2025/build-98.log.gz", gzip.compress(build_log.encode(), mtime=0), {}
    yield "acme-ci", "ci/2025/coverage.json", b'{"lines": 4711, "covered": 4242}\n', {}
    yield "acme-archive", "2019/ledger.tar", b"\0" * 10240, {"StorageClass": "GLACIER"}
    yield "acme-archive", "2025/notes.txt", f"Moved to the wiki. {canary()}\n".encode(), {}
    replaced = value["token in a version of an object that was replaced"]
    deleted = value["token behind a delete marker"]
    noted = value["token in the metadata of an object"]
    yield VERSIONED_BUCKET, "app/production.env", f"GITHUB_TOKEN={replaced}\n".encode(), {}
    yield VERSIONED_BUCKET, "app/production.env", b"GITHUB_TOKEN=vault:shop/github\n", {}
    yield VERSIONED_BUCKET, "app/staging.env", f"GITHUB_TOKEN={deleted}\n".encode(), {}
    yield VERSIONED_BUCKET, "app/staging.env", None, {}
    yield VERSIONED_BUCKET, "app/logo.svg", b"<svg/>\n", {"Metadata": {"uploaded-with-github-token": noted}}
    yield CLOSED_BUCKET, "payroll.csv", b"name,amount\n", {}


def images() -> Iterator[tuple[str, tuple[str, ...], Image]]:
    """Repository, tags and image."""
    value = values()
    bot, overwritten = (
        value["bot token, deleted by the next layer"],
        value["token overwritten by the next layer"],
    )
    base = layer({"etc/os-release": "NAME=Acme Linux\n", "bin/sh": b"\x7fELF" + b"\0" * 2048})
    code = layer(
        {
            "srv/shop/cart.py": _SOURCE,
            "srv/shop/.env": f"SLACK_BOT_TOKEN={bot}\n",
            "srv/shop/config.ini": f"[github]\ntoken = {overwritten}\n",
            "srv/shop/.netrc": (
                f"machine github.com login acme-deploy password {value['deploy token, on three surfaces']}\n"
            ),
        }
    )
    clean = layer(
        {"srv/shop/config.ini": "[github]\ntoken = ${GITHUB_TOKEN}\n"},
        deletes=["srv/shop/.env"],
        trailer=False,
    )
    webhook = value["webhook in a build argument, kept by the history"]
    steps = [
        Step("ADD rootfs.tar /", base),
        Step("COPY . /srv/shop", code),
        Step("RUN rm /srv/shop/.env && cp config.ini.dist /srv/shop/config.ini", clean),
        Step(f"ARG SLACK_WEBHOOK={webhook}"),
        Step('CMD ["python", "/srv/shop/cart.py"]'),
    ]
    env = [f"GITHUB_TOKEN={value['token in an environment variable of an image']}"]
    labels = {"org.opencontainers.image.authors": "team-shop@acme.internal", "acme.canary": canary()}
    shop = build(steps, env=env, labels=labels, Cmd=["python", "/srv/shop/cart.py"])
    yield "shop/web", ("1.0", "latest"), shop
    agent = value["token in the arm64 variant only, packed with zstd"]
    plain = layer({"opt/agent/run": "#!/bin/sh\n"}, packing="zstd")
    armed = layer({"opt/agent/run": "#!/bin/sh\n", "opt/agent/token": f"token={agent}\n"}, packing="zstd")
    intel = build([Step("ADD rootfs.tar /", base), Step("COPY agent /opt/agent", plain)])
    arm = build(
        [Step("ADD rootfs.tar /", base), Step("COPY agent /opt/agent", armed)], platform="linux/arm64"
    )
    arguments = {"build-arg:FETCH_TOKEN": value["build argument in the provenance of an image"]}
    provenance = attestation(
        arm,
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "predicate": {"invocation": {"parameters": {"args": arguments}}},
        },
    )
    yield "ops/agent", ("stable",), index([intel, arm, provenance])
    chart = layer({"shop/values.yaml": f"github:\n  token: {value['token in the values of a chart']}\n"})
    yield (
        "charts/shop",
        ("1.0.0",),
        artifact(
            "",
            Blob("application/vnd.cncf.helm.config.v1+json", b'{"name": "shop", "version": "1.0.0"}'),
            Blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart.blob.data),
        ),
    )


def local_images() -> dict[str, Image]:
    """Images that only the build host's engine has."""
    token = values()["token deleted in an image that was never pushed"]
    settings = layer({"build/.npmrc": f"//npm.pkg.github.com/:_authToken={token}\n", "build/shop.js": "1;\n"})
    clean = layer({"build/.built": ""}, deletes=["build/.npmrc"])
    steps = [Step("COPY . /build", settings), Step("RUN npm ci && rm /build/.npmrc", clean)]
    return {"shop/build:latest": build(steps, labels={"maintainer": "team-shop@acme.internal"})}


def containers() -> list[RunContainer]:
    """What runs on the build host."""
    value = values()
    written = value["token in a file that a container wrote"]
    return [
        RunContainer(
            "7" * 64,
            "nightly",
            "shop/build:latest",
            env=[f"GITHUB_TOKEN={value['token in the environment of a container']}"],
            args=["npm", "run", "nightly"],
            mounts={"/cache": "/srv/cache"},
            added={
                "/root": None,
                "/root/.netrc": f"machine github.com login ci password {written}\n".encode(),
            },
        )
    ]
