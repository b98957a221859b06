"""Hexadecimal and compressed data: found wherever they stand, unpacked within limits, never an error."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.detectors.views.packed import hexadecimal, unpacked, unpacked_here
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document, Skipped

TOKEN = fill("<github-token:ghp_>", "packed")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.fixture(scope="module", params=["auto", "fallback"])
def detector(request: pytest.FixtureRequest) -> ContentDetector:
    return build(backend=request.param)


def scan(detector: ContentDetector, body: bytes) -> list[Candidate]:
    events = list(detector.scan(Document(uri="file:///x.txt", body=body, path="x.txt")))
    return [event for event in events if isinstance(event, Candidate) and event.secret.text() == TOKEN]


def wrapped(text: bytes) -> bytes:
    return b"\n".join(text[at : at + 76] for at in range(0, len(text), 76))


@pytest.mark.parametrize("view", PACKERS)
@pytest.mark.parametrize("wrap", [bytes, wrapped], ids=["line", "wrapped"])
def test_compressed_data_in_base64(
    detector: ContentDetector, view: str, wrap: Callable[[bytes], bytes]
) -> None:
    text = "".join(f"line {n} of some log\n" for n in range(40)) + f"token: {TOKEN}\n"
    blob = wrap(base64.b64encode(PACKERS[view](text.encode())))
    (found,) = scan(detector, b"user_data: " + blob + b"\nnext: 1\n")
    assert found.views == ("base64", view)
    assert (found.start, found.end) == (11, 11 + len(blob))


@pytest.mark.parametrize("upper", [False, True])
def test_hexadecimal(detector: ContentDetector, upper: bool) -> None:
    digits = f"GITHUB={TOKEN} ".encode().hex()
    body = f"data=0x{digits.upper() if upper else digits};".encode()
    (found,) = scan(detector, body)
    assert found.views == ("hex",)
    assert bytes.fromhex(body[found.start : found.end].decode()) == TOKEN.encode()


def test_gzip_in_hexadecimal(detector: ContentDetector) -> None:
    (found,) = scan(detector, b"payload " + gzip.compress(f"a {TOKEN} b".encode()).hex().encode())
    assert found.views == ("hex", "gzip")


def test_encodings_of_encodings(detector: ContentDetector) -> None:
    inner = base64.b64encode(gzip.compress(f"token = {TOKEN}".encode()))
    outer = base64.b64encode(gzip.compress(b"data: " + inner + b"\n" + b"x" * 100))
    (found,) = scan(detector, b"x: " + outer)
    assert found.views == ("base64", "gzip")
    assert (found.start, found.end) == (3, 3 + len(outer))


def test_a_bomb_is_cut_and_said_so(detector: ContentDetector) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(300_000_000), 9))
    events = list(detector.scan(Document(uri="file:///x", body=b"a: " + bomb, path="x")))
    assert [event.reason for event in events if isinstance(event, Skipped)] == [
        "something encoded unpacks to more than is read of it"
    ]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_without_an_error(data: bytes, offsets: list[int]) -> None:
    inside = [offset for offset in offsets if offset < len(data)]
    for piece in [*hexadecimal(data, inside), *unpacked(data, inside)]:
        assert 0 <= piece.start < piece.end <= len(data)


@pytest.mark.parametrize("view", PACKERS)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damage_is_no_error(view: str, draw: st.DataObject) -> None:
    packed = bytearray(PACKERS[view](bytes(range(200)) * 5))
    for _ in range(3):
        packed[draw.draw(st.integers(3, len(packed) - 1))] = draw.draw(st.integers(0, 255))
    unpacked_here(bytes(packed[: draw.draw(st.integers(1, len(packed)))]))
