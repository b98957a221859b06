"""Every image of a registry as a stack of layers, and every distinct layer with the stacks it is in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, NamedTuple

from unsprawl.oci.images import Descriptor, ImageConfig, LayerHistory, Manifest, short
from unsprawl.oci.origins import Origins
from unsprawl.records import Skipped, Unit
from unsprawl.secret import CONTENT

__all__ = ["LayerGraph", "content_key", "identities"]

#: Images named in one occurrence, and distinct stacks searched for what hides a file. The number of
#: images is told in full; a base image of ten thousand others needs no list of them.
_MOST_IMAGES: Final = 1000
_MOST_STACKS: Final = 32
_MOST_ABOUT: Final = 20


def identities(manifest: Manifest, config: ImageConfig | None) -> tuple[str, ...]:
    """By what the layers of a manifest are known: their ``diff_id`` where it is told, else their digest."""
    known = config.layers if config and len(config.layers) == len(manifest.layers) else ()
    diff_ids = [history.diff_id for history in known] or [""] * len(manifest.layers)
    return tuple(diff_id or layer.digest for layer, diff_id in zip(manifest.layers, diff_ids, strict=True))


def content_key(identity: str) -> str:
    """Under which key a layer is remembered: one for all registries and engines that hold it."""
    return CONTENT + identity


class _Place(NamedTuple):
    """Where a layer can be pulled from."""

    repository: str
    digest: str
    media_type: str
    size: int


@dataclass(slots=True)
class _Image:
    layers: tuple[str, ...]
    platform: str
    author: str
    artifact: str
    about: str
    base_name: str
    inherited: int
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Layer:
    identity: str
    foreign: bool
    diff_id: str = ""
    places: set[_Place] = field(default_factory=set)
    repositories: set[str] = field(default_factory=set)
    images: dict[str, int] = field(default_factory=dict)
    history: LayerHistory = LayerHistory()


class LayerGraph:
    """Filled image by image; then tells the layers, each once, whatever carries it.

    A layer is known by its ``diff_id``, the digest of its content without packing, where the image
    names it; so the same files packed by gzip here and by zstd there are read once.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._images: dict[str, _Image] = {}
        self._layers: dict[str, _Layer] = {}

    def add(
        self,
        repository: str,
        digest: str,
        name: str,
        manifest: Manifest,
        config: ImageConfig | None,
        about: str = "",
    ) -> None:
        """``name`` is what people call the image: ``repository:tag``, or ``repository@digest``.

        ``about`` is the digest of the image that this one speaks of, when it is an attestation.
        """
        known = config.layers if config and len(config.layers) == len(manifest.layers) else ()
        histories = known or tuple(LayerHistory() for _ in manifest.layers)
        layers = identities(manifest, config)
        image = self._images.get(digest)
        if image is None:
            image = self._images[digest] = _Image(
                layers,
                config.platform if config else "",
                config.author if config else "",
                manifest.artifact,
                about or manifest.subject,
                manifest.base_name,
                config.inherited if config else 0,
            )
        image.names.add(name)
        for position, (identity, descriptor, history) in enumerate(
            zip(layers, manifest.layers, histories, strict=True)
        ):
            layer = self._layers.setdefault(identity, _Layer(identity, descriptor.foreign))
            self._record(layer, repository, descriptor)
            # The highest position counts when an image holds the same layer twice: what the layer
            # itself brings back is not hidden.
            layer.images[digest] = position
            layer.diff_id = history.diff_id
            if history.instruction and (
                not layer.history.instruction or history.instruction < layer.history.instruction
            ):
                layer.history = history

    @staticmethod
    def _record(layer: _Layer, repository: str, descriptor: Descriptor) -> None:
        layer.repositories.add(repository)
        layer.foreign &= descriptor.foreign
        if not descriptor.foreign:
            layer.places.add(_Place(repository, descriptor.digest, descriptor.media_type, descriptor.size))

    def units(self) -> Iterator[Unit | Skipped]:
        """One unit a layer, those above before those below; a layer that lies elsewhere is skipped.

        So what hides the files of a layer was read before it.
        """
        origins = Origins(
            (digest, image.layers, image.names, image.base_name, image.inherited)
            for digest, image in self._images.items()
            if not image.artifact
        )
        for identity in self._from_above():
            layer = self._layers[identity]
            parents = tuple(sorted(layer.repositories))
            if layer.foreign:
                yield Skipped(
                    f"registry://{self._host}/{parents[0]}@{identity}",
                    "a foreign layer: its content lies on other hosts",
                    hint="accept it as a gap, or push a copy of the image without foreign layers",
                    parents=parents,
                )
                continue
            data = self._describe(layer, origins)
            yield Unit(identity, f"{data['images'][0]} {short(data['places'][0][1])}", parents, data)

    def _from_above(self) -> Iterator[str]:
        """Every layer after all that lie above it in any image, as far as images agree on what is above."""
        above: dict[str, set[str]] = {identity: set() for identity in self._layers}
        for image in self._images.values():
            for lower, upper in pairwise(image.layers):
                above[lower].add(upper)
        met: set[str] = set()
        for start in sorted(self._layers):
            trail = [(start, iter(sorted(above[start])))] if start not in met else []
            met.add(start)
            while trail:
                identity, uppers = trail[-1]
                for upper in uppers:
                    if upper not in met:
                        met.add(upper)
                        trail.append((upper, iter(sorted(above[upper]))))
                        break
                else:
                    trail.pop()
                    yield identity

    def _describe(self, layer: _Layer, origins: Origins) -> dict[str, Any]:
        images = [self._images[digest] for digest in layer.images]
        names = sorted({name for image in images for name in image.names})
        origin = origins.of(layer.images)
        if origin.get("made_for") == names:
            del origin["made_for"]  # it says no more than `images`
        return {
            "kind": "layer",
            "diff_id": layer.diff_id,
            "places": [tuple(place) for place in sorted(layer.places)],
            "instruction": layer.history.instruction,
            "created": layer.history.created,
            "images": names[:_MOST_IMAGES],
            "image_count": len(names),
            "platforms": sorted({image.platform for image in images if image.platform}),
            "author": min((image.author for image in images if image.author), default=""),
            "artifact": min((image.artifact for image in images if image.artifact), default=""),
            "about": sorted({name for image in images for name in self._subject(image)})[:_MOST_ABOUT],
            "origin": origin,
            "stacks": self._stacks(layer),
            "covers": any(position for position in layer.images.values()),
        }

    def _subject(self, image: _Image) -> list[str]:
        """What an attestation or a signature speaks of: the image's names, its digest where it has none."""
        if not image.about:
            return []
        known = self._images.get(image.about)
        return sorted(known.names) if known else [image.about]

    def _stacks(self, layer: _Layer) -> list[dict[str, Any]]:
        """What lies above the layer, the nearest first, once for every different stack.

        ``images`` is how many names the images with this stack have.
        """
        above: dict[tuple[str, ...], set[str]] = {}
        for digest, position in layer.images.items():
            image = self._images[digest]
            above.setdefault(image.layers[position + 1 :], set()).update(image.names)
        stacks = sorted(above.items(), key=lambda stack: (min(stack[1]), stack[0]))
        return [
            {"images": len(names), "layers": [step for one in upper if (step := self._step(one))]}
            for upper, names in stacks[:_MOST_STACKS]
        ]

    def _step(self, identity: str) -> dict[str, Any] | None:
        layer = self._layers[identity]
        if not layer.places:
            return None
        return {
            "identity": identity,
            "places": [tuple(min(layer.places))],
            "instruction": layer.history.instruction,
        }
