"""Which repositories, tags and manifests of a registry are in scope, and what hangs on them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, Protocol

from unsprawl.crawlers.registry.listing import Catalog, Listing, Reference, Refused, Repository
from unsprawl.crawlers.registry.nodes import Node, Nodes, version_of
from unsprawl.errors import AuthError, RetryableError, SourceError, UnreadableError
from unsprawl.globs import matches
from unsprawl.oci.distribution import Distribution, attached_tag, is_name, is_tag
from unsprawl.oci.images import Descriptor, ImageConfig, is_digest
from unsprawl.oci.stacks import LayerGraph
from unsprawl.records import Seen, Skipped, Unit

__all__ = ["Enumeration", "Selection"]

#: Indexes point to images; an index of indexes is rare, a chain of them is an attack.
_DEEPEST: Final = 4
#: Manifests below one tag: an image of all platforms with its attestations has some fifty.
_WIDEST: Final = 10_000
#: So many in a row without an answer: the registry is down, not the repository or the tag.
_SILENT: Final = 3
_MOST_IMAGES: Final = 1000
#: References whose manifests are held in memory at once.
_TOGETHER: Final = 512
_ATTESTATION: Final = "unknown/unknown"
#: What of one repository's manifests and configurations is kept, so that reading asks for none again.
_MOST_KEPT: Final = 16 << 20


class Selection(Protocol):
    """What the owner wants to have read."""

    @property
    def repositories(self) -> tuple[str, ...]: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def untagged(self) -> bool: ...
    @property
    def platforms(self) -> str | tuple[str, ...]: ...
    @property
    def referrers(self) -> str: ...
    @property
    def max_layer_bytes(self) -> int | None: ...
    @property
    def exclude(self) -> tuple[str, ...]: ...


@dataclass(slots=True)
class _Item:
    """A configuration or a manifest of one repository, with the images it belongs to.

    ``body`` is packed; None when it has to be asked for again.
    """

    kind: str
    descriptor: Descriptor
    version: str
    config: ImageConfig | None = None
    body: bytes | None = None
    artifact: str = ""
    about: str = ""
    images: set[str] = field(default_factory=set)

    def data(self) -> dict[str, Any]:
        names = sorted(self.images)
        return {
            "kind": self.kind,
            "digest": self.descriptor.digest,
            "media_type": self.descriptor.media_type,
            "size": self.descriptor.size,
            "version": self.version,
            "body": self.body,
            "images": names[:_MOST_IMAGES],
            "image_count": len(names),
            "platform": self.config.platform if self.config else self.descriptor.platform,
            "author": self.config.author if self.config else "",
            "created": self.config.created if self.config else None,
            "artifact": self.artifact,
            "about": self.about,
        }


class Enumeration:
    """One walk through a registry. ``repositories`` fills the graph that ``layers`` tells.

    ``listing`` may tell more than the protocol does; ``required`` says that its refusal is a gap. ``pool``
    makes the small requests of one repository, several at a time.
    """

    def __init__(
        self,
        registry: Distribution,
        host: str,
        selection: Selection,
        seen: Seen,
        pool: Executor,
        listing: Listing | None = None,
        required: bool = True,
    ) -> None:
        self._registry = registry
        self._host = host
        self._selection = selection
        self._seen = seen
        self._pool = pool
        self._tags = Catalog(registry)
        self._listing: Listing = listing or self._tags
        self._required = required
        self._graph = LayerGraph(host)

    def layers(self) -> Iterator[Unit | Skipped]:
        yield from self._graph.units()

    def repositories(self) -> Iterator[Unit | Skipped]:
        """A unit for each repository that can be listed, a skip for each that cannot."""
        silent = 0
        for repository in self._repositories():
            name = repository.name
            uri = f"registry://{self._host}/{name}"
            if isinstance(repository, Refused):
                yield Skipped(uri, repository.error.message, repository.error.hint, parents=(name,))
                continue
            if not is_name(name):
                yield Skipped(uri, "not a repository name", parents=(name,))
                continue
            if matches(self._selection.exclude, name):
                yield Skipped(uri, "left out by `exclude`", excluded=True, parents=(name,))
                continue
            try:
                yield from self._repository(repository)
                silent = 0
            except RetryableError as error:
                silent += 1
                if silent >= _SILENT:
                    raise
                yield Skipped(uri, error.message, error.hint, parents=(name,))
            except (UnreadableError, AuthError) as error:
                yield Skipped(uri, error.message, error.hint, parents=(name,))

    def _repositories(self) -> Iterator[Repository | Refused]:
        wanted = self._selection.repositories
        globs = [name for name in wanted if not is_name(name)]
        listed = {name for name in wanted if is_name(name)}
        yield from (Repository(name) for name in wanted if is_name(name))
        if globs or not wanted:
            for repository in self._listing.repositories():
                name = repository.name
                if isinstance(repository, Refused):
                    yield repository
                elif name not in listed and (not wanted or _matches(name, globs)):
                    listed.add(name)
                    yield repository

    # --- one repository ------------------------------------------------------------------------------

    def _repository(self, repository: Repository) -> Iterator[Unit | Skipped]:
        name = repository.name
        top = f"registry://{self._host}/{name}"
        nodes = Nodes(self._registry, top, name, self._seen, self._is_needed, self._selection.referrers)
        walk = _Walk(name, top, nodes, self._graph, self._selection.platforms)
        tagged, untagged, left_out = {}, {}, {}
        for reference in self._references(name):
            if isinstance(reference, Skipped):
                yield reference
            elif not reference.tag:
                if is_digest(reference.digest):
                    untagged[reference.digest] = reference
            elif not is_tag(reference.tag):
                yield Skipped(top, "a tag that is no valid name", parents=(name,))
            elif self._selection.tags and not _matches(reference.tag, self._selection.tags):
                left_out[reference.tag] = reference
            elif matches(self._selection.exclude, f"{name}:{reference.tag}"):
                reason = "left out by `exclude`"
                yield Skipped(f"{top}:{reference.tag}", reason, excluded=True, parents=(name,))
            else:
                tagged[reference.tag] = reference
        yield from self._take(walk, [tagged[tag] for tag in sorted(tagged)])
        # Signatures and the like of a chosen image lie under tags that nobody would choose by name.
        beside = [tag for tag in sorted(left_out) if _subject_of(tag) in walk.digests]
        yield from self._take(walk, [left_out.pop(tag) for tag in beside])
        if self._selection.untagged and not self._selection.tags:
            rest = [untagged[digest] for digest in sorted(untagged.keys() - walk.digests)]
            yield from self._take(walk, rest)
        if left_out:
            yield Skipped(top, f"{len(left_out)} tags left out by `tags`", excluded=True, parents=(name,))
        yield Unit(
            top,
            name,
            (name,),
            {
                "kind": "repository",
                "repository": name,
                "audience": str(repository.audience),
                "items": walk.data(),
            },
        )

    def _references(self, name: str) -> Iterator[Reference | Skipped]:
        if self._listing is self._tags:
            yield from self._tags.references(name)
            return
        try:
            yield from list(self._listing.references(name))
            return
        except SourceError as error:
            refused = error
        # What the protocol offers is read in any case.
        yield from self._tags.references(name)
        yield Skipped(
            f"registry://{self._host}/{name}",
            f"manifests without a tag are not known: {refused.message}",
            refused.hint,
            excluded=not self._required,
            parents=(name,),
        )

    def _take(self, walk: _Walk, references: list[Reference]) -> Iterator[Skipped]:
        """Resolve and read ``references`` several at a time; a failure of one leaves the others alone."""
        silent = 0
        resolved: list[tuple[Reference, str]] = []
        for reference, digest in self._ahead(walk.resolve, references):
            if isinstance(digest, SourceError):
                silent = silent + 1 if isinstance(digest, RetryableError) else 0
                if silent >= _SILENT:
                    raise digest
                yield walk.skipped(f":{reference.tag}", digest)
            else:
                silent = 0
                resolved.append((reference, digest))
        for start in range(0, len(resolved), _TOGETHER):
            yield from self._read(walk, resolved[start : start + _TOGETHER])

    def _read(self, walk: _Walk, resolved: list[tuple[Reference, str]]) -> Iterator[Skipped]:
        silent = 0
        first = {digest: reference for reference, digest in reversed(resolved)}
        for digest, failure in self._ahead(walk.fetch, list(first)):
            if not isinstance(failure, SourceError):
                silent = 0
                continue
            silent = silent + 1 if isinstance(failure, RetryableError) else 0
            if silent >= _SILENT:
                raise failure
            gone = isinstance(failure, UnreadableError) and "(404)" in failure.message
            if not (first[digest].fleeting and gone):
                tag = first[digest].tag
                yield walk.skipped(f":{tag}" if tag else f"@{digest}", failure)
            del first[digest]
        for reference, digest in resolved:
            if digest in first:
                label = f":{reference.tag}" if reference.tag else f"@{digest}"
                yield from walk.take(f"{walk.name}{label}", digest, about=_subject_of(reference.tag))
        walk.forget_bodies()

    def _ahead(self, work: Any, items: list[Any]) -> Iterator[tuple[Any, Any]]:
        """Each item with what ``work`` gave for it, or the ``SourceError`` it raised; in order."""
        return zip(items, self._pool.map(partial(_attempt, work), items), strict=True)

    def _is_needed(self, layer: Descriptor) -> bool:
        """Whether a layer is to be read, as far as its descriptor tells."""
        most = self._selection.max_layer_bytes
        return not (layer.foreign or (most is not None and layer.size > most))


class _Walk:
    """One repository: its manifests from the tags down, what they are called, and what reading needs."""

    def __init__(
        self, name: str, top: str, nodes: Nodes, graph: LayerGraph, platforms: str | tuple[str, ...]
    ) -> None:
        self.name = name
        self.digests: set[str] = set()
        self._top = top
        self._nodes = nodes
        self._graph = graph
        self._platforms = platforms
        self._items: dict[tuple[str, str], _Item] = {}
        self._room = _MOST_KEPT

    def resolve(self, reference: Reference) -> str:
        return reference.digest if is_digest(reference.digest) else self._nodes.resolve(reference.tag)

    def fetch(self, digest: str) -> None:
        """Have the manifest and all that it points to, as far as they can be had. Threads may call it.

        Raises when the manifest itself cannot be read; what is wrong below is told by ``take``.
        """
        waiting = [(self._nodes.node(digest), 0)]
        met = {digest}
        while waiting and len(met) < _WIDEST:
            node, depth = waiting.pop()
            for child in _below(node):
                if child.digest in met or depth >= _DEEPEST or not self._wanted(child.platform):
                    continue
                met.add(child.digest)
                found = _attempt(self._nodes.node, child.digest)
                if isinstance(found, Node):
                    waiting.append((found, depth + 1))

    def take(self, image: str, digest: str, about: str = "") -> Iterator[Skipped]:
        """Enter a manifest and what hangs on it under the name ``image``."""
        waiting = [(Descriptor(digest, about=about), 0)]
        met = {digest}
        while waiting:
            descriptor, depth = waiting.pop()
            node = _attempt(self._nodes.node, descriptor.digest)
            if isinstance(node, SourceError):
                yield self.skipped(f"@{descriptor.digest}", node)
                continue
            self._enter(image, node, descriptor)
            if node.missed:
                yield self._skip(node.digest, f"what is attached to it is not known: {node.missed}")
            for child in _below(node):
                if child.digest in met:
                    continue
                met.add(child.digest)
                if depth >= _DEEPEST:
                    yield self._skip(child.digest, "an index nested too deeply")
                elif len(met) > _WIDEST:
                    yield self._skip(digest, f"an index with more than {_WIDEST} manifests")
                    return
                elif not self._wanted(child.platform):
                    reason = f"the platform {child.platform} is left out by `platforms`"
                    yield self._skip(child.digest, reason, excluded=True)
                else:
                    waiting.append((child, depth + 1))

    def _enter(self, image: str, node: Node, descriptor: Descriptor) -> None:
        self.digests.add(node.digest)
        manifest = node.manifest
        about = descriptor.about or manifest.subject
        key = (node.digest, "manifest")
        if key not in self._items:
            described = Descriptor(node.digest, manifest.media_type, platform=descriptor.platform)
            self._items[key] = _Item(
                "manifest",
                described,
                version_of(node),
                None,
                self._packed(node.body),
                manifest.artifact,
                about,
            )
        self._items[key].images.add(image)
        if manifest.config is not None:
            key = (manifest.config.digest, "config")
            if key not in self._items:
                self._items[key] = _Item(
                    "config",
                    manifest.config,
                    manifest.config.digest,
                    node.config,
                    self._packed(node.config_body),
                    manifest.artifact,
                    about,
                )
            self._items[key].images.add(image)
        if manifest.config is not None or manifest.layers:
            self._graph.add(self.name, node.digest, image, manifest, node.config, about)

    def data(self) -> list[dict[str, Any]]:
        """All documents of the repository but its layers, in the order of their digests."""
        return [self._items[key].data() for key in sorted(self._items)]

    def _packed(self, body: bytes | None) -> bytes | None:
        if body is None or self._room <= 0:
            return None
        packed = zlib.compress(body, 1)
        self._room -= len(packed)
        return packed

    def forget_bodies(self) -> None:
        """What was entered has its body where reading finds it."""
        self._nodes.forget_bodies()

    def skipped(self, where: str, error: SourceError) -> Skipped:
        return Skipped(f"{self._top}{where}", error.message, error.hint, parents=(self.name,))

    def _skip(self, digest: str, reason: str, *, excluded: bool = False) -> Skipped:
        return Skipped(f"{self._top}@{digest}", reason, excluded=excluded, parents=(self.name,))

    def _wanted(self, platform: str) -> bool:
        wanted = self._platforms
        if isinstance(wanted, str) or platform in ("", _ATTESTATION):
            return True
        return any(platform == one or platform.startswith(one + "/") for one in wanted)


def _below(node: Node) -> Iterable[Descriptor]:
    """What an index points to, and what is attached: the latter speaks of the node itself."""
    yield from node.manifest.children
    for one in node.attached:
        yield Descriptor(one.digest, one.media_type, one.size, one.foreign, _ATTESTATION, node.digest)


def _attempt(work: Any, item: Any) -> Any:
    try:
        return work(item)
    except SourceError as error:
        return error


def _subject_of(tag: str) -> str:
    """The digest that a tag is made of, for signatures and the like. "" for any other tag."""
    digest = tag.partition(".")[0].replace("-", ":", 1)
    return digest if is_digest(digest) and tag.startswith(attached_tag(digest)) else ""


def _matches(name: str, globs: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
