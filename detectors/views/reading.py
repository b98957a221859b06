"""Everything that may be read in a text besides what stands there: decoded, unpacked, rewritten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from unsprawl.detectors.views.clues import Clue
from unsprawl.detectors.views.edits import Edit, merged, windows
from unsprawl.detectors.views.encoded import decoded
from unsprawl.detectors.views.packed import hexadecimal, unpacked

__all__ = ["EDITORS", "Locate", "Reading", "Touched", "edits", "readings"]

#: A span of a text to the smallest stretch that yields it in the text it was made of.
Locate: TypeAlias = Callable[[int, int], tuple[int, int]]
#: A text to the edits that make it readable.
Editor: TypeAlias = Callable[[bytes], list[Edit]]
#: The views that a span of a text owes to.
Touched: TypeAlias = Callable[[int, int], tuple[str, ...]]

#: The views that read a text by editing it.
EDITORS: Final[tuple[Editor, ...]] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A text made of another one.

    ``touched`` answers for a span of it which views it owes to; nothing where it reads like the bytes
    it was made of. ``cut`` says that a limit ended it.
    """

    text: bytes
    locate: Locate
    touched: Touched
    cut: bool = False


def edits(data: bytes, own: Editor | None = None) -> list[Edit]:
    """All edits that any view makes to ``data``, and those of its container (``own``)."""
    found = merged(editor(data) for editor in EDITORS)
    # The container knows better what its member says: its edits win.
    return merged([own(data), found], first_wins=True) if own else found


def readings(data: bytes, clues: Iterable[Clue], changes: Sequence[Edit]) -> Iterator[Reading]:
    """What ``data`` reads like where ``clues`` stand in it, and with ``changes`` made."""
    places: dict[str, list[int]] = {}
    for clue in clues:
        places.setdefault(clue.coding, []).append(clue.offset)
    for run in decoded(data, places.get("base64", ())):
        yield Reading(run.text, run.locate, _always(("base64",)))
    for blob in hexadecimal(data, places.get("hex", ())):
        yield Reading(blob.text, blob.locate, _always(blob.views), blob.cut)
    for blob in unpacked(data, places.get("packed", ())):
        yield Reading(blob.text, blob.locate, _always(blob.views), blob.cut)
    for piece in windows(data, changes):
        yield Reading(piece.text, piece.locate, piece.touched)


def _always(views: tuple[str, ...]) -> Touched:
    return lambda _start, _end: views
