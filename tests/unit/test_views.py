"""Segments and decoded texts: nothing twice, nothing lost, and every offset leads back to its place."""

from __future__ import annotations

import base64
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.detectors.containers.streams import Reader
from unsprawl.detectors.matching.engine import Engine, Sight
from unsprawl.detectors.positions import Lines, code_points
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.detectors.views.clues import marks, telling
from unsprawl.detectors.views.encoded import decoded
from unsprawl.detectors.views.segments import segments
from unsprawl.records import Severity

RULE = Rule(
    id="acme.token",
    name="Token",
    provider="acme",
    severity=Severity.HIGH,
    keywords=("tok_",),
    pattern=r"\b(?P<secret>tok_[a-f0-9]{12})\b",
    prefix="tok_",
)
ENGINES = {name: Engine(RuleSet((RULE,)), name, None) for name in ("hyperscan", "fallback")}


@given(st.integers(0, 300_000), st.integers(1000, 100_000))
@settings(max_examples=60, deadline=None)
def test_segments_own_every_byte_once(size: int, piece: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    owned = []
    expected = 0
    for segment in segments(Reader.of(io.BytesIO(body)), piece):
        assert segment.base == expected
        owned.append(segment.data[segment.first : segment.stop])
        expected += len(owned[-1])
        begin = segment.base - segment.first
        assert body[begin : begin + len(segment.data)] == segment.data
        assert segment.last == (begin + len(segment.data) == len(body)) or not segment.last
    assert b"".join(owned) == body


@given(
    st.text(st.sampled_from("aé漢🦊\n "), max_size=200),
    st.sampled_from(["utf-16-le", "utf-16-be"]),
    st.integers(7, 90),
)
@settings(max_examples=100, deadline=None)
def test_utf_16_spans_lead_to_the_bytes_as_they_were_read(text: str, encoding: str, piece: int) -> None:
    mark = "\ufeff".encode(encoding)
    body = mark + text.encode(encoding)
    seen = b""
    for segment in segments(Reader.of(body), piece):
        own = segment.data[segment.first : segment.stop]
        start, end = segment.locate(segment.first, segment.stop)
        try:
            own_text = own.decode()
        except UnicodeDecodeError:
            return  # the border fell into a code point: the spans of whole matches never do
        assert body[start:end].decode(encoding) == own_text
        assert segment.view == "utf-16"
        seen += own
    assert seen.decode() == text


# --- base64 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([b"+/", b"-_"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_an_encoded_token_is_found_wherever_it_stands(
    engine: Engine,
    before: bytes,
    after: bytes,
    signs: bytes,
    padded: bool,
) -> None:
    token = b" tok_0123456789ab "
    run = base64.b64encode(before + token + after, altchars=signs)
    if not padded:
        run = run.rstrip(b"=")
    data = b"key: " + run + b" ."
    runs = [d for d in decoded(data, groups(engine.look(data))) if token in d.text]
    assert runs
    start = runs[0].text.index(token.strip())
    low, high = runs[0].locate(start, start + 16)
    stretch = data[low:high].translate(bytes.maketrans(b"-_", b"+/"))
    assert token.strip() in base64.b64decode(stretch + b"=" * (-len(stretch) % 4))
    assert high - low <= 28


@pytest.mark.parametrize(
    "wrap", [b"\n", b"\r\n", b"\n      ", b"\\n"], ids=["lf", "crlf", "indented", "escaped"]
)
@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_wrapped_base64_is_read_over_its_line_ends(wrap: bytes, before: int, after: int) -> None:
    run = base64.b64encode(b"." * before + b"tok_0123456789ab" + b"." * after)
    data = b"blob:" + wrap + wrap.join(run[at : at + 76] for at in range(0, len(run), 76)) + wrap
    if b"tok_" not in b"".join(d.text for d in decoded(data, groups(ENGINES["hyperscan"].look(data)))):
        # Only where the wrap cuts the keyword itself in two is there nothing to see.
        cut = [
            at for at in range(76, len(run), 76) if at * 3 // 4 - 5 < before + 4 and before < at * 3 // 4 + 1
        ]
        assert cut


def groups(sight: Sight) -> list[int]:
    return [clue.offset for clue in sight.clues if clue.coding == "base64"]


def test_keywords_have_three_encodings_each_with_its_phase() -> None:
    for literal in [mark for mark in marks(telling([RULE])) if mark.coding == "base64"]:
        assert len(literal.core) >= 4
        assert literal.width >= len(literal.core)
    data = b"x" * 5 + base64.b64encode(b"ab tok_0123456789ab")
    assert {group % 4 for group in groups(ENGINES["fallback"].look(data))} == {5 % 4}


def test_a_huge_run_is_decoded_near_its_keywords_only() -> None:
    blob = base64.b64encode(bytes(3_000_000) + b" tok_0123456789ab " + bytes(3_000_000))
    runs = list(decoded(blob, groups(ENGINES["hyperscan"].look(blob))))
    assert len(runs) == 1
    assert b"tok_0123456789ab" in runs[0].text
    assert len(runs[0].text) < 100_000


# --- positions -----------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8), st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_lines_and_columns_whatever_the_bytes_and_the_pieces(
    body: bytes, offsets: list[int], piece: int
) -> None:
    lines = Lines()
    wanted = sorted(offset for offset in offsets if offset <= len(body))
    start = 0
    while True:
        end = min(len(body), start + piece)
        lines.enter(body[start:end], 0)
        for offset in [offset for offset in wanted if start <= offset < end or offset == end == len(body)]:
            before = body[:offset]
            column = code_points(before[before.rfind(b"\n") + 1 :]) + 1
            assert lines.at(offset - start) == (before.count(b"\n") + 1, column)
        if end == len(body):
            return
        lines.leave(end - start)
        start = end


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_code_points_of_text_are_its_characters(text: str) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    assert code_points(clean.encode()) == len(clean)


def test_going_back_is_allowed_within_a_segment() -> None:
    lines = Lines()
    lines.enter(b"a\nb\nc", 0)
    assert lines.at(4) == (3, 1)
    assert lines.at(2) == (2, 1)


@pytest.mark.parametrize("tail", [b"\x00", b"\x3d\xd8", b"\x3d\xd8\x00"])
def test_half_a_character_at_the_end_of_utf_16_is_left_out(tail: bytes) -> None:
    body = b"\xff\xfe" + "password=Saffron2339".encode("utf-16-le") + tail
    (segment,) = segments(Reader.of(body), 1 << 16)
    assert segment.data == b"password=Saffron2339"
    assert segment.locate(9, 20) == (20, 42)
