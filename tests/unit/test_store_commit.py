"""What a batch does to the store: sightings, cases, what is gone, what comes back, what is counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from batches import DETECTION, KEYS, batch, content, occurrence, open_store

from unsprawl.errors import ConfigError, StoreError
from unsprawl.records import Batch, Gap, Label, Severity, Unit, Validity
from unsprawl.store.findings import Filter, Store
from unsprawl.store.run import Run
from unsprawl.store.seal import seal
from unsprawl.structs import replace


class Clock:
    """A minute passes with every look at it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with open_store(tmp_path / "store.db", clock=clock) as opened:
        yield opened


def crawl(store: Store, *batches: Batch, detection: str = DETECTION) -> Run:
    """One whole run."""
    run = store.begin("crawl", "nightly", detection)
    for one in batches:
        run.commit(one)
    run.finish(complete=True)
    return run


def set_status(store: Store, status: str) -> None:
    store._connection.execute("UPDATE findings SET status = ?", (status,))


def test_one_secret_in_three_places_is_one_finding(store: Store) -> None:
    places = {name: [occurrence(1, name)] for name in ("a.env", "b.env", "c.env")}
    crawl(store, batch("u", places))
    (case,) = store.findings()
    assert (case["finding"], case["occurrences"], case["sources"]) == (f"{1:012x}", 3, ["box"])
    assert len(list(store.rows())) == 3


def test_sightings_of_one_document_are_told_apart_by_ordinal(store: Store) -> None:
    crawl(store, batch("u", {"a.env": [occurrence(1, "a.env", n) for n in range(3)]}))
    assert [row["start"] for row in store.rows()] == [40, 41, 42]


def test_a_committed_batch_reports_new_findings_once(store: Store) -> None:
    run = store.begin("crawl", "nightly", DETECTION)
    assert run.commit(batch("u", {"a": [occurrence(2, "a"), occurrence(1, "a")]})).new == (
        f"{1:012x}",
        f"{2:012x}",
    )
    assert run.commit(batch("w", {"b": [occurrence(1, "b")]})).new == ()
    assert run.new == 2


def test_what_a_newer_version_lacks_is_gone_and_may_come_back(store: Store) -> None:
    both = {"a": [occurrence(1, "a"), occurrence(2, "a")]}
    crawl(store, batch("u", both))
    run = crawl(store, batch("u", {"a": [occurrence(1, "a", version="v2")]}, version="v2"))
    assert run.gone == 1
    assert [row["finding"] for row in store.rows()] == [f"{1:012x}"]
    gone = [row for row in store.rows(Filter(include_gone=True)) if row["gone_at"]]
    assert [row["finding"] for row in gone] == [f"{2:012x}"]
    assert gone[0]["last_seen"] < gone[0]["gone_at"]

    crawl(store, batch("u", both, version="v3"))
    rows = list(store.rows())
    assert [row["gone_at"] for row in rows] == [None, None]
    assert rows[1]["first_seen"] == gone[0]["first_seen"], "it is the same sighting, not a new one"


def test_documents_that_were_not_read_keep_their_sightings(store: Store) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a")], "b": [occurrence(1, "b")]}))
    crawl(store, batch("u", {"b": [occurrence(1, "b")]}, unchanged=1))
    assert [row["path"] for row in store.rows()] == ["box/a", "box/b"]


def test_a_sweep_that_names_no_documents_takes_nothing_for_gone(store: Store) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a"), occurrence(2, "a")]}))
    hit = batch("u", {"a": [occurrence(1, "a")]})
    run = store.begin("sweep", "nightly", "values")
    run.commit(replace(hit, documents=(), seen=()))
    assert len(list(store.rows())) == 2


def test_two_units_that_hold_one_document_agree_whoever_comes_last(store: Store) -> None:
    """One tarball served under two names: neither reading makes the other's sighting vanish."""
    crawl(
        store,
        batch("u", {"shared": [occurrence(1, "shared")]}),
        batch("w", {"shared": []}),
    )
    assert len(list(store.rows())) == 1


def test_two_units_that_describe_one_sighting_differently_agree_on_one(tmp_path: Path) -> None:
    held = []
    for order in (("u", "w"), ("w", "u")):
        with open_store(tmp_path / f"{order[0]}.db") as store:
            crawl(
                store,
                *(batch(unit, {"a": [occurrence(1, "a", start=len(unit) + ord(unit))]}) for unit in order),
            )
            held.append(content(store)["rows"])
    assert held[0] == held[1]


def test_two_units_that_read_different_versions_agree_on_one(tmp_path: Path) -> None:
    held = []
    for order in (("u", "w"), ("w", "u")):
        with open_store(tmp_path / f"{order[0]}.db") as store:
            crawl(store, *(batch(unit, {"a": []}, version=f"version of {unit}") for unit in order))
            held.append(content(store)["seen"])
    assert held[0] == held[1]


def test_what_was_gone_and_came_back_within_a_run_is_not_counted_as_gone(store: Store) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a")]}))
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(batch("u", {"a": []}, cursor={"n": 1}, version="v2", done=False))
    assert run.gone == 1
    run.commit(batch("u", {"a": [occurrence(1, "a")]}, cursor={"n": 2}, version="v3"))
    assert run.gone == 0


def test_a_document_read_again_in_one_run_loses_what_it_no_longer_holds(store: Store) -> None:
    """Killed between two batches, edited before it resumes."""
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(batch("u", {"a": [occurrence(1, "a")]}, cursor={"after": ""}, done=False))
    resumed = store.begin("crawl", "nightly", DETECTION)
    resumed.commit(batch("u", {"a": []}, version="v2"))
    assert list(store.rows()) == []
    assert resumed.gone == 1


def test_a_closed_finding_is_reopened_by_any_sighting(store: Store) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a")]}))
    set_status(store, "closed")
    run = store.begin("crawl", "nightly", DETECTION)
    assert run.commit(batch("u", {"a": [occurrence(1, "a")]})).reopened == (f"{1:012x}",)
    assert next(store.findings())["status"] == "reopened"
    assert run.reopened == 1


def test_a_rotated_finding_is_reopened_by_a_new_place_not_by_the_old_one(store: Store) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a")]}))
    set_status(store, "rotated")
    crawl(store, batch("u", {"a": [occurrence(1, "a")]}))
    assert next(store.findings())["status"] == "rotated", "the dead text still stands where it stood"
    run = crawl(store, batch("u", {"b": [occurrence(1, "b")]}))
    assert next(store.findings())["status"] == "reopened"
    assert run.reopened == 1


def test_a_rotated_finding_whose_places_were_gone_is_reopened_when_one_returns(store: Store) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a")]}))
    crawl(store, batch("u", {"a": []}, version="v2"))
    set_status(store, "rotated")
    crawl(store, batch("u", {"a": [occurrence(1, "a")]}, version="v3"))
    assert next(store.findings())["status"] == "reopened"


@pytest.mark.parametrize("status", ["open", "acknowledged", "false_positive", "accepted"])
def test_other_decisions_outlive_a_sighting(store: Store, status: str) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a")]}))
    set_status(store, status)
    crawl(store, batch("u", {"a": [occurrence(1, "a")], "b": [occurrence(1, "b")]}))
    assert next(store.findings())["status"] == status


def test_a_finding_wears_the_face_of_its_worst_sighting(store: Store) -> None:
    mild = occurrence(1, "a", severity=Severity.LOW, label=Label.TEST, confidence=0.99)
    worst = occurrence(1, "b", severity=Severity.CRITICAL, rule="acme.root", title="Acme root key")
    crawl(store, batch("u", {"a": [mild], "b": [worst]}))
    (case,) = store.findings()
    assert (case["severity"], case["rule"], case["name"], case["label"]) == (
        "critical",
        "acme.root",
        "Acme root key",
        "real",
    )


def test_when_the_worst_sighting_is_gone_the_face_is_that_of_the_worst_left(store: Store) -> None:
    worst = occurrence(1, "b", severity=Severity.CRITICAL)
    crawl(store, batch("u", {"a": [occurrence(1, "a", severity=Severity.LOW)], "b": [worst]}))
    crawl(store, batch("u", {"b": []}, version="v2"))
    (case,) = store.findings()
    assert (case["severity"], case["live"]) == ("low", 1)


def test_knowing_that_a_value_is_dead_beats_not_knowing(store: Store) -> None:
    dead = occurrence(1, "b", validity=Validity.INACTIVE, evidence="expired on 2020-01-01")
    crawl(
        store, batch("u", {"a": [occurrence(1, "a")], "b": [dead]}), batch("w", {"c": [occurrence(1, "c")]})
    )
    (case,) = store.findings()
    assert (case["validity"], case["evidence"]) == ("inactive", "expired on 2020-01-01")
    assert {row["validity"] for row in store.rows()} == {"inactive"}


def test_the_versions_of_a_sighting_are_its_first_and_its_last(store: Store) -> None:
    for version in ("v1", "v2", "v3"):
        crawl(store, batch("u", {"a": [occurrence(1, "a", version=version)]}, version=version))
    found = store._connection.execute("SELECT first_version, last_version FROM occurrences").fetchall()
    assert found == [("v1", "v3")]


def test_a_batch_delivered_twice_counts_once(store: Store) -> None:
    gap = Gap("s3://box/c", "403")
    one = batch("u", {"a": [occurrence(1, "a")]}, gaps=(gap,), cursor={"after": "a"}, done=False)
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(one)
    before = content(store)
    assert run.commit(one).repeated
    assert content(store) == before


def test_a_unit_delivered_again_after_its_end_adds_to_no_count(store: Store) -> None:
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(batch("u", {"a": [occurrence(1, "a")]}))
    assert run.commit(batch("u", {"a": [occurrence(1, "a")], "b": []})).repeated
    (row,) = run.coverage()
    assert row.documents == 1


def test_an_inclusive_cursor_repeats_its_border_without_doubling_it(store: Store) -> None:
    gap = Gap("s3://box/x", "too large")
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(batch("u", {"a": [], "b": []}, gaps=(gap,), cursor={"from": "b"}, done=False))
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(batch("u", {"b": [], "c": []}, gaps=(gap,)))
    (row,) = run.coverage()
    assert (row.documents, row.skipped, row.status) == (3, 1, "partial")


def test_a_sealed_value_is_kept_and_opens_for_its_finding_alone(store: Store, tmp_path: Path) -> None:
    import msgspec

    value = msgspec.msgpack.encode({"secret": b"plain-value-of-the-secret", "companion.id": b"someone"})
    sealed = seal(KEYS, f"{1:012x}".encode(), value)
    crawl(store, batch("u", {"a": [occurrence(1, "a", sealed=sealed)], "b": [occurrence(2, "b")]}))
    shown = {row["path"]: row["secret"] for row in store.rows(show_secrets=True)}
    assert shown == {"box/a": "plain-value-of-the-secret", "box/b": "acme_…wxyz"}
    assert {row["secret"] for row in store.rows()} == {"acme_…wxyz"}
    store._connection.execute("UPDATE findings SET sealed = ? WHERE id = ?", (sealed, f"{2:012x}"))
    with pytest.raises(StoreError, match="does not open"):
        list(store.rows(show_secrets=True))


def test_a_sealed_value_outlives_sightings_that_bring_none(store: Store) -> None:
    crawl(store, batch("u", {"a": [occurrence(1, "a", sealed=b"sealed")]}))
    crawl(store, batch("w", {"b": [occurrence(1, "b")]}))
    assert store._connection.execute("SELECT sealed FROM findings").fetchall() == [(b"sealed",)]


def test_nothing_in_clear_reaches_the_file_or_its_log(store: Store, tmp_path: Path) -> None:
    value = "clear-value-that-must-not-land"
    found = occurrence(1, "a", clear=value, clear_context=f"key = {value}")
    unit = Unit("u", "title", data={"token": value})
    run = store.begin("crawl", "nightly", DETECTION)
    run.commit(batch(unit, {"a": [found]}, cursor={"after": value}, done=False))
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"acme_" in held, "the test looks at the right files"
    assert value.encode() not in held
    assert run.cursor("box", "u") == {"after": value}


def test_names_that_are_no_unicode_are_stored_readably(store: Store) -> None:
    odd = "caf\udce9.env"
    found = occurrence(1, "a", path=odd, uri=f"file:///{odd}", attrs={"name": odd}, context=odd, author=odd)
    crawl(store, batch(Unit("u", odd, (odd,)), {"a": [found]}, gaps=(Gap(odd, "unreadable", odd),)))
    (row,) = store.rows()
    assert row["path"] == "caf\\udce9.env"
    assert row["attrs"] == {"name": "caf\\udce9.env"}
    assert store.coverage()[0].title == "caf\\udce9.env"


def test_a_prefix_finds_its_case_or_says_what_is_wrong(store: Store) -> None:
    ids = ("abc111111111", "abc222222222", "def333333333")
    crawl(store, batch("u", {name: [occurrence(name, name)] for name in ids}))
    assert store.finding("DEF")["finding"] == "def333333333"
    assert store.finding("abc1")["finding"] == "abc111111111"
    with pytest.raises(ConfigError, match="several findings: abc111111111, abc222222222"):
        store.finding("abc")
    with pytest.raises(ConfigError, match="there is no finding 999"):
        store.finding("999")
    for nonsense in ("", "xyz", "%"):
        with pytest.raises(ConfigError, match="no finding id"):
            store.finding(nonsense)


def test_rows_are_filtered(store: Store) -> None:
    sure = occurrence(1, "a", confidence=0.95)
    other = occurrence(2, "b", rule="acme.password", confidence=0.4, validity=Validity.INACTIVE)
    crawl(store, batch("u", {"a": [sure], "b": [other]}))

    def paths(**wanted: object) -> list[str]:
        return [row["path"] for row in store.rows(Filter(**wanted))]  # type: ignore[arg-type]

    assert paths() == ["box/a", "box/b"]
    assert paths(min_confidence=0.5) == ["box/a"]
    assert paths(rule="acme.password") == ["box/b"]
    assert paths(source="other") == []
    assert paths(validity="inactive") == ["box/b"]
    assert paths(status="open") == ["box/a", "box/b"]
    assert paths(finding=f"{2:012x}") == ["box/b"]


def test_findings_come_riskiest_first(store: Store) -> None:
    low = occurrence(1, "a", severity=Severity.LOW)
    high = occurrence(2, "b", severity=Severity.CRITICAL)
    crawl(store, batch("u", {"a": [low], "b": [high]}))
    assert [case["severity"] for case in store.findings()] == ["critical", "low"]
    risks = [case["risk"] for case in store.findings()]
    assert risks == sorted(risks, reverse=True)


def test_rows_can_be_read_while_a_crawl_commits(store: Store, tmp_path: Path) -> None:
    crawl(store, batch("u", {str(n): [occurrence(n, str(n))] for n in range(50)}))
    with open_store(tmp_path / "store.db", readonly=True) as reader:
        rows = reader.rows()
        next(rows)
        crawl(store, batch("w", {"more": [occurrence(99, "more")]}))
        assert sum(1 for _ in rows) == 49, "a reader sees the store as it was when it began"
        assert sum(1 for _ in reader.rows()) == 51
