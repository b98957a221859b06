"""The audit log: each row changed, dropped, moved, added or cut off shows, and so does an old file."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from batches import KEYS, batch, occurrence, open_store

from unsprawl.cli import main
from unsprawl.errors import ConfigError
from unsprawl.records import Status
from unsprawl.store.audit import BEGUN, Anchor, origin
from unsprawl.store.findings import Filter, Store
from unsprawl.store.keys import load_keys
from unsprawl.store.triage import Decision

PLACE = Path("store.db")
_BACK = "UPDATE audit_head SET number = 3, seal = (SELECT seal FROM audit WHERE id = 3)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store whose log has six rows."""
    path = tmp_path / PLACE
    with open_store(path) as store:
        for number in range(5):
            store.record("check.asked", who="ada", subject=f"{number:012x}", detail={"host": f"h{number}"})
    return path


def tamper(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as raw:
        for statement in statements:
            raw.execute(statement)
    raw.close()


def faults(path: Path, **anchors: Anchor) -> list[str]:
    with open_store(path, readonly=True) as store:
        return list(store.verify_audit(anchors).faults)


def test_a_log_begins_with_its_store_and_is_intact(path: Path) -> None:
    with open_store(path) as store:
        rows = list(store.audited())
        verdict = store.verify_audit()
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[0]["action"] == BEGUN
    assert rows[3] | {"at": ""} == {
        "id": 4, "at": "", "who": "ada", "origin": origin(), "action": "check.asked",
        "subject": "000000000002", "detail": {"host": "h2"},
    }  # fmt: skip
    assert (verdict.intact, verdict.rows, str(verdict.anchor)[:2]) == (True, 6, "6:")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit SET who = 'eve' WHERE id = 3", "row 3 was changed, or moved"),
        ("UPDATE audit SET at = '2020-01-01' WHERE id = 1", "row 1 was changed, or moved"),
        ("UPDATE audit SET detail = '{}' WHERE id = 6", "row 6 was changed, or moved"),
        ("UPDATE audit SET subject = subject || 'x', action = 'other' WHERE id = 2", "row 2 was changed"),
        ("DELETE FROM audit WHERE id = 1", "row 1 is missing"),
        ("DELETE FROM audit WHERE id = 3", "row 3 is missing"),
        ("DELETE FROM audit WHERE id IN (3, 4)", "rows 3 to 4 are missing"),
        ("DELETE FROM audit WHERE id = 6", "the end is missing: the head is at row 6, the last row is 5"),
        ("DELETE FROM audit", "all rows are missing"),
        ("DELETE FROM audit_head", "the head is missing"),
        ("UPDATE audit_head SET number = 5, seal = (SELECT seal FROM audit WHERE id = 5)", "the head was"),
        ("INSERT INTO audit SELECT 7, at, who, origin, action, subject, detail, seal FROM audit WHERE id = 6",
         "row 7 was changed, or moved"),
        ("INSERT INTO audit_head SELECT * FROM audit_head", "the head is missing"),
    ],
)  # fmt: skip
def test_tampering_shows(path: Path, statement: str, told: str) -> None:
    assert faults(path) == []
    tamper(path, statement)
    assert any(told in fault for fault in faults(path))


def test_an_edit_with_the_seal_of_another_row_shows(path: Path) -> None:
    tamper(path, "UPDATE audit SET seal = (SELECT seal FROM audit WHERE id = 3) WHERE id = 4")
    assert faults(path)[0] == "row 4 was changed, or moved"


def test_rows_that_changed_places_show(path: Path) -> None:
    tamper(
        path,
        "UPDATE audit SET id = 100 WHERE id = 3",
        "UPDATE audit SET id = 3 WHERE id = 4",
        "UPDATE audit SET id = 4 WHERE id = 100",
    )
    assert faults(path) == [f"row {number} was changed, or moved" for number in (3, 4, 5)]


@pytest.mark.parametrize(
    "cut",
    [
        ["DELETE FROM audit WHERE id > 3"],
        ["DELETE FROM audit WHERE id > 3", "DELETE FROM audit_head"],
        ["DELETE FROM audit", "DELETE FROM audit_head"],
        ["DELETE FROM audit WHERE id > 3", _BACK],
    ],
)  # fmt: skip
def test_a_cut_shows_also_after_more_was_written(path: Path, cut: list[str]) -> None:
    tamper(path, *cut)
    with open_store(path) as store:
        for number in range(4):
            store.record("check.asked", who="ada", subject="", detail={"again": number})
    assert faults(path)


def test_an_older_copy_of_the_file_is_shown_by_the_anchor_of_a_report(path: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    shutil.copy(path, old)
    with open_store(path) as store:
        store.record("secret.revealed", who="eve", subject="", detail={})
        kept = Anchor.parse(str(store.anchor()))
    shutil.copy(old, path)
    assert faults(path) == []
    assert faults(path, report=kept) == ["the log ends before row 7 of the anchor in report"]
    with open_store(path) as store:
        store.record("something.else", who="eve", subject="", detail={})
    assert faults(path, report=kept) == ["row 7 is not the one of the anchor in report"]


def test_an_anchor_stays_good_while_the_log_grows(path: Path) -> None:
    with open_store(path) as store:
        kept = store.anchor()
        assert kept
        store.record("check.asked", who="ada", subject="", detail={})
    assert faults(path, report=kept) == []


@pytest.mark.parametrize(
    "text", ["", "12", "x:y", "1:" + "g" * 64, "-1:" + "0" * 64, "9" * 19 + ":" + "0" * 64]
)
def test_what_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no anchor"):
        Anchor.parse(text)


def test_decisions_and_reveals_stand_in_it(tmp_path: Path) -> None:
    clock = datetime(2030, 5, 1, 12, tzinfo=UTC)
    with Store.open(tmp_path / PLACE, KEYS, clock=lambda: clock) as store:
        run = store.begin("crawl", "nightly", "1")
        run.commit(batch("u", {"a": [occurrence(1, "a", sealed=b"x")], "b": [occurrence(2, "b")]}))
        run.finish(complete=True)
        store.decide(["000000000001"], Decision(status=Status.ACKNOWLEDGED, reason="mine", author="bo"))
        store.undo(["000000000001"], "cy")
        assert store.reveal(Filter(), "di") == 1
        told = [(row["action"], row["who"], row["subject"], row["detail"]) for row in store.audited()][1:]
        (at,) = {row["at"] for row in store.audited()} - {next(iter(store.audited()))["at"]}
        assert [row["who"] for row in store.audited(action="triage.")] == ["bo", "cy"]
        assert store.verify_audit().intact
    decided = {"decision": "acknowledged", "until": None, "reason": "mine"}
    assert at == "2030-05-01T12:00:00.000Z"
    assert told == [
        ("triage.decided", "bo", "000000000001", decided),
        ("triage.undone", "cy", "000000000001", {}),
        ("secret.revealed", "di", "000000000001", {}),
    ]


def test_what_is_rolled_back_leaves_no_row(tmp_path: Path) -> None:
    with open_store(tmp_path / PLACE) as store:
        with pytest.raises(ConfigError):
            store.undo(["000000000001"], "ada")
        assert store.verify_audit().rows == 1


def test_hostile_texts_and_long_details_are_sealed_as_they_are_kept(tmp_path: Path) -> None:
    with open_store(tmp_path / PLACE) as store:
        store.record("x", who="\udcff\x1b[31m", subject="\0", detail={"long": "x" * 100_000, "\udcff": 1})
        assert store.verify_audit().intact
        (_, row) = store.audited()
        assert len(row["detail"]["cut"]) == 4096


# --- the command -----------------------------------------------------------------------------------


def test_the_command_shows_and_proves(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "config"
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(key))
    path.unlink()
    with Store.open(path, load_keys()) as store:
        for number in range(3):
            store.record("check.asked", who="ada\x1b[31m", subject=f"{number:012x}", detail={"host": "h"})

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["audit", *arguments, "--store", str(path)])
        return (code, *capsys.readouterr())

    code, shown, _ = call("show", "--action", "check.", "--format", "table")
    assert (code, shown.count("check.asked"), "\x1b" in shown) == (0, 3, False)
    code, proof, _ = call("verify", "--format", "json")
    assert (code, json.loads(proof)["intact"]) == (0, True)
    (tmp_path / "kept.json").write_text(proof)
    anchor = ("--anchor", str(tmp_path / "kept.json"))
    assert call("verify", *anchor)[0] == 0
    tamper(path, "UPDATE audit SET who = 'eve' WHERE id = 3")
    code, told, _ = call("verify", *anchor)
    assert (code, "row 3 was changed, or moved" in told) == (1, True)
    code, _, error = call("verify", "--anchor", "nonsense")
    assert (code, "no anchor" in error) == (2, True)
