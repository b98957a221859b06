"""Container images built from nothing: layers, history, whiteouts, indexes, without any engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = ["Blob", "Image", "Layer", "Step", "artifact", "attestation", "build", "index", "layer", "whiteout"]

OCI: Final = "application/vnd.oci.image"
_TYPES: Final = {
    "none": f"{OCI}.layer.v1.tar",
    "gzip": f"{OCI}.layer.v1.tar+gzip",
    "zstd": f"{OCI}.layer.v1.tar+zstd",
}
#: Everything is from one day, so that the same content has the same digest every time.
_BUILT: Final = 1_750_000_000
_BUILT_TEXT: Final = "2025-06-15T15:06:40Z"

Packing = Literal["none", "gzip", "zstd"]


@dataclass(frozen=True, slots=True)
class Blob:
    """Content with its media type. The digest is its name."""

    media_type: str
    data: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        return _sha256(self.data)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data), **more}


@dataclass(frozen=True, slots=True)
class Layer:
    """A packed tar. ``diff_id`` is the digest before packing."""

    blob: Blob
    diff_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a Dockerfile: its command and the layer it made, None for ENV and its like."""

    created_by: str
    layer: Layer | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """What has to be pushed: blobs first, then ``children`` of an index, then the manifest itself."""

    manifest: Blob
    blobs: tuple[Blob, ...] = ()
    children: tuple[Image, ...] = ()
    platform: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """What an index says of it."""

    @property
    def digest(self) -> str:
        return self.manifest.digest


def whiteout(path: str) -> str:
    """The name by which a layer deletes ``path`` of a layer below."""
    parent, _, name = path.rpartition("/")
    return f"{parent}/.wh.{name}" if parent else f".wh.{name}"


def layer(
    files: Mapping[str, bytes | str],
    *,
    deletes: Sequence[str] = (),
    packing: Packing = "gzip",
    trailer: bool = True,
) -> Layer:
    """A layer with ``files``, that deletes ``deletes``.

    Without ``trailer`` the last file's padding and the closing blocks are missing, as umoci writes it.
    """
    buffer = io.BytesIO()
    last = 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        members = [(name, _bytes(content)) for name, content in files.items()]
        for name, content in [(whiteout(path), b"") for path in deletes] + members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(content), _BUILT, 0o644
            tar.addfile(info, io.BytesIO(content))
            last = tar.offset - (-len(content) % tarfile.BLOCKSIZE)
    raw = buffer.getvalue() if trailer else buffer.getvalue()[:last]
    return Layer(Blob(_TYPES[packing], _pack(raw, packing)), _sha256(raw))


def build(
    steps: Sequence[Step],
    *,
    env: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    platform: str = "linux/amd64",
    author: str = "",
    annotations: Mapping[str, str] | None = None,
    **config: Any,
) -> Image:
    """An image of ``steps``. ``config`` are further keys of the run configuration (Cmd, Healthcheck, …)."""
    layers = [step.layer for step in steps if step.layer is not None]
    system, architecture, *variant = platform.split("/")
    where: dict[str, str] = {
        "os": system,
        "architecture": architecture,
        **({"variant": variant[0]} if variant else {}),
    }
    content: dict[str, Any] = {
        "created": _BUILT_TEXT,
        **({"author": author} if author else {}),
        **where,
        "config": {"Env": ["PATH=/usr/bin", *env], "Labels": dict(labels or {}), **config},
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
        "history": [
            {
                "created": _BUILT_TEXT,
                "created_by": step.created_by,
                **({} if step.layer else {"empty_layer": True}),
            }
            for step in steps
        ],
    }
    described = Blob(f"{OCI}.config.v1+json", _json(content))
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": described.descriptor(),
        "layers": [one.blob.descriptor() for one in layers],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    blobs = (described, *(one.blob for one in layers))
    return Image(Blob(f"{OCI}.manifest.v1+json", _json(manifest)), blobs, platform=where)


def attestation(image: Image, *statements: Mapping[str, Any]) -> Image:
    """What BuildKit adds to an index about one of its images: provenance, packages."""
    content = [Blob("application/vnd.in-toto+json", _json(statement)) for statement in statements]
    config = {
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [one.digest for one in content]},
    }
    described = Blob(f"{OCI}.config.v1+json", _json(config))
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": described.descriptor(),
        "layers": [
            one.descriptor(annotations={"in-toto.io/predicate-type": str(statement.get("predicateType"))})
            for one, statement in zip(content, statements, strict=True)
        ],
    }
    return Image(
        Blob(f"{OCI}.manifest.v1+json", _json(manifest)),
        (described, *content),
        platform={"architecture": "unknown", "os": "unknown"},
        annotations={
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        },
    )


def artifact(kind: str, config: Blob, *blobs: Blob, subject: Image | None = None) -> Image:
    """Anything that is no image: a chart, a bundle, a signature of ``subject``."""
    content: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        **({"artifactType": kind} if kind else {}),
        "config": config.descriptor(),
        "layers": [one.descriptor() for one in blobs],
        **({"subject": subject.manifest.descriptor()} if subject else {}),
    }
    return Image(Blob(f"{OCI}.manifest.v1+json", _json(content)), (config, *blobs))


def index(images: Sequence[Image], annotations: Mapping[str, str] | None = None) -> Image:
    """One name for the same image on several platforms."""
    content = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.index.v1+json",
        "manifests": [
            one.manifest.descriptor(
                platform=dict(one.platform),
                **({"annotations": dict(one.annotations)} if one.annotations else {}),
            )
            for one in images
        ],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return Image(Blob(f"{OCI}.index.v1+json", _json(content)), children=tuple(images))


def _pack(raw: bytes, packing: Packing) -> bytes:
    if packing == "gzip":
        return gzip.compress(raw, 6, mtime=0)
    if packing == "zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress(raw)
    return raw


def _bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
