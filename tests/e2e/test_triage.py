"""Decisions about findings through the command: marks silence what is like them, undo brings it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unsprawl.placeholders import fill

#: Decisions are looked at here, whatever the model thinks of the values.
LEAST = 0.05
FAMILIES = ("billing", "orders", "stock", "users", "mail")


class Desk:
    """A tree of build files that all carry one pattern, a configuration, and a store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = root / "tree"
        (self.tree / "build").mkdir(parents=True)
        (root / "nightly.yaml").write_text(
            f"store: night.db\nmin_confidence: {LEAST}\n"
            f"sources:\n  here: {{type: files, paths: [{self.tree}]}}\n"
        )
        self.environment = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(root / "key")}

    def pattern(self, number: int) -> str:
        """One more build file; the value differs, its surroundings hardly do."""
        name = f"build/{FAMILIES[number % 5]}-{number}.properties"
        value = fill("<alnum:28>", str(number))
        (self.tree / name).write_text(
            f"java.version=21\nbuild.number={number}\nLICENCE_PASSWORD={value}\nmirrors.enabled=true\n"
        )
        return value

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("unsprawl"), *arguments],
            capture_output=True,
            text=True,
            cwd=self.root,
            env=self.environment,
            check=False,
            timeout=120,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        done = self.process(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def crawl(self) -> str:
        return self.run("crawl", "nightly.yaml")

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        told = self.run("findings", "list", "--store", "night.db", "--format", "jsonl", *arguments)
        return [json.loads(line) for line in told.splitlines()]

    def triage(self, *arguments: str) -> dict[str, Any]:
        told = self.run("findings", "triage", "--config", "nightly.yaml", "--format", "json", *arguments)
        answer: dict[str, Any] = json.loads(told)
        return answer

    def show(self, finding: str) -> dict[str, Any]:
        told = self.run("findings", "show", finding, "--store", "night.db", "--format", "json")
        answer: dict[str, Any] = json.loads(told)
        return answer


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    made = Desk(tmp_path_factory.mktemp("empty"))
    made.crawl()
    return made


def test_twenty_marks_silence_their_siblings_and_unmarking_brings_them_back(desk: Desk) -> None:
    values = [desk.pattern(number) for number in range(20)]
    password = fill("<alnum:16>", "app")
    (desk.tree / "app.env").write_text(f"DB_PASSWORD={password}\n")
    desk.crawl()
    first = desk.rows()
    assert len(first) == 21
    marked = sorted(row["finding"] for row in first if row["path"].endswith(".properties"))

    answer = desk.triage(
        *marked, "--as", "false-positive", "--reason", "key of the local cache", "--author", "ada"
    )
    assert answer["findings"] == marked
    assert answer["silenced"] == []
    assert [row["path"].rpartition("/")[2] for row in desk.rows()] == ["app.env"]

    values += [desk.pattern(number) for number in range(20, 25)]
    told = desk.crawl()
    assert "Silenced   5" in told
    # What was decided makes nothing be read again.
    assert "Unchanged  21 documents" in told
    assert [row["path"].rpartition("/")[2] for row in desk.rows()] == ["app.env"]
    silenced = {row["finding"] for row in desk.rows("--status", "false_positive")} - set(marked)
    assert len(silenced) == 5
    case = desk.show(min(silenced))
    assert case["status"] == "false_positive"
    assert case["triage"] == []
    assert case["because"].startswith("like finding ")
    assert "(false positive by ada on " in case["because"]
    assert case["because"].split()[2] in marked

    undone = desk.triage(*marked, "--undo")
    assert set(undone["restored"]) == silenced
    assert len(desk.rows()) == 26
    assert {row["status"] for row in desk.rows()} == {"open"}
    assert desk.show(min(silenced))["because"] == ""
    desk.crawl()
    assert len(desk.rows()) == 26

    store = b"".join(path.read_bytes() for path in desk.root.glob("night.db*"))
    assert not [
        value for value in [*values, password] if value.encode() in store or value[4:14].encode() in store
    ]


def test_fixtures_marked_by_a_filter_leave_the_scan_and_come_back(desk: Desk) -> None:
    """25 generated hashes under ``password:``, 20 marked; beside them what must never be silenced."""

    def fixture(number: int) -> None:
        folder = desk.tree / "tests" / "fixtures" / ("more" if number >= 20 else "users")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{FAMILIES[number % 5]}-{number}.yml").write_text(
            f"user:\n  name: {FAMILIES[number % 5]}\n  password: {fill('<hex:32>', f'h{number}')}\n"
            "  active: true\n"
        )

    def keep(path: str, text: str) -> None:
        place = desk.tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    for number in range(20):
        fixture(number)
    keep(
        "tests/fixtures/more/own.yml", f"user:\n  name: mail\n  password: {fill('Rk<alnum:4>#<alnum:5>!z')}\n"
    )
    keep("deploy/production/mail.yml", f"user:\n  name: mail\n  password: {fill('<hex:32>', 'live')}\n")
    keep("tests/fixtures/more/token.yml", f"user:\n  name: mail\n  password: {fill('<github-token:ghp_>')}\n")
    desk.crawl()
    options = ("--store", "night.db", "--format", "jsonl")
    scan = ("scan", "tree", "--min-confidence", str(LEAST), *options)

    def paths(*arguments: str) -> list[str]:
        done = desk.process(*arguments)
        assert done.returncode == 1, done.stderr
        return sorted({json.loads(line)["path"] for line in done.stdout.splitlines()})

    kept = [
        f"tree/{name}"
        for name in (
            "deploy/production/mail.yml",
            "tests/fixtures/more/own.yml",
            "tests/fixtures/more/token.yml",
        )
    ]
    assert len(paths(*scan)) == 23
    chosen = ("--path", "**/fixtures/users/**")
    told = desk.triage(*chosen, "--as", "false_positive", "--reason", "generated", "--author", "ada", "--yes")
    assert len(told["findings"]) == 20
    assert told["silenced"] == []
    for number in range(20, 25):
        fixture(number)
    assert paths(*scan) == kept
    explained = [json.loads(line) for line in desk.process(*scan, "--all").stdout.splitlines()]
    reasons = [row["because"] for row in explained if "/more/" in row["path"] and row["status"] != "open"]
    assert len(reasons) == 5
    marks = set(told["findings"])
    assert {why.split()[2] in marks and why.startswith("like finding ") for why in reasons} == {True}
    assert all("(false positive by ada on " in why for why in reasons)
    assert "Silenced   5" in desk.crawl()
    assert len({row["finding"] for row in desk.rows()}) == 3

    history = desk.run("findings", "decisions", *options)
    assert [json.loads(line)["author"] for line in history.splitlines()] == ["ada"] * 20
    undone = desk.triage(*chosen, "--undo", "--yes")
    assert len(undone["restored"]) == 5
    assert len(paths(*scan)) == 28
    desk.crawl()
    assert len({row["finding"] for row in desk.rows()}) == 28
    assert desk.run("findings", "decisions", *options) == ""
    assert len(desk.run("findings", "decisions", "--all", *options).splitlines()) == 20


def test_marks_act_at_once_on_what_is_stored(desk: Desk) -> None:
    for number in range(25):
        desk.pattern(number)
    desk.crawl()
    ids = sorted(row["finding"] for row in desk.rows())
    answer = desk.triage(*[id_[:10] for id_ in ids[:20]], "--as", "false-positive", "--reason", "cache")
    assert set(answer["silenced"]) == set(ids[20:])
    assert desk.rows() == []
    assert len(desk.rows("--all")) == 25
    # A confirmed one among them stands against the marks.
    desk.triage(ids[22], "--as", "acknowledged", "--reason", "rotating it")
    assert ids[22] in {row["finding"] for row in desk.rows()}
    page = desk.run("findings", "show", ids[22], "--store", "night.db")
    assert "acknowledged by" in page
    assert "rotating it" in page


def test_a_scan_follows_the_decisions_of_a_store(desk: Desk) -> None:
    for number in range(6):
        desk.pattern(number)
    desk.crawl()
    ids = sorted(row["finding"] for row in desk.rows())
    desk.triage(*ids[:5], "--as", "false-positive", "--reason", "fixture")
    desk.pattern(7)
    (desk.tree / "app.env").write_text(f"DB_PASSWORD={fill('<alnum:16>', 'app')}\n")
    done = desk.process("scan", "tree", "--store", "night.db", "--format", "jsonl")
    assert done.returncode == 1
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == ["tree/app.env"]
    assert "7 findings not reported" in done.stderr
    (desk.tree / "app.env").unlink()
    assert desk.process("scan", "tree", "--store", "night.db", "--quiet").returncode == 0
    assert desk.process("scan", "tree", "--quiet").returncode == 1
    assert desk.process("scan", "tree", "--store", "nothing.db").returncode == 4


def test_a_filter_takes_only_what_stands_nowhere_else_and_is_confirmed(desk: Desk) -> None:
    shared = desk.pattern(1)
    desk.pattern(2)
    (desk.tree / "elsewhere.properties").write_text(f"LICENCE_PASSWORD={shared}\n")
    desk.crawl()
    chosen = ("--path", "**/build/**", "--as", "false-positive", "--reason", "cache")
    dry = desk.triage(*chosen, "--dry-run")
    assert (len(dry["findings"]), dry["elsewhere"], dry["dry_run"]) == (1, 1, True)
    assert {row["status"] for row in desk.rows()} == {"open"}
    told = desk.run("findings", "triage", "--store", "night.db", *chosen, code=2)
    assert "--confirm 1" in told
    told = desk.run("findings", "triage", "--store", "night.db", *chosen, "--confirm", "3", code=2)
    assert "chooses 1 findings, not 3" in told
    assert desk.triage(*chosen, "--confirm", "1")["findings"] == dry["findings"]
    # What was decided so is not chosen again, and can be taken back by the same filter.
    assert desk.triage(*chosen, "--dry-run")["findings"] == []
    accepted = ("--path", "**/build/**", "--as", "accepted", "--reason", "later", "--yes", "--until")
    assert len(desk.triage(*accepted, "2998-01-01")["findings"]) == 1
    assert desk.triage(*accepted, "2998-01-01")["findings"] == []
    assert len(desk.triage(*accepted, "2999-01-01")["findings"]) == 1
    assert desk.show(dry["findings"][0])["until"] == "2999-01-01"
    desk.triage(*dry["findings"], "--undo")
    assert desk.show(dry["findings"][0])["until"] == "2998-01-01"
    desk.triage(*dry["findings"], "--undo")
    undo = desk.triage("--path", "**/build/**", "--undo", "--confirm", "1")
    assert undo["findings"] == dry["findings"]


def test_a_reason_is_redacted(desk: Desk) -> None:
    value = desk.pattern(1)
    desk.crawl()
    (row,) = desk.rows()
    answer = desk.triage(row["finding"], "--as", "acknowledged", "--reason", f"LICENCE_PASSWORD={value}")
    assert value not in json.dumps(answer)
    store = b"".join(path.read_bytes() for path in desk.root.glob("night.db*"))
    assert value.encode() not in store


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the findings by their ids"),
        (["00", "--rule", "x", "--as", "acknowledged", "--reason", "x"], "ids or filters, not both"),
        (["00"], "say what it is with --as"),
        (["00", "--as", "acknowledged"], "give a --reason"),
        (["00", "--as", "accepted", "--reason", "x"], "needs --until"),
        (["00", "--as", "acknowledged", "--until", "2999-01-01", "--reason", "x"], "nothing else has it"),
        (["00", "--as", "accepted", "--until", "2001-01-01", "--reason", "x"], "is over"),
        (["00", "--as", "accepted", "--until", "soon", "--reason", "x"], "is no day"),
        (["00", "--undo", "--reason", "x"], "goes without"),
        (["zz", "--undo"], "is no finding id"),
        (["ffffffffffffffff", "--undo"], "there is no finding"),
    ],
)
def test_what_contradicts_itself_is_one_line(arguments: list[str], message: str, empty: Desk) -> None:
    assert message in empty.run("findings", "triage", "--store", "night.db", *arguments, code=2)


def test_a_store_that_is_not_there_is_not_made(desk: Desk) -> None:
    told = desk.run("findings", "triage", "00", "--undo", "--store", "night.db", code=4)
    assert "there is no store" in told
    assert not (desk.root / "night.db").exists()
