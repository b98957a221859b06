"""Folders that are OCI layouts: their blobs are layers and configurations of images, not just files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from unsprawl.errors import SourceError
from unsprawl.records import Json
from unsprawl.structs import Struct

if TYPE_CHECKING:
    from unsprawl.oci.saved import SavedImages, SavedLayer

__all__ = ["Layout", "layout_of"]

_BLOBS = ("/blobs/sha256/", "/blobs/sha512/")
_MemberAttrs = Callable[[str], Mapping[str, Json]]


class Layout(Struct, frozen=True):
    """The blobs of one layout. ``place`` is their folder below it."""

    saved: SavedImages
    place: str

    def of(self, name: str) -> tuple[Mapping[str, Json], _MemberAttrs | None]:
        """What is known of a blob, and of its members. Nothing, where the index cannot be read."""
        place = self.place + name
        try:
            layer = self.saved.layers().get(place)
            if layer is None:
                return self.saved.member_attrs(place), None
            return self.saved.describe(layer), partial(self._of_member, layer)
        except SourceError:
            return {}, None

    def _of_member(self, layer: SavedLayer, member: str) -> Mapping[str, Json]:
        return self.saved.fate(layer, member)


def layout_of(folder: str) -> Layout | None:
    """The layout that a folder of blobs (with a slash behind) belongs to, None when it is another folder."""
    if not folder.endswith(_BLOBS):
        return None
    from unsprawl.oci.saved import is_layout

    top = Path(folder).parents[1]
    try:
        changed = (top / "index.json").stat().st_mtime_ns
    except OSError:
        return None
    return Layout(_saved(top, changed), folder[len(str(top)) + 1 :]) if is_layout(top) else None


@lru_cache(maxsize=4)
def _saved(top: Path, _changed: int) -> SavedImages:
    from unsprawl.oci.saved import saved_folder

    return saved_folder(top)
