"""Images that were saved: archives of ``docker save`` and ``podman save``, and OCI layouts.

Three layouts are in use: one folder a layer (Docker to 24), one tar a layer (Podman), blobs named by their
digest (Docker from 25, OCI). What stands in them is told by ``manifest.json`` and ``index.json``, which come
last in the archive; so the archive is passed over once, and read from its start a second time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

from unsprawl.errors import UnreadableError
from unsprawl.oci.fate import fate_of, keep_names, knows_names
from unsprawl.oci.images import ImageConfig, LayerHistory, is_digest, parse_config, parse_manifest
from unsprawl.oci.layers import decompressed, read_names
from unsprawl.oci.tars import Entry, entries
from unsprawl.records import Json
from unsprawl.structs import Struct, field

__all__ = [
    "Contents",
    "SavedImage",
    "SavedImages",
    "SavedLayer",
    "hidden_in",
    "is_layout",
    "may_be_layer",
    "saved_folder",
    "saved_tar",
]

_PLACE: Final = re.compile(
    r"(?:[0-9a-f]{64}/layer\.tar|[0-9a-f]{64}\.(?:tar|json)|blobs/sha(?:256|512)/[0-9a-f]{64,128})(?:!/|\Z)"
)
_BLOB: Final = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]{64,128})")
_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
#: Documents in JSON that are held while an archive is passed over: each, and all together.
_LARGEST_JSON: Final = 8 << 20
_MOST_JSON: Final = 64 << 20
_DEEPEST: Final = 3
_MOST_IMAGES: Final = 100
_MOST_STACKS: Final = 32


class SavedLayer(Struct, frozen=True):
    """``place`` is its name in the archive or below the folder, ``identity`` its diff_id if one is said."""

    place: str
    digest: str
    identity: str
    history: LayerHistory


class SavedImage(Struct, frozen=True):
    """``names`` may be empty: nothing was said."""

    names: tuple[str, ...]
    place: str
    config: ImageConfig
    layers: tuple[SavedLayer, ...]


class Contents(Struct):
    """What an archive or folder holds: all JSON in it, the sizes of its files, where its links lead."""

    json: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def resolved(self, place: str) -> str:
        """The name behind links."""
        for _ in range(_DEEPEST):
            if place not in self.links:
                break
            place = self.links[place]
        return place

    def parsed(self, place: str) -> Any:
        """The JSON at a place, None when there is none."""
        try:
            return json.loads(self.json.get(self.resolved(place), b""))
        except (ValueError, RecursionError):
            return None


class Shelf(Protocol):
    """Where saved images lie. Raises ``SourceError`` only."""

    def contents(self) -> Contents: ...
    def files(self, wanted: Mapping[str, Any]) -> Iterator[tuple[str, BinaryIO]]:
        """The files of these names, each to be read before the next is asked for."""
        ...


def may_be_layer(member: str) -> bool:
    """Whether a member of an archive stands where saved images have their layers and configurations."""
    return _PLACE.match(member) is not None


def is_layout(folder: Path) -> bool:
    """Whether this is the folder of an OCI layout."""
    return (folder / "oci-layout").is_file() and (folder / "index.json").is_file()


def saved_tar(opened: Callable[[], BinaryIO]) -> SavedImages:
    """The images in an archive that ``opened`` gives from its start, packed or not."""
    return SavedImages(_Tar(opened))


def saved_folder(folder: Path) -> SavedImages:
    """The images of an OCI layout."""
    return SavedImages(_Folder(folder))


class SavedImages:
    """What is known of saved images, found out when it is first asked for. Raises ``SourceError``."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    @cached_property
    def images(self) -> tuple[SavedImage, ...]:
        return _images(self._shelf.contents())

    def layers(self) -> Mapping[str, SavedLayer]:
        """Every layer by its place."""
        return {layer.place: layer for image in self.images for layer in image.layers}

    def member_attrs(self, member: str) -> Mapping[str, Json]:
        """What is to be said of a member of the archive: its image, its layer, what hides it."""
        if not may_be_layer(member):
            return {}
        place, _, path = member.partition("!/")
        layer = self.layers().get(place)
        if layer is None:
            owners = [image for image in self.images if image.place == place]
            return _described(owners)
        return {**self.describe(layer), **(self.fate(layer, path) if path else {})}

    def describe(self, layer: SavedLayer) -> dict[str, Json]:
        """The attributes of a layer, under the names that registries use."""
        owners = [image for image in self.images if any(one.place == layer.place for one in image.layers)]
        known: dict[str, Json] = {"layer": layer.digest or layer.identity}
        if is_digest(layer.identity):
            known["diff_id"] = layer.identity
        if layer.history.instruction:
            known["instruction"] = layer.history.instruction
        return {**known, **_described(owners)}

    def fate(self, layer: SavedLayer, path: str) -> Mapping[str, Json]:
        """What the layers above do to a file of ``layer``."""
        return hidden_in(self.stacks(layer.identity), path)

    def stacks(self, identity: str) -> list[dict[str, Any]]:
        """What lies above a layer, in every image that holds it, for :func:`hidden_in`."""
        stacks = []
        above: dict[str, SavedLayer] = {}
        for image in self.images:
            positions = [at for at, one in enumerate(image.layers) if one.identity == identity]
            if positions:
                # The highest one counts: what the layer brings back itself is not hidden.
                upper = image.layers[positions[-1] + 1 :]
                above |= {one.place: one for one in upper}
                steps = [
                    {"places": [("", one.identity, "", -1)], "instruction": one.history.instruction}
                    for one in upper
                ]
                stacks.append({"images": max(1, len(image.names)), "layers": steps})
        self._learn_names(above)
        return stacks

    def _learn_names(self, wanted: Mapping[str, SavedLayer]) -> None:
        """The names of all these layers in one pass: an engine sends the whole image for each."""
        unknown = {place: layer for place, layer in wanted.items() if not knows_names(layer.identity)}
        if unknown:
            for place, file in self._shelf.files(unknown):
                keep_names(unknown[place].identity, read_names(file))


def hidden_in(stacks: Sequence[Mapping[str, Any]], path: str) -> Mapping[str, Json]:
    """Which later layer hides a file, by what :meth:`SavedImages.stacks` gave."""
    return fate_of(stacks[:_MOST_STACKS], path, _missing)


def _missing(_places: object) -> BinaryIO:
    raise UnreadableError("a layer above is not in the archive")


def _described(owners: list[SavedImage]) -> dict[str, Json]:
    names = sorted({name for image in owners for name in image.names})
    platforms = sorted({image.config.platform for image in owners if image.config.platform})
    authors = sorted({image.config.author for image in owners if image.config.author})
    known: dict[str, Json] = {}
    if names:
        known |= {"images": names[:_MOST_IMAGES], "image_count": len(names)}
    if platforms:
        known["platform"] = ", ".join(platforms)
    if authors:
        known["image_author"] = authors[0]
    return known


# --- what the lists say --------------------------------------------------------------------------


def _images(contents: Contents) -> tuple[SavedImage, ...]:
    found: dict[str, SavedImage] = {}
    for image in (*_listed_by_docker(contents), *_listed_by_oci(contents)):
        known = found.get(image.place)
        names = tuple(dict.fromkeys((*known.names, *image.names))) if known else image.names
        layers = known.layers if known else image.layers
        found[image.place] = SavedImage(names, image.place, image.config, layers)
    return tuple(found.values())


def _listed_by_docker(contents: Contents) -> Iterator[SavedImage]:
    listed = contents.parsed("manifest.json")
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
            continue
        places, tags = item.get("Layers"), item.get("RepoTags")
        names = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        layers = [one for one in places if isinstance(one, str)] if isinstance(places, list) else []
        yield _image(contents, item["Config"], layers, tuple(names))


def _listed_by_oci(contents: Contents) -> Iterator[SavedImage]:
    index = contents.parsed("index.json")
    entries_ = index.get("manifests") if isinstance(index, dict) else None
    for item in entries_ if isinstance(entries_, list) else []:
        if isinstance(item, dict) and is_digest(item.get("digest")):
            notes = item.get("annotations")
            notes = notes if isinstance(notes, dict) else {}
            name = next((notes[key] for key in _NAMES if isinstance(notes.get(key), str)), "")
            name = name.removeprefix("docker.io/").removeprefix("library/")
            yield from _from_manifest(contents, item["digest"], (name,) if name else (), 0)


def _from_manifest(
    contents: Contents, digest: str, names: tuple[str, ...], depth: int
) -> Iterator[SavedImage]:
    body = contents.json.get(_blob(digest))
    if body is None or depth > _DEEPEST:
        return  # another platform, which was not saved
    try:
        manifest = parse_manifest(body)
    except UnreadableError:
        return
    for child in manifest.children:
        yield from _from_manifest(contents, child.digest, names, depth + 1)
    if manifest.config is not None:
        layers = [_blob(layer.digest) for layer in manifest.layers]
        yield _image(contents, _blob(manifest.config.digest), layers, names)


def _image(contents: Contents, config: str, places: list[str], names: tuple[str, ...]) -> SavedImage:
    try:
        known = parse_config(contents.json.get(contents.resolved(config), b""))
    except UnreadableError:
        known = ImageConfig()
    fits = len(known.layers) == len(places)
    histories = known.layers if fits else tuple(LayerHistory() for _ in places)
    layers = []
    for place, history in zip(places, histories, strict=True):
        real = contents.resolved(place)
        blob = _BLOB.fullmatch(real)
        digest = f"{blob[1]}:{blob[2]}" if blob else ""
        layers.append(SavedLayer(real, digest, history.diff_id or digest or real, history))
    return SavedImage(names, contents.resolved(config), known, tuple(layers))


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


# --- where they lie ------------------------------------------------------------------------------


class _Tar(Struct, frozen=True):
    opened: Callable[[], BinaryIO]

    def contents(self) -> Contents:
        found = Contents()
        held = 0
        with self.opened() as file:
            for entry, content in entries(_unpacked(file)):
                if entry.link:
                    found.links[entry.name] = entry.link
                elif entry.is_file:
                    found.sizes[entry.name] = entry.size
                    if _may_be_json(entry) and held + entry.size <= _MOST_JSON:
                        body = content.readall()
                        if body.lstrip()[:1] in (b"{", b"["):
                            found.json[entry.name] = body
                            held += entry.size
        return found

    def files(self, wanted: Mapping[str, Any]) -> Iterator[tuple[str, BinaryIO]]:
        with self.opened() as file:
            for entry, content in entries(_unpacked(file)):
                if entry.is_file and entry.name in wanted:
                    yield entry.name, cast("BinaryIO", content)


class _Folder(Struct, frozen=True):
    folder: Path

    def contents(self) -> Contents:
        found = Contents()
        try:
            self._read(found, "index.json")
            waiting = _digests(found.parsed("index.json"))
            for _ in range(_DEEPEST + 1):
                below: list[str] = []
                for digest in waiting:
                    self._read(found, _blob(digest))
                    below += _digests(found.parsed(_blob(digest)))
                waiting = [digest for digest in below if _blob(digest) not in found.json]
        except OSError:
            raise UnreadableError("the layout's index cannot be read") from None
        return found

    def _read(self, found: Contents, place: str) -> None:
        path = self.folder / place
        if not path.is_file() or sum(map(len, found.json.values())) > _MOST_JSON:
            return
        with path.open("rb") as file:
            head = file.read(1)
            if head in (b"{", b"[") and path.stat().st_size <= _LARGEST_JSON:
                found.json[place] = head + file.read(_LARGEST_JSON)

    def files(self, wanted: Mapping[str, Any]) -> Iterator[tuple[str, BinaryIO]]:
        for place in wanted:
            try:
                with (self.folder / place).open("rb") as file:
                    yield place, cast("BinaryIO", file)
            except OSError:
                raise UnreadableError("a layer above is not in the layout") from None


def _digests(content: Any) -> list[str]:
    """Of manifests and configurations. Layers are not read for it."""
    if not isinstance(content, dict):
        return []
    pointed = content.get("manifests")
    found = [*(pointed if isinstance(pointed, list) else []), content.get("config")]
    return [one["digest"] for one in found if isinstance(one, dict) and is_digest(one.get("digest"))]


def _may_be_json(entry: Entry) -> bool:
    named = entry.name.endswith(".json") or entry.name.startswith("blobs/")
    return named and entry.size <= _LARGEST_JSON


def _unpacked(file: BinaryIO) -> BinaryIO:
    return file if file.seekable() and _is_plain(file) else decompressed(file)


def _is_plain(file: BinaryIO) -> bool:
    """Whether it is no packed archive. Only then it can be skipped through."""
    start = file.tell()
    head = file.read(512)
    file.seek(start)
    return head[257:262] == b"ustar" or head[:2] not in (b"\x1f\x8b", b"\x28\xb5")
