"""``findings``, ``coverage``, ``rules`` and ``doctor`` on a real store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from unsprawl.cli import main
from unsprawl.records import Batch, Counts, Gap, Occurrence, Severity, Unit
from unsprawl.store.findings import Store
from unsprawl.store.keys import load_keys
from unsprawl.store.rows import FIELDS

FIRST = "a1" * 8
SECOND = "a2" * 8


def occurrence(finding: str, path: str, **changes: Any) -> Occurrence:
    fields: dict[str, Any] = {
        "finding": finding,
        "fingerprint": finding * 4,
        "rule": "github.personal-token",
        "title": "GitHub token",
        "provider": "github",
        "document": path.encode().ljust(16, b".")[:16],
        "ordinal": 0,
        "secret": "ghp_…x9Qz",
        "source": "here",
        "surface": "files",
        "uri": f"file:///srv/{path}",
        "path": path,
        "line": 3,
        "column": 8,
        "line_end": 3,
        "start": 40,
        "end": 80,
        "confidence": 0.9,
        "severity": Severity.CRITICAL,
        "context": "token = ghp_…x9Qz",
    }
    return Occurrence(**(fields | changes))


def commit(
    store: Store, *occurrences: Occurrence, documents: tuple[str, ...] = (), complete: bool = True
) -> None:
    run = store.begin("crawl", "nightly", "1")
    gap = Gap("file:///srv/locked", "permission denied", "run as a user who may read it")
    batch = Batch(
        source="here",
        unit=Unit("file:///srv/", "srv"),
        counts=Counts(documents=2, skipped=0 if complete else 1, read_bytes=120),
        occurrences=occurrences,
        documents=tuple(path.encode().ljust(16, b".")[:16] for path in documents),
        gaps=() if complete else (gap,),
        done=True,
    )
    run.commit(batch)
    run.finish(complete=complete)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "unsprawl.db"
    with Store.open(path, load_keys()) as opened:
        commit(
            opened,
            occurrence(FIRST, "a.env"),
            occurrence(FIRST, "b.env", context="\x1b[2Jtoken"),
            occurrence(SECOND, "c.env", rule="slack.bot-token", severity=Severity.LOW, confidence=0.6),
            documents=("a.env", "b.env", "c.env"),
        )
        commit(opened, occurrence(FIRST, "a.env"), documents=("a.env", "b.env"), complete=False)
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_shows_what_stands_somewhere_now(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["findings", "list"]) == 0
    found = lines(capsys)
    assert {(row["finding"], row["path"]) for row in found} == {(FIRST, "a.env"), (SECOND, "c.env")}
    assert all(tuple(row) == FIELDS for row in found)
    assert main(["findings", "list", "--show-gone"]) == 0
    assert {row["path"] for row in lines(capsys)} == {"a.env", "b.env", "c.env"}


@pytest.mark.parametrize(
    ("filters", "paths"),
    [
        (["--rule", "slack.bot-token"], {"c.env"}),
        (["--source", "here"], {"a.env", "c.env"}),
        (["--source", "other"], set()),
        (["--min-confidence", "0.8"], {"a.env"}),
        (["--status", "open"], {"a.env", "c.env"}),
        (["--status", "closed"], set()),
        (["--only-active"], set()),
    ],
)
def test_filters(
    filters: list[str], paths: set[str], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["findings", "list", "--store", str(store), *filters]) == 0
    assert {row["path"] for row in lines(capsys)} == paths


def test_a_filter_by_a_name_that_there_is_not_is_doubted(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["--rule", "github.personal-tokn", "--source", "nobody"]
    assert main(["findings", "list", "--store", str(store), *names]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "no rule is called 'github.personal-tokn'; did you mean 'github.personal-token'?" in told.err
    assert "no source is called 'nobody'" in told.err


def test_export_holds_what_is_gone_too(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["findings", "export"]) == 0
    gone = {row["path"] for row in lines(capsys) if row["gone_at"]}
    assert gone == {"b.env"}
    assert main(["findings", "export", "--output", "all.sarif"]) == 0
    assert len(json.loads((tmp_path / "all.sarif").read_text())["runs"][0]["results"]) == 3


def test_list_as_table_and_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["findings", "list", "--format", "table"]) == 0
    table = capsys.readouterr().out
    assert "a.env:3" in table
    assert "Coverage incomplete" in table
    assert main(["findings", "list", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is False
    assert document["counts"]["findings"] == 2


def test_show_tells_places_history_and_the_way_out(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["findings", "show", "a1", "--format", "table"]) == 0
    page = capsys.readouterr().out
    for part in (
        f"Finding {FIRST}",
        "a.env:3",
        "b.env:3",
        "gone",
        "1 now, 1 gone",
        "What to do",
        "token = ghp_…x9Qz",
    ):
        assert part in page
    assert re.search(r"^ +\S+ \S+ +gone +b\.env:3$", page, re.MULTILINE)
    assert "1. " in page
    assert "\x1b" not in page


def test_show_for_programs_and_tickets(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["findings", "show", FIRST, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["finding"] == FIRST
    assert [row["path"] for row in document["occurrences"]] == ["a.env", "b.env"]
    assert document["remediation"]
    assert main(["findings", "show", FIRST, "--output", "ticket.md"]) == 0
    assert (tmp_path / "ticket.md").read_text().startswith(f"# Finding {FIRST}")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["findings", "show", "a"], 2, "a is the beginning of several findings"),
        (["findings", "show", "ffff"], 2, "there is no finding ffff"),
        (["rules", "list", "--provider", "githb"], 2, "no rule is of the provider 'githb'; did you mean"),
        (["findings", "show", "xyz"], 2, "'xyz' is no finding id"),
        (["findings", "show", FIRST, "--output", "x.csv"], 2, "a single finding is written as"),
        (["findings", "list", "--store", "none.db"], 4, ""),
        (["coverage", "--run", "99"], 2, "there is no run 99"),
        (["coverage", "--format", "html"], 2, "Invalid value for '-f'"),
    ],
)
def test_mistakes(
    arguments: list[str], code: int, error: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    assert capsys.readouterr().err.startswith(f"error: {error}")
    assert not Path("none.db").exists()


def test_without_a_store_the_hint_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["findings", "list"]) == 2
    assert "give --store FILE or --config CONFIG" in capsys.readouterr().err


def test_coverage_of_the_latest_and_of_an_earlier_run(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["coverage", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["complete"]) == ("incomplete", False)
    (line,) = document["coverage"]
    assert (line["status"], line["documents"], line["skipped"]) == ("partial", 2, 1)
    assert line["gaps"][0]["reason"] == "permission denied"
    assert main(["coverage", "--format", "json", "--run", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"] is True


@pytest.mark.parametrize("format", ["table", "jsonl", "csv", "markdown"])
def test_coverage_formats(format: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage", "--format", format]) == 0
    out = capsys.readouterr().out
    assert "partial" in out
    assert "permission denied" in out


def test_coverage_table_gives_the_hint(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage", "--format", "table"]) == 0
    out = capsys.readouterr().out
    assert "Run 2 (crawl), incomplete" in out
    assert "run as a user who may read it" in out


def test_config_names_the_store(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "sub" / "nightly.yaml"
    config.parent.mkdir()
    config.write_text("store: ../unsprawl.db\nsources:\n  here: {type: files, paths: [.]}\n")
    assert main(["findings", "list", "--config", str(config)]) == 0
    assert len(lines(capsys)) == 2


# --- rules and doctor ------------------------------------------------------------------------------


def test_rules_as_json_hold_what_others_build_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "list", "--format", "json"]) == 0
    rules = json.loads(capsys.readouterr().out)
    for rule in rules:
        assert {
            "id",
            "provider",
            "name",
            "severity",
            "check",
            "offline",
            "remediation",
            "kind",
            "keywords",
        } <= set(rule)
        assert rule["id"].partition(".")[2]
    assert len({rule["id"] for rule in rules}) == len(rules) > 50
    assert main(["rules", "list", "--provider", "github", "--format", "jsonl"]) == 0
    assert {json.loads(line)["provider"] for line in capsys.readouterr().out.splitlines()} == {"github"}


@pytest.mark.parametrize("format", ["table", "csv", "markdown"])
def test_rules_for_people(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "list", "--format", format]) == 0
    assert "GitHub" in capsys.readouterr().out


def test_a_bad_rule_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("provider: bad\nrules:\n  - id: bad.rule\n    pattern: '(unclosed'\n")
    assert main(["rules", "check", str(bad)]) == 2
    err = capsys.readouterr().err
    assert f"error: {bad}:1: unknown key 'provider'" in err
    assert "Traceback" not in err


def test_a_misspelt_key_of_a_rule_is_named_and_a_pattern_stays_on_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("rules:\n  - id: bad.rule\n    severty: low\n")
    assert main(["rules", "check", str(bad)]) == 2
    assert "unknown key 'severty'; did you mean 'severity'?" in capsys.readouterr().err
    fine = "id: bad.rule\n    name: a\n    severity: low\n    keywords: [abcd]\n"
    bad.write_text(f"rules:\n  - {fine}    pattern: |\n      (?P<secret> x [a-\n")
    assert main(["rules", "check", str(bad)]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert "bad pattern: invalid character class range: a-" in error
    assert hint.startswith("hint: ")


def test_doctor_says_what_can_be_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    config = tmp_path / "nightly.yaml"
    config.write_text("store: new.db\nsources:\n  here: {type: files, paths: [%s]}\n" % (tmp_path / "there"))
    assert main(["doctor", str(config)]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    assert "no store yet" in out
    config.write_text("store: new.db\nsources:\n  gone: {type: files, paths: [missing]}\n")
    assert main(["doctor", str(config), "--format", "json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert {line["source"] for line in document["checks"] if not line["ok"]} == {"gone"}
    assert not (tmp_path / "new.db").exists()


def test_doctor_knows_a_store_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_keys()
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    config = tmp_path / "nightly.yaml"
    config.write_text("store: broken.db\nsources:\n  here: {type: files, paths: [.]}\n")
    assert main(["doctor", str(config)]) == 4
    assert "FAIL  store:" in capsys.readouterr().out
