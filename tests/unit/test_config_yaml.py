"""YAML from strangers: what it means, and what it must not be able to do."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.errors import ConfigError
from unsprawl.globs import matches
from unsprawl.placeholders import fill
from unsprawl.yamltext import parse


def test_values_and_their_lines() -> None:
    value, places = parse("a: 1\nb:\n  - x\n  - {on: no}\nc: 2.5\nd: ~\ne:\nf: true\n", "f.yaml")
    assert value == {"a": 1, "b": ["x", {"on": "no"}], "c": 2.5, "d": None, "e": None, "f": True}
    assert places[("b", 1, "on")] == 4
    assert places[("c",)] == 5


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n"])
def test_nothing_is_none(text: str) -> None:
    assert parse(text, "f.yaml")[0] is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("012", "012"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12:30"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("12345678901234567890", "12345678901234567890"),
        ("-7", -7),
        ("1e3", 1000.0),
        ("FALSE", False),
        ("=", "="),
        (".inf", ".inf"),
    ],
)
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    parsed = parse(f"k: {text}", "f.yaml")[0]["k"]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 200_000, "nested deeper"),
        ("{a: " * 200, "nested deeper"),
        ("- " * 100 + "a", "nested deeper"),
        ("a: &a [*a]", "multiply"),
        ("a: &a [1]\n" + "".join(f"{n}: [*a, *a]\n" for n in range(3)) + "a: 1", "stands here twice"),
        ("<<: {a: 1}", "merge keys"),
        ("a: !!python/name:os.system", "tags are not understood"),
        ("a: !!binary aGk=", "tags are not understood"),
        ("a: !!set {b}", "tags are not understood"),
        ("a: !!int x", "tags are not understood"),
        ("? [a]\n: b", "a key must be text"),
        ("a\n---\nb\n", "another document"),
        ("a: *missing", "undefined alias"),
        ("a: \x07", "control characters"),
        ('a: "unclosed', "quoted scalar"),
        ("\ta: 1", "cannot start any token"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml") as caught:
        parse(text, "f.yaml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_do_not_multiply() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.monotonic()
    with pytest.raises(ConfigError, match="multiply"):
        parse("\n".join(lines), "f.yaml")
    assert time.monotonic() - started < 5


def test_a_few_aliases_are_welcome() -> None:
    assert parse("a: &x [b]\nc: *x\n", "f.yaml")[0] == {"a": ["b"], "c": ["b"]}


def test_a_repeated_key_is_not_shown_when_it_looks_like_a_value() -> None:
    literal = fill("<alnum:40>7a")
    with pytest.raises(ConfigError, match="twice") as caught:
        parse(f"{literal}: 1\n{literal}: 2\n", "f.yaml")
    assert literal not in str(caught.value)


@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@`,?\n \t0.~é\x00", max_size=60))
def test_any_text_gives_a_value_or_a_clear_error(text: str) -> None:
    try:
        parse(text, "f.yaml")
    except ConfigError as error:
        assert str(error).startswith("f.yaml")  # noqa: PT017  # most texts are good YAML, the others tell where not


# --- patterns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "matched"),
    [
        ("*.png", "a/b.png", True),
        ("*.png", "a.png/below", True),
        ("*.png", "a.pngx", False),
        ("node_modules", "web/node_modules/x.js", True),
        ("node_modules/", "node_modules", True),
        ("vendor/*.js", "vendor/a.js", True),
        ("vendor/*.js", "web/vendor/a.js", False),
        ("vendor/*.js", "vendor/deep/a.js", False),
        ("/vendor", "vendor/a", True),
        ("/vendor", "/vendor/a", True),
        ("**/vendor/**", "web/vendor/a.js", True),
        ("**/vendor/**", "vendor/a.js", True),
        ("**/vendor/**", "vendored/a.js", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z/y", True),
        ("s3://b/archive", "s3://b/archive/2020/x", True),
        ("s3://b/archive", "s3://b/archive2/x", False),
        ("s3://*/archive/**", "s3://b/archive/x", True),
        ("file:///etc/*.key", "file:///etc/a.key", True),
        ("?.txt", "a.txt", True),
        ("?.txt", "ab.txt", False),
        ("[ab].txt", "x/b.txt", True),
        ("[!ab].txt", "x/b.txt", False),
        ("[z-a]", "[z-a]", True),
        ("[", "[", True),
        ("A", "a", False),
        ("a.c", "abc", False),
        ("**", "any/thing", True),
        ("a\nb", "a\nb", True),
    ],
)
def test_patterns(pattern: str, path: str, matched: bool) -> None:
    assert matches((pattern,), path) is matched
    assert matches(("other", pattern), path) is matched


def test_no_pattern_matches_nothing() -> None:
    assert not matches((), "a")


@given(
    st.lists(st.text(alphabet="a*?[]!/-^\\.|(", min_size=1, max_size=12), min_size=1, max_size=3), st.text()
)
def test_any_pattern_compiles(patterns: list[str], path: str) -> None:
    matches(tuple(patterns), path)
