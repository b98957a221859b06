"""Images as engines save them: one folder a layer, one tar a layer, blobs by digest, packed blobs."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from unsprawl.estate.imagery import Blob, Image
from unsprawl.oci.layers import decompressed

__all__ = ["Layout", "images_of", "save", "write_layout"]

#: As Docker to 24, Podman, Docker from 25, and Docker with containerd's store write it.
Layout = Literal["folders", "tars", "blobs", "packed"]
_BUILT: Final = 1_750_000_000


def images_of(image: Image) -> tuple[Image, ...]:
    """The image itself, or those that an index points to."""
    return image.children or (image,)


def save(images: Mapping[str, Image], layout: Layout) -> bytes:
    """The archive of ``images`` by their names."""
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    if layout == "packed":
        files = _packed(images)
    else:
        listed = [_entry(name, image, layout, files, links) for name, image in images.items()]
        if layout == "blobs":
            files |= _index({name: _plain(image, files) for name, image in images.items()})
        files["manifest.json"] = _json(listed)
    # The order of the names, so that the lists come behind what they list.
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted([*files, *links]):
            info = tarfile.TarInfo(name)
            info.mtime = _BUILT
            if name in links:
                info.type, info.linkname = tarfile.SYMTYPE, links[name]
                tar.addfile(info)
            else:
                info.size = len(files[name])
                tar.addfile(info, io.BytesIO(files[name]))
    return buffer.getvalue()


def write_layout(folder: Path, images: Mapping[str, Image]) -> None:
    """An OCI layout with ``images`` by their tags."""
    for name, content in _packed(images).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "manifest.json").unlink()


def _entry(
    name: str, image: Image, layout: Layout, files: dict[str, bytes], links: dict[str, str]
) -> dict[str, Any]:
    """What ``manifest.json`` says of an image; its files are added."""
    config, *layers = image.blobs
    hexdigest = config.digest.partition(":")[2]
    place = f"blobs/sha256/{hexdigest}" if layout == "blobs" else f"{hexdigest}.json"
    files[place] = config.data
    places = []
    for number, layer in enumerate(layers):
        raw = decompressed(io.BytesIO(layer.data)).read()
        diff_id = hashlib.sha256(raw).hexdigest()
        # The folder's name is made of the chain of layers, not of the content.
        folder = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
        if layout == "folders":
            known = next((one for one, body in files.items() if one.endswith(".tar") and body == raw), None)
            files |= {f"{folder}/json": b"{}", f"{folder}/VERSION": b"1.0"}
            if known:
                links[f"{folder}/layer.tar"] = f"../{known}"
            else:
                files[f"{folder}/layer.tar"] = raw
            places.append(f"{folder}/layer.tar")
        elif layout == "tars":
            files[f"{diff_id}.tar"] = raw
            links[f"{folder}/layer.tar"] = f"../{diff_id}.tar"
            places.append(f"{diff_id}.tar")
        else:
            files[f"blobs/sha256/{diff_id}"] = raw
            places.append(f"blobs/sha256/{diff_id}")
    return {"Config": place, "RepoTags": [name], "Layers": places}


def _plain(image: Image, files: dict[str, bytes]) -> Blob:
    """The manifest of an image whose layers were unpacked."""
    content = json.loads(image.manifest.data)
    for described, layer in zip(content["layers"], image.blobs[1:], strict=True):
        raw = decompressed(io.BytesIO(layer.data)).read()
        described.update(Blob("application/vnd.oci.image.layer.v1.tar", raw).descriptor())
    manifest = Blob(image.manifest.media_type, _json(content))
    files[f"blobs/{manifest.digest.replace(':', '/')}"] = manifest.data
    return manifest


def _packed(images: Mapping[str, Image]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    listed = []
    for name, image in images.items():
        for one in (image, *image.children):
            for blob in (one.manifest, *one.blobs):
                files[f"blobs/{blob.digest.replace(':', '/')}"] = blob.data
        config, *layers = images_of(image)[0].blobs
        places = [f"blobs/{blob.digest.replace(':', '/')}" for blob in (config, *layers)]
        listed.append({"Config": places[0], "RepoTags": [name], "Layers": places[1:]})
    files |= _index({name: image.manifest for name, image in images.items()})
    files["manifest.json"] = _json(listed)
    return files


def _index(manifests: Mapping[str, Blob]) -> dict[str, bytes]:
    entries = []
    for name, blob in manifests.items():
        notes = {
            "io.containerd.image.name": f"docker.io/{name}",
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
        entries.append(blob.descriptor(annotations=notes))
    return {
        "index.json": _json({"schemaVersion": 2, "manifests": entries}),
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
    }


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
