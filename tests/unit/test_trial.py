"""What Hyperscan compiled is tried: what it misses is told, and searched without it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from unsprawl.detectors.matching.engine import Engine
from unsprawl.detectors.matching.hyper import Automaton
from unsprawl.detectors.matching.trial import _matching, missed
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.detectors.views.telling import TELLING
from unsprawl.records import Severity

WORDS = b"lorem ipsum dolor sit amet, consectetur adipiscing elit\n" * 8
#: Vectorscan 5.4.12 does not find the last of these behind other text. Once this is no longer so, what is
#: tried here has served.
GAP = r"(?i)(?:datadog|\bdd)[\w.-]{0,20}?(?:key|secret)=(?P<secret>[0-9a-f]{8})"
TEXTS = [b"datadog_api_key=", b"dd-api-key=", b"ddkey="]


def rules(pattern: str, *keywords: str) -> RuleSet:
    rule = Rule(
        id="acme.key",
        name="A key",
        provider="acme",
        severity=Severity.HIGH,
        keywords=keywords,
        pattern=pattern,
    )
    return RuleSet((rule,))


def without(text: bytes, expressions: Sequence[str], data: bytes) -> Mapping[int, list[list[int]]]:
    """Hits as an automaton gives them, but for those that begin with ``text``."""
    return {
        number: [
            [found.end(), found.end()]
            for found in re.finditer(expression.encode(), data, re.MULTILINE)
            if not text or not found[0].startswith(text)
        ]
        for number, expression in enumerate(expressions)
    }


@pytest.mark.parametrize(
    ("expression", "lost"),
    [
        (r"(?:acme|\bac)[a-z_]{0,8}key=[0-9]{4}", b"ackey"),
        (r"(?:one|two(?:three|four[0-9]?)|x{2,9})-[a-f]{6}", b"twofour-"),
        (r"(?:a|b|c|d)(?:e|f|g)tok", b"dgtok"),
        (r"^end\.[^\x20-\x7e]{2}", b"end."),
    ],
)
def test_an_expression_of_which_something_is_not_hit_is_told(expression: str, lost: bytes) -> None:
    expressions = ["plain", expression, "other[0-9]"]
    assert missed(expressions, lambda data: without(b"", expressions, data)) == []
    assert missed(expressions, lambda data: without(lost, expressions, data)) == [1]


def test_all_ways_through_an_expression_are_drawn_bare_and_its_gaps_filled_too() -> None:
    texts = {text.strip() for text in _matching(r"(?:my|our)[_-]?(?:key|pass(?:word)?)=x")}
    bare = {b"mykey=x", b"mypass=x", b"ourkey=x", b"ourpass=x"}
    assert bare < texts
    assert any(b"_" in text or b"-" in text for text in texts)
    assert any(b"password" in text for text in texts)


def test_nothing_is_drawn_of_what_is_not_read() -> None:
    assert list(_matching(r"(?P<a>x)\1")) == []
    assert missed([r"(?P<a>x)\1"], lambda _: {}) == []


def test_nothing_is_drawn_of_what_no_byte_is() -> None:
    assert list(_matching(r"x\p{Han}y")) == []
    assert list(_matching(r"x[^\x00-\x{ff}]y")) == []


def test_a_rule_that_hyperscan_misses_matches_of_is_searched_as_the_fallback_does() -> None:
    found = rules(GAP, "key", "secret")
    hyperscan, fallback = Engine(found, "hyperscan", None), Engine(found, "fallback", None)
    assert hyperscan.missed == list(found.rules)
    assert fallback.missed == []
    for text in TEXTS:
        for data in (text + b"0badcafe", WORDS + b" " + text + b"0badcafe\n" + WORDS):
            spans = [
                [(one.start, one.end) for one in engine.matches(data)] for engine in (hyperscan, fallback)
            ]
            assert spans == [[(data.index(b"0badcafe"), data.index(b"0badcafe") + 8)]] * 2
            # It is not known to be quiet, so it is looked at.
            assert hyperscan.quiet([data, WORDS]) == [False, False]


def test_what_tells_of_a_view_is_not_missed() -> None:
    telling = [(pattern, coding) for coding, pattern in TELLING]
    assert Automaton(telling, None).missed == []
    assert Automaton([*telling, ("[a-z]key", "beside others")], None).missed == []


def test_what_hyperscan_finds_is_searched_by_hyperscan_alone() -> None:
    engine = Engine(rules(r"\bacme_[a-z]{0,4}key=(?P<secret>[0-9a-f]{8})", "acme_"), "hyperscan", None)
    assert engine.missed == []
    assert engine.quiet([b"acme_key=0badcafe", WORDS]) == [False, True]
