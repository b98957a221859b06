"""What the store keeps of live checks: a history, what is due, and how often an account was tried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from batches import batch, occurrence, open_store

from unsprawl.records import Check, Validity
from unsprawl.store.findings import Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def crawled(store: Store, *, sealed: bytes | None = b"sealed") -> str:
    one = occurrence(1, "a", sealed=sealed)
    run = store.begin("crawl", "nightly", "d1")
    run.commit(batch("u", {"a": [one]}))
    run.finish(complete=True)
    return one.finding


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock):
    with open_store(tmp_path / "s.db", clock=clock) as store:
        yield store


def note(store: Store, finding: str, validity: Validity, *, asked: bool = True, account: str = "") -> None:
    (it,) = store.checkable([finding])
    check = Check(validity, f"it is {validity}", "read")
    store.note_answer(it, check, asked=asked, account=account, again=DAY)


def test_only_what_is_kept_is_due(store: Store) -> None:
    finding = crawled(store)
    assert store.checks_due() == [finding]
    assert store.checkable([finding])[0].sealed == b"sealed"


def test_nothing_is_due_where_no_value_is_kept(tmp_path: Path) -> None:
    with open_store(tmp_path / "t.db") as store:
        crawled(store, sealed=None)
        assert store.checks_due() == []


def test_an_answer_makes_the_next_one_due_later(store: Store, clock: Clock) -> None:
    finding = crawled(store)
    note(store, finding, Validity.ACTIVE)
    assert store.checks_due() == []
    assert store.finding(finding)["validity"] == "active"
    clock.now += DAY
    assert store.checks_due() == [finding]
    note(store, finding, Validity.INACTIVE)
    clock.now += 10 * DAY
    assert store.checks_due() == []
    clock.now += 30 * DAY
    assert store.checks_due() == [finding]


def test_what_proves_nothing_takes_back_no_proof(store: Store, clock: Clock) -> None:
    finding = crawled(store)
    note(store, finding, Validity.ACTIVE)
    note(store, finding, Validity.UNKNOWN)
    assert store.finding(finding)["validity"] == "active"
    assert store.finding(finding)["evidence"] == "it is active"
    assert [one["validity"] for one in store.check_history(finding)] == ["unknown", "active"]
    assert store.was_accepted(finding)
    # An unproven answer is fresh for an hour, whatever the owner allows.
    assert store.last_check(finding, DAY) is not None
    clock.now += timedelta(hours=2)
    assert store.last_check(finding, DAY) is None


def test_what_could_not_be_asked_is_due_when_it_is_seen_again(store: Store) -> None:
    finding = crawled(store)
    note(store, finding, Validity.UNKNOWN, asked=False)
    assert store.checks_due() == []
    assert store.last_check(finding, DAY) is None
    crawled(store)
    assert store.checks_due() == [finding]


def test_attempts_are_counted_by_account_and_day_and_the_name_is_not_kept(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    finding = crawled(store)
    for _ in range(3):
        note(store, finding, Validity.INACTIVE, account="postgres/db.acme.test:5432/app")
    assert store.attempts("postgres/db.acme.test:5432/app", DAY) == 3
    assert store.attempts("postgres/db.acme.test:5432/other", DAY) == 0
    clock.now += 2 * DAY
    assert store.attempts("postgres/db.acme.test:5432/app", DAY) == 0
    assert b"db.acme.test:5432" not in b"".join(path.read_bytes() for path in tmp_path.glob("s.db*"))


def test_what_is_settled_is_not_asked_about(store: Store) -> None:
    from unsprawl.records import Status
    from unsprawl.store.triage import Decision

    finding = crawled(store)
    store.decide([finding], Decision(status=Status.FALSE_POSITIVE, reason="invented", author="ann"))
    assert store.checks_due() == []


def test_the_history_is_bounded(store: Store) -> None:
    finding = crawled(store)
    for _ in range(60):
        note(store, finding, Validity.ACTIVE)
    assert len(store.check_history(finding)) == 50
