"""The step and the loop: what is committed, what is dropped, what a failure leaves behind."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any, BinaryIO, Literal, cast

from hypothesis import given
from hypothesis import strategies as st

from unsprawl import pipeline
from unsprawl.config import AcceptedGap
from unsprawl.detectors.rules import Rule
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.examine import Examiner
from unsprawl.executors import Begin, Task, Threads
from unsprawl.records import (
    Batch,
    Candidate,
    Checkpoint,
    Counts,
    Cursor,
    Document,
    Event,
    Seen,
    Severity,
    Skipped,
    Stream,
    Unchanged,
    Unit,
    Verdict,
)
from unsprawl.redaction import Redactor
from unsprawl.secret import Keys, Secret
from unsprawl.step import Budget
from unsprawl.step import step as take_step
from unsprawl.structs import replace

KEYS = Keys.derive(b"pipeline tests".ljust(32))
WORD = re.compile(rb"key=(\w+)")
RULE = Rule(
    id="word.key",
    name="A key",
    provider="word",
    severity=Severity.HIGH,
    keywords=("key=",),
    pattern=r"key=(?P<secret>\w+)",
    kind="exact",
)


class WordDetector:
    """Every ``key=VALUE`` is a candidate; ``boom`` is a parser that falls over, ``cut`` a budget."""

    version = "1"

    def quiet(self, documents: Sequence[Document]) -> list[bool]:
        return [not re.search(rb"=|boom|cut", cast(bytes, document.body)) for document in documents]

    def scan(self, document: Document) -> Iterator[Candidate | Skipped]:
        body = document.body
        data = body if isinstance(body, bytes) else body.open(0).read()
        for found in WORD.finditer(data):
            start, end = found.span(1)
            yield Candidate(
                rule="word.key",
                secret=Secret(found.group(1)),
                start=start,
                end=end,
                line=1,
                column=start + 1,
                line_end=1,
                before=data[:start],
                text=found.group(1),
                after=data[end:],
            )
        if b"boom" in data:
            raise ValueError(data.decode())
        if b"cut" in data:
            yield Skipped(document.uri, "more than the budget allows")


class SureClassifier:
    version = "1"

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> Sequence[Verdict]:
        return [Verdict(0.9)] * len(candidates)


EXAMINER = Examiner(
    detector=WordDetector(),
    classifier=SureClassifier(),
    rules={"word.key": RULE},
    keys=KEYS,
    redactor=Redactor(None),
    min_confidence=0.5,
)


@dataclass
class ScriptedSource:
    """Plays events; a cursor ``{"at": n}`` goes on behind event ``n``. Exceptions are raised."""

    script: Sequence[Event | Exception]
    name: str = "script"
    type: str = "script"
    reads_in: Literal["worker", "coordinator"] = "worker"
    listing: Sequence[Unit | Skipped | Exception] = (Unit("u"),)

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:
        for item in self.listing:
            if isinstance(item, Exception):
                raise item
            yield item

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        for event in self.script[since["at"] if since else 0 :]:
            if isinstance(event, Exception):
                raise event
            yield event


def doc(name: str, text: str = "nothing") -> Document:
    return Document(uri=f"script://{name}", body=text.encode(), version="1")


def unseen(_key: str) -> None:
    return None


def step(
    source: ScriptedSource,
    cursor: Cursor | None = None,
    budget: Budget | None = None,
    examiner: Examiner = EXAMINER,
    **more: Any,
) -> Batch:
    return take_step(source, Unit("u"), cursor, unseen, budget or Budget(), examiner, **more)


ONE = Budget(documents=1)


def test_a_step_never_stops_where_it_began() -> None:
    here = {"at": 1}
    source = ScriptedSource([doc("a"), doc("b"), Checkpoint(dict(here)), doc("c"), Checkpoint({"at": 5})])
    batch = step(source, here, ONE)
    assert (batch.cursor, batch.done) == ({"at": 5}, False)
    assert batch.counts.documents == 2


def test_a_batch_ends_at_a_checkpoint() -> None:
    source = ScriptedSource([doc("a"), doc("b"), Checkpoint({"at": 3}), doc("c"), Checkpoint({"at": 5})])
    first = step(source, budget=ONE)
    assert (first.counts.documents, first.cursor, first.done) == (2, {"at": 3}, False)
    second = step(source, first.cursor, budget=ONE)
    assert (second.counts.documents, second.cursor) == (1, {"at": 5})
    assert step(source, second.cursor, budget=ONE).done


def test_a_step_does_not_end_where_the_next_would_begin_anew() -> None:
    batch = step(ScriptedSource([doc("a"), doc("b"), Checkpoint({})]), budget=ONE)
    assert batch.done
    assert batch.cursor == {}


def test_without_a_checkpoint_a_unit_is_read_to_its_end() -> None:
    batch = step(ScriptedSource([doc("a"), doc("b"), Unchanged(4)]), budget=ONE)
    assert batch.done
    assert batch.counts.documents == 2
    assert batch.counts.unchanged == 4


def test_a_failure_keeps_what_was_read_and_the_last_cursor() -> None:
    broken = UnreadableError("gone", hint="look")
    source = ScriptedSource([doc("a"), Checkpoint({"at": 2}), doc("b", "key=hush"), broken])
    batch = step(source)
    assert batch.done
    assert batch.counts.documents == 2
    assert batch.cursor == {"at": 2}
    assert len(batch.occurrences) == 1
    assert batch.failure is not None
    assert (batch.failure.reason, batch.failure.hint) == ("gone", "look")
    assert not batch.fatal


def test_refused_credentials_stop_the_source() -> None:
    assert step(ScriptedSource([AuthError("refused")])).fatal


def test_a_defect_of_a_source_is_one_failed_unit_without_its_text() -> None:
    batch = step(ScriptedSource([doc("a"), ZeroDivisionError("key=hush")]))
    assert batch.failure is not None
    assert "ZeroDivisionError" in batch.failure.reason
    assert "hush" not in repr(batch)


def test_a_defect_of_a_parser_is_one_gap() -> None:
    batch = step(ScriptedSource([doc("a", "key=one boom"), doc("b", "key=two")]))
    assert batch.failure is None
    assert batch.counts.documents == 2
    assert batch.counts.skipped == 1
    assert len(batch.occurrences) == 2


def test_short_documents_are_looked_at_together_and_told_in_their_order() -> None:
    marks: list[bytes] = []
    bodies = ["", "key=one", "plain", "key=two boom", "x" * 5000, "key=three", *["plain"] * 2000]
    batch = step(ScriptedSource([doc(str(n), body) for n, body in enumerate(bodies)]), begin=marks.append)
    assert [one.uri for one in batch.occurrences] == [f"script://{n}" for n in (1, 3, 5)]
    assert batch.counts == Counts(documents=2006, skipped=1, read_bytes=sum(map(len, bodies)))
    assert len(batch.documents) == 2005  # all but the one that could not be read wholly
    # Only what may hold something was looked at alone, and said so.
    named = [KEYS.name("script", f"script://{n}") for n in (1, 3, 4, 5)]
    assert marks == [mark for name in named for mark in (name, b"")]


def test_documents_that_fail_together_are_looked_at_one_by_one() -> None:
    class Sullen(WordDetector):
        def quiet(self, documents: Sequence[Document]) -> list[bool]:
            raise ValueError(f"key=hush {len(documents)}")

    sullen = replace(EXAMINER, detector=Sullen())
    batch = step(ScriptedSource([doc("a", "key=one"), doc("b")]), examiner=sullen)
    assert len(batch.occurrences) == 1
    assert (batch.counts.documents, batch.counts.skipped) == (2, 0)


def test_what_was_not_wholly_read_is_neither_remembered_nor_taken_for_gone() -> None:
    batch = step(ScriptedSource([doc("a", "cut"), doc("b")]))
    assert batch.documents == (KEYS.name("script", "script://b"),)
    assert batch.seen == ((KEYS.name("script", "script://b"), "1"),)


def test_an_accepted_gap_is_excluded_until_its_date() -> None:
    source = ScriptedSource([Skipped("script://ice/1", "archived in GLACIER")])
    rule = {"match": "script://ice/*", "why": "cold", "reason": "GLACIER"}
    today = AcceptedGap(until=datetime.now(UTC).date(), **rule)
    past = AcceptedGap(until=datetime.now(UTC).date() - timedelta(days=1), **rule)
    assert step(source, accept=[today]).counts.excluded == 1
    assert step(source, accept=[past]).counts.skipped == 1
    other = AcceptedGap(match="*", why="x", until=datetime.now(UTC).date(), reason="403")
    assert step(source, accept=[other]).counts.skipped == 1


def test_what_is_older_than_asked_for_is_left_out_and_not_remembered() -> None:
    now = datetime.now(UTC)
    old, new = (replace(doc(str(age)), modified_at=now - timedelta(days=age)) for age in (9, 1))
    batch = step(ScriptedSource([old, new, doc("undated")]), since=now - timedelta(days=7))
    assert batch.counts == Counts(documents=2, excluded=1, read_bytes=14)
    assert len(batch.documents) == 2


def test_bytes_are_counted_as_they_are_fetched() -> None:
    stream = Stream(lambda offset: cast(BinaryIO, io.BytesIO(b"x" * 1000)), None)
    batch = step(ScriptedSource([doc("a", "12345"), Document(uri="script://s", body=stream)]))
    assert batch.counts.read_bytes == 1005


def test_no_value_leaves_the_examiner_in_clear() -> None:
    secret = "hushhushhush1234"
    odd = Document(
        uri=f"script://{secret}/x",
        body=f"key={secret}".encode(),
        url=f"http://h/{secret}",
        author=secret,
        attrs={"instruction": f"ENV KEY={secret}", "nested": [{secret: 1}]},
    )
    batch = step(ScriptedSource([odd]))
    assert len(batch.occurrences) == 1
    assert secret not in repr(batch)
    assert secret.encode() not in repr(batch).encode()


# --- the laws -------------------------------------------------------------------------------------

texts = st.text(alphabet="ab =key", max_size=12)
events = st.lists(
    st.one_of(
        texts.map(lambda text: ("document", text)),
        st.integers(1, 3).map(lambda count: ("unchanged", count)),
        st.just(("skipped", "")),
        st.just(("checkpoint", "")),
    ),
    max_size=25,
)


def scripted(shapes: Sequence[tuple[str, Any]]) -> ScriptedSource:
    script: list[Event] = []
    for at, (kind, value) in enumerate(shapes):
        if kind == "document":
            script.append(doc(f"d{at}", f"key={value}"))
        elif kind == "unchanged":
            script.append(Unchanged(value))
        elif kind == "skipped":
            script.append(Skipped(f"script://s{at}", "refused"))
        else:
            script.append(Checkpoint({"at": at + 1}))
    return ScriptedSource(script)


def facts(batches: Sequence[Batch]) -> tuple[object, ...]:
    total = Counts()
    for batch in batches:
        total += batch.counts
    parts = ("occurrences", "documents", "seen", "gaps")
    return (total, *(tuple(item for batch in batches for item in getattr(batch, part)) for part in parts))


@given(events, st.integers(1, 4))
def test_any_cut_into_steps_commits_the_same(shapes: Sequence[tuple[str, Any]], documents: int) -> None:
    source = scripted(shapes)
    whole = step(source, budget=Budget(documents=10_000))
    batches = [step(source, budget=Budget(documents=documents))]
    while not batches[-1].done:
        batches.append(step(source, batches[-1].cursor, budget=Budget(documents=documents)))
    assert facts(batches) == facts([whole])


# --- the loop -------------------------------------------------------------------------------------


@dataclass
class ListSink:
    """Remembers what the loop commits."""

    full: bool = False
    batches: list[Batch] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    finished: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def seen(self, source: str) -> Seen:
        return unseen

    def finished_units(self, source: str) -> frozenset[str]:
        return self.finished.get(source, frozenset())

    def cursor(self, source: str, unit: str) -> Cursor | None:
        return None

    def commit(self, batch: Batch) -> None:
        self.batches.append(batch)

    def note_gap(self, source: str, gap: Any, parents: tuple[str, ...]) -> None:
        self.gaps.append(gap.reason)

    def source_failed(self, source: str, gap: Any) -> None:
        self.failures[source] = gap.reason


def crawl(*sources: ScriptedSource, sink: ListSink | None = None) -> tuple[ListSink, bool]:
    sink = sink or ListSink()
    inbox: SimpleQueue[Any] = SimpleQueue()
    by_name = {source.name: source for source in sources}

    def take(task: Task, _begin: Begin) -> Batch:
        return take_step(by_name[task.source], task.unit, task.cursor, unseen, ONE, EXAMINER)

    threads = Threads(2, lambda: take, inbox)
    try:
        readable = pipeline.run(sources, cast(Any, sink), lambda _: threads, inbox, EXAMINER, accept={})
    finally:
        threads.close()
    return sink, readable


def test_every_unit_is_read_to_its_end_step_by_step() -> None:
    script: list[Event] = [doc("a"), Checkpoint({"at": 2}), doc("b"), Checkpoint({"at": 4})]
    units = [Unit(str(n)) for n in range(200)]
    sink, readable = crawl(ScriptedSource(script, listing=units))
    assert readable
    assert sum(batch.counts.documents for batch in sink.batches) == 400
    assert sum(batch.done for batch in sink.batches) == 200


def test_one_dead_source_leaves_the_others_alone() -> None:
    dead = ScriptedSource([], name="dead", listing=[AuthError("wrong password")])
    fine = ScriptedSource([doc("a")], name="fine")
    sink, readable = crawl(dead, fine)
    assert readable
    assert sink.failures == {"dead": "wrong password"}
    assert [batch.source for batch in sink.batches] == ["fine"]


def test_nothing_readable_is_said() -> None:
    sink, readable = crawl(ScriptedSource([], listing=[UnreadableError("no such host")]))
    assert not readable
    assert sink.failures == {"script": "no such host"}


def test_what_a_listing_skips_is_noted() -> None:
    sink, _ = crawl(ScriptedSource([], listing=[Skipped("script://x", "403")]))
    assert sink.gaps == ["403"]


def test_units_behind_a_refusal_are_skipped_with_its_reason() -> None:
    units = [Unit(str(n)) for n in range(100)]
    sink, _ = crawl(ScriptedSource([AuthError("expired")], listing=units))
    assert len({batch.unit.id for batch in sink.batches}) == 100
    assert all(batch.failure and batch.failure.reason == "expired" for batch in sink.batches)


def test_finished_units_are_not_read_again() -> None:
    sink, _ = crawl(
        ScriptedSource([doc("a")], listing=[Unit("1"), Unit("2")]),
        sink=ListSink(finished={"script": frozenset({"1"})}),
    )
    assert [batch.unit.id for batch in sink.batches] == ["2"]


def tasks_of(source: ScriptedSource, sink: ListSink) -> list[Task]:
    """The tasks that the loop gives out."""
    asked: list[Task] = []

    def take(task: Task, _begin: Begin) -> Batch:
        asked.append(task)
        return take_step(source, task.unit, task.cursor, unseen, ONE, EXAMINER)

    inbox: SimpleQueue[Any] = SimpleQueue()
    threads = Threads(1, lambda: take, inbox)
    pipeline.run([source], cast(Any, sink), lambda _: threads, inbox, EXAMINER, accept={})
    threads.close()
    return asked


def test_a_full_run_says_so_with_every_task() -> None:
    script: list[Event] = [doc("a"), Checkpoint({"at": 2}), doc("b"), Checkpoint({"at": 4}), doc("c")]
    for full in (True, False):
        tasks = tasks_of(ScriptedSource(script), ListSink(full=full))
        assert [task.full for task in tasks] == [full] * 3


def test_a_document_that_killed_a_worker_is_a_gap_and_the_rest_is_read() -> None:
    source = ScriptedSource([doc("a", "key=nil"), doc("b", "key=one"), doc("c", "key=two")])
    begun: list[bytes] = []
    poison = KEYS.name("script", "script://b")
    batch = take_step(
        source, Unit("u"), None, unseen, ONE, EXAMINER, avoid={poison: "ended by SIGKILL"}, begin=begun.append
    )
    assert [(gap.uri, gap.reason) for gap in batch.gaps] == [("script://b", "ended by SIGKILL")]
    assert batch.counts.documents == 2
    assert poison not in begun
    assert begun[1::2] == [b"", b""]
    assert batch.done
