"""What manifests and configurations of container images say. Everything in them is a stranger's claim."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from unsprawl.errors import UnreadableError
from unsprawl.structs import Struct

__all__ = [
    "ACCEPTED_MANIFESTS",
    "FIRST_SCHEMA",
    "Descriptor",
    "ImageConfig",
    "LayerHistory",
    "Manifest",
    "is_digest",
    "parse_config",
    "parse_manifest",
    "short",
]

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
#: Before 2016: layers and history in one signed document.
FIRST_SCHEMA: Final = (
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
)
ACCEPTED_MANIFESTS: Final = (*_INDEXES, *_MANIFESTS, *FIRST_SCHEMA)

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
#: More layers or platforms than any image has: what goes beyond is an attack, not an image.
_MOST: Final = 4096
_LONGEST_INSTRUCTION: Final = 4096
_LARGEST_STEP: Final = 1 << 20
_COMMANDS: Final = ("CMD ", "ENTRYPOINT ")
_IMAGE_CONFIGS: Final = frozenset(
    {
        "",
        "application/octet-stream",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)


def is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def short(digest: str) -> str:
    """``sha256:`` and twelve digits: enough for people, never for identity."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:12]}"


class Descriptor(Struct, frozen=True):
    """A pointer to content: its digest, claimed size in bytes (-1: not said) and media type.

    ``foreign`` content lies on other hosts (``urls``) and is not the registry's. ``platform`` is
    ``os/architecture[/variant]``, "" when not said. ``about`` is the digest of the image that an
    attestation in the same index speaks of.
    """

    digest: str
    media_type: str = ""
    size: int = -1
    foreign: bool = False
    platform: str = ""
    about: str = ""


class Manifest(Struct, frozen=True):
    """An image (``config`` and ``layers``) or an index (``children``). ``annotated``: it holds free text.

    ``subject`` is the digest of what this was attached to (a signature, an SBOM), ``artifact`` the kind of
    content when it is no image. ``base_name`` is the base image as the builder declares it. ``built`` is
    the configuration where the manifest brings it along (the first schema).
    """

    media_type: str
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    annotated: bool = False
    subject: str = ""
    artifact: str = ""
    base_name: str = ""
    built: ImageConfig | None = None


class LayerHistory(Struct, frozen=True):
    """How one layer came to be. ``diff_id`` is the digest of its uncompressed tar, as the image claims."""

    diff_id: str = ""
    instruction: str = ""
    created: datetime | None = None


class ImageConfig(Struct, frozen=True):
    """What the configuration says about the layers, from the bottom up.

    ``inherited`` is how many of the lowest layers look like those of a base image: what stands before a
    command that a later layer follows.
    """

    layers: tuple[LayerHistory, ...] = ()
    platform: str = ""
    author: str = ""
    created: datetime | None = None
    inherited: int = 0


def parse_manifest(body: bytes, media_type: str = "") -> Manifest:
    """A manifest by its own ``mediaType``, else by ``media_type`` of the answer, else by its shape."""
    content = _object(body, "manifest")
    said = content.get("mediaType")
    kind = said if isinstance(said, str) and said else media_type.partition(";")[0].strip()
    if content.get("schemaVersion") == 1 and not isinstance(content.get("manifests"), list):
        return _first_schema(content)
    annotations = _mapping(content.get("annotations"))
    subject = _descriptor(content.get("subject"))
    common: dict[str, Any] = {
        "annotated": _has_text(content),
        "subject": subject.digest if subject else "",
        "base_name": _text(annotations.get("org.opencontainers.image.base.name"), 300),
    }
    children = content.get("manifests")
    if kind in _INDEXES or (kind not in _MANIFESTS and isinstance(children, list)):
        return Manifest(kind, children=_descriptors(children), **common)
    layers = content.get("layers", content.get("blobs"))
    if kind in _MANIFESTS or isinstance(layers, list):
        config = _descriptor(content.get("config"))
        return Manifest(
            kind,
            config=config,
            layers=_descriptors(layers) if layers is not None else (),
            artifact=_artifact(content, config),
            **common,
        )
    raise UnreadableError(f"a manifest of unknown type {kind[:80] or '(none)'}")


def parse_config(body: bytes) -> ImageConfig:
    """The layers' history. A history that does not fit the layers leaves the instructions empty."""
    content = _object(body, "image configuration")
    rootfs = content.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    diff_ids = [d if is_digest(d) else "" for d in diff_ids[:_MOST]] if isinstance(diff_ids, list) else []
    history = content.get("history")
    told = [
        step for step in (history[: 4 * _MOST] if isinstance(history, list) else []) if isinstance(step, dict)
    ]
    steps = [step for step in told if not step.get("empty_layer")]
    inherited = _inherited(told)
    if len(steps) != len(diff_ids):
        steps, inherited = [{} for _ in diff_ids], 0
    layers = [
        LayerHistory(diff_id, _instruction(step.get("created_by")), _time(step.get("created")))
        for diff_id, step in zip(diff_ids, steps, strict=True)
    ]
    return ImageConfig(
        tuple(layers), _platform(content), _author(content), _time(content.get("created")), inherited
    )


def _inherited(history: Sequence[Mapping[str, Any]]) -> int:
    """How many layers stand below the last CMD or ENTRYPOINT that a layer follows.

    A Dockerfile ends with its command, so a command in the middle is the end of the base's Dockerfile.
    """
    last = max((at for at, step in enumerate(history) if not step.get("empty_layer")), default=0)
    for at in range(last - 1, -1, -1):
        step = history[at]
        if step.get("empty_layer") and _instruction(step.get("created_by")).startswith(_COMMANDS):
            return sum(not earlier.get("empty_layer") for earlier in history[:at])
    return 0


def _first_schema(content: Mapping[str, Any]) -> Manifest:
    """Layers and history of a manifest of the first schema, which lists the topmost first."""
    blobs, told = content.get("fsLayers"), content.get("history")
    if not isinstance(blobs, list) or not isinstance(told, list) or len(blobs) != len(told):
        raise UnreadableError("a manifest of the first schema whose layers and history do not fit")
    if len(blobs) > _MOST:
        raise UnreadableError(f"a manifest with {len(blobs)} entries")
    layers, steps = [], []
    top: dict[str, Any] = {}
    for blob, entry in reversed(list(zip(blobs, told, strict=True))):
        digest = _text(_mapping(blob).get("blobSum"), 140)
        if not is_digest(digest):
            raise UnreadableError("a manifest with an entry that has no valid digest")
        top = _object(
            _text(_mapping(entry).get("v1Compatibility"), _LARGEST_STEP).encode(), "layer's history"
        )
        command = _mapping(top.get("container_config")).get("Cmd")
        words = [word for word in command if isinstance(word, str)] if isinstance(command, list) else []
        layers.append(Descriptor(digest))
        steps.append(LayerHistory("", _instruction(" ".join(words)), _time(top.get("created"))))
    built = ImageConfig(tuple(steps), _platform(top), _author(top), _time(top.get("created")))
    return Manifest(FIRST_SCHEMA[0], layers=tuple(layers), annotated=True, built=built)


def _artifact(content: Mapping[str, Any], config: Descriptor | None) -> str:
    """The kind of content when it is no image: a chart, a signature, a bundle."""
    said = _text(content.get("artifactType"), 200)
    kind = config.media_type if config else ""
    return said or ("" if kind in _IMAGE_CONFIGS else kind)


def _object(body: bytes, what: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UnreadableError(f"the {what} is not a JSON object")
    return content


def _descriptors(entries: object) -> tuple[Descriptor, ...]:
    if not isinstance(entries, list):
        return ()
    if len(entries) > _MOST:
        raise UnreadableError(f"a manifest with {len(entries)} entries")
    found = [_descriptor(entry) for entry in entries]
    if None in found:
        raise UnreadableError("a manifest with an entry that has no valid digest")
    return tuple(one for one in found if one is not None)


def _descriptor(entry: object) -> Descriptor | None:
    if not isinstance(entry, dict) or not is_digest(entry.get("digest")):
        return None
    media_type, size, platform = entry.get("mediaType"), entry.get("size"), entry.get("platform")
    about = _mapping(entry.get("annotations")).get("vnd.docker.reference.digest")
    return Descriptor(
        digest=entry["digest"],
        media_type=media_type[:200] if isinstance(media_type, str) else "",
        size=size if isinstance(size, int) and size >= 0 else -1,
        foreign=bool(entry.get("urls")),
        platform=_platform(platform) if isinstance(platform, dict) else "",
        about=str(about) if is_digest(about) else "",
    )


def _has_text(content: Mapping[str, Any]) -> bool:
    """Whether there are annotations, on the manifest or on what it points to."""
    pointed: list[object] = [content.get("config"), content.get("subject")]
    for key in ("layers", "manifests"):
        entries = content.get(key)
        pointed += entries if isinstance(entries, list) else []
    return bool(content.get("annotations")) or any(
        isinstance(one, dict) and (one.get("annotations") or one.get("data")) for one in pointed
    )


def _platform(content: Mapping[str, Any]) -> str:
    parts = [content.get(key) for key in ("os", "architecture", "variant")]
    return "/".join(part[:40] for part in parts if isinstance(part, str) and part)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""


def _instruction(text: object) -> str:
    """The command as a person wrote it: without the builder's shell in front."""
    if not isinstance(text, str):
        return ""
    text = text.replace("/bin/sh -c #(nop) ", "").strip()
    if text.startswith("/bin/sh -c "):
        text = "RUN " + text.removeprefix("/bin/sh -c ")
    return text[:_LONGEST_INSTRUCTION]


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)) if isinstance(text, str) else None
    except ValueError:
        return None


def _author(content: Mapping[str, Any]) -> str:
    config = content.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    labels = labels if isinstance(labels, dict) else {}
    candidates: Sequence[object] = (
        content.get("author"),
        labels.get("org.opencontainers.image.authors"),
        labels.get("maintainer"),
    )
    return next((one[:200] for one in candidates if isinstance(one, str) and one), "")
