"""Whether a layer belongs to an image itself or to the image it is based on: where the fix has to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["Origins"]

#: Digest, layers from the bottom up, names, declared base, how many layers look like those of a base.
Image: TypeAlias = tuple[str, tuple[str, ...], AbstractSet[str], str, int]

_MOST_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class _Stack:
    layers: tuple[str, ...]
    names: AbstractSet[str]
    base_name: str
    inherited: int


class Origins:
    """Built from all images of a registry.

    An image is the base of another when all its layers lie at the bottom of the other. Where no image of
    the registry is, the base that the builder declares counts, and then what the history looks like.
    """

    def __init__(self, images: Iterable[Image]) -> None:
        self._images = {image[0]: _Stack(*image[1:]) for image in images}
        self._by_layers: dict[tuple[str, ...], set[str]] = {}
        for stack in self._images.values():
            self._by_layers.setdefault(stack.layers, set()).update(stack.names)

    def of(self, carriers: Mapping[str, int]) -> dict[str, str | list[str]]:
        """``carriers`` are digests of images with the position of the layer in them.

        ``origin`` is ``own`` when the layer was made for an image that was read (``made_for`` names those),
        ``probably base`` when it seems to come from an image below that was not (``base_image``, if told).
        Empty when a base is declared and nothing says how far it reaches.
        """
        made_for: set[str] = set()
        below: set[str] = set()
        guessed = False
        for digest, position in carriers.items():
            stack = self._images.get(digest)
            if stack is None:
                continue
            base = self._base_of(stack, position)
            if base:
                made_for |= base
            elif position < stack.inherited:
                guessed = True
                below |= {stack.base_name} - {""}
            elif stack.base_name and not stack.inherited:
                below.add(stack.base_name)
            else:
                made_for |= stack.names
        found: dict[str, str | list[str]] = {}
        if made_for:
            found = {"origin": "own", "made_for": sorted(made_for)[:_MOST_NAMES]}
        elif guessed:
            found = {"origin": "probably base"}
        return {**found, "base_image": sorted(below)[:_MOST_NAMES]} if below else found

    def _base_of(self, stack: _Stack, position: int) -> set[str]:
        """The names of the smallest image below that has the layer."""
        for height in range(position + 1, len(stack.layers)):
            names = self._by_layers.get(stack.layers[:height])
            if names:
                return names
        return set()
