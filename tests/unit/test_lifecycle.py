"""How findings end and come back: proofs close, contradictions reopen; owners, and when to look again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from batches import DETECTION, KEYS, batch, occurrence

from unsprawl.errors import ConfigError
from unsprawl.records import Check, Occurrence, Severity, Status, Validity
from unsprawl.store.findings import Filter, Store
from unsprawl.store.owners import load
from unsprawl.store.triage import Decision

ONE = "000000000001"
DEAD = Check(Validity.INACTIVE, "InvalidClientTokenId", checked_at=datetime(2030, 5, 1, tzinfo=UTC))
ALIVE = Check(Validity.ACTIVE, "answers as deploy-bot", privilege="admin")
MUTE = Check(Validity.UNKNOWN, "no answer")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Any:
    with Store.open(tmp_path / "s.db", KEYS, clock=clock) as store:
        crawl(store, a=[occurrence(1, "a", sealed=b"kept")], b=[occurrence(1, "b")])
        yield store


def crawl(store: Store, **documents: list[Occurrence]) -> None:
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(batch("u", documents))
    run.finish(complete=True)


def case(store: Store) -> dict[str, Any]:
    return store.finding(ONE)


def status(store: Store) -> str:
    return str(case(store)["status"])


def gone(store: Store, *, but: int = 0) -> Any:
    places = store.places(ONE)
    return store.look([ONE], [(place.id, "gone") for place in places[but:]], "ada")


def decided(status: Status) -> Decision:
    return Decision(status=status, reason="done", author="ada")


@pytest.mark.parametrize("first", ["check", "look"])
@pytest.mark.parametrize("before", [None, Status.ACKNOWLEDGED, Status.ROTATED])
def test_both_halves_of_the_proof_close(store: Store, first: str, before: Status | None) -> None:
    if before:
        store.decide([ONE], decided(before))
    if first == "check":
        assert store.note_check(ONE, DEAD, "ada").closed == ()
        assert gone(store)[1].closed == (ONE,)
    else:
        assert gone(store) == (2, store.settle("ada"))
        assert store.note_check(ONE, DEAD, "ada").closed == (ONE,)
    closed = case(store)
    assert closed["status"] == "closed"
    assert closed["closed_at"] == "2030-05-01T12:00:00.000Z"
    assert (
        closed["proof"] == "no longer works (InvalidClientTokenId); gone from 2 places since 2030-05-01T12:00"
    )
    assert store.reveal(Filter(include_gone=True), "ada") == 0
    assert [row["action"] for row in store.audited(subject=ONE)][-1] == "finding.closed"


def test_one_half_does_not_close(store: Store) -> None:
    store.note_check(ONE, DEAD, "ada")
    assert gone(store, but=1)[1].closed == ()
    assert status(store) == "open"


def test_what_is_settled_by_a_person_stays(store: Store) -> None:
    store.decide([ONE], decided(Status.FALSE_POSITIVE))
    store.note_check(ONE, DEAD, "ada")
    gone(store)
    assert status(store) == "false_positive"


def test_no_answer_proves_nothing(store: Store) -> None:
    store.note_check(ONE, ALIVE, "ada")
    store.note_check(ONE, MUTE, "ada")
    assert (case(store)["validity"], case(store)["privilege"]) == ("active", "admin")


def test_a_crawl_brings_the_last_half_too(store: Store) -> None:
    store.note_check(ONE, DEAD, "ada")
    crawl(store, a=[], b=[])
    assert status(store) == "closed"


def test_it_is_put_back_and_reopens(store: Store) -> None:
    store.note_check(ONE, DEAD, "ada")
    gone(store)
    crawl(store, c=[occurrence(1, "c")])
    assert status(store) == "reopened"
    assert (case(store)["proof"], case(store)["closed_at"]) == ("", None)
    assert [row["action"] for row in store.audited(subject=ONE)] == ["finding.closed", "finding.reopened"]


def test_a_place_where_it_stands_again_reopens(store: Store) -> None:
    store.note_check(ONE, DEAD, "ada")
    gone(store)
    (first, _) = store.places(ONE, gone=True)
    _, settled = store.look([ONE], [(first.id, "stands")], "ada")
    assert (settled.reopened, status(store)) == ((ONE,), "reopened")


@pytest.mark.parametrize("before", ["closed", "rotated"])
def test_it_works_again_and_reopens(store: Store, before: str) -> None:
    if before == "closed":
        store.note_check(ONE, DEAD, "ada")
        gone(store)
    else:
        store.decide([ONE], decided(Status.ROTATED))
    assert store.note_check(ONE, ALIVE, "ada").reopened == (ONE,)
    (row,) = store.audited(subject=ONE, action="finding.reopened")
    assert "answers as deploy-bot" in row["detail"]["why"]


def test_a_word_closes_only_what_is_gone_and_not_alive(store: Store) -> None:
    with pytest.raises(ConfigError, match="still stands in 2 places"):
        store.decide([ONE], decided(Status.CLOSED))
    gone(store)
    store.note_check(ONE, ALIVE, "ada")
    with pytest.raises(ConfigError, match="known to work"):
        store.decide([ONE], decided(Status.CLOSED))
    assert store.note_check(ONE, DEAD, "ada").closed == (ONE,)


def test_a_word_is_told_as_one_and_can_be_taken_back(store: Store) -> None:
    gone(store)
    store.decide([ONE], decided(Status.CLOSED))
    assert case(store)["proof"] == "by the word of ada: done; gone from all places"
    store.undo([ONE], "bo")
    assert (status(store), case(store)["proof"]) == ("open", "")


def test_the_unknown_changes_nothing(store: Store) -> None:
    before = case(store)["last_seen"]
    assert store.look([ONE], [(place.id, "unknown") for place in store.places(ONE)], "ada")[0] == 0
    assert (case(store)["last_seen"], case(store)["live"]) == (before, 2)


@pytest.mark.parametrize(
    ("severity", "decision", "days"),
    [(Severity.CRITICAL, None, 1), (Severity.HIGH, None, 3), (Severity.LOW, None, 14),
     (Severity.LOW, Status.ROTATED, 1)],
)  # fmt: skip
def test_looks_are_due_by_severity_and_status(
    tmp_path: Path, clock: Clock, severity: Severity, decision: Status | None, days: int
) -> None:
    with Store.open(tmp_path / "t.db", KEYS, clock=clock) as store:
        crawl(store, a=[occurrence(1, "a", severity=severity)])
        assert store.due() == [ONE]
        if decision:
            store.decide([ONE], decided(decision))
        store.look([ONE], [], "ada")
        clock.now += timedelta(days=days, seconds=-1)
        assert store.due() == []
        clock.now += timedelta(seconds=1)
        assert store.due() == [ONE]


def test_what_is_over_is_never_due(store: Store, clock: Clock) -> None:
    store.decide([ONE], decided(Status.FALSE_POSITIVE))
    clock.now += timedelta(days=900)
    assert store.due() == []


# --- owners --------------------------------------------------------------------------------------

MAPPING = """
# who cares
*                        @security        # the rest
box/box/a                @storage @night
rule:acme.*              @acme
author:*@shop.test       @shop
vault:payments/**        @payments
s3://box/b\\ c            @blank
"""


@pytest.mark.parametrize(
    ("document", "more", "owner"),
    [
        ("x", {"rule": "other"}, "@security"),
        ("a", {"rule": "other"}, "@storage @night"),
        ("a", {}, "@acme"),
        ("a", {"author": "eve@shop.test"}, "@shop"),
        ("a", {"attrs": {"vault_path": "payments/db/root"}}, "@payments"),
        ("b c", {}, "@blank"),
    ],
)
def test_the_last_line_that_fits_says_whose_it_is(
    tmp_path: Path, document: str, more: dict[str, Any], owner: str
) -> None:
    (tmp_path / "OWNERS").write_text(MAPPING)
    with Store.open(tmp_path / "o.db", KEYS) as store:
        crawl(store, d=[occurrence(1, document, **more)])
        assert store.assign_all(load(tmp_path / "OWNERS")) == 1
        assert case(store)["owner"] == owner
        assert [row["owner"] for row in store.rows()] == [owner]
        assert store.assign_all(load(tmp_path / "OWNERS")) == 0


def test_without_a_line_it_is_who_wrote_most_of_what_stands(store: Store, tmp_path: Path) -> None:
    (tmp_path / "OWNERS").write_text("")
    crawl(
        store,
        a=[occurrence(1, "a", author="ada"), occurrence(1, "a", 1, author="ada")],
        b=[occurrence(1, "b", author="bo")],
    )
    store.assign_all(load(tmp_path / "OWNERS"))
    assert (case(store)["owner"], case(store)["owner_because"]) == ("ada", "wrote 2 of 3 places")


def test_what_a_person_assigned_stays(store: Store, tmp_path: Path) -> None:
    (tmp_path / "OWNERS").write_text("* @security")
    store.assign([ONE], "cy", "ada")
    store.assign_all(load(tmp_path / "OWNERS"))
    assert case(store)["owner"] == "cy"
    store.assign([ONE], "", "ada")
    store.assign_all(load(tmp_path / "OWNERS"))
    assert case(store)["owner"] == "@security"


@pytest.mark.parametrize("text", ["box/**", "box/**   # nobody"])
def test_a_pattern_without_an_owner_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "OWNERS").write_text(f"\n{text}\n")
    with pytest.raises(ConfigError, match="OWNERS:2: a pattern without an owner"):
        load(tmp_path / "OWNERS")
