"""All matches in a text: in its bytes, and in everything that may be read in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from unsprawl.detectors.matching.engine import Engine, Sight, Tally
from unsprawl.detectors.sightings import Sighting
from unsprawl.detectors.views.edits import Edit
from unsprawl.detectors.views.reading import Locate, Reading, Touched, edits, readings
from unsprawl.detectors.views.telling import EDITORS
from unsprawl.structs import Struct

__all__ = ["DEPTH", "search"]

#: Views of views that are followed.
DEPTH: Final = 5


class _Text(Struct, frozen=True):
    """``locate`` leads to the text that was given, ``touched`` tells which views made a span of it."""

    data: bytes
    sight: Sight
    changes: Sequence[Edit]
    locate: Locate
    touched: Touched
    depth: int


def search(
    engine: Engine,
    data: bytes,
    sight: Sight,
    changes: Sequence[Edit],
    tally: Tally,
    view: str = "raw",
    begin: int = 0,
    resume: Mapping[str, int] | None = None,
) -> list[Sighting]:
    """What matches in ``data``, with its place there.

    ``sight`` and ``changes`` are what the engine and the views saw in it at a first look. ``begin`` and
    ``resume`` bound the matches in ``data`` itself, see ``Engine.confirm``.
    """
    matches = engine.confirm(data, sight.windows, tally, begin, resume)
    found = [Sighting(m, data, m.start, m.end, m.match_start, (view,)) for m in matches]
    if not (sight.clues or changes):
        return found
    first = () if view == "raw" else (view,)
    texts = [_Text(data, sight, changes, lambda start, end: (start, end), lambda _start, _end: first, 0)]
    while texts:
        for text, sightings in _made_of(texts.pop(), engine, tally):
            found += sightings
            if text.sight.clues or text.changes:
                if text.depth < DEPTH:
                    texts.append(text)
                elif _is_encoded(text):
                    tally.cut.add(f"encodings nested more than {DEPTH} deep")
    return found


def _is_encoded(text: _Text) -> bool:
    """Whether something is left that may be hidden on purpose; escapes of escapes end by themselves."""
    return any(edit.view == "percent" for edit in text.changes) or any(
        clue.coding not in EDITORS for clue in text.sight.clues
    )


def _made_of(text: _Text, engine: Engine, tally: Tally) -> Iterator[tuple[_Text, list[Sighting]]]:
    """Each text made of ``text``, and what matches in it and owes to how it was made."""
    for reading in readings(text.data, text.sight.clues, text.changes):
        if reading.cut:
            tally.cut.add("something encoded unpacks to more than is read of it")
        if not tally.take(len(reading.text)):
            return
        below = _below(text, reading, engine.look(reading.text))
        sightings = []
        for match in engine.confirm(below.data, below.sight.windows, tally):
            span, whole = (match.start, match.end), (match.match_start, match.match_end)
            if reading.touched(*whole):
                start, end = below.locate(*span)
                views = below.touched(*span) or below.touched(*whole)
                begin = below.locate(*whole)[0]
                sightings.append(
                    Sighting(match, below.data, start, end, begin, views, derived=True, locate=below.locate)
                )
        yield below, sightings


def _below(text: _Text, reading: Reading, sight: Sight) -> _Text:
    def locate(start: int, end: int) -> tuple[int, int]:
        return text.locate(*reading.locate(start, end))

    def touched(start: int, end: int) -> tuple[str, ...]:
        outer = text.touched(*reading.locate(start, end))
        return tuple(dict.fromkeys((*outer, *reading.touched(start, end))))

    return _Text(
        reading.text, sight, edits(reading.text, sight.clues, made=True), locate, touched, text.depth + 1
    )
