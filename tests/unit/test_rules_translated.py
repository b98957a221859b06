"""Rule files of other scanners: what they find is found, what they spare is spared, the rest is told."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from unsprawl.cli import main
from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.rulebook import dialects
from unsprawl.detectors.rules import RuleSet, load
from unsprawl.errors import RuleError
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

TOML = r"""
title = "rules of Acme"

[extend]
useDefault = true

[allowlist]
paths = ['''(?i)\.lock$''']

[[rules]]
id = "acme-deploy-key"
description = "Acme deploy key"
regex = '''\b(acmedk-[a-z0-9]{20})\b'''
keywords = ["acmedk-"]
entropy = 2.5

[[rules]]
id = "acme-pair"
description = "Acme id and secret"
regex = '''(?i)acme(?:_| )?(id)[ =:]+([0-9a-f]{32})'''
secretGroup = 2
keywords = ["acme"]

  [[rules.allowlists]]
  condition = "AND"
  regexes = ['''^00''']
  paths = ['''test/''']

  [[rules.allowlists]]
  regexTarget = "line"
  regexes = ['''# sample''']
  stopwords = ["beef"]

[[rules]]
id = "terraform-only"
description = "Password in Terraform"
regex = '''admin_password = "([^"]{8,40})"'''
path = '''\.tf$'''

[[rules]]
id = "needs-host"
regex = '''zq_[a-z0-9]{16}'''
  [[rules.required]]
  id = "host-of-zq"
  withinLines = 3

[[rules]]
id = "host-of-zq"
regex = '''https://([a-z]+)\.zq\.test'''
skipReport = true

[[rules]]
id = "a-file"
path = '''\.p12$'''

[[rules]]
id = "looks-ahead"
regex = '''foo(?=bar)[a-z]{10}'''
filter = "secret.length > 3"
"""

YAML = r"""
rules:
  - name: Acme token
    id: kingfisher.acme.1
    pattern: |
      (?xi)
      \b acme .{0,20}?      # the name
      \b ( at_ [a-z0-9]{24} ) \b
    min_entropy: 3.0
    confidence: high
    pattern_requirements: {min_digits: 2, ignore_if_contains: [dummy]}
    examples: ['acme x']
    validation: {type: Http, content: {request: {method: GET, url: https://acme.test}}}
    depends_on_rule: [{rule_id: kingfisher.acme.2, variable: ACCOUNT}]
  - name: Acme account
    id: kingfisher.acme.2
    visible: false
    pattern: (?i)acme account ([0-9]{6})
  - name: Acme key pair
    id: np.acme.3
    pattern: key ([0-9]{8}) is (?P<TOKEN>[A-Z]{16})
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "acme.toml").write_text(TOML)
    (folder / "acme.yaml").write_text(YAML)
    return load([folder], builtin=False, cache=folder / "cache")


@pytest.fixture(scope="module", params=["auto", "fallback"])
def detector(request: pytest.FixtureRequest, rules: RuleSet) -> ContentDetector:
    return ContentDetector(rules, backend=request.param)


def found(detector: ContentDetector, template: str, path: str = "x.txt") -> list[tuple[str, str]]:
    body = fill(template, "translated").encode()
    events = detector.scan(Document(uri=f"file:///{path}", body=body, path=path))
    return [(e.rule, e.secret.text()) for e in events if isinstance(e, Candidate)]


@pytest.mark.parametrize(
    ("template", "rule", "secret"),
    [
        ("key: acmedk-<lowerdigits:20>", "acme-deploy-key", "acmedk-<lowerdigits:20>"),
        ("acme_id: <hex:32>", "acme-pair", "<hex:32>"),
        ("ACME account 123456\nacme token at_<lowerdigits:24>", "kingfisher.acme.1", "at_<lowerdigits:24>"),
        ("key 12345678 is <upper:16>", "np.acme.3", "<upper:16>"),
    ],
)
def test_what_they_find_is_found(detector: ContentDetector, template: str, rule: str, secret: str) -> None:
    ((id, value),) = found(detector, template)
    assert id == rule
    assert value in fill(template, "translated")
    assert len(value) == len(fill(secret))


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("key: acmedk-<lowerdigits:20>", "yarn.lock"),
        ("acme_id: <hex:32>  # sample", "x.txt"),
        ("acme_id: beef<hex:28>", "x.txt"),
        ("acme_id: 00<hex:30>", "test/x.txt"),
        ('admin_password = "<alnum:12>"', "x.txt"),
        ("acme token at_dummy<lowerdigits:19>", "x.txt"),
        ("ACME account 123456", "x.txt"),
        ("zq_<lowerdigits:16>", "x.txt"),
    ],
)
def test_what_they_leave_alone_is_left_alone(detector: ContentDetector, template: str, path: str) -> None:
    assert found(detector, template, path) == []


def test_conditions_go_with_their_rule(detector: ContentDetector) -> None:
    assert found(detector, 'admin_password = "<alnum:12>"', "main.tf")[0][0] == "terraform-only"
    assert found(detector, "acme_id: 00<hex:30>", "src/x.txt")[0][0] == "acme-pair"
    assert found(detector, "https://shop.zq.test\nkey zq_<lowerdigits:16>")[0][0] == "needs-host"


def test_companions_are_told(detector: ContentDetector) -> None:
    body = fill("ACME account 123456\nacme token at_<lowerdigits:24>", "translated").encode()
    (one,) = [e for e in detector.scan(Document(uri="u", body=body)) if isinstance(e, Candidate)]
    assert {name: part.text() for name, part in one.companions.items()} == {"account": "123456"}


def test_the_report_tells_what_was_lost_and_where(rules: RuleSet) -> None:
    said = {(Path(note.place).name, note.rule): note.what for note in rules.notes}
    lines = TOML.splitlines()
    ahead = lines.index('id = "looks-ahead"') + 1
    assert (f"acme.toml:{ahead}", "looks-ahead") in said
    assert any(rule == "a-file" and "no regex" in what for (_, rule), what in said.items())
    whats = " / ".join(str(note) for note in rules.notes)
    for word in (
        "'extend' is not followed",
        "'filter' is not taken over",
        "RE2 does not take",
        "min_digits",
        "'validation'",
    ):
        assert word in whats
    ids = {rule.id for rule in rules.rules}
    assert ids == {
        *("acme-deploy-key", "acme-pair", "terraform-only", "needs-host"),
        *("kingfisher.acme.1", "np.acme.3"),
    }


def test_rules_check_takes_them_and_prints_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "acme.toml").write_text(TOML)
    assert main(["rules", "check", str(tmp_path / "acme.toml")]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("4 rules, no problems, ")
    assert "note: " in printed.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules = 3", "[[rules]]"),
        ("[[rules]]\nregex = 'x'", "without an id"),
        ("[[rules]]\nid = 'a'\nregex = 3", "'regex' must be text"),
        ("[[rules]\n", "bad TOML"),
        ("[[rules]]\nid = 'a'\nregex = 'abc'\nkeywords = [3]", "list of texts"),
    ],
)
def test_what_is_no_rule_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(RuleError, match=r"x\.toml") as error:
        load([tmp_path / "x.toml"], builtin=False, cache=tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "group", "made"),
    [
        ("abc", None, "(?P<secret>abc)"),
        ("(?i)abc", None, "(?i)(?P<secret>abc)"),
        ("a(b)c", None, "a(?P<secret>b)c"),
        ("a(b)(c)", None, "a(?P<part1>b)(?P<secret>c)"),
        ("a(b)(c)", 1, "a(?P<secret>b)(?:c)"),
        (r"a\((b)[(](?:x)", 1, r"a\((?P<secret>b)[(](?:x)"),
        ("(?P<HOST>a)(?P<TOKEN>b)", "TOKEN", "(?P<host>a)(?P<secret>b)"),
        ("a(b)", 0, "(?P<secret>a(?:b))"),
    ],
)
def test_the_group_of_the_secret(pattern: str, group: int | str | None, made: str) -> None:
    assert dialects.named(pattern, group) == made


def test_verbose_mode_is_stripped() -> None:
    pattern = textwrap.dedent(r"""
        (?xi)
        \b acme \  key [ =:] # words
        ( [a-z 0-9]{3} )
    """)
    assert dialects.plain(pattern) == r"(?i)\bacme\x20key[=:]([a-z0-9]{3})"
