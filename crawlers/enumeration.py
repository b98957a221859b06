"""Which repositories, tags and manifests of a registry are in scope, and what hangs on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from unsprawl.errors import AuthError, RetryableError, UnreadableError
from unsprawl.globs import matches
from unsprawl.oci.distribution import Distribution, is_name, is_tag
from unsprawl.oci.images import Descriptor, ImageConfig, Manifest, parse_config, parse_manifest
from unsprawl.oci.stacks import LayerGraph
from unsprawl.records import Skipped, Unit

__all__ = ["Enumeration", "Selection"]

#: Indexes point to images; an index of indexes is rare, a chain of them is an attack.
_DEEPEST: Final = 3
#: So many repositories in a row without an answer: the registry is down, not the repository.
_SILENT: Final = 3
_MOST_IMAGES: Final = 100
_ATTESTATION: Final = "unknown/unknown"


class Selection(Protocol):
    """What the owner wants to have read."""

    @property
    def repositories(self) -> tuple[str, ...]: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def platforms(self) -> str | tuple[str, ...]: ...
    @property
    def exclude(self) -> tuple[str, ...]: ...


@dataclass(slots=True)
class _Item:
    """A configuration or an annotated manifest of one repository, with the images it belongs to."""

    kind: str
    descriptor: Descriptor
    config: ImageConfig | None = None
    images: set[str] = field(default_factory=set)

    def data(self) -> dict[str, Any]:
        names = sorted(self.images)
        return {
            "kind": self.kind,
            "digest": self.descriptor.digest,
            "media_type": self.descriptor.media_type,
            "size": self.descriptor.size,
            "images": names[:_MOST_IMAGES],
            "image_count": len(names),
            "platform": self.config.platform if self.config else self.descriptor.platform,
            "author": self.config.author if self.config else "",
            "created": self.config.created if self.config else None,
        }


class Enumeration:
    """One walk through a registry. ``repositories`` fills the graph that ``layers`` tells."""

    def __init__(self, registry: Distribution, host: str, selection: Selection) -> None:
        self._registry = registry
        self._host = host
        self._selection = selection
        self._graph = LayerGraph(host)
        self._manifests: dict[str, tuple[Manifest, ImageConfig | None]] = {}

    def layers(self) -> Iterator[Unit | Skipped]:
        yield from self._graph.units()

    def repositories(self) -> Iterator[Unit | Skipped]:
        """A unit for each repository that can be listed, a skip for each that cannot."""
        silent = 0
        for name in self._names():
            uri = f"registry://{self._host}/{name}"
            if not is_name(name):
                yield Skipped(uri, "not a repository name", parents=(name,))
                continue
            if matches(self._selection.exclude, name):
                yield Skipped(uri, "left out by `exclude`", excluded=True, parents=(name,))
                continue
            try:
                yield from self._repository(name)
                silent = 0
            except RetryableError as error:
                silent += 1
                if silent >= _SILENT:
                    raise
                yield Skipped(uri, error.message, error.hint, parents=(name,))
            except (UnreadableError, AuthError) as error:
                yield Skipped(uri, error.message, error.hint, parents=(name,))

    def _names(self) -> Iterator[str]:
        wanted = self._selection.repositories
        globs = [name for name in wanted if not is_name(name)]
        listed = {name: None for name in wanted if is_name(name)}
        yield from listed
        if globs or not wanted:
            for name in self._registry.repositories():
                if name not in listed and (not wanted or _matches(name, globs)):
                    listed[name] = None
                    yield name

    def _repository(self, name: str) -> Iterator[Unit | Skipped]:
        uri = f"registry://{self._host}/{name}"
        items: dict[tuple[str, str], _Item] = {}
        left_out = 0
        for tag in sorted(set(self._registry.tags(name))):
            if not is_tag(tag):
                yield Skipped(uri, "a tag that is no valid name", parents=(name,))
                continue
            if self._selection.tags and not _matches(tag, self._selection.tags):
                left_out += 1
                continue
            if matches(self._selection.exclude, f"{name}:{tag}"):
                yield Skipped(f"{uri}:{tag}", "left out by `exclude`", excluded=True, parents=(name,))
                continue
            yield from self._reference(name, f"{name}:{tag}", tag, items)
        if left_out:
            yield Skipped(uri, f"{left_out} tags left out by `tags`", excluded=True, parents=(name,))
        data = [items[key].data() for key in sorted(items)]
        yield Unit(uri, name, (name,), {"kind": "repository", "repository": name, "items": data})

    def _reference(
        self,
        repository: str,
        image: str,
        reference: str,
        items: dict[tuple[str, str], _Item],
        depth: int = 0,
        said_platform: str = "",
    ) -> Iterator[Skipped]:
        """One manifest and what it points to: a failure of one is told and leaves the others alone."""
        try:
            digest, manifest, config = self._manifest(repository, reference)
        except (UnreadableError, AuthError, RetryableError) as error:
            separator = "@" if depth else ":"
            uri = f"registry://{self._host}/{repository}{separator}{reference}"
            yield Skipped(uri, error.message, error.hint, parents=(repository,))
            return
        if manifest.annotated:
            descriptor = Descriptor(digest, manifest.media_type, platform=said_platform)
            items.setdefault((digest, "manifest"), _Item("manifest", descriptor)).images.add(image)
        if manifest.config is not None:
            key = (manifest.config.digest, "config")
            items.setdefault(key, _Item("config", manifest.config, config)).images.add(image)
        if manifest.config is not None or manifest.layers:
            self._graph.add(repository, digest, image, manifest, config)
        for child in manifest.children:
            uri = f"registry://{self._host}/{repository}@{child.digest}"
            if depth >= _DEEPEST:
                yield Skipped(uri, "an index nested too deeply", parents=(repository,))
            elif not self._wanted(child.platform):
                reason = f"the platform {child.platform} is left out by `platforms`"
                yield Skipped(uri, reason, excluded=True, parents=(repository,))
            else:
                yield from self._reference(repository, image, child.digest, items, depth + 1, child.platform)

    def _wanted(self, platform: str) -> bool:
        wanted = self._selection.platforms
        if isinstance(wanted, str) or platform in ("", _ATTESTATION):
            return True
        return any(platform == one or platform.startswith(one + "/") for one in wanted)

    def _manifest(self, repository: str, reference: str) -> tuple[str, Manifest, ImageConfig | None]:
        """Read once a digest, whatever repositories and tags name it."""
        if reference in self._manifests:
            return reference, *self._manifests[reference]
        digest, media_type, body = self._registry.manifest(repository, reference)
        if digest not in self._manifests:
            manifest = parse_manifest(body, media_type)
            self._manifests[digest] = (manifest, self._config(repository, manifest))
        return digest, *self._manifests[digest]

    def _config(self, repository: str, manifest: Manifest) -> ImageConfig | None:
        """The history of the layers, None when this is no image or its configuration cannot be read.

        The latter is told when the configuration's own document is read.
        """
        if manifest.config is None or not manifest.layers:
            return None
        try:
            return parse_config(self._registry.blob(repository, manifest.config))
        except (UnreadableError, RetryableError):
            return None


def _matches(name: str, globs: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
