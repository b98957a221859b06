"""Budgets: what a step may use, when a source stops, and who has the next turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Literal

import pytest
from batches import DETECTION, KEYS, open_store

from unsprawl import pipeline
from unsprawl.budgets import Account, Allowance
from unsprawl.examine import Examiner
from unsprawl.executors import Begin, Task, Threads
from unsprawl.records import (
    Batch,
    Candidate,
    Checkpoint,
    Cursor,
    Document,
    Event,
    Seen,
    Skipped,
    Unit,
    Verdict,
)
from unsprawl.redaction import Redactor
from unsprawl.source_settings import SourceBudget, seconds_of
from unsprawl.step import Budget, step
from unsprawl.store.memory import MemorySink
from unsprawl.store.run import Run
from unsprawl.wire import usage


class Nothing:
    """Finds nothing, and would judge nothing."""

    version = "1"

    def scan(self, document: Document) -> Sequence[Candidate | Skipped]:
        return ()

    def quiet(self, documents: Sequence[Document]) -> Sequence[bool]:
        return [True] * len(documents)

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> Sequence[Verdict]:
        return []


EXAMINER = Examiner(
    detector=Nothing(),
    classifier=Nothing(),
    rules={},
    keys=KEYS,
    redactor=Redactor(None),
    min_confidence=0.5,
)


@dataclass
class Costly:
    """Each of its units has four documents with a checkpoint behind each; all cost ``cost`` requests."""

    many: int = 6
    cost: int = 1
    listing: int = 0
    name: str = "costly"
    type: str = "costly"
    reads_in: Literal["worker", "coordinator"] = "coordinator"
    read_now: list[str] = field(default_factory=list)

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:
        for number in range(self.many):
            usage.count(self.listing)
            yield Unit(f"u{number}")

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        # A unit that was read to its end is read anew, as where there is no other way to see what changed.
        for number in range(since["at"] if since else 0, 4):
            usage.count(self.cost)
            self.read_now.append(f"{unit.id}/{number}")
            yield Document(uri=f"costly://{unit.id}/{number}", body=b"nothing", version="1")
            yield Checkpoint({"at": (number + 1) % 4, "turn": len(self.read_now)})


def night(source: Costly, sink: Any, budget: SourceBudget, width: int = 1) -> Account:
    account = Account(budget)
    inbox: SimpleQueue[Any] = SimpleQueue()
    source.read_now.clear()

    def build() -> Any:
        def run(task: Task, begin: Begin) -> Batch:
            return step(
                source, task.unit, task.cursor, lambda _: None, Budget(), EXAMINER, begin=begin,
                allowance=task.allowance,
            )  # fmt: skip

        return run

    threads = Threads(width, build, inbox)
    try:
        accounts = {source.name: account}
        assert pipeline.run([source], sink, lambda _: threads, inbox, EXAMINER, accept={}, accounts=accounts)
    finally:
        threads.close()
    return account


def states(sink: Any) -> Mapping[str, str]:
    return {row.title: row.status for row in sink.coverage()}


@pytest.fixture
def nights(tmp_path: Any) -> Iterator[Any]:
    with open_store(tmp_path / "store.db") as store:

        def begin() -> Run:
            return store.begin("crawl", "nightly", DETECTION)

        yield begin


def test_durations_are_seconds() -> None:
    assert [seconds_of(text) for text in ("90s", "30m", "2h", "1d", "1w")] == [
        90,
        1800,
        7200,
        86_400,
        604_800,
    ]


def test_a_source_without_a_budget_is_counted_and_never_stopped() -> None:
    sink = MemorySink()
    account = night(Costly(listing=2), sink, SourceBudget())
    assert account.requests == 6 * 4 + 6 * 2
    assert account.cut == ""
    assert set(states(sink).values()) == {"complete"}


def test_a_spent_budget_leaves_units_at_their_checkpoints_and_names_the_rest() -> None:
    sink = MemorySink()
    source = Costly()
    account = night(source, sink, SourceBudget(requests=6))
    assert account.requests == 6
    assert account.cut == "budget spent: 6 requests"
    assert source.read_now == ["u0/0", "u0/1", "u0/2", "u0/3", "u1/0", "u1/1"]
    assert states(sink) == {
        "u0": "complete", "u1": "partial", "u2": "skipped", "u3": "skipped", "u4": "skipped", "u5": "skipped",
    }  # fmt: skip
    gaps = {(gap.uri, gap.reason) for row in sink.coverage() for gap in row.gaps}
    assert gaps == {("costly", "budget spent: 6 requests")}


@pytest.mark.parametrize("requests", [5, 8, 11])
def test_the_next_nights_go_on_and_everybody_has_a_turn(requests: int, nights: Any) -> None:
    source = Costly()
    read: list[str] = []
    for _ in range(-(-36 // requests)):
        run = nights()
        night(source, run, SourceBudget(requests=requests))
        read += source.read_now
        run.finish(complete=False)
    assert len(set(read)) == 24
    # Each had a turn before any had a second one.
    turns = [name[:2] for name in read if name.endswith("/0")]
    assert turns[:6] == ["u0", "u1", "u2", "u3", "u4", "u5"]


def test_a_unit_that_was_cut_off_goes_on_at_its_checkpoint(nights: Any) -> None:
    source = Costly(many=2)
    run = nights()
    night(source, run, SourceBudget(requests=3))
    assert source.read_now == ["u0/0", "u0/1", "u0/2"]
    run.finish(complete=False)
    run = nights()
    account = night(source, run, SourceBudget(requests=6))
    assert source.read_now == ["u1/0", "u1/1", "u1/2", "u1/3", "u0/3"]  # who had no turn goes first
    assert account.cut == ""
    assert set(states(run).values()) == {"complete"}


def test_a_listing_that_costs_too_much_is_cut_and_told() -> None:
    sink = MemorySink()
    account = night(Costly(many=100, listing=3), sink, SourceBudget(requests=10))
    assert account.cut == "budget spent: 10 requests"
    rows = {row.title: row for row in sink.coverage()}
    assert rows["costly"].status == "skipped"
    assert rows["costly"].reasons == ("budget spent: 10 requests; there may be more than was listed",)
    assert len(rows) < 10


def test_steps_that_run_at_once_share_what_is_left() -> None:
    sink = MemorySink()
    account = night(Costly(many=40), sink, SourceBudget(requests=40), width=4)
    assert 40 <= account.requests <= 40 + 4


def test_a_budget_of_time_is_kept_by_steps_and_by_the_queue() -> None:
    now = [0.0]
    account = Account(SourceBudget(time="1m"), clock=lambda: now[0])
    account.begin()
    assert account.limited
    assert account.spent() == ""
    assert account.allow(4).until == 60.0
    now[0] = 61.0
    assert account.spent() == "budget spent: 1m"
    account.end()
    now[0] = 100.0
    assert account.seconds == 61.0


def test_an_allowance_of_time_ends_a_step() -> None:
    source = Costly()
    batch = step(source, Unit("u0"), None, lambda _: None, Budget(), EXAMINER, allowance=Allowance(until=0.0))
    assert (batch.done, batch.cursor, batch.requests) == (False, {"at": 1, "turn": 1}, 1)


def test_requests_are_counted_by_thread_and_joined_by_pools() -> None:
    usage.count()  # nobody counts: nothing happens
    with usage.metered() as outer:
        usage.count(2)
        with usage.metered() as inner:
            usage.count()
        stranger = threading.Thread(target=usage.count)
        stranger.start()
        stranger.join()
        join = usage.joining()

        def helper() -> None:
            join()
            usage.count()

        pool = threading.Thread(target=helper)
        pool.start()
        pool.join()
    assert (outer.requests, inner.requests) == (3, 1)
