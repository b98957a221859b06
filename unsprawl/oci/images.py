"""What manifests and configurations of container images say. Everything in them is a stranger's claim."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from unsprawl.errors import UnreadableError

__all__ = [
    "ACCEPTED_MANIFESTS",
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
ACCEPTED_MANIFESTS: Final = (*_INDEXES, *_MANIFESTS)

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
#: More layers or platforms than any image has: what goes beyond is an attack, not an image.
_MOST: Final = 4096
_LONGEST_INSTRUCTION: Final = 4096


def is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def short(digest: str) -> str:
    """``sha256:`` and twelve digits: enough for people, never for identity."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:12]}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: its digest, claimed size in bytes (-1: not said) and media type.

    ``foreign`` content lies on other hosts (``urls``) and is not the registry's. ``platform`` is
    ``os/architecture[/variant]``, "" when not said.
    """

    digest: str
    media_type: str = ""
    size: int = -1
    foreign: bool = False
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image (``config`` and ``layers``) or an index (``children``). ``annotated``: it holds free text."""

    media_type: str
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    annotated: bool = False


@dataclass(frozen=True, slots=True)
class LayerHistory:
    """How one layer came to be. ``diff_id`` is the digest of its uncompressed tar, as the image claims."""

    diff_id: str = ""
    instruction: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What the configuration says about the layers, from the bottom up."""

    layers: tuple[LayerHistory, ...] = ()
    platform: str = ""
    author: str = ""
    created: datetime | None = None


def parse_manifest(body: bytes, media_type: str = "") -> Manifest:
    """A manifest by its own ``mediaType``, else by ``media_type`` of the answer, else by its shape."""
    content = _object(body, "manifest")
    said = content.get("mediaType")
    kind = said if isinstance(said, str) and said else media_type.partition(";")[0].strip()
    if content.get("schemaVersion") == 1:
        raise UnreadableError(
            "a manifest of the first schema, from before 2016",
            hint="push the image again with a current client",
        )
    annotated = _has_text(content)
    children = content.get("manifests")
    if kind in _INDEXES or (kind not in _MANIFESTS and isinstance(children, list)):
        return Manifest(kind, children=_descriptors(children), annotated=annotated)
    layers = content.get("layers")
    if kind in _MANIFESTS or isinstance(layers, list):
        config = _descriptor(content.get("config"))
        return Manifest(kind, config=config, layers=_descriptors(layers), annotated=annotated)
    raise UnreadableError(f"a manifest of unknown type {kind[:80] or '(none)'}")


def parse_config(body: bytes) -> ImageConfig:
    """The layers' history. A history that does not fit the layers leaves the instructions empty."""
    content = _object(body, "image configuration")
    rootfs = content.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    diff_ids = [d if is_digest(d) else "" for d in diff_ids[:_MOST]] if isinstance(diff_ids, list) else []
    history = content.get("history")
    steps = [
        step
        for step in (history[: 4 * _MOST] if isinstance(history, list) else [])
        if isinstance(step, dict) and not step.get("empty_layer")
    ]
    if len(steps) != len(diff_ids):
        steps = [{} for _ in diff_ids]
    layers = [
        LayerHistory(diff_id, _instruction(step.get("created_by")), _time(step.get("created")))
        for diff_id, step in zip(diff_ids, steps, strict=True)
    ]
    return ImageConfig(tuple(layers), _platform(content), _author(content), _time(content.get("created")))


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
    return Descriptor(
        digest=entry["digest"],
        media_type=media_type[:200] if isinstance(media_type, str) else "",
        size=size if isinstance(size, int) and size >= 0 else -1,
        foreign=bool(entry.get("urls")),
        platform=_platform(platform) if isinstance(platform, dict) else "",
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
