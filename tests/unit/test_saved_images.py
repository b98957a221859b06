"""Images that were saved: in every layout their layers are known as layers."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from functools import cache
from pathlib import Path

import pytest

from unsprawl.crawlers.files import FilesSource
from unsprawl.detectors.detector import build as build_detector
from unsprawl.errors import UnreadableError
from unsprawl.estate.imagery import Step, build, index, layer
from unsprawl.estate.saving import save, write_layout
from unsprawl.oci.saved import saved_tar
from unsprawl.oci.tars import entries
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document, Unit

TOKEN = fill("<github-token:ghp_>", "saved")
ARM = fill("<github-token:gho_>", "saved arm")
CODE = layer({"app/.env": f"GITHUB_TOKEN={TOKEN}\n", "app/main.py": "print()\n"})
BASE = layer({"etc/os-release": "NAME=Acme\n"})
CLEAN = layer({"app/ok": "x"}, deletes=["app/.env"], packing="zstd", trailer=False)
STEPS = [Step("ADD rootfs /", BASE), Step("COPY . /app", CODE), Step("RUN rm /app/.env", CLEAN)]
SHOP = build(STEPS, labels={"maintainer": "ada@acme.test"})
OTHER = build([*STEPS[:2], Step("CMD true")])
ARM_SHOP = build([Step("COPY", layer({"arm/.env": f"GITHUB_TOKEN={ARM}\n"}))], platform="linux/arm64")
LAYOUTS = ["folders", "tars", "blobs", "packed"]


shared_detector = cache(build_detector)


def scanned(*paths: Path) -> list[tuple[Document, Candidate, dict]]:
    """Everything found below the paths, with the attributes an occurrence gets."""
    detector = shared_detector()
    source = FilesSource("disk", FilesSource.Config(paths=tuple(map(str, paths))))
    found = []
    for unit in source.units(lambda _: None):
        assert isinstance(unit, Unit)
        for document in source.read(unit, None, lambda _: None):
            assert isinstance(document, Document)
            for one in detector.scan(document):
                assert isinstance(one, Candidate), one
                more = document.member_attrs(one.member) if one.member and document.member_attrs else {}
                found.append((document, one, {**document.attrs, **more}))
    return found


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_archive_tells_the_layer_and_what_hides_it(tmp_path: Path, layout, packed: bool) -> None:
    body = save({"acme/shop:1": SHOP, "acme/other:2": OTHER}, layout)
    (tmp_path / "image.tar").write_bytes(gzip.compress(body) if packed else body)
    (_, candidate, attrs), *more = scanned(tmp_path / "image.tar")
    assert more == []
    assert candidate.member.endswith("!/app/.env")
    assert attrs["diff_id"] == CODE.diff_id
    assert attrs["layer"] == (CODE.blob.digest if layout == "packed" else CODE.diff_id)
    assert attrs["instruction"] == "COPY . /app"
    assert {"acme/shop:1", "acme/other:2"} == set(attrs["images"])
    assert attrs["deleted_by"] == "RUN rm /app/.env"
    assert "in 1 of 2 images" in attrs["hidden"]
    assert attrs["platform"] == "linux/amd64"
    assert attrs["image_author"] == "ada@acme.test"


def test_a_layout_in_a_folder_tells_it_too(tmp_path: Path) -> None:
    write_layout(tmp_path / "oci", {"shop:1": index([SHOP, ARM_SHOP])})
    found = {one.secret.text(): (document, attrs) for document, one, attrs in scanned(tmp_path)}
    document, attrs = found[TOKEN]
    assert document.uri.endswith(CODE.blob.digest.partition(":")[2])
    assert attrs["layer"] == CODE.blob.digest
    assert attrs["instruction"] == "COPY . /app"
    assert attrs["deleted_by"] == "RUN rm /app/.env"
    assert found[ARM][1]["platform"] == "linux/arm64"


def test_a_configuration_names_its_image(tmp_path: Path) -> None:
    body = save({"acme/env:1": build(STEPS[:1], env=[f"GITHUB_TOKEN={ARM}"])}, "folders")
    (tmp_path / "image.tar").write_bytes(body)
    ((_, candidate, attrs),) = scanned(tmp_path / "image.tar")
    assert candidate.member.endswith(".json")
    assert attrs["images"] == ["acme/env:1"]


def test_lists_that_lie_cost_the_provenance_alone(tmp_path: Path) -> None:
    layer_name = f"blobs/sha256/{CODE.diff_id.partition(':')[2]}"
    raw = gzip.decompress(CODE.blob.data)
    for number, listed in enumerate([b"[", b'[{"Config": 3, "Layers": {}}]', b'{"manifests": [7]}', b"[[[["]):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in ((layer_name, raw), ("manifest.json", listed), ("index.json", listed)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        path = tmp_path / f"{number}.tar"
        path.write_bytes(buffer.getvalue())
        ((_, candidate, attrs),) = scanned(path)
        assert candidate.secret.text() == TOKEN
        assert "layer" not in attrs


def test_a_manifest_that_points_to_itself_ends() -> None:
    content = {"schemaVersion": 2, "manifests": [{"digest": "sha256:" + "0" * 64}]}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("index.json", "blobs/sha256/" + "0" * 64):
            body = json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    assert saved_tar(lambda: io.BytesIO(buffer.getvalue())).images == ()


@pytest.mark.parametrize("cut", [100, 700, 3000])
def test_an_archive_that_ends_early_is_told(cut: int) -> None:
    body = save({"acme/shop:1": SHOP}, "blobs")
    with pytest.raises(UnreadableError, match="ends early"):
        list(entries(_Forward(body[: len(body) // 2 + cut])))


class _Forward(io.BytesIO):
    def seekable(self) -> bool:
        return False
