"""The configuration file: what is understood, and how clearly everything else is refused."""

from __future__ import annotations

import pickle
import textwrap
from datetime import date
from pathlib import Path

import pytest

from unsprawl.config import AcceptedGap, Config, SourceConfig, load
from unsprawl.errors import ConfigError, ExitCode
from unsprawl.placeholders import fill

LITERAL = fill("ghp_<alnum:36>")


def write(folder: Path, text: str) -> Path:
    file = folder / "nightly.yaml"
    file.write_text(textwrap.dedent(text), "utf-8")
    return file


def loaded(folder: Path, text: str) -> Config:
    return load(write(folder, text))


def refused(folder: Path, text: str | bytes) -> ConfigError:
    file = folder / "nightly.yaml"
    file.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
    assert LITERAL not in f"{caught.value}{caught.value.hint}{caught.value.__cause__}"
    return caught.value


# --- what is understood --------------------------------------------------------------------------


def test_a_small_file_has_sound_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path, "sources: {notes: {type: files, paths: [notes]}}")
    assert config.name == "nightly"
    assert config.store == tmp_path / "unsprawl.db"
    assert (config.key, config.verify, config.seals, config.jobs, config.executor) == (
        None,
        False,
        False,
        None,
        "local",
    )
    assert config.sources["notes"].type == "files"
    assert config.sources["notes"].name == "notes"


def test_every_top_level_key_is_taken_over(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        store: data/findings.db
        key: "${UNSPRAWL_KEY}"
        verify: true
        seal: never
        jobs: 3
        executor: local
        min_confidence: 0.75
        rules: [rules, ~/mine.yaml]
        exclude_rules: [generic.password]
        sources: {notes: {type: files, paths: [/notes]}}
        """,
    )
    assert config.store == tmp_path / "data" / "findings.db"
    assert config.key == "${UNSPRAWL_KEY}"
    assert (config.verify, config.seals, config.jobs, config.min_confidence) == (True, False, 3, 0.75)
    assert config.rules == (tmp_path / "rules", Path.home() / "mine.yaml")
    assert config.exclude_rules == ("generic.password",)


@pytest.mark.parametrize(
    ("verify", "seal", "seals"),
    [("false", "", False), ("true", "", True), ("true", "seal: never", False), ("false", "seal: open", True)],
)
def test_values_are_sealed_where_checks_need_them(
    tmp_path: Path, verify: str, seal: str, seals: bool
) -> None:
    text = f"verify: {verify}\n{seal}\nsources: {{a: {{type: files, paths: [a]}}}}\n"
    assert loaded(tmp_path, text).seals is seals


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 'key: "file:keys/master"\nsources: {a: {type: files, paths: [a, ~/b, /c, "-"]}}\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load("../nightly.yaml")
    assert config.store.resolve() == tmp_path / "unsprawl.db"
    assert config.key == f"file:{tmp_path}/keys/master"
    paths = config.sources["a"].config.paths  # type: ignore[attr-defined]
    assert paths == (f"{tmp_path}/a", f"{Path.home()}/b", "/c", "-")


def test_text_takes_the_environment_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_HOST", "registry.acme.test")
    config = loaded(
        tmp_path,
        """
        sources:
          images: {type: registry, url: "https://${ACME_HOST}/v2", user: "a$${b}", token: "${ACME_TOKEN}"}
        """,
    ).sources["images"]
    assert config.config.url == "https://registry.acme.test/v2"  # type: ignore[attr-defined]
    assert config.config.user == "a${b}"  # type: ignore[attr-defined]
    assert config.config.token == "${ACME_TOKEN}"  # type: ignore[attr-defined]  # resolved when it is used


def test_a_configuration_can_be_sent_to_a_worker(tmp_path: Path) -> None:
    config = loaded(tmp_path, "sources: {a: {type: files, paths: [a], exclude: ['*.iso']}}")
    assert pickle.loads(pickle.dumps(config)) == config


def test_words_of_old_yaml_are_text(tmp_path: Path) -> None:
    config = loaded(tmp_path, "sources: {a: {type: files, paths: [no, on, 012, 2026-01-01, 1:30]}}")
    names = [Path(path).name for path in config.sources["a"].config.paths]  # type: ignore[attr-defined]
    assert names == ["no", "on", "012", "2026-01-01", "1:30"]


# --- accepted gaps -------------------------------------------------------------------------------

GAP = AcceptedGap(
    match="s3://b/archive/**", why="restored each quarter", until=date(2026, 6, 30), reason="GLACIER"
)


@pytest.mark.parametrize(
    ("uri", "reason", "day", "covered"),
    [
        ("s3://b/archive/2020/x.gz", "storage class GLACIER", date(2026, 6, 30), True),
        ("s3://b/archive/2020/x.gz", "storage class GLACIER", date(2026, 7, 1), False),
        ("s3://b/archive/2020/x.gz", "access denied", date(2026, 6, 30), False),
        ("s3://b/live/x.gz", "storage class GLACIER", date(2026, 6, 30), False),
    ],
)
def test_a_gap_is_accepted_for_its_place_reason_and_time(
    uri: str, reason: str, day: date, covered: bool
) -> None:
    assert GAP.covers(uri, reason, day) is covered
    assert SourceConfig(accept=(GAP,)).accepts(uri, reason, day) == (GAP if covered else None)


def test_a_gap_needs_a_why_and_an_end(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        """
        sources:
          a:
            type: files
            paths: [a]
            accept:
              - {match: "**", until: 2030-01-01}
        """,
    )
    assert str(error).endswith(":7: sources.a.accept[0]: the key 'why' is missing")


def test_what_a_source_may_spend_and_must_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "anything")
    config = loaded(
        tmp_path,
        f"""
        sources:
          a:
            type: files
            paths: [a]
            budget: {{time: 2h, requests: 50000}}
            canaries:
              - {{name: own, fingerprint: {"0f" * 32}, at: "**/canary.txt", max_age: 2d}}
              - {{value: "${{OWN}}"}}
        """,
    )
    settings = config.sources["a"].config
    assert (settings.budget.time, settings.budget.requests) == ("2h", 50_000)
    first, second = settings.canaries
    assert (first.name, first.at, first.max_age) == ("own", "**/canary.txt", "2d")
    assert (second.value, second.at) == ("${OWN}", "**")
    nothing = loaded(tmp_path, "sources: {a: {type: files, paths: [a]}}").sources["a"].config
    assert (nothing.budget.time, nothing.budget.requests, nothing.canaries) == (None, None, ())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("budget: {time: 2 hours}", "sources.a.budget.time: expected text like"),
        ("budget: {time: 0h}", "sources.a.budget.time: expected text like"),
        ("budget: {requests: 0}", "sources.a.budget.requests: "),
        ("budget: {request: 5}", "unknown key 'request'; did you mean 'requests'?"),
        ("canaries: [{name: own}]", "canaries[0]: expected either `fingerprint` or `value`"),
        (
            f"canaries: [{{fingerprint: {'0f' * 32}, value: '${{OWN}}'}}]",
            "canaries[0]: expected either `fingerprint` or `value`",
        ),
        ("canaries: [{fingerprint: 12}]", "canaries[0].fingerprint: expected text"),
        (f"canaries: [{{value: {LITERAL}}}]", "expected a reference to the credential"),
    ],
)
def test_a_budget_or_canary_that_says_nothing(given: str, says: str, tmp_path: Path) -> None:
    error = refused(tmp_path, f"sources:\n  a:\n    type: files\n    paths: [a]\n    {given}\n")
    assert says in str(error)


# --- what is refused -----------------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=reason) as caught:
            load(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"\x00\x01\x02", "binary"),
        (b"\x89PNG\r\n\x1a\n", ":1: this is not UTF-8"),
        ("store: ä\n".encode("utf-16"), ":1: this is not UTF-8"),
        (b"store: a\nsources: \xff\n", ":2: this is not UTF-8"),
        (b"x" * (1 << 20) + b"x", "larger than 1 MiB"),
        (b"- a\n- b\n", ":1: expected keys with values"),
        (b"just a line of text\n", ":1: expected keys with values"),
        (b"store: a.db\n", "the key 'sources' is missing"),
        (b"sources: {}\n", ":1: sources: expected at least one source"),
        (b"sources:\n", ":1: sources: expected at least one source"),
        (b"sources: [a]\n", ":1: sources: expected at least one source"),
        (b"store: a: b\n", ":1:9: not valid YAML"),
        (b"store: a\nstore: b\n", ":2: the key 'store' stands here twice, first in line 1"),
        (b"store: [a\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, says: str) -> None:
    assert says in str(refused(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "says", "hints"),
    [
        ("stoer: x", ":2: stoer: unknown key 'stoer'; did you mean 'store'?", "known keys:"),
        ("verify: yes", ":2: verify: expected true or false, found text", "without quotes"),
        ("jobs: two", ":2: jobs: expected a whole number, found text", ""),
        ("jobs: 0", ":2: jobs: expected a whole number >= 1", ""),
        ("jobs: 1.5", ":2: jobs: expected a whole number, found a number", ""),
        ("store: 12", ":2: store: expected text, found a whole number", "quotes"),
        ("store: ''", ":2: store: expected text that is not empty", ""),
        ("min_confidence: 1.5", ":2: min_confidence: expected a number <= 1.0", ""),
        ("seal: opne", ":2: seal: this is none of the choices; did you mean 'open'?", "never, open"),
        ("executor: dask", ":2: executor: this is none of the choices", "local"),
        ("rules: a.yaml", ":2: rules: expected a list, found text", "[ … ]"),
        ("exclude_rules: [a, {b: c}]", ":2: exclude_rules[1]: expected text, found keys with values", ""),
        ("notify: [{type: pigeon}]", ":2: notify[0]: the key 'type' is missing or unknown", "webhook"),
        ("notify: [{type: webhook, url: abc}]", ":2: notify[0].url: expected a reference", "write one of"),
        (
            'store: "${UNSPRAWL_NOT_SET}"',
            ":2: store: the environment variable UNSPRAWL_NOT_SET is not set",
            "",
        ),
        ('store: "${not a name}"', ":2: store: only ${NAME} is understood", "$${"),
    ],
)
def test_a_wrong_key_at_the_top(tmp_path: Path, text: str, says: str, hints: str) -> None:
    error = refused(tmp_path, f"sources: {{a: {{type: files, paths: [a]}}}}\n{text}\n")
    assert says in str(error)
    assert hints in error.hint


@pytest.mark.parametrize(
    ("entry", "says", "hints"),
    [
        ("{paths: [a]}", ":2: sources.a: the key 'type' is missing", ""),
        ("{type: 3}", ":2: sources.a: the type must be text", ""),
        ("files", ":2: sources.a: expected keys with values", "type"),
        ("{type: fils}", ":2: sources.a.type: unknown source type 'fils'; did you mean 'files'?", "registry"),
        (
            "{type: files, pahts: [a]}",
            "sources.a.pahts: unknown key 'pahts'; did you mean 'paths'?",
            "exclude",
        ),
        ("{type: files}", ":2: sources.a: the key 'paths' is missing", ""),
        ("{type: files, paths: a}", "sources.a.paths: expected a list, found text", "[ … ]"),
        ("{type: files, paths: [a, 7]}", "sources.a.paths[1]: expected text, found a whole number", "quotes"),
        ("{type: files, paths: [a], hidden: 'no'}", "sources.a.hidden: expected true or false", "quotes"),
        (
            "{type: files, paths: [a], accept: [{match: a, why: b, until: soon}]}",
            "sources.a.accept[0].until: expected a date",
            "2030-12-31",
        ),
        (
            "{type: registry, url: https://bob:hunter22@host.test}",
            "sources.a.url: a password in a URL",
            "keys of their own",
        ),
    ],
)
def test_a_wrong_source(tmp_path: Path, entry: str, says: str, hints: str) -> None:
    error = refused(tmp_path, f"sources:\n  a: {entry}\n")
    assert says in str(error)
    assert hints in error.hint
    assert "hunter22" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        f"sources: {{a: {{type: registry, url: 'https://h.test', token: {LITERAL}}}}}",
        f"sources: {{a: {{type: registry, url: 'https://h.test', token: 'Bearer ${{{LITERAL[:8]}}}'}}}}",
        f"sources: {{a: {{type: files, paths: [a]}}}}\nkey: {LITERAL}",
        f"sources: {{a: {{type: files, paths: [a]}}}}\n{LITERAL}: 1",
        f"sources: {{a: {{type: files, paths: [a], {LITERAL}: 1}}}}",
        f"sources: {{a: {{type: {LITERAL}}}}}",
        f"sources: {{{LITERAL}: {{type: nothing}}}}",
        f"sources: {{a: {{type: files, paths: [a]}}}}\nseal: {LITERAL}",
        f"sources: {{a: {{type: files, paths: [a]}}}}\njobs: {LITERAL}",
        f"{LITERAL}: 1\n{LITERAL}: 2",
        f"sources: *{LITERAL}",
    ],
)
def test_no_error_tells_a_value(tmp_path: Path, text: str) -> None:
    refused(tmp_path, text)


def test_a_literal_token_is_told_how_to_become_a_reference(tmp_path: Path) -> None:
    error = refused(
        tmp_path, f"sources:\n  a:\n    type: registry\n    url: https://h.test\n    token: {LITERAL}\n"
    )
    assert ":5: sources.a.token: expected a reference to the credential" in str(error)
    assert "${NAME}" in error.hint


def test_names_of_sources_are_plain(tmp_path: Path) -> None:
    error = refused(tmp_path, 'sources:\n  "a/\\e[31mb": {type: files, paths: [a]}\n')
    assert "a source's name is made of letters" in str(error)
    assert "\x1b" not in str(error)
