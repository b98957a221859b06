"""What the classifier reads: windows, features, surfaces."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_pairs import pair

from unsprawl.models.features import BUCKETS, GRAMS, NUMBERS, WORDS, extract
from unsprawl.models.surfaces import surface_of
from unsprawl.models.window import SEGMENTS, WIDTH, window
from unsprawl.records import Document


def part(row: bytes, name: str) -> bytes:
    start, end = SEGMENTS[name]
    return row[start:end].strip(b"\0")


def test_every_stretch_of_a_window_holds_its_part():
    seen = window(*pair())
    assert len(seen.row) == WIDTH
    assert part(seen.row, "value") == b"horse7stable"
    assert part(seen.row, "left") == b"password = '"
    assert part(seen.row, "right") == b"'"
    assert part(seen.row, "name") == b"password"
    assert part(seen.row, "before") == b"a: 1\n"
    assert part(seen.row, "after") == b"b: 2\n"
    assert part(seen.row, "path") == b"app/config.py"
    assert seen.joint == b" = '"


def test_long_values_keep_their_head_and_tail():
    seen = window(*pair(value=b"a" * 64 + b"b" * 64 + b"c" * 16))
    assert part(seen.row, "value") == b"a" * 64 + b"c" * 16


@given(st.binary(max_size=300), st.binary(max_size=600), st.binary(max_size=600), st.text(max_size=80))
def test_any_bytes_give_a_window_and_finite_numbers(value, before, after, path):
    batch = extract([pair(value, before, after, path)], {"generic.password": "generic"})
    assert batch.rows.shape == (1, WIDTH)
    assert batch.numbers.shape == (1, NUMBERS)
    assert np.isfinite(batch.numbers).all()
    assert batch.words.shape == (1, WORDS)
    assert batch.grams.shape == (1, GRAMS)
    assert 0 <= batch.words.min() <= batch.words.max() < BUCKETS
    assert 0 <= batch.grams.min() <= batch.grams.max() < BUCKETS


def test_a_candidate_has_the_same_features_alone_and_in_company():
    pairs = [pair(), pair(b"x" * 40, b"key=", b"", "a.txt"), pair(b"abc", b"\n\n", b"\n", "é/ü.log")] * 30
    together = extract(pairs)
    for number in (0, 1, 2, 89):
        alone = extract([pairs[number]])
        assert (alone.rows == together.rows[number]).all()
        assert np.allclose(alone.numbers, together.numbers[number], atol=1e-6)
        assert (alone.words == together.words[number]).all()
        assert (alone.grams == together.grams[number]).all()


def test_a_word_is_another_one_where_it_stands_elsewhere():
    value = extract([pair(b"tested", b"", b"", "")]).words[0]
    path = extract([pair(b"", b"", b"", "tested")]).words[0]
    assert value.tolist() != path.tolist()


def test_features_are_cheap():
    pairs = [pair()] * 256
    extract(pairs)
    began = time.process_time()
    for _ in range(8):
        extract(pairs)
    # A tenth of this is usual; the bound is for busy machines.
    assert (time.process_time() - began) / (8 * 256) < 1e-3


@pytest.mark.parametrize(
    ("uri", "path", "surface"),
    [
        ("slack://T1/C1/1", "general", "chat"),
        ("jira://ACME-1", "", "issue"),
        ("file:///a/b.yaml", "a/b.yaml", "config"),
        ("file:///a/b.go", "a/b.go", "source"),
        ("file:///logs/build.log", "logs/build.log", "ci"),
        ("file:///README.md", "README.md", "docs"),
        ("file:///x/.bash_history", "x/.bash_history", "shell"),
    ],
)
def test_the_address_or_else_the_path_tells_the_surface(uri, path, surface):
    assert surface_of(Document(uri=uri, path=path, body=b""), path) == surface
