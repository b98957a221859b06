"""Drawn runs: the compiled search and the definition agree, and nothing is lost by searching only there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.matching import drawn
from unsprawl.detectors.matching.drawn import drawn_lead, is_drawn
from unsprawl.detectors.matching.engine import Engine
from unsprawl.detectors.rulebook import contextual
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.records import Candidate, Document, Severity

_RUN = re.compile(rb"[A-Za-z0-9_+/=-]{15,}")
_SPACED = re.compile(rb"(?:[A-Za-z0-9_+/=-] ){8,}[A-Za-z0-9_+/=-]?")


def stretches(data: bytes, back: int) -> Iterator[tuple[int, int]]:
    """The definition: drawn and spaced runs with what stands before them, joined where they touch."""
    start = end = -1
    drawn_runs = [run for run in _RUN.finditer(data) if is_drawn(run[0])]
    for run in sorted([*drawn_runs, *_SPACED.finditer(data)], key=re.Match.start):
        low = max(0, run.start() - back)
        if low > end or end < 0:
            if end >= 0:
                yield start, end
            start = low
        end = run.end()
    if end >= 0:
        yield start, end


TEXTS = st.lists(
    st.sampled_from(
        [
            b"a",
            b"aB",
            b"aBcDeF",
            b"7",
            b" ",
            b"\n",
            b"_",
            b"=",
            b"\xe4",
            b"\0",
            b"x" * 13,
            b"x" * 70,
            b" " * 61,
            b"a b ",
            b"a 7 " * 4,
            b"_ " * 40,
        ]
    ),
    max_size=40,
).map(b"".join)


@pytest.mark.skipif(drawn.excerpt is None, reason="the compiled part was not built")
@given(TEXTS, st.sampled_from([0, 3, 90]))
def test_an_excerpt_is_the_drawn_runs_and_what_stands_before_them(data: bytes, back: int) -> None:
    assert drawn.excerpt is not None
    text, begins, sources = drawn.excerpt(data, back)
    expected = [*stretches(data, back)]
    assert text == b"".join(data[start:end] for start, end in expected)
    assert [*memoryview(sources).cast("q")] == [start for start, _ in expected]
    for begin, (start, end) in zip(memoryview(begins).cast("q"), expected, strict=True):
        assert text[begin : begin + end - start] == data[start:end]


@pytest.mark.skipif(drawn.excerpt is None, reason="the compiled part was not built")
@given(TEXTS, st.sampled_from([b"t o k e n", b"s e c r e t _ k e y _ x x x", b"a p i k e y a 7 "]), TEXTS)
def test_what_announces_spaced_characters_is_in_the_excerpt(
    before: bytes, mark: bytes, behind: bytes
) -> None:
    assert drawn.excerpt is not None
    data = before + mark + behind
    start, end = len(before), len(before) + len(mark)
    if drawn.in_spaced(data, start, end):
        assert any(
            low <= start and end <= high for low, high in stretches(data, drawn.SPACED_BEFORE + len(mark) + 1)
        )


def test_a_keyword_announces_spaced_characters_within_and_shortly_behind_it() -> None:
    spaced = b"x 1 " * 8
    assert drawn.in_spaced(b"t o k e n " + spaced, 0, 9)
    assert drawn.in_spaced(b"t o k e n : " + spaced, 0, 9)
    assert drawn.in_spaced(spaced + b"t o k e n", len(spaced), len(spaced) + 9)
    assert not drawn.in_spaced(b"t o k e n" + b" : " * 4 + spaced, 0, 9)
    assert not drawn.in_spaced(spaced + b"; t o k e n", len(spaced) + 2, len(spaced) + 11)


@pytest.mark.skipif(drawn.excerpt is None, reason="the compiled part was not built")
def test_a_place_in_an_excerpt_is_a_place_in_its_text() -> None:
    assert drawn.excerpt is not None
    data = b" " * 100 + b"one=a0a0a0a0a0a0a0a0" + b" " * 300 + b"two=b1b1b1b1b1b1b1b1 end"
    taken = drawn.excerpt(data, 2)
    first, second = data.index(b"a0a0 "), data.index(b"b1b1 ")
    assert [*drawn.located([(22, 22), (44, 44)], taken)] == [(first + 4, first + 4), (second + 4, second + 4)]
    # Hits that were joined over a gap are taken for hits of both sides.
    assert [*drawn.located([(20, 30)], taken)] == [
        (first + 2, first + 4),
        (data.index(b"two=") - 1, second - 10),
    ]


ALL = "all"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[a-f0-9]{32}", ALL),
        ("[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}", ALL),
        ("sk_(?:live|test)_[A-Za-z0-9]{20,30}", ALL),
        ("[A-Za-z0-9]{32}|[A-Za-z0-9+/]{22}==", ALL),
        (r"eyJ[A-Za-z0-9_-]{20}\.[A-Za-z0-9_-]{20}", "eyJ[A-Za-z0-9_-]{20}"),
        (r"[a-f0-9]{32}(?:\.[0-9]{1,9})?|[0-9]{20}:[a-z]", "[a-f0-9]{32}|[0-9]{20}"),
        ("[A-Za-z0-9]{14}", ""),  # too short
        ("[A-Za-z0-9]{40}|[a-z0-9]{8}", ""),
        (r"[A-Za-z0-9]{12}\.[A-Za-z0-9]{30}", ""),
        ("[A-Za-z]{32}|[0-9]{32}", ""),  # may have no digit
        ("[A-Za-z0-9.]{40}", ""),  # not within one run
        (r"[a-z0-9]{20}\K", ""),  # syntax that is not read
    ],
)
def test_the_drawn_run_a_value_begins_with(pattern: str, expected: str) -> None:
    assert drawn_lead(pattern) == (pattern if expected is ALL else expected)


def named(identifier: str, word: str, value: str) -> Rule:
    return Rule(
        id=identifier,
        name=identifier,
        provider="acme",
        severity=Severity.HIGH,
        keywords=contextual.keywords([word]),
        pattern=contextual.pattern([word], value),
        superset=contextual.superset([word], drawn_lead(value) or value),
        kind="contextual",
        context=(word,),
        value=value,
        drawn=bool(drawn_lead(value)),
    )


RULES = RuleSet(
    (
        named("acme.hex", "acme", "[a-f0-9]{16}"),
        named("acme.long", "long name", "[A-Za-z0-9_-]{20,60}"),
        named("acme.short", "acme", "[a-z0-9]{6}"),
        named("acme.parts", "acme", r"[A-Za-z0-9_-]{16,40}\.[a-z]{2,9}:[0-9]{4}"),
        Rule(
            id="acme.exact",
            name="exact",
            provider="acme",
            severity=Severity.HIGH,
            keywords=("tok_",),
            pattern="tok_[a-z]{8}",
            prefix="tok_",
        ),
    )
)
HYPERSCAN = Engine(RULES, "hyperscan", None)
FALLBACK = Engine(RULES, "fallback", None)
PIECES = st.lists(
    st.sampled_from(
        [
            b"acme_key=",
            b"ACME: ",
            b"longName = '",
            b"long-name",
            b"0123456789abcdef",
            b"abcdefabcdefabcd",
            b"aBcDeFgHiJkLmNoPqRsTu",
            b"abcdefghijklmnopqrstu",
            b"tok_abcdefgh",
            b"a1b2c3",
            b".secret:2024",
            b"dG9rX2FiY2RlZmdo",  # the exact token in base64, with a digit and without
            b"746f6b5f6162636465666768",
            b"'",
            b" ",
            b"\n",
            b"." * 30,
            b" word" * 60,
        ]
    ),
    max_size=30,
).map(b"".join)


def spans(engine: Engine, data: bytes) -> list[tuple[str, int, int, int, int]]:
    return sorted((m.rule.id, m.start, m.end, m.match_start, m.match_end) for m in engine.matches(data))


def candidates(engine: Engine, data: bytes) -> list[object]:
    found = ContentDetector(RULES, engine).scan(Document(uri="file:///a.txt", path="a.txt", body=data))
    return [(one.rule, one.start, one.end, one.views) for one in found if isinstance(one, Candidate)]


@given(PIECES)
def test_engines_agree_on_drawn_values_with_the_compiled_part_and_without(data: bytes) -> None:
    expected = spans(FALLBACK, data)
    assert spans(HYPERSCAN, data) == expected
    reported = candidates(FALLBACK, data)
    assert candidates(HYPERSCAN, data) == reported
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "excerpt", None)
        assert spans(HYPERSCAN, data) == expected
        assert candidates(HYPERSCAN, data) == reported


def test_a_drawn_value_has_a_digit_or_changes_its_case() -> None:
    def found(text: bytes) -> list[str]:
        return [match.rule.id for match in HYPERSCAN.matches(text)]

    assert found(b"long_name_key = " + b"abcdefghij0123456789") == ["acme.long"]
    assert found(b"long_name_key = " + b"aBcDeFgHiJkLmNoPqRsT") == ["acme.long"]
    assert found(b"long_name_key = " + b"get_by_long_name_of_it") == []
    assert found(b"acme_key = abcdefghij0123456789.part:2024") == ["acme.parts"]
    assert found(b"acme_key = abcdefghijabcdefghij.part:2024") == []
    assert found(b"acme = abcdef") == ["acme.short"]  # a short one need not be drawn
