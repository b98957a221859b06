"""Whatever the order, the cut and the repetition of batches, the store holds the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from batches import DETECTION, batch, content, occurrence, open_store
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.records import Batch, Gap, Label, Occurrence, Severity, Unit, Validity
from unsprawl.store.findings import Store
from unsprawl.store.memory import MemorySink

#: What one document gives: its sightings, and what was skipped beside it.
Step: TypeAlias = tuple[str, list[Occurrence], tuple[Gap, ...]]
Work: TypeAlias = dict[str, list[Step]]

_FACES = st.fixed_dictionaries(
    {
        "severity": st.sampled_from(Severity),
        "confidence": st.sampled_from([0.5, 0.9, 1.0]),
        "rule": st.sampled_from(["acme.key", "acme.root", "generic.assignment"]),
        "secret": st.sampled_from(["acme_…wxyz", "…wxyz"]),
        "label": st.sampled_from([Label.REAL, Label.TEST]),
        "validity": st.sampled_from([Validity.UNKNOWN, Validity.INACTIVE]),
        "evidence": st.sampled_from(["", "expired"]),
    }
)


@st.composite
def steps(draw: st.DrawFn, unit: str) -> list[Step]:
    """The documents of one unit, each once, and some that other units hold as well."""
    own = [f"{unit}/{n}" for n in range(draw(st.integers(0, 4)))]
    shared = draw(st.lists(st.sampled_from(["shared/1", "shared/2"]), unique=True))
    return [draw(step(name)) for name in [*own, *shared]]


@st.composite
def step(draw: st.DrawFn, name: str) -> Step:
    # A shared document is the same bytes wherever it is read: what it holds follows from its name.
    faces = [{}] if name.startswith("shared") else draw(st.lists(_FACES, max_size=3))
    ordinals: dict[int, int] = {}
    found = []
    for face in faces:
        finding = int(name[-1]) if name.startswith("shared") else draw(st.integers(1, 4))
        ordinal = ordinals[finding] = ordinals.get(finding, -1) + 1
        found.append(occurrence(finding, name, ordinal, **face))
    gaps = draw(st.sampled_from([(), (Gap(f"s3://box/{name}!/x", "too large", excluded=False),)]))
    return name, found, gaps


@st.composite
def works(draw: st.DrawFn) -> Work:
    return {unit: draw(steps(unit)) for unit in ("u", "v", "w")[: draw(st.integers(1, 3))]}


def batches_of(unit: str, work: list[Step], cuts: set[int]) -> list[Batch]:
    """The unit's documents in batches that end at ``cuts``, as a budget would have it."""
    groups: list[list[Step]] = [[]]
    for place, one in enumerate(work):
        groups[-1].append(one)
        if place in cuts and place < len(work) - 1:
            groups.append([])
    read = 0
    made = []
    for group in groups:
        read += len(group)
        made.append(
            batch(
                Unit(unit, unit.upper(), ("all",)),
                {name: found for name, found, _ in group},
                gaps=tuple(gap for _, _, gaps in group for gap in gaps),
                cursor={"read": read},
                done=group is groups[-1],
            )
        )
    return made


def run_through(store: Store, *batches: Batch) -> dict[str, Any]:
    """Answers what the store held when all was committed and the run not yet finished."""
    run = store.begin("crawl", "nightly", DETECTION)
    for one in batches:
        run.commit(one)
    live = content(store)
    run.finish(complete=True)
    return live


@given(data=st.data())
@settings(max_examples=40)
def test_any_order_cut_and_repetition_gives_the_same_store(data: st.DataObject) -> None:
    history, work = data.draw(works()), data.draw(works())
    with tempfile.TemporaryDirectory() as folder:
        with open_store(Path(folder) / "plain.db") as store:
            expected = []
            for whole in (history, work):
                batches = [one for unit in whole for one in batches_of(unit, whole[unit], set())]
                expected += [run_through(store, *batches), content(store)]
        with open_store(Path(folder) / "shuffled.db") as store:
            held = []
            for whole in (history, work):
                cut = {
                    unit: batches_of(unit, whole[unit], data.draw(st.sets(st.integers(0, 4))))
                    for unit in whole
                }
                held += [shuffle(store, cut, data), content(store)]
            assert held == expected


def shuffle(store: Store, cut: dict[str, list[Batch]], data: st.DataObject) -> dict[str, Any]:
    """Commit the batches of several units in any order, some of them twice, with kills between."""
    run = store.begin("crawl", "nightly", DETECTION)
    waiting = {unit: list(batches) for unit, batches in cut.items()}
    while waiting:
        unit = data.draw(st.sampled_from(sorted(waiting)))
        one = waiting[unit].pop(0)
        if not waiting[unit]:
            del waiting[unit]
        run.commit(one)
        fate = data.draw(st.sampled_from(["go on", "go on", "repeat", "kill"]))
        if fate == "repeat":
            run.commit(one)
        elif fate == "kill":
            run = store.begin("crawl", "nightly", DETECTION)
            assert run.resumed
            if unit in waiting:
                assert run.cursor("box", unit) == one.cursor
            else:
                assert unit in run.finished_units("box")
    live = content(store)
    run.finish(complete=True)
    return live


@given(work=works())
@settings(max_examples=25)
def test_the_memory_of_a_scan_agrees_with_the_store(work: Work) -> None:
    sink = MemorySink()
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "store.db") as store:
        run = store.begin("crawl", "nightly", DETECTION)
        for unit in work:
            for one in batches_of(unit, work[unit], {1}):
                assert sink.commit(one).new == run.commit(one).new
        for each in (sink, run):
            each.note_gap("box", Gap("s3://box/left", "excluded by configuration", excluded=True), ("all",))
            each.source_failed("box", Gap("box", "the listing broke off"))
        assert sink.coverage() == run.coverage()

        def bare(rows: Any) -> list[str]:
            # A finding's validity is joined over its sightings in the store alone.
            volatile = {"first_seen": "", "last_seen": "", "validity": "", "evidence": "", "risk": 0}
            return sorted(repr(row | volatile) for row in rows)

        assert bare(sink.rows()) == bare(store.rows())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(max_examples=25)
def test_counts_add_up_however_often_a_border_is_repeated(borders: list[int]) -> None:
    """Each batch begins ``border`` documents before the end of the one before it."""
    names = [f"d{n}" for n in range(12)]
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "store.db") as store:
        position = 0
        for border in borders:
            run = store.begin("crawl", "nightly", DETECTION)
            begin, position = max(0, position - border), min(position + 2, len(names))
            read: dict[str, list[Occurrence]] = {name: [] for name in names[begin:position]}
            run.commit(batch("u", read, cursor={"n": position, "from": begin}, done=False))
        (row,) = run.coverage()
        assert row.documents == position
