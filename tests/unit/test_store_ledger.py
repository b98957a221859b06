"""Runs, cursors, versions and the coverage ledger: what was read, what was not, where to go on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from batches import DETECTION, KEYS, batch, occurrence, open_store

from unsprawl.errors import StoreError
from unsprawl.records import Batch, Gap, Unit
from unsprawl.store.coverage import State, UnitEntry, aggregate
from unsprawl.store.findings import Store
from unsprawl.store.ledger import seen_reader
from unsprawl.store.memory import MemorySink
from unsprawl.store.run import Run
from unsprawl.store.sink import CoverageRow, Sink

DENIED = Gap("s3://box/c", "403 Forbidden", "grant s3:GetObject")
LEFT_OUT = Gap("s3://box/tmp", "excluded by configuration", excluded=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path) as opened:
        yield opened


@pytest.fixture(params=["store", "memory"])
def sink(request: pytest.FixtureRequest, store: Store) -> Sink:
    return store.begin("crawl", "nightly", DETECTION) if request.param == "store" else MemorySink()


def begin(store: Store, detection: str = DETECTION, **options: bool) -> Run:
    return store.begin("crawl", "nightly", detection, **options)


def only(rows: list[CoverageRow]) -> CoverageRow:
    (row,) = rows
    return row


# --- runs ----------------------------------------------------------------------------------------


def test_a_run_that_did_not_end_is_continued_under_its_id(store: Store) -> None:
    first = begin(store)
    assert not first.resumed
    again = begin(store)
    assert (again.id, again.resumed) == (first.id, True)
    again.finish(complete=True)
    assert begin(store).id != first.id


def test_another_job_or_configuration_has_runs_of_its_own(store: Store) -> None:
    ids = {store.begin(job, config, DETECTION).id for job in ("crawl", "sweep") for config in ("a", "b")}
    assert len(ids) == 4
    assert {run.status for run in store.runs()} == {"running"}


def test_under_other_rules_a_new_run_begins_and_the_old_one_is_abandoned(store: Store) -> None:
    old = begin(store)
    new = begin(store, "rules-2+model-1")
    assert not new.resumed
    assert {run.id: run.status for run in store.runs()} == {old.id: "abandoned", new.id: "running"}


def test_a_resumption_can_be_declined(store: Store) -> None:
    old = begin(store)
    assert begin(store, resume=False).id != old.id
    assert store.runs()[1].status == "abandoned"


def test_a_full_run_continues_only_a_full_one(store: Store) -> None:
    plain = begin(store)
    full = begin(store, full=True)
    assert full.id != plain.id
    assert begin(store, full=True).id == full.id
    assert begin(store).full, "a full run that was killed is finished as one"


def test_a_finished_run_says_how_it_ended(store: Store) -> None:
    begin(store).finish(complete=False)
    begin(store).finish(complete=True)
    assert [run.status for run in store.runs()] == ["complete", "incomplete"]
    assert all(run.finished_at and run.finished_at.endswith("Z") for run in store.runs())


# --- cursors and versions ------------------------------------------------------------------------


def test_a_cursor_comes_back_for_its_unit_under_the_same_detection(store: Store) -> None:
    run = begin(store)
    run.commit(batch("u", {"a": []}, cursor={"after": "a", "page": [1, None]}, done=False))
    assert run.cursor("box", "u") == {"after": "a", "page": [1, None]}
    assert run.cursor("box", "w") is None
    assert run.cursor("other", "u") is None
    assert begin(store, "rules-2+model-1").cursor("box", "u") is None


def test_a_full_run_ignores_cursors_of_others_and_keeps_its_own(store: Store) -> None:
    run = begin(store)
    run.commit(batch("u", {"a": []}, cursor={"after": "a"}))
    run.finish(complete=True)
    full = begin(store, full=True)
    assert full.cursor("box", "u") is None
    full.commit(batch("u", {"a": []}, cursor={"after": "b"}, done=False))
    assert begin(store, full=True).cursor("box", "u") == {"after": "b"}


def test_finished_units_are_those_of_this_run(store: Store) -> None:
    run = begin(store)
    run.commit(batch("done", {"a": []}))
    run.commit(batch("open", {"b": []}, cursor={}, done=False))
    run.commit(batch("broken", failure=Gap("broken", "404")))
    assert run.finished_units("box") == {"done", "broken"}
    assert run.finished_units("other") == frozenset()
    run.finish(complete=False)
    assert begin(store).finished_units("box") == frozenset()


def test_seen_answers_what_finished_runs_read(store: Store, path: Path) -> None:
    run = begin(store)
    run.commit(batch("u", {"a": []}, version="v1"))
    run.finish(complete=True)
    seen = begin(store).seen("box")
    assert (seen("a"), seen("b")) == ("v1", None)
    assert seen_reader(path, KEYS, "other", DETECTION)("a") is None
    assert seen_reader(path, KEYS, "box", "rules-2+model-1")("a") is None


def test_seen_answers_as_of_the_beginning_of_the_run(store: Store) -> None:
    """So that a resumed run lists, reads and counts what an undisturbed one would."""
    run = begin(store)
    run.commit(batch("u", {"a": []}, version="v1"))
    run.finish(complete=True)
    run = begin(store)
    run.commit(batch("u", {"a": [], "new": []}, version="v2"))
    run.commit(batch("w", {"a": []}, version="v3"))
    resumed = begin(store).seen("box")
    assert (resumed("a"), resumed("new")) == ("v1", None)
    run.finish(complete=True)
    later = begin(store).seen("box")
    assert later("new") == "v2"
    assert later("a") in {"v2", "v3"}


def test_a_full_run_has_seen_nothing(store: Store) -> None:
    run = begin(store)
    run.commit(batch("u", {"a": []}))
    run.finish(complete=True)
    assert begin(store, full=True).seen("box")("a") is None


def test_what_an_abandoned_run_read_was_read(store: Store) -> None:
    begin(store).commit(batch("u", {"a": []}))
    assert begin(store, resume=False).seen("box")("a") == "v1"


def test_a_reader_can_be_sent_to_another_process(store: Store, path: Path) -> None:
    run = begin(store)
    run.commit(batch("u", {"a": []}))
    run.finish(complete=True)
    reader = seen_reader(path, KEYS, "box", DETECTION)
    assert reader("a") == "v1"
    copy = pickle.loads(pickle.dumps(reader))
    assert copy("a") == "v1"
    reader.close()
    assert reader("a") == "v1", "it opens the store again"
    reader.close()
    copy.close()


def test_a_reader_of_a_missing_store_raises_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        seen_reader(tmp_path / "none.db", KEYS, "box", DETECTION)("a")


def test_object_names_and_cursors_are_not_in_the_file(store: Store, tmp_path: Path) -> None:
    run = begin(store)
    run.commit(batch("u", {"export-of-customer-77.csv": []}, cursor={"after": "export-of-customer-77.csv"}))
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"nightly" in held
    assert b"customer-77" not in held


# --- coverage ------------------------------------------------------------------------------------


def test_a_unit_that_was_read_to_its_end_is_complete(sink: Sink) -> None:
    sink.commit(batch(Unit("u", "a bucket"), {"a": [], "b": []}, unchanged=3))
    row = only(sink.coverage())
    assert (row.title, row.status, row.documents, row.unchanged, row.read_bytes) == (
        "a bucket",
        "complete",
        2,
        3,
        20,
    )


def test_the_batches_of_a_unit_add_up(sink: Sink) -> None:
    sink.commit(batch("u", {"a": []}, cursor={"n": 1}, gaps=(DENIED,), done=False))
    sink.commit(batch("u", {"b": []}, unchanged=2, gaps=(LEFT_OUT,)))
    row = only(sink.coverage())
    assert (row.documents, row.unchanged, row.skipped, row.excluded) == (2, 2, 1, 1)
    assert row.gaps == (DENIED, LEFT_OUT)
    assert row.reasons == ("403 Forbidden", "excluded by configuration")


def test_something_unreadable_makes_a_unit_partial_something_left_out_does_not(sink: Sink) -> None:
    sink.commit(batch("denied", {"a": []}, gaps=(DENIED,)))
    sink.commit(batch("left out", {"b": []}, gaps=(LEFT_OUT,)))
    assert {row.title: row.status for row in sink.coverage()} == {"denied": "partial", "left out": "complete"}


def test_a_unit_that_broke_off_is_failed_or_partial(sink: Sink) -> None:
    sink.commit(batch("nothing", failure=Gap("nothing", "connection reset")))
    sink.commit(batch("something", {"a": []}, failure=Gap("something", "connection reset")))
    assert {row.title: row.status for row in sink.coverage()} == {"nothing": "failed", "something": "partial"}
    assert all(row.reasons == ("connection reset",) for row in sink.coverage())


def test_a_unit_that_was_begun_and_never_ended_is_partial(sink: Sink) -> None:
    sink.commit(batch("u", {"a": []}, cursor={"n": 1}, done=False))
    assert only(sink.coverage()).status == "partial"


def test_units_not_reached_because_their_source_stopped_are_skipped(sink: Sink) -> None:
    refused = Gap("first", "401 Unauthorized", "the token needs channels:history")
    sink.commit(batch("first", failure=refused, fatal=True))
    sink.commit(batch("second", failure=refused, fatal=True))
    sink.commit(batch("third", {"a": []}, failure=refused, fatal=True))
    statuses = {row.title: row.status for row in sink.coverage()}
    assert statuses == {"first": "failed", "second": "skipped", "third": "partial"}


def test_a_masked_unit_knows_its_own_failure(sink: Sink) -> None:
    sink.commit(batch("key=…#1a2b3c4d", failure=Gap("key=…", "401 Unauthorized"), fatal=True))
    assert only(sink.coverage()).status == "failed"


def test_a_unit_counts_for_each_of_its_parents(sink: Sink) -> None:
    sink.commit(batch(Unit("layer-1", "layer", ("app", "web")), {"a": []}))
    sink.commit(batch(Unit("layer-2", "layer", ("web",)), {"b": []}, gaps=(DENIED,)))
    rows = {row.title: row for row in sink.coverage()}
    assert rows.keys() == {"app", "web"}
    assert (rows["app"].status, rows["app"].documents, rows["app"].units) == ("complete", 1, 1)
    assert (rows["web"].status, rows["web"].documents, rows["web"].units) == ("partial", 2, 2)
    assert (sink.totals().documents, sink.totals().skipped) == (2, 1)


def test_units_of_one_title_keep_rows_of_their_own(sink: Sink) -> None:
    sink.commit(batch(Unit("u1", "general"), {"a": []}))
    sink.commit(batch(Unit("u2", "general"), {"b": []}))
    assert [row.title for row in sink.coverage()] == ["general", "general"]


def test_what_the_listing_skipped_stands_in_its_parents_row(sink: Sink) -> None:
    sink.note_gap("box", DENIED, ("app",))
    sink.note_gap("box", DENIED, ("app",))
    row = only(sink.coverage())
    assert (row.title, row.status) == ("app", "skipped")
    assert row.gaps == (DENIED,)
    sink.commit(batch(Unit("layer", "layer", ("app",)), {"a": []}))
    assert only(sink.coverage()).status == "partial"


def test_what_was_left_out_when_listing_keeps_the_run_complete(sink: Sink) -> None:
    sink.note_gap("box", LEFT_OUT)
    row = only(sink.coverage())
    assert (row.title, row.status, row.excluded, row.skipped) == ("box", "complete", 1, 0)


def test_a_source_that_could_not_be_listed_has_a_failed_row(sink: Sink) -> None:
    sink.commit(batch("u", {"a": []}))
    sink.source_failed("box", Gap("box", "timed out", "look at the proxy"))
    assert [(row.title, row.status) for row in sink.coverage()] == [("box", "failed"), ("u", "complete")]
    assert sink.coverage()[0].gaps[0].hint == "look at the proxy"


def test_a_resumed_run_gives_a_stopped_source_another_chance(store: Store) -> None:
    refused = Gap("first", "401 Unauthorized")
    run = begin(store)
    run.commit(batch("done", {"d": []}))
    run.commit(batch("first", failure=refused, fatal=True))
    run.commit(batch("second", failure=refused, fatal=True))
    run.commit(batch("broken", failure=Gap("broken", "404")))
    run.source_failed("box", refused)
    resumed = begin(store)
    assert resumed.finished_units("box") == {"done", "broken"}
    resumed.commit(batch("first", {"a": []}))
    resumed.commit(batch("second", {"b": []}))
    assert {row.title: row.status for row in resumed.coverage()} == {
        "broken": "failed",
        "done": "complete",
        "first": "complete",
        "second": "complete",
    }


def test_a_source_that_still_refuses_is_told_again(store: Store) -> None:
    refused = batch("first", failure=Gap("first", "401 Unauthorized"), fatal=True)
    begin(store).commit(refused)
    resumed = begin(store)
    assert not resumed.commit(refused).repeated
    assert only(resumed.coverage()).status == "failed"


def test_many_reasons_are_summed_up_the_commonest_first() -> None:
    entry = UnitEntry("box", "u", "u", (), "done")
    entry.gaps += [Gap(f"x{n}", f"reason {n % 12:02}") for n in range(25)]
    reasons = only(aggregate([entry])).reasons
    assert reasons[0] == "reason 00"
    assert reasons[-1] == "and 5 other reasons"
    assert len(reasons) == 8


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("done", "done"), "complete"),
        (("done", "failed"), "partial"),
        (("failed", "failed"), "failed"),
        (("failed", "stopped"), "failed"),
        (("stopped", "stopped"), "skipped"),
        (("open", "done"), "partial"),
    ],
)
def test_a_row_joins_the_statuses_of_its_units(states: tuple[State, ...], expected: str) -> None:
    entries = [UnitEntry("box", f"u{n}", f"u{n}", ("parent",), state) for n, state in enumerate(states)]
    for entry in entries:
        if entry.state in ("failed", "stopped"):
            entry.failure = Gap(entry.unit if entry.state == "failed" else "elsewhere", "refused")
    assert only(aggregate(entries)).status == expected


def test_coverage_is_kept_for_ninety_days(path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with open_store(path, clock=lambda: now) as store:
        for days in (0, 60, 120):
            now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
            run = begin(store)
            run.commit(batch("u", {"a": [occurrence(1, "a")]}, gaps=(DENIED,)))
            run.finish(complete=True)
        assert store.coverage("1") == []
        assert store.coverage("2")[0].gaps == (DENIED,)
        assert len(store.runs()) == 3
        assert len(list(store.rows())) == 1, "findings are not pruned"


def test_the_ledger_of_the_latest_run_is_shown_by_default(store: Store) -> None:
    assert store.coverage() == []
    for unit in ("u", "w"):
        run = begin(store)
        run.commit(batch(unit, {"a": []}))
        run.finish(complete=True)
    assert only(store.coverage()).title == "w"
    assert only(store.coverage("1")).title == "u"
    assert store.coverage("no such run") == []


def test_a_batch_without_work_leaves_an_empty_row(sink: Sink) -> None:
    sink.commit(Batch(source="box", unit=Unit("u"), done=True))
    assert only(sink.coverage()) == CoverageRow(source="box", title="u", status="complete", units=1)
