"""What is counted and hashed in rows: the compiled part and numpy give the same, to the last bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_pairs import pair

from unsprawl.models import rows
from unsprawl.models.features import GRAMS, NUMBERS, WORDS, extract
from unsprawl.models.together import Together
from unsprawl.models.window import WIDTH, window

PIECES = (b"camelCase", b"TOKEN", b"test42", b"a1b2c3", b"\xc3\xa9", b"\0", b"_-=", b" ", b"\n", b"zz")

built = pytest.mark.skipif(rows.compiled is None, reason="the compiled part was not built")


def filled(how, data):
    count = len(data) // WIDTH
    out = (
        np.zeros((count, NUMBERS), np.float32),
        np.zeros((count, WORDS), np.int32),
        np.zeros((count, GRAMS), np.int32),
    )
    how(data, *out)
    return [part.tobytes() for part in out]


def equal(data):
    assert filled(rows.compiled, data) == filled(rows.by_numpy, data)


@built
@given(st.binary(min_size=WIDTH, max_size=WIDTH))
def test_any_row_is_read_alike(row):
    equal(row)


@built
@given(st.binary(max_size=200), st.binary(max_size=600), st.binary(max_size=600), st.text(max_size=80))
def test_any_window_is_read_alike(value, before, after, path):
    equal(window(*pair(value, before, after, path)).row)


@built
def test_rows_full_of_words_and_of_none_are_read_alike():
    draw = random.Random(7)
    text = b"".join(draw.choice(PIECES) for _ in range(9000))
    equal(text[: len(text) // WIDTH * WIDTH])
    equal(b"a1" * (WIDTH // 2) + bytes(WIDTH) + b"\xff" * WIDTH + b"x" * WIDTH)


@built
def test_the_compiled_part_refuses_what_does_not_fit():
    numbers, words, grams = (np.zeros((1, width), np.float32) for width in (NUMBERS, WORDS, GRAMS))
    assert rows.compiled is not None
    with pytest.raises(ValueError, match="differ in number"):
        rows.compiled(bytes(2 * WIDTH), numbers, words, grams)
    with pytest.raises(ValueError, match="differ in number"):
        rows.compiled(bytes(WIDTH - 1), numbers, words, grams)
    with pytest.raises((BufferError, TypeError)):
        rows.compiled(bytes(WIDTH), bytes(numbers), words, grams)


def test_without_the_compiled_part_the_features_are_the_same(monkeypatch):
    pairs = [pair(), pair(b"x" * 90, b"key=", b"", "a.txt"), pair(b"abc", b"\n\n", b"\n", "é/ü.log")]
    fast = extract(pairs)
    monkeypatch.setattr(rows, "compiled", None)
    slow = extract(pairs)
    for part in ("rows", "numbers", "words", "grams"):
        assert (getattr(fast, part) == getattr(slow, part)).all()


def test_patterns_are_asked_together():
    asked = Together("(?i)prod", r"\btest\b", "x$")
    assert sorted(asked(b"PROD test")) == [0, 1]
    assert sorted(asked(b"attest x")) == [2]
    assert not asked(b"nothing")
    assert asked.count == 3


def test_text_is_read_as_characters_where_it_is_text():
    assert Together("^.$", utf8=True)("é".encode())
    assert not Together("^.$")("é".encode())
