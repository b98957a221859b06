"""Rule files: what is read, and that every mistake is told with its place."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from unsprawl.detectors.rules import BUILTIN, Rule, load
from unsprawl.errors import RuleError

GOOD = """\
rules:
  - id: acme.token
    name: Acme token
    severity: high
    keywords: [ACME_]
    pattern: |
      \\b (?P<secret> acme_ [a-z0-9]{16} ) \\b   # the whole token
    examples: ['acme_<lowerdigits:16>', 'x acme_<lowerdigits:16>']
    negatives: ['acme_<lowerdigits:4>']
    remediation: [Revoke it.]
"""


def write(folder: Path, text: str, name: str = "acme.yaml") -> Path:
    path = folder / name
    path.write_text(dedent(text))
    return path


def read(folder: Path, text: str) -> tuple[Rule, ...]:
    return load([write(folder, text)], builtin=False, cache=folder / "cache").rules


def refused(folder: Path, text: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        read(folder, text)
    return caught.value


def test_a_rule_is_read(tmp_path: Path) -> None:
    (rule,) = read(tmp_path, GOOD)
    assert rule.id == "acme.token"
    assert rule.provider == "acme"
    assert rule.keywords == ("acme_",)
    assert rule.pattern == r"\b(?P<secret>acme_[a-z0-9]{16})\b"
    assert rule.prefix == "acme_"
    assert rule.kind == "exact"
    assert rule.line == 2
    assert rule.file == str(tmp_path / "acme.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("    pattern:", "    patern:", 6, "unknown key 'patern'; did you mean 'pattern'?"),
        ("    examples:", "    exmples:", 8, "unknown key 'exmples'; did you mean 'examples'?"),
        ("severity: high", "severity: hihg", 4, "did you mean 'high'?"),
        ("id: acme.token", "id: Acme", 2, "'id' does not look like provider.kind"),
        ("keywords: [ACME_]", "keywords: []", 5, "'keywords' has 0 items"),
        ("keywords: [ACME_]", "keywords: ACME_", 5, "'keywords' must be a list"),
        ("keywords: [ACME_]", "keywords: [7]", 5, "'keywords' must be text"),
        ("?P<secret>", "?P<value>", 6, "one group (?P<secret>…)"),
        ("[a-z0-9]", "[a-z0-9", 6, "bad pattern: "),
        ("acme_ [", "(?<!x)acme_ [", 6, "bad pattern: invalid"),
        ("name: Acme token", "name: ''", 3, "'name' is empty"),
        ("severity: high", "severity: high\n    offline: jwtt", 5, "did you mean 'jwt'?"),
        ("severity: high", "severity: high\n    min_entropy: 9", 5, "'min_entropy' must be 0 to 8"),
        ("severity: high", "severity: high\n    identity: [acount]", 5, "has no group 'acount'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    error = refused(tmp_path, GOOD.replace(old, new))
    assert error.message.startswith(f"{tmp_path}/acme.yaml:{line}:")
    assert words in error.message


def test_a_pattern_beyond_re2_needs_a_superset(tmp_path: Path) -> None:
    looking = GOOD.replace(r"\b (?P", r"(?<![a-z]) (?P")
    assert "superset" in refused(tmp_path, looking).hint
    (rule,) = read(
        tmp_path, looking.replace("    examples:", "    superset: 'acme_ [a-z0-9]{16}'\n    examples:")
    )
    assert rule.superset == "acme_[a-z0-9]{16}"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("{url: 'http://acme.test/me'}", "'check.request.url'"),
        ("{url: 'https://acme.test/me', metod: GET}", "did you mean 'method'?"),
        ("{url: 'https://{host}/me'}", "has no group 'host'"),
        ("{method: GET}", "'check.request.url' is missing"),
    ],
)
def test_a_check_is_checked(tmp_path: Path, request_: str, words: str) -> None:
    check = f"    check:\n      request: {request_}\n      active: {{status: [200]}}\n"
    assert words in refused(tmp_path, GOOD + check).message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "one key 'rules'"),
        ("rules: 7\n", "one key 'rules'"),
        ("rule: []\n", "did you mean 'rules'?"),
        ("rules: [7]\n", "a rule is a mapping"),
        ("rules:\n  - id: a.b\n    id: a.c\n", ":3:"),
        ("rules: [}\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_rule_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, text).message


def test_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00rules")
    with pytest.raises(RuleError, match="not text in UTF-8"):
        load([path], cache=tmp_path)
    with pytest.raises(RuleError, match="no such rule file"):
        load([tmp_path / "b.yaml"], cache=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuleError, match="no rule file"):
        load([tmp_path / "empty"], cache=tmp_path)


def test_two_rules_with_one_id_name_both_places(tmp_path: Path) -> None:
    first, second = write(tmp_path, GOOD), write(tmp_path, GOOD, "other.yaml")
    with pytest.raises(RuleError) as caught:
        load([first, second], builtin=False, cache=tmp_path)
    assert f"{second}:2" in caught.value.message
    assert f"{first}:2" in caught.value.message


def test_a_folder_gives_all_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    write(folder, GOOD)
    write(folder, GOOD.replace("acme.token", "acme.other"), "b.yml")
    assert set(load([folder], builtin=False, cache=tmp_path).by_id) == {"acme.token", "acme.other"}


def test_rules_are_left_out_by_id_or_glob(tmp_path: Path) -> None:
    everything = load(cache=tmp_path)
    some = load(exclude=["jwt.*", "npm.access-token"], cache=tmp_path)
    assert set(everything.by_id) - set(some.by_id) == {"jwt.token", "npm.access-token"}
    assert some.digest != everything.digest
    with pytest.raises(RuleError, match=r"did you mean 'npm\.access-token'"):
        load(exclude=["npm.acess-token"], cache=tmp_path)


def test_the_digest_follows_detection_and_nothing_else(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return load([write(tmp_path, text)], builtin=False, cache=tmp_path).digest

    assert digest(GOOD) == digest(GOOD.replace("Revoke it.", "Delete it."))
    assert digest(GOOD) != digest(GOOD.replace("{16}", "{17}"))
    assert digest(GOOD) != digest(GOOD.replace("severity: high", "severity: high\n    kind: contextual"))


def test_a_second_load_takes_the_cache_and_a_changed_file_does_not(tmp_path: Path) -> None:
    path, cache = write(tmp_path, GOOD), tmp_path / "cache"
    first = load([path], builtin=False, cache=cache)
    (stored,) = cache.iterdir()
    assert load([path], builtin=False, cache=cache) == first
    write(tmp_path, GOOD.replace("Acme token", "Acme key"))
    assert load([path], builtin=False, cache=cache).rules[0].name == "Acme key"
    assert len(list(cache.iterdir())) == 2
    stored.write_bytes(b"\x93broken")
    write(tmp_path, GOOD)
    assert load([path], builtin=False, cache=cache) == first


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert len(load(cache=blocked / "below")) > 80


def test_the_builtin_rules_are_those_of_the_folder(tmp_path: Path) -> None:
    rules = load(cache=tmp_path).rules
    assert {rule.provider for rule in rules} == {path.stem for path in BUILTIN.glob("*.yaml")}
    assert [rule.id for rule in rules] == sorted(rule.id for rule in rules)
