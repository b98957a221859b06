"""Sealed values open with their key, in their place, unchanged, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.errors import StoreError
from unsprawl.secret import Keys
from unsprawl.store.seal import seal, unseal

KEYS = Keys.derive(b"k" * 31 + b"1")


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_was_sealed_opens_again(value: bytes, context: bytes) -> None:
    assert unseal(KEYS, context, seal(KEYS, context, value)) == value


def test_equal_values_look_different_and_the_value_does_not_show() -> None:
    first, second = (seal(KEYS, b"case", b"correct horse battery") for _ in range(2))
    assert first != second
    assert b"horse" not in first + second


@given(st.data())
def test_one_changed_bit_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(seal(KEYS, b"case", b"value"))
    position = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[position // 8] ^= 1 << position % 8
    with pytest.raises(StoreError):
        unseal(KEYS, b"case", bytes(sealed))


@given(st.integers(0, 33))
def test_a_shortened_value_is_noticed(length: int) -> None:
    with pytest.raises(StoreError):
        unseal(KEYS, b"case", seal(KEYS, b"case", b"value")[:length])


def test_another_key_or_another_place_does_not_open_it() -> None:
    sealed = seal(KEYS, b"case", b"value")
    with pytest.raises(StoreError, match="does not open") as caught:
        unseal(Keys.derive(b"k" * 31 + b"2"), b"case", sealed)
    assert caught.value.hint
    with pytest.raises(StoreError, match="does not open"):
        unseal(KEYS, b"another case", sealed)
