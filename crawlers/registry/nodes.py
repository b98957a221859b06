"""Manifests with what hangs on them, read from the registry or remembered from an earlier run.

What is remembered stands in the version of the manifest's own document: enough to know which layers and
configurations belong to it. When all of those were seen as well, nothing of it has to be asked for again.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from typing import Final

import msgspec

from unsprawl.errors import RetryableError, SourceError, UnreadableError
from unsprawl.oci.distribution import Distribution
from unsprawl.oci.images import (
    Descriptor,
    ImageConfig,
    LayerHistory,
    Manifest,
    is_digest,
    parse_config,
    parse_manifest,
)
from unsprawl.oci.stacks import content_key, identities
from unsprawl.records import Seen
from unsprawl.structs import Struct, replace

__all__ = ["Node", "Nodes", "version_of"]

#: What one remembered manifest may unpack to.
_LARGEST: Final = 8 << 20


class Node(Struct, frozen=True):
    """One manifest. ``attached`` are its referrers: signatures, SBOMs, attestations.

    ``body`` and ``config_body`` are as they were read; None when remembered, or when reading failed.
    ``missed`` says why the referrers are not known.
    """

    digest: str
    manifest: Manifest
    config: ImageConfig | None = None
    attached: tuple[Descriptor, ...] = ()
    body: bytes | None = None
    config_body: bytes | None = None
    missed: str = ""


def version_of(node: Node) -> str:
    """The version of a manifest's document: its digest, and what the next run needs to know of it."""
    if node.missed:
        return node.digest
    config = node.config
    if config is not None:
        layers = tuple(LayerHistory(history.diff_id) for history in config.layers)
        config = replace(config, layers=layers, created=None)
    built = config if node.manifest.built else None
    kept = replace(
        node, manifest=replace(node.manifest, built=built), config=config, body=None, config_body=None
    )
    packed = base64.b85encode(zlib.compress(msgspec.json.encode(kept), 6)).decode()
    return f"{node.digest} {packed}"


#: Made once: threads that ask msgspec for the fields of one class at the same time crash the process.
_DECODER: Final = msgspec.json.Decoder(Node)


def _remembered(version: str | None, digest: str) -> Node | None:
    said, _, packed = (version or "").partition(" ")
    if said != digest or not packed:
        return None
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b85decode(packed), _LARGEST)
        node = _DECODER.decode(content)
    except (ValueError, zlib.error, msgspec.MsgspecError):
        return None
    return node if node.digest == digest else None


class Nodes:
    """The manifests of one repository. Threads may share it.

    ``needed`` says of a layer whether it is to be read at all.
    """

    def __init__(
        self,
        registry: Distribution,
        top: str,
        name: str,
        seen: Seen,
        needed: Callable[[Descriptor], bool],
        referrers: str,
    ) -> None:
        self._registry = registry
        self._top = top
        self._name = name
        self._seen = seen
        self._needed = needed
        self._referrers = referrers
        self._held: dict[str, Node] = {}
        self._failed: dict[str, SourceError] = {}

    def resolve(self, tag: str) -> str:
        """The digest of a tag by HEAD, or by reading the manifest where HEAD does not tell it."""
        return self._registry.head(self._name, tag) or self._read(tag).digest

    def node(self, digest: str) -> Node:
        """Once a digest, whatever tags and indexes name it. Raises ``SourceError``."""
        node = self._held.get(digest)
        if node is None:
            if digest in self._failed:
                raise self._failed[digest]
            try:
                node = self._known(digest) or self._read(digest)
            except SourceError as error:
                self._failed[digest] = error
                raise
            self._held[digest] = node
        return node

    def forget_bodies(self) -> None:
        for digest, node in self._held.items():
            if node.body is not None:
                self._held[digest] = replace(node, body=None, config_body=None)

    def _known(self, digest: str) -> Node | None:
        """From the last run, when everything of the manifest was read then."""
        node = _remembered(self._seen(f"{self._top}@{digest}#manifest"), digest)
        if node is None:
            return None
        config = node.manifest.config
        if config is not None and self._seen(f"{self._top}@{config.digest}#config") != config.digest:
            return None
        layers = zip(node.manifest.layers, identities(node.manifest, node.config), strict=True)
        if any(
            self._needed(layer) and self._seen(content_key(identity)) != identity
            for layer, identity in layers
        ):
            return None
        if self._referrers == "always":
            node = self._attached(replace(node, attached=()))
        return node

    def _read(self, reference: str) -> Node:
        digest, media_type, body = self._registry.manifest(self._name, reference)
        if digest in self._held:
            return self._held[digest]
        manifest = parse_manifest(body, media_type)
        config, config_body = self._config(manifest)
        node = Node(digest, manifest, config, body=body, config_body=config_body)
        if self._referrers != "never":
            node = self._attached(node)
        if is_digest(reference):
            return node
        return self._held.setdefault(digest, node)

    def _config(self, manifest: Manifest) -> tuple[ImageConfig | None, bytes | None]:
        """What the configuration says. That it cannot be read is told when its own document is."""
        if manifest.config is None:
            return manifest.built, None
        try:
            body = self._registry.blob(self._name, manifest.config)
        except (UnreadableError, RetryableError):
            return None, None
        try:
            return (None if manifest.artifact else parse_config(body)), body
        except UnreadableError:
            return None, body

    def _attached(self, node: Node) -> Node:
        """With its referrers. A registry that fails to tell them leaves the image as it is."""
        try:
            return replace(node, attached=self._registry.referrers(self._name, node.digest) or ())
        except (UnreadableError, RetryableError) as error:
            return replace(node, missed=error.message)
