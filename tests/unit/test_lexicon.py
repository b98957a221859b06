"""What a value's characters say of it, at any length."""

from __future__ import annotations

import hashlib

import pytest

from unsprawl import lexicon


@pytest.mark.parametrize("digits", [16, 32, 64, 256, 1024, 4096])
def test_a_drawn_key_is_no_mask_however_long(digits: int) -> None:
    value = hashlib.shake_256(b"key").hexdigest(digits // 2).encode()
    assert not lexicon.is_repetitive(value)
    assert not lexicon.is_placeholder(value)


@pytest.mark.parametrize(
    "value", [b"xxxxxxxx", b"abababababab", b"-" * 300, b"Ax0" * 500, b"01" * 20, b"xy-" * 90]
)
def test_few_characters_or_a_period_are_a_mask(value: bytes) -> None:
    assert lexicon.is_repetitive(value)


def test_bytes_that_count_upwards_are_a_test_vector() -> None:
    assert lexicon.is_repetitive(bytes(range(16)).hex().encode())
