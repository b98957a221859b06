"""The law of redaction, for any value in any text: no eight characters of it in a row leave."""

from __future__ import annotations

import base64
from urllib.parse import quote

from hypothesis import assume, example, given
from hypothesis import strategies as st

from unsprawl.printable import printable
from unsprawl.redaction import _RUN, _WORD, Redactor
from unsprawl.secret import Secret

ALPHABET = "abcABC012 /+=_-.:@%&?\"'\\\n\r\t\x1b[m…é\u200b\U0001f600"
TEXTS = st.text(alphabet=ALPHABET, max_size=60)
VALUES = st.text(alphabet=ALPHABET, min_size=4, max_size=60)
REDACTOR = Redactor()


def stretches(value: str, length: int = 8) -> set[str]:
    """What must not be seen of a value, as it would be printed."""
    shown = printable(value).strip()
    if len(shown) < length:
        return {shown} if len(shown) >= 6 else set()
    return {shown[at : at + length] for at in range(len(shown) - length + 1)}


def leaks(shown: str, value: str) -> list[str]:
    return [piece for piece in stretches(value) if piece in shown]


@given(TEXTS, VALUES, TEXTS, st.integers(0, 60), st.integers(0, 60))
@example("abcd", "abcd…efgh", "efgh", 0, 9)
@example("abc", "abcabcabcabcabc", "abc", 2, 14)
def test_text_holds_no_stretch_of_a_known_value(
    before: str, value: str, after: str, start: int, end: int
) -> None:
    for part in (value, value[start:], value[:end], value[start:] + value[:end]):
        assert leaks(REDACTOR.text(before + part + after, [Secret(value)]), value) == []


@given(TEXTS, st.text(alphabet=ALPHABET, min_size=16, max_size=60), TEXTS)
def test_text_holds_no_encoded_value(before: str, value: str, after: str) -> None:
    assume(printable(value).strip() == value)
    for encoded in (quote(value, safe=""), base64.b64encode(value.encode()).decode(), value.encode().hex()):
        shown = REDACTOR.text(before + encoded + after, [Secret(value)])
        assert not any(piece in shown for piece in stretches(encoded.rstrip("=")[:-1], 20))


@given(TEXTS, VALUES, TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_a_context_holds_the_preview_and_no_more(
    before: str, value: str, after: str, start: int, end: int
) -> None:
    secret = Secret(value)
    # The window may begin or end within another copy of the value.
    left, right = (value[start:] + before).encode(), (after + value[:end]).encode()
    shown = REDACTOR.context(left, value.encode(), right, secret, [secret])
    for piece in shown.split(secret.preview) if secret.preview in shown else [shown]:
        assert leaks(piece, value) == []


@given(st.binary(max_size=80), st.binary(min_size=1, max_size=40), st.binary(max_size=80))
def test_a_context_of_any_bytes_is_printable(before: bytes, value: bytes, after: bytes) -> None:
    shown = REDACTOR.context(before, value, after, Secret(value))
    assert printable(shown, lines=True) == shown
    shown.encode()


@given(st.text(max_size=200))
def test_text_is_printable_and_settled(text: str) -> None:
    shown = REDACTOR.text(text)
    assert printable(shown) == shown
    assert REDACTOR.text(shown) == shown
    shown.encode()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=12,
    ),
    VALUES,
)
def test_attributes_hold_no_stretch_of_a_known_value(tree: object, value: str) -> None:
    shown = REDACTOR.attrs({"tree": [tree, value], value: 1}, [Secret(value)])  # type: ignore[list-item]

    def texts(node: object) -> list[str]:
        if isinstance(node, dict):
            return [*node, *(text for each in node.values() for text in texts(each))]
        if isinstance(node, list):
            return [text for each in node for text in texts(each)]
        return [node] if isinstance(node, str) else []

    assert [leak for text in texts(shown) for leak in leaks(text, value)] == []


_PIECES = st.sampled_from(
    ["sha256:", "md5-", "blake2b:", "/", "=", "-", "_", ".", " ", "é", "0f" * 16, "b7A" * 13, "word"]
)


@example(["sha256:", "b7A" * 13, "/", "b7A" * 13])
@example(["é", "md5-", "0f" * 16, "-", "b7A" * 13, "="])
@given(st.lists(st.one_of(_PIECES, st.uuids().map(str), st.text("abF0189-_+/:= é", max_size=30))))
def test_a_run_holds_every_word_in_it_whole(pieces: list[str]) -> None:
    """Words are looked for run by run: that must give what a search of the whole text gives."""
    text = "".join(pieces)
    within = [match for run in _RUN.finditer(text) for match in _WORD.finditer(text, *run.span())]
    whole = list(_WORD.finditer(text))
    assert [(match.span(), match.lastgroup) for match in within] == [
        (match.span(), match.lastgroup) for match in whole
    ]
