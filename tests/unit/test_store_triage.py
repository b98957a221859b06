"""Decisions in the store: history, undo, dates, and what they do to findings nobody has judged."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from batches import DETECTION, KEYS, batch, occurrence, open_store

from unsprawl.errors import ConfigError
from unsprawl.models.embedding import DIMENSIONS, HEAD, VERSION
from unsprawl.recall import recall
from unsprawl.records import Occurrence, Status, Validity
from unsprawl.store.findings import Filter, Store
from unsprawl.store.memory import MemorySink
from unsprawl.store.triage import Decision

FALSE = Decision(status=Status.FALSE_POSITIVE, reason="a fixture", author="ada")
WORKING = Decision(status=Status.ACKNOWLEDGED, reason="rotating", author="bob")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def id_(number: int) -> str:
    return f"{number:012x}"


def looks(*places: int) -> bytes:
    """A vector that points along ``places``."""
    body = bytearray(DIMENSIONS)
    for place in places:
        body[place] = 100
    return bytes([VERSION]) + bytes(HEAD - 1) + bytes(body)


def crawl(store: Store, *found: Occurrence) -> None:
    run = store.begin("crawl", "nightly", DETECTION)
    documents: dict[str, list[Occurrence]] = {}
    for one in found:
        documents.setdefault(one.uri.removeprefix("s3://box/"), []).append(one)
    run.commit(batch("u", documents))
    run.finish(complete=True)


def found(number: int, vector: bytes | None = None, **more: Any) -> Occurrence:
    return occurrence(number, f"d/{number}", vector=looks(0) if vector is None else vector, **more)


def why(store: Store, number: int) -> str | None:
    (told,) = {row["because"] for row in store.rows(Filter(finding=id_(number)))}
    return told  # type: ignore[no-any-return]


#: Enough marks to silence what is like them.
MARKED = range(101, 104)


def marked(store: Store, *besides: Occurrence) -> None:
    """Three false positives that look alike, and ``besides``."""
    crawl(store, *[found(number) for number in MARKED], *besides)
    store.decide([id_(number) for number in MARKED], FALSE)


def statuses(store: Store) -> dict[str, str]:
    return {case["finding"]: case["status"] for case in store.findings()}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Any:
    with open_store(tmp_path / "s.db", clock=clock) as opened:
        yield opened


def test_a_decision_is_the_status_until_it_is_taken_back(store: Store, clock: Clock) -> None:
    crawl(store, found(1), found(2, looks(9)))
    store.decide([id_(1)], WORKING)
    clock.now += timedelta(hours=1)
    store.decide([id_(1)], FALSE)
    assert statuses(store) == {id_(1): "false_positive", id_(2): "open"}
    assert [row["status"] for row in store.rows(Filter(finding=id_(1)))] == ["false_positive"]
    assert [case["finding"] for case in store.findings(Filter(status="false_positive"))] == [id_(1)]
    assert [case["finding"] for case in store.findings(Filter(without=("false_positive",)))] == [id_(2)]
    store.undo([id_(1)], "eve")
    assert statuses(store)[id_(1)] == "acknowledged"
    store.undo([id_(1)], "eve")
    assert statuses(store)[id_(1)] == "open"
    with pytest.raises(ConfigError, match="nothing was decided"):
        store.undo([id_(1)], "eve")
    first, second = store.decisions(id_(1))
    assert (first["decision"], first["author"], first["reason"]) == ("acknowledged", "bob", "rotating")
    assert first["undone_by"] == second["undone_by"] == "eve"
    assert second["at"] == "2030-05-01T13:00:00.000Z"


def test_decisions_are_made_for_all_or_for_none(store: Store) -> None:
    crawl(store, found(1), found(2))
    with pytest.raises(ConfigError, match="there is no finding"):
        store.decide([id_(1), id_(7)], FALSE)
    assert store.decisions(id_(1)) == []
    store.decide([id_(1)], FALSE)
    with pytest.raises(ConfigError, match="nothing was decided"):
        store.undo([id_(1), id_(2)], "eve")
    assert statuses(store)[id_(1)] == "false_positive"


def test_an_acceptance_ends_by_itself_after_its_last_day(store: Store, clock: Clock) -> None:
    crawl(store, found(1))
    accepted = Decision(status=Status.ACCEPTED, reason="until the move", author="ada", until=date(2030, 5, 3))
    store.decide([id_(1)], accepted)
    assert store.finding(id_(1))["until"] == "2030-05-03"
    clock.now = datetime(2030, 5, 3, 23, 59, tzinfo=UTC)
    assert statuses(store) == {id_(1): "accepted"}
    clock.now = datetime(2030, 5, 4, 0, 1, tzinfo=UTC)
    assert statuses(store) == {id_(1): "reopened"}
    assert list(store.findings(Filter(status="accepted"))) == []
    assert [row["status"] for row in store.rows(Filter(status="reopened"))] == ["reopened"]
    # What follows is taken back to the acceptance with its date.
    store.decide([id_(1)], WORKING)
    store.undo([id_(1)], "ada")
    clock.now = datetime(2030, 5, 2, tzinfo=UTC)
    assert statuses(store) == {id_(1): "accepted"}


@pytest.mark.parametrize(
    ("status", "until"),
    [(Status.ACCEPTED, None), (Status.FALSE_POSITIVE, date(2031, 1, 1)), (Status.OPEN, None)],
)
def test_decisions_that_make_no_sense_are_refused(status: Status, until: date | None) -> None:
    with pytest.raises(ConfigError):
        Decision(status=status, reason="x", author="x", until=until)


def test_what_changed_since_is_not_undone(store: Store) -> None:
    crawl(store, found(1))
    store.decide([id_(1)], WORKING)
    store._connection.execute("UPDATE findings SET status = 'closed'")
    store.undo([id_(1)], "ada")
    assert statuses(store) == {id_(1): "closed"}


def test_marks_silence_what_is_like_them_and_undo_restores_it(store: Store) -> None:
    marked(store, *[found(n) for n in range(2, 5)], found(5, looks(9)), found(6, rule="acme.other"))
    change = recall(store)
    assert (change.silenced, change.restored) == ((id_(2), id_(3), id_(4)), ())
    assert statuses(store)[id_(5)] == statuses(store)[id_(6)] == "open"
    assert statuses(store)[id_(2)] == "false_positive"
    assert why(store, 2) == (
        f"like finding {id_(101)} (false positive by ada on 2030-05-01: a fixture) and 2 more,"
        " whose surroundings agree to 100%"
    )
    assert why(store, 101) == "false positive by ada on 2030-05-01: a fixture"
    assert why(store, 5) is None
    assert store.decisions(id_(2)) == []
    assert recall(store).silenced == ()
    # New ones of a later crawl, too.
    crawl(store, found(7))
    assert recall(store).silenced == (id_(7),)
    listed = list(store.all_decisions())
    assert sum(it["silenced"] for it in listed) == 4
    # Two marks are not enough.
    store.undo([id_(101)], "eve")
    assert recall(store).restored == (id_(2), id_(3), id_(4), id_(7))
    assert [it["finding"] for it in store.all_decisions()] == [id_(103), id_(102)]
    history = list(store.all_decisions(undone=True))
    assert [(it["counts"], it["undone_by"]) for it in history] == [(True, None), (True, None), (False, "eve")]
    store.undo([id_(102), id_(103)], "eve")
    assert set(statuses(store).values()) == {"open"}


def test_a_decision_about_one_of_them_stands_against_the_memory(store: Store) -> None:
    marked(store, found(2), found(3))
    recall(store)
    store.decide([id_(2)], WORKING)
    assert recall(store).restored == (id_(2), id_(3))
    assert statuses(store)[id_(2)] == "acknowledged"
    assert statuses(store)[id_(3)] == "open"


def test_every_place_has_to_be_like_a_false_positive(store: Store) -> None:
    elsewhere = occurrence(2, "d/x", vector=looks(9))
    marked(store, found(2), elsewhere, found(3), occurrence(3, "d/y", vector=b""))
    assert recall(store).silenced == ()


def test_what_proves_itself_is_ranked_lower_and_what_works_is_left_alone(store: Store) -> None:
    marked(store, found(2, proven=True), found(3, validity=Validity.ACTIVE))
    risks = {case["finding"]: case["risk"] for case in store.findings()}
    assert recall(store).silenced == ()
    assert {statuses(store)[id_(number)] for number in (2, 3)} == {"open"}
    now = {case["finding"]: case["risk"] for case in store.findings()}
    assert now[id_(2)] == risks[id_(2)] // 2
    assert now[id_(3)] == risks[id_(3)]
    assert [row["risk"] for row in store.rows(Filter(finding=id_(2)))] == [now[id_(2)]]
    assert str(why(store, 2)).endswith("kept, for its format proves itself")


def test_what_was_compared_before_a_decision_is_not_written(store: Store) -> None:
    crawl(store, found(1), found(2))
    before = store.decided()
    store.decide([id_(1)], FALSE)
    assert store.recall({}, before) is None
    assert store.recall({}, store.decided()) == (set(), set())


def test_feedback_follows_the_decision_that_counts_and_holds_no_text(store: Store, tmp_path: Path) -> None:
    crawl(store, found(1), occurrence(1, "d/more", vector=looks(3)), found(2), found(3, b""))
    store.decide([id_(1), id_(2), id_(3)], FALSE)
    rows = list(store.feedback_rows())
    assert [(row["finding"], row["harmless"], row["decision"]) for row in rows] == [
        (id_(1), True, "false_positive"),
        (id_(1), True, "false_positive"),
        (id_(2), True, "false_positive"),
    ]
    assert {row["model"] for row in rows} == {DETECTION}
    assert {row["context"] for row in rows} == {"key = acme_…wxyz"}
    store.decide([id_(1)], WORKING)
    store.undo([id_(2)], "eve")
    assert [(row["finding"], row["harmless"]) for row in store.feedback_rows()] == [(id_(1), False)] * 2
    with sqlite3.connect(tmp_path / "s.db") as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(feedback)")}
        assert columns == {
            *("finding", "source", "document", "ordinal", "rule", "harmless", "vector", "model", "at"),
        }
        for (held,) in connection.execute("SELECT vector FROM feedback"):
            assert len(held) == HEAD + DIMENSIONS
    connection.close()


def test_a_store_of_before_gains_the_tables_and_keeps_its_findings(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with open_store(path) as opened:
        crawl(opened, found(1))
    with sqlite3.connect(path) as connection:
        for table in ("triage", "feedback", "recalled"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE findings DROP COLUMN until")
        connection.execute("ALTER TABLE occurrences DROP COLUMN vector")
        connection.execute("ALTER TABLE occurrences DROP COLUMN proven")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0002_triage'")
    connection.close()
    with Store.open(path, KEYS, readonly=True) as opened:
        assert statuses(opened) == {id_(1): "open"}
    with open_store(path) as opened:
        opened.decide([id_(1)], FALSE)
        assert recall(opened).silenced == ()
        assert statuses(opened) == {id_(1): "false_positive"}
    with open_store(tmp_path / "new.db"):
        pass
    assert columns(path) == columns(tmp_path / "new.db")


def columns(path: Path) -> dict[str, set[str]]:
    with sqlite3.connect(path) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {
            table: {str(row[1:]) for row in connection.execute(f"PRAGMA table_info('{table}')")}
            for table in tables
        }
    connection.close()
    return found


def test_a_scan_holds_findings_for_false_positives_unless_one_place_says_otherwise() -> None:
    sink = MemorySink()
    documents = {
        "a": [occurrence(1, "a", like="abc"), occurrence(2, "a", like="abc"), occurrence(3, "a")],
        "b": [occurrence(2, "b"), occurrence(4, "b", like="abc", proven=True)],
        "c": [occurrence(5, "c", like="abc", validity=Validity.ACTIVE)],
    }
    sink.commit(batch("u", documents))
    rows = list(sink.rows())
    assert {row["finding"] for row in rows if row["status"] == "false_positive"} == {id_(1)}
    assert {row["because"] for row in rows if row["finding"] == id_(1)} == {"abc"}
    risks = {row["finding"]: row["risk"] for row in rows}
    assert risks[id_(4)] == risks[id_(3)] // 2
