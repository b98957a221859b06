"""Edits: the text is what they say, and every span of it leads back to the smallest stretch of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.views.edits import Edit, merged, rewritten, windows


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, list[Edit]]:
    data = draw(st.binary(max_size=60))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    texts = st.binary(max_size=3)
    edits = [
        Edit(low, high, draw(texts), draw(st.sampled_from("abc")))
        for low, high in zip(cuts[::2], cuts[1::2], strict=False)
        if low < high
    ]
    return data, edits


@given(edited(), st.data())
def test_a_span_leads_to_the_smallest_stretch(case: tuple[bytes, list[Edit]], draw: st.DataObject) -> None:
    data, edits = case
    made = rewritten(data, edits)
    # The slow truth: for each byte of the text, where it came from.
    origin: list[tuple[int, int, str]] = []
    position = 0
    for edit in [*edits, Edit(len(data), len(data), b"", "")]:
        origin += [(at, at + 1, "") for at in range(position, edit.start)]
        origin += [(edit.start, edit.end, edit.view)] * len(edit.text)
        position = edit.end
    assert len(origin) == len(made.text)
    if not made.text:
        return
    start = draw.draw(st.integers(0, len(made.text) - 1))
    end = draw.draw(st.integers(start + 1, len(made.text)))
    low, high = made.locate(start, end)
    assert (low, high) == (origin[start][0], origin[end - 1][1])
    inside = [edit.view for edit in edits if edit.start < high and edit.end > low]
    assert made.touched(start, end) == tuple(dict.fromkeys(inside))


def test_of_overlapping_edits_the_first_stays() -> None:
    rows = [[Edit(0, 4, b"", "a"), Edit(6, 8, b"", "a")], [], [Edit(2, 5, b"", "b"), Edit(6, 9, b"", "b")]]
    assert merged(rows) == [Edit(0, 4, b"", "a"), Edit(6, 9, b"", "b")]


def test_windows_hold_what_is_near_and_no_more() -> None:
    data = bytes(range(97, 123)) * 100
    edits = [Edit(at, at + 1, b"-", "x") for at in (100, 110, 2000)]
    near = list(windows(data, edits, around=50))
    assert [piece.low for piece in near] == [50, 1950]
    assert [len(piece.text) for piece in near] == [111, 101]
    assert near[1].locate(50, 51) == (2000, 2001)
    assert near[0].locate(0, 3) == (50, 53)


@pytest.mark.parametrize("around", [1, 640])
def test_no_edits_no_windows(around: int) -> None:
    assert list(windows(b"abc", [], around)) == []
