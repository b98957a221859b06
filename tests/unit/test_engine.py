"""The engine: both backends find the same, exactly once, and at a bounded cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.detectors.cache import recall, remember
from unsprawl.detectors.matching.confirm import Tally
from unsprawl.detectors.matching.engine import GATE, Engine
from unsprawl.detectors.matching.pattern import LONGEST, shape
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.errors import ConfigError, RuleError
from unsprawl.records import Severity


def rule(identifier: str, pattern: str, *keywords: str, **more: object) -> Rule:
    return Rule(
        id=identifier,
        name=identifier,
        provider="acme",
        severity=Severity.HIGH,
        keywords=keywords,
        pattern=pattern,
        **more,  # type: ignore[arg-type]
    )


RULES = RuleSet(
    (
        rule("acme.token", r"\b(?P<secret>tok_[a-f0-9]{8,})\b", "tok_"),
        rule("acme.pair", r"(?P<account>[a-z]{2,6}):(?P<secret>[0-9]{4,12})@acme", "@acme"),
        rule("acme.line", r"^pin=(?P<secret>[0-9]{4,8})$", "pin="),
        rule("acme.assigned", r"(?i)passw\s*[:=]\s*(?P<secret>[^\s'\"]{4,32})", "passw", kind="generic"),
        rule("acme.gated", r"\b(?P<secret>[0-9a-f]{16})\b", "dogdata", kind="contextual"),
        rule("acme.ahead", r"key(?!less)(?P<secret>[a-z0-9]{6})", "key", superset=r"key[a-z0-9]{6}"),
        rule("acme.block", r"BEGIN KEY(?P<secret>[\s\S]{4,}?)END KEY", "begin key"),
        rule("acme.plain", r"plain-[0-9]{4}", "plain-"),
    )
)
HYPERSCAN = Engine(RULES, "hyperscan", None)
FALLBACK = Engine(RULES, "fallback", None)
Span = tuple[str, int, int, tuple[tuple[str, tuple[int, int]], ...], int, int]


def spans(engine: Engine, data: bytes) -> list[Span]:
    return sorted(
        (m.rule.id, m.start, m.end, tuple(sorted(m.groups.items())), m.match_start, m.match_end)
        for m in engine.matches(data)
    )


FRAGMENTS = st.one_of(
    st.sampled_from(
        [
            b"tok_",
            b"deadbeef",
            b"0123456789",
            b"ab:1234@acme",
            b"\npin=",
            b"pin=4711\n",
            b"PASSW =",
            b"passw:",
            b"dogdata",
            b"0011223344556677",
            b"key",
            b"keyless",
            b"BEGIN KEY",
            b"END KEY",
            b"plain-2024",
            b" ",
            b"\n",
            b"\x0b",
            b"\xff",
            b"'",
        ]
    ),
    st.binary(max_size=12),
)


@given(st.lists(FRAGMENTS, max_size=40).map(b"".join))
@settings(max_examples=400, deadline=None)
def test_both_engines_find_the_same(data: bytes) -> None:
    assert spans(HYPERSCAN, data) == spans(FALLBACK, data)


@given(st.lists(FRAGMENTS, max_size=30).map(b"".join))
@settings(max_examples=200, deadline=None)
def test_matches_are_those_of_a_plain_search_over_the_whole_text(data: bytes) -> None:
    expected = [
        m.span("secret")
        for m in re.finditer(rb"\btok_[a-f0-9]{8,}\b".replace(b"tok", b"(?P<secret>tok") + b")", data)
    ]
    assert [(s[1], s[2]) for s in spans(HYPERSCAN, data) if s[0] == "acme.token"] == expected


@given(st.lists(st.lists(FRAGMENTS, max_size=6).map(b"".join), max_size=12))
@settings(max_examples=400, deadline=None)
def test_what_is_quiet_among_others_holds_nothing_alone(texts: list[bytes]) -> None:
    for text, quiet in zip(texts, HYPERSCAN.quiet(texts), strict=True):
        assert not (quiet and any(HYPERSCAN.look(text)))
    assert not any(FALLBACK.quiet(texts))


def test_texts_with_edges_of_their_own_are_not_looked_at_together() -> None:
    edged = rule("acme.edge", r"\A(?P<secret>top-[0-9]{4})", "top-")
    assert Engine(RuleSet((edged,)), "hyperscan", None).quiet([b"plain", b"top-4711"]) == [False, False]
    plain = rule("acme.edge", r"(?P<secret>top-[0-9]{4})", "top-")
    assert Engine(RuleSet((plain,)), "hyperscan", None).quiet([b"plain", b"top-4711"]) == [True, False]


@pytest.mark.parametrize("engine", [HYPERSCAN, FALLBACK], ids=["hyperscan", "fallback"])
def test_groups_spans_and_anchors(engine: Engine) -> None:
    data = b"see ab:123456@acme\npin=4711\npin=12x\nplain-2024"
    assert spans(engine, data) == [
        ("acme.line", 23, 27, (), 19, 27),
        ("acme.pair", 7, 13, (("account", (4, 6)),), 4, 18),
        ("acme.plain", 36, 46, (), 36, 46),
    ]


@pytest.mark.parametrize("engine", [HYPERSCAN, FALLBACK], ids=["hyperscan", "fallback"])
def test_look_around_needs_no_luck(engine: Engine) -> None:
    assert [s[0] for s in spans(engine, b"keyless99 key123abc")] == ["acme.ahead"]


@pytest.mark.parametrize("engine", [HYPERSCAN, FALLBACK], ids=["hyperscan", "fallback"])
def test_a_rule_without_a_literal_needs_its_keyword_near(engine: Engine) -> None:
    value = b"00112233aabbccdd"
    assert spans(engine, value) == []
    near = b"DogData" + b" " * (GATE - 100) + value
    far = b"DogData" + b" " * (GATE + 100) + value
    assert [s[0] for s in spans(engine, near)] == ["acme.gated"]
    assert spans(engine, far) == []


@pytest.mark.parametrize("engine", [HYPERSCAN, FALLBACK], ids=["hyperscan", "fallback"])
def test_a_long_match_is_taken_whole(engine: Engine) -> None:
    value = b"tok_" + b"abcdef01" * 1500
    assert [(s[1], s[2]) for s in spans(engine, b"x " + value + b" y")] == [(2, 2 + len(value))]


@pytest.mark.parametrize("engine", [HYPERSCAN, FALLBACK], ids=["hyperscan", "fallback"])
def test_a_flood_of_matches_cost_a_remark_and_not_an_hour(engine: Engine) -> None:
    near = b"passw = ab cdef\n" * 50_000
    tally = Tally(size=len(near))
    assert engine.search(near, tally) == []
    assert tally.searches.get("acme.assigned", 0) < 10  # what lies together is searched together
    flood = b"passw = abcdef\n" * 50_000
    tally = Tally(size=1000)
    assert 1000 < len(engine.search(flood, tally)) < 10_000
    assert tally.struck == {"acme.assigned"}


def test_matches_may_be_asked_for_from_an_offset_on() -> None:
    data = b"tok_00000000 tok_11111111"
    sight = HYPERSCAN.look(data)
    assert [m.start for m in HYPERSCAN.confirm(data, sight.windows, Tally(), begin=1)] == [13]
    assert [m.start for m in HYPERSCAN.confirm(data, sight.windows, Tally(), 0, {"acme.token": 12})] == [13]


def test_the_database_is_kept_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    Engine(RULES, "hyperscan", tmp_path)
    files = sorted(tmp_path.iterdir())
    # The main one, those of drawn values and behind the keyword gate, each with what it misses; the shapes.
    kinds = [file.name.partition("-")[0] for file in files]
    assert kinds == [*["hyperscan"] * 3, *["missed"] * 3, "shapes"]
    before = [file.read_bytes() for file in files]
    stamp = [file.stat().st_mtime_ns for file in files]
    Engine(RULES, "hyperscan", tmp_path)
    assert [file.stat().st_mtime_ns for file in files] == stamp
    for file, whole in zip(files, before, strict=True):
        for damage in (b"", b"short", whole[:-40] + b"x" + whole[-39:]):
            file.write_bytes(damage)
            engine = Engine(RULES, "hyperscan", tmp_path)
            assert spans(engine, b" tok_deadbeef ")
            assert file.read_bytes() == whole
    assert sorted(tmp_path.iterdir()) == files


def test_old_databases_are_thrown_away(tmp_path: Path) -> None:
    for number in range(20):
        remember(tmp_path, f"kind-{number}.db", b"x")
        remember(tmp_path, f"other-{number % 2}.db", b"y")
    assert len(list(tmp_path.glob("kind-*"))) == 8
    assert recall(tmp_path, "kind-19.db") == b"x"
    assert recall(tmp_path, "other-0.db") == b"y"


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    assert spans(Engine(RULES, "hyperscan", blocked / "cache"), b" tok_deadbeef ")


def test_a_pattern_that_hyperscan_refuses_names_its_rule(tmp_path: Path) -> None:
    bad = RuleSet((rule("acme.bad", r"abc(?P<secret>x)\1", "abc", file="acme.yaml", line=7),))
    with pytest.raises(RuleError, match=r"acme.yaml:7: rule 'acme.bad'"):
        Engine(bad, "hyperscan", tmp_path)


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown engine 'turbo'"):
        Engine(RULES, "turbo", None)


@pytest.mark.parametrize(
    ("pattern", "expression"),
    [
        (r"tok_[a-f]{8,40}", r"tok_[a-f]{8}"),
        (r"tok_[a-f]{8,40}\b", r"tok_[a-f]{8}"),
        (r"tok_[a-f]+(?:'|$)", r"tok_[a-f]"),
        (r"tok_(?P<secret>[a-f]{8,})", r"tok_(?P<secret>[a-f]{8})"),
        (r"tok_(?:[a-f]+|[0-9]{2,3})", r"tok_(?:[a-f]|[0-9]{2})"),
        (r"a{2,}|b*c?d", r"a{2}|b*c?d"),
        (r"tok_[a-f]{8,}=", r"tok_[a-f]{8,}="),
        (r"tok_[^]a-f]{8,}", r"tok_[^]a-f]{8}"),
        (r"tok\s[\s,]+x", r"tok[\t\n\f\r\x20][\t\n\f\r\x20,]+x"),
    ],
)
def test_hyperscan_stops_where_a_match_is_certain(pattern: str, expression: str) -> None:
    assert shape(pattern).expression == expression


@pytest.mark.parametrize(
    ("pattern", "back", "ahead", "selective"),
    [
        (r"tok_[a-f]{8,40}", 12, 44, True),
        (r"\b[0-9a-f]{32}\b", 32, 32, False),
        (r"gh[pousr]_[a-z]{36}", 40, 40, True),
        (r"(?:ab|cde)[0-9]{4}", 7, 7, True),
        (r"(?:a|cde)[0-9]{4}", 7, 7, False),
        (r"(?i)secret\s*=\s*x", 136, 136, True),
        (r"\Qliteral\E", LONGEST, LONGEST, True),
    ],
)
def test_what_a_pattern_tells_of_its_reach(pattern: str, back: int, ahead: int, selective: bool) -> None:
    found = shape(pattern)
    assert (found.back, found.ahead, found.selective) == (back, ahead, selective)


@given(st.binary(max_size=200), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_a_trimmed_pattern_matches_wherever_the_whole_one_does(noise: bytes, index: int) -> None:
    patterns = [
        r"tok_[a-f0-9]{8,}\b",
        r"x(?:ab+|c{2,5})?$",
        r"k=(?P<s>[^\s]{2,9})['\"]?",
        r"a+b*",
        r"(?:a|bc)+d?",
        r"\d+\.\d+",
    ]
    pattern = patterns[index].encode()
    trimmed = shape(patterns[index]).expression.encode()
    for match in re.finditer(pattern, noise + b" tok_0123456789 xabb k='abc' bca 1.25 " + noise):
        assert re.compile(trimmed).match(match.string, match.start())
