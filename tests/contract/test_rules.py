"""Every built-in rule keeps the contract that ``unsprawl rules check`` holds users to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from patterned import matching

from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.linear import linear
from unsprawl.detectors.matching.confirm import Confirmer, Tally
from unsprawl.detectors.matching.fallback import searched_word
from unsprawl.detectors.matching.pattern import shape
from unsprawl.detectors.rulebook import rulecheck, rulekeys
from unsprawl.detectors.rules import BUILTIN, Rule, load
from unsprawl.errors import RuleError
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

ROOT = Path(__file__).parents[2]
RULES = load().rules
_GATED = {"discord.bot-token"}


@pytest.fixture(scope="module")
def detectors() -> Sequence[ContentDetector]:
    rules = load()
    return [ContentDetector(rules, backend=backend, doubts=True) for backend in ("auto", "fallback")]


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_rule(rule: Rule, detectors: Sequence[ContentDetector]) -> None:
    assert [str(problem) for problem in rulecheck.check_rule(rule, detectors)] == []


def test_all_that_a_rule_matches_has_a_keyword_and_is_searched_for() -> None:
    """The fallback engine looks where keywords stand, and Hyperscan for less than the whole pattern."""
    matched = 0
    for rule in RULES:
        found = Confirmer(rule, shape(rule.pattern, rule.superset))
        search = linear(found.shape.expression, lines=True)
        words = [searched_word(keyword) for keyword in rule.keywords]
        for text in matching(rule.pattern, 12, rule.id):
            body = b" " + text + b" \n"
            if not found.matches(body, [(0, len(body), len(body))], Tally(size=len(body))):
                continue
            matched += 1
            # One rule knows a format without a name: it is searched near a keyword.
            assert rule.id in _GATED or any(word in body.lower() for word in words), (rule.id, body)
            # What people assign is searched for where its value looks like one; the rest wholly.
            assert rule.kind == "generic" or search.search(body), (rule.id, body)
    assert matched > 8 * len(RULES)


def test_there_are_rules_for_the_commonest_providers() -> None:
    assert len(RULES) >= 1000
    assert len({rule.provider for rule in RULES}) >= 800
    wanted = {
        "aws",
        "gcp",
        "azure",
        "github",
        "gitlab",
        "slack",
        "stripe",
        "openai",
        "npm",
        "pypi",
        "docker",
        "database",
    }
    assert wanted <= {rule.provider for rule in RULES}


def test_rules_have_a_literal_to_hook_on() -> None:
    """Three rules without one cost a third of the automaton's time: each needs a superset with a literal."""
    shapes = {rule.id: shape(rule.pattern, rule.superset) for rule in RULES}
    gated = {rule for rule, found in shapes.items() if not found.selective}
    assert gated == _GATED
    assert min(len(word) for rule in RULES if rule.id in gated for word in rule.keywords) > 3


def test_the_preview_of_an_exact_rule_shows_a_public_prefix_only() -> None:
    for rule in RULES:
        for template in rule.examples:
            if rule.prefix:
                assert rule.prefix.lower() in fill(template, rule.id).lower(), rule.id


def test_no_token_stands_in_a_rule_file(detectors: Sequence[ContentDetector]) -> None:
    kinds = {rule.id: rule.kind for rule in RULES}
    for path in BUILTIN.glob("*.yaml"):
        document = Document(uri=path.name, body=path.read_bytes(), path=path.name)
        events = detectors[0].scan(document)
        found = [event for event in events if isinstance(event, Candidate) and kinds[event.rule] == "exact"]
        assert not [(event.rule, event.line) for event in found], path.name


def test_the_published_schema_is_current() -> None:
    published = json.loads((ROOT / "docs" / "rule.schema.json").read_text())
    assert published == json.loads(json.dumps(rulekeys.schema()))


def rule_file(folder: Path, **changes: str) -> Path:
    keys = {
        "id": "acme.token",
        "name": "Acme token",
        "severity": "high",
        "keywords": "[acmetok_]",
        "pattern": "'\\b (?P<secret> acmetok_ [a-z0-9]{24} ) \\b'",
        "examples": "['acmetok_<lowerdigits:24>', 'see acmetok_<lowerdigits:24>.']",
        "negatives": "['acmetok_<lowerdigits:8>']",
        "remediation": "[Revoke it.]",
        **changes,
    }
    path = folder / "acme.yaml"
    lines = [f"    {key}: {value}\n" for key, value in keys.items() if value]
    path.write_text("rules:\n  -\n" + "".join(lines))
    return path


def test_a_users_good_rule_has_no_problem(tmp_path: Path) -> None:
    assert rulecheck.check([rule_file(tmp_path)]) == rulecheck.Checked(1, ())
    assert rulecheck.check([tmp_path]) == rulecheck.Checked(1, ())


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("examples", "['acmetok_<lowerdigits:24>']", "1 examples, 2 are needed"),
        ("examples", "['acmetok_<lowerdigits:24>', 'acmetok_<lowerdigits:9>']", "example 2 is not found"),
        (
            "examples",
            "['acmetok_<lowerdigits:24>', 'acmetok_<lowerdigits:24> <github-token:ghp_>']",
            "github.personal-token",
        ),
        ("negatives", "", "a negative is needed"),
        ("negatives", "['acmetok_<lowerdigits:24>']", "negative 1 is found"),
        ("keywords", "[ecma]", "holds none of the keywords"),
        ("remediation", "", "remediation is missing"),
        ("check", "{request: {url: 'https://localhost/x'}, active: {status: [200]}}", "is no host name"),
        (
            "check",
            "{request: {url: 'https://a:b@acme.test/x'}, active: {status: [200]}}",
            "a check goes to https",
        ),
    ],
)
def test_a_users_mistake_is_told(tmp_path: Path, key: str, value: str, what: str) -> None:
    problems = rulecheck.check([rule_file(tmp_path, **{key: value})]).problems
    assert what in "\n".join(str(problem) for problem in problems)


def test_a_rule_that_hyperscan_cannot_search_is_told(tmp_path: Path) -> None:
    path = rule_file(
        tmp_path,
        pattern="'(?i) (?: datadog | \\b dd ) [\\w.-]{0,20}? (?: key | secret ) = (?P<secret> [0-9a-f]{9} )'",
        keywords="[key, secret]",
        examples="['datadog_key=<hex:9>', 'my ddkey=<hex:9>']",
        negatives="['datadog_key=<hex:8>']",
    )
    alone = load([path], builtin=False)
    (problem,) = rulecheck.check_rule(alone.rules[0], [ContentDetector(alone, doubts=True)])
    assert "Hyperscan misses some of its matches" in str(problem)


def test_what_is_no_rule_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="bad pattern"):
        rulecheck.check([rule_file(tmp_path, pattern="'(?P<secret> ['")])


def test_a_pattern_that_is_not_linear_is_told(tmp_path: Path) -> None:
    path = rule_file(
        tmp_path,
        pattern="'(?<!z) (?P<secret> acmetok_ [a-z0-9_;]*? ) (?= ;; )'",
        superset="'acmetok_ [a-z0-9]'",
        examples="['acmetok_<lowerdigits:26>;;', 'x acmetok_<lowerdigits:24>;;']",
    )
    assert "for a megabyte" in "\n".join(str(problem) for problem in rulecheck.check([path]).problems)
