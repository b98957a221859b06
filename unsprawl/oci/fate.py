"""What became of a file of an image: whether a later layer deletes or overwrites it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, Final

from unsprawl.errors import SourceError
from unsprawl.oci.images import short
from unsprawl.oci.layers import LayerNames, NamesCache, member_path, read_names
from unsprawl.records import Json

__all__ = ["fate_of", "keep_names", "knows_names"]

_cache: Final = NamesCache()
_DONE: Final = {"deletes": "deleted", "overwrites": "overwritten"}


def fate_of(
    stacks: Sequence[Mapping[str, Any]],
    member: str,
    open_layer: Callable[[list[tuple[str, str, str, int]]], BinaryIO],
    gathered: Callable[[str, Callable[[], BinaryIO]], LayerNames] | None = None,
) -> Mapping[str, Json]:
    """``deleted_in`` or ``overwritten_in`` and ``deleted_by``/``overwritten_by``, with ``hidden`` in words.

    Empty when the file is still visible in every image. When only some images hide it, ``hidden``
    says in how many; when a layer above cannot be read, it says that this is not known. ``gathered`` knows
    the names of layers, given their identity and what opens them; without, they are read each time.
    """
    path = member_path(member)
    if not path:
        return {}
    found: list[tuple[str, Mapping[str, Any]]] = []
    hidden = 0
    unknown = ""
    for stack in stacks:
        try:
            hiding = _hiding(stack["layers"], path, open_layer, gathered)
        except SourceError as error:
            unknown = unknown or error.message
            continue
        if hiding:
            found.append(hiding)
            hidden += stack["images"]
    if not found:
        return {"hidden": f"not known whether a later layer hides it: {unknown}"} if unknown else {}
    deed, layer = found[0]
    digest, instruction = layer["places"][0][1], layer["instruction"]
    done = _DONE[deed]
    by = f" by {instruction}" if instruction else ""
    total = sum(stack["images"] for stack in stacks)
    some = f", in {hidden} of {total} images" if hidden < total else ""
    attrs: dict[str, Json] = {
        f"{done}_in": digest,
        "hidden": f"{done} in a later layer, {short(digest)}{by}{some}; still extractable from this one",
    }
    if instruction:
        attrs[f"{done}_by"] = instruction
    return attrs


def _hiding(
    layers: Sequence[Mapping[str, Any]],
    path: str,
    open_layer: Callable[[list[tuple[str, str, str, int]]], BinaryIO],
    gathered: Callable[[str, Callable[[], BinaryIO]], LayerNames] | None,
) -> tuple[str, Mapping[str, Any]] | None:
    for layer in layers:
        deed = _names(layer, open_layer, gathered).does(path)
        if deed:
            return deed, layer
    return None


def _names(
    layer: Mapping[str, Any],
    open_layer: Callable[[list[tuple[str, str, str, int]]], BinaryIO],
    gathered: Callable[[str, Callable[[], BinaryIO]], LayerNames] | None,
) -> LayerNames:
    places = layer["places"]
    identity = layer.get("identity") or places[0][1]
    names = _cache.get(identity)
    if names is None:
        if gathered is not None:
            names = gathered(identity, partial(open_layer, places))
        else:
            with open_layer(places) as file:
                names = read_names(file)
        _cache.put(identity, names)
    return names


def knows_names(digest: str) -> bool:
    """Whether the names of this layer are at hand."""
    return _cache.get(digest) is not None


def keep_names(digest: str, names: LayerNames) -> None:
    """Names that somebody else read: an archive that is read in its order gives those of all its layers."""
    _cache.put(digest, names)
