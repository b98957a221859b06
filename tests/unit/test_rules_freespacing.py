"""Free spacing is stripped to what both engines read, and the public prefix is found in what is left."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.rulebook.freespacing import literal_prefix, strip


@pytest.mark.parametrize(
    ("written", "stripped"),
    [
        ("a b\n c", "abc"),
        ("a # a comment\nb", "ab"),
        ("a [ #] b", "a[ #]b"),
        (r"a \  b", r"a\x20b"),
        (r"a \# b", r"a\#b"),
        ("[]a ] b", "[]a ]b"),
        ("[^]a ] b", "[^]a ]b"),
        (r"[\] ] x", r"[\] ]x"),
        ("a #", "a"),
        ("a \\", "a\\"),
        ("", ""),
    ],
)
def test_blanks_and_comments_go(written: str, stripped: str) -> None:
    assert strip(written) == stripped


@given(
    st.lists(
        st.sampled_from(["a", "b", "[x y]", r"\.", r"\ ", "(", ")", " ", "\n", "# c\n", "|"]), max_size=12
    )
)
def test_the_stripped_pattern_means_what_python_reads(pieces: list[str]) -> None:
    written = "".join(pieces)
    try:
        verbose = re.compile(written, re.VERBOSE)
    except re.error:
        return
    plain = re.compile(strip(written))
    for text in ("", "a", "b", "ab", "x", " ", "a b", ".", "ax", "a.b "):
        assert bool(verbose.fullmatch(text)) == bool(plain.fullmatch(text))


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        (r"\b(?P<secret>ghp_[A-Za-z0-9]{36})", "ghp_"),
        (r"(?P<secret>pypi-AgE(?:a|b))", "pypi-AgE"),
        (r"(?P<secret>SG\.[a-z]{3}\.x)", "SG."),
        (r"(?P<secret>abcd?[0-9])", "abc"),
        (r"(?P<secret>abc{2}x)", ""),
        (r"(?P<secret>abcd|efgh)", ""),
        (r"(?P<secret>abcd(?:x|y))", "abcd"),
        (r"(?P<secret>[a-z]{8})", ""),
        (r"(?P<secret>ab[0-9])", ""),
        (r"(?P<secret>\d+)", ""),
        (r"no group", ""),
    ],
)
def test_the_prefix_is_what_every_value_starts_with(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix
