"""Templates become values, the same every time, and with the checksums that real ones have."""

from __future__ import annotations

import base64
import json
import re
import zlib

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.placeholders import base62_crc32, fill

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("template", "shape"),
    [
        ("<alnum:36>", r"[A-Za-z0-9]{36}"),
        ("<digits:12>", r"[0-9]{12}"),
        ("<hex:32>", r"[0-9a-f]{32}"),
        ("<upper:8>", r"[A-Z]{8}"),
        ("<lower:8>", r"[a-z]{8}"),
        ("<base32:16>", r"[A-Z2-7]{16}"),
        ("<base64:40>", r"[A-Za-z0-9+/]{40}"),
        ("<base64url:43>", r"[A-Za-z0-9_-]{43}"),
        ("<alnum:20-24>", r"[A-Za-z0-9]{20,24}"),
        ("<uuid>", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("<word>", r"[a-z]{4,}"),
        ("<password>", r"[A-Z][a-z]+[!#%*+-][a-z]+[0-9]{2,4}"),
        ("pre_<digits:3>_post", r"pre_[0-9]{3}_post"),
    ],
)
def test_every_placeholder_has_its_shape(template: str, shape: str) -> None:
    assert re.fullmatch(shape, fill(template))


@given(st.text(max_size=60), st.text(max_size=8))
def test_the_same_template_and_seed_give_the_same_text(template: str, seed: str) -> None:
    text = f"{template}<alnum:20>"
    assert fill(text, seed) == fill(text, seed)


def test_another_seed_another_place_another_value() -> None:
    assert fill("<alnum:20>", "a") != fill("<alnum:20>", "b")
    first, second = fill("<alnum:20> <alnum:20>").split()
    assert first != second


@pytest.mark.parametrize(
    "text", ["<strong>", "<a href='x'>", "<alnum>", "<alnum:x>", "a < b > c", "<your key>"]
)
def test_other_angle_brackets_are_left_alone(text: str) -> None:
    assert fill(text) == text


def test_a_drawn_value_holds_every_class_and_ends_in_a_letter_or_digit() -> None:
    for number in range(200):
        value = fill("<base64url:9>", str(number))
        assert re.search("[a-z]", value)
        assert re.search("[A-Z]", value)
        assert re.search("[0-9]", value)
        assert value[0].isalnum()
        assert value[-1].isalnum()


def test_a_checksum_is_the_crc_of_the_thirty_characters_before_it() -> None:
    body = fill("<github-token:x_>").removeprefix("x_")
    number = 0
    for char in body[30:]:
        number = number * 62 + BASE62.index(char)
    assert number == zlib.crc32(body[:30].encode())
    assert base62_crc32(b"") == "000000"


def test_a_key_id_holds_its_account() -> None:
    key_id = fill("<aws-key-id:123456789012>")
    raw = int.from_bytes(base64.b32decode(key_id[4:])[:6], "big")
    assert raw >> 7 & 0xFFFFFFFFFF == 123456789012
    assert fill("<aws-key-id:ASIA:123456789012>").startswith("ASIA")


@pytest.mark.parametrize(("kind", "expiry"), [("valid", 4070908800), ("expired", 1577836800)])
def test_a_jwt_can_be_read(kind: str, expiry: int) -> None:
    header, claims, signature = fill(f"<jwt:{kind}>").split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["alg"] == "HS256"
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["exp"] == expiry
    assert signature


@pytest.mark.parametrize("kind", ["rsa", "ec", "pkcs8"])
def test_a_private_key_loads(kind: str) -> None:
    assert load_pem_private_key(fill(f"<pem:{kind}>").encode(), None)


def test_an_openssh_key_loads() -> None:
    assert load_ssh_private_key((fill("<pem:openssh>") + "\n").encode(), None)


def test_an_escaped_key_is_one_line() -> None:
    text = fill("<pem:ec:escaped>")
    assert "\n" not in text
    assert load_pem_private_key(text.replace("\\n", "\n").encode(), None)


def test_an_unknown_kind_of_key_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown kind of key"):
        fill("<pem:steel>")
