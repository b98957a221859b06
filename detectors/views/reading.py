"""Everything that may be read in a text besides what stands there: decoded, unpacked, rewritten."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from unsprawl.detectors.views import logs
from unsprawl.detectors.views.clues import BLOCK, Clue, Coding
from unsprawl.detectors.views.edits import Edit, merged, windows
from unsprawl.detectors.views.encoded import decoded
from unsprawl.detectors.views.packed import hexadecimal, unpacked
from unsprawl.detectors.views.telling import EDITORS
from unsprawl.detectors.views.wraps import wraps
from unsprawl.structs import Struct

__all__ = ["Editor", "Locate", "Reading", "Touched", "edits", "readings"]

#: A span of a text to the smallest stretch that yields it in the text it was made of.
Locate: TypeAlias = Callable[[int, int], tuple[int, int]]
#: A text to the edits that make it readable.
Editor: TypeAlias = Callable[[bytes], list[Edit]]
#: The views that a span of a text owes to.
Touched: TypeAlias = Callable[[int, int], tuple[str, ...]]

#: A NUL among this many first bytes says that it is no text.
_HEAD: Final = 8 << 10


class Reading(Struct, frozen=True):
    """A text made of another one.

    ``touched`` answers for a span of it which views it owes to; nothing where it reads like the bytes
    it was made of. ``cut`` says that a limit ended it.
    """

    text: bytes
    locate: Locate
    touched: Touched
    cut: bool = False


def edits(
    data: bytes,
    clues: Sequence[Clue],
    own: Editor | None = None,
    *,
    made: bool = False,
    log: bool = False,
) -> list[Edit]:
    """The edits of all views that ``clues`` tell of, and those of its container (``own``).

    What was ``made`` of another text has lines of its own length: no wraps are looked for. A ``log`` was
    shown on a terminal, whatever it looks like.
    """
    if data.find(0, 0, _HEAD) >= 0:
        return own(data) if own else []  # no text that anybody escaped
    if not clues and not own:
        return [] if made else wraps(data, shown=log)
    blocks: dict[Coding, set[int]] = {}
    for offset, coding in clues:
        if coding in EDITORS:
            blocks.setdefault(coding, set()).add(offset // BLOCK)
    rows = [_near(data, EDITORS[coding], found) for coding, found in sorted(blocks.items())]
    if not made:
        rows.append(wraps(data, shown=log or "logs" in blocks))
    found = merged(rows)
    # The container knows better what its member says: its edits win.
    return merged([own(data), found], first_wins=True) if own else found


def _near(data: bytes, editor: Editor, blocks: set[int]) -> list[Edit]:
    """The edits that ``editor`` makes around ``blocks``."""
    if len(data) <= 4 * BLOCK:
        return editor(data)
    found: list[Edit] = []
    ordered = sorted(blocks)
    first = 0
    for index in range(1, len(ordered) + 1):
        if index < len(ordered) and ordered[index] - ordered[index - 1] <= 3:
            continue
        low = max(0, (ordered[first] - 1) * BLOCK)
        while low and data[low - 1] == 0x5C and low % BLOCK != 1:
            low -= 1  # not within a row of backslashes
        high = (ordered[index - 1] + 2) * BLOCK
        if spaced := logs.SPACED_ON.match(data, high - 1):
            high = spaced.end()
        found += [
            Edit(start + low, end + low, text, view) for start, end, text, view in editor(data[low:high])
        ]
        first = index
    return found


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
