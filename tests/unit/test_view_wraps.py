"""Lines that were broken within a token: which are joined, and that the quick way finds them all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.positions import newlines
from unsprawl.detectors.views import wraps as view
from unsprawl.detectors.views.wraps import _FULL, _likely, wraps

_PREFIXES = (
    "",
    "2026-05-01T10:00:00.1234567Z ",
    "2026-05-01 10:00:00,123 ",
    "[2026-05-01T10:00:00] ",
    "10.1.2.3 | ",
    "web-1 | ",
    "\x1b_bk;t=1\x07",
)
_STARTS = (
    "10.1.2.34 - -",
    "1.2",
    "10.20.30",
    "123.45.x",
    "2026-05-01",
    "x1",
    "a.b",
    "[w",
    "\x1b[33m",
    "9",
    " ",
)
_ENDS = (
    "works.",
    "v6.0.",
    "abcdefgh",
    "abcdefghijkl.",
    "e87d488277852a59a5",
    "=",
    "\r",
    "x\r",
    "abcdefgh1234\r",
    ")",
)

_LINE = st.builds(
    lambda prefix, start, middle, end: prefix + start + middle + end,
    st.sampled_from(_PREFIXES),
    st.sampled_from(_STARTS),
    st.one_of(
        st.sampled_from(("", "a b" * 20, "x" * 71, "y" * 80, "words and words " * 4)),
        # Just as wide as a terminal, with a prefix or without.
        st.integers(40, 80).map("w ".__mul__),
    ),
    st.sampled_from(_ENDS),
)


@given(st.lists(_LINE, max_size=12))
def test_the_quick_way_finds_every_full_line(lines: list[str]) -> None:
    text = "\n".join(lines).encode()
    slow = [found.span() for found in _FULL.finditer(text)]
    assert [found.span() for end in _likely(text) if (found := _FULL.match(text, end))] == slow
    # The quick way is taken from 64 KiB on; what stands below has no part in it.
    long = text + b"\n" + b"- -\n" * (16 << 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "line_ends", None)
        expected = [edit for edit in wraps(text + b"\n- -\n", shown=True) if edit.start < len(text)]
        assert [edit for edit in wraps(long, shown=True) if edit.start < len(text)] == expected


@pytest.mark.skipif(view.line_ends is None, reason="the compiled part was not built")
@given(st.lists(_LINE, max_size=12))
def test_the_compiled_part_misses_no_wrap(lines: list[str]) -> None:
    text = "\n".join(lines).encode()
    found = wraps(text, shown=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "line_ends", None)
        assert wraps(text, shown=True) == found


@given(st.lists(st.sampled_from([b"\n", b"a", b"\r", b"\n" * 300]), max_size=20).map(b"".join), st.data())
def test_newlines_are_counted_in_any_stretch(text: bytes, data: st.DataObject) -> None:
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    assert newlines(text, start, end) == text.count(b"\n", start, end)


def test_a_sentence_that_fills_its_line_is_not_joined_with_the_next() -> None:
    stamp = "2026-05-01T10:00:00.1234567Z "
    sentence = "The bounds are clipped to lie between zero and the length of what is looked".ljust(71, "x")
    text = f"{stamp}{sentence} inclusive.\n{stamp}Downloading\n".encode()
    assert wraps(text, shown=True) == []
    token = f"{stamp}{'x' * 60} ab12cd34ef56gh78.\n{stamp}ij90kl12\n".encode()
    assert [edit.view for edit in wraps(token, shown=True)] == ["log"]


def test_a_line_with_a_time_does_not_go_on_one_without() -> None:
    text = f"{'y' * 80} e87d488277852a59a5\n2026-05-01T10:00:00.1234567Z abc123\n".encode()
    assert wraps(text, shown=True) == []
