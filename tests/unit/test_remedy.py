"""A plan changes nothing, nobody can put anything into it, and what has changed meanwhile is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from batches import KEYS, batch, occurrence

from unsprawl.config import Config
from unsprawl.errors import ConfigError, GoneError, UnreadableError
from unsprawl.examine import Examiner
from unsprawl.records import Check, Cleanup, Document, Skipped, Status, Validity
from unsprawl.remedy import Done, Open, apply, plan, read_plan
from unsprawl.secret import Keys
from unsprawl.store.findings import Store
from unsprawl.store.triage import Decision
from unsprawl.structs import Struct, replace

ONE = "000000000001"
NOW = datetime(2030, 5, 1, tzinfo=UTC)


@dataclass
class Surface:
    """A source whose places are what a test makes of them: state and text by uri."""

    states: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    cleaned: list[str] = field(default_factory=list)
    refusal: Exception | None = None
    type: str = "s3"

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:
        if uri not in self.states:
            raise GoneError("it is gone")
        return (Cleanup("wipe", f"wipe {uri}", "none", self.states[uri]),)

    def clean(self, uri: str, attrs: Mapping[str, Any], action: str, redact: Callable[[str], str]) -> str:
        assert (action, attrs) == ("wipe", {"version_id": "v1"})
        if self.refusal:
            raise self.refusal
        self.cleaned.append(uri)
        self.texts[uri] = redact(self.texts.get(uri, ""))
        del self.states[uri]
        return "wiped"

    def fetch(self, uri: str) -> Document | Skipped:
        if uri not in self.texts:
            return Skipped(uri, "no longer there", gone=True)
        return Document(uri=uri, body=self.texts[uri].encode())


@pytest.fixture
def box() -> Surface:
    return Surface({"s3://box/a": "1", "s3://box/b": "1"})


@pytest.fixture
def opened(tmp_path: Path, box: Surface, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    monkeypatch.setattr("unsprawl.workers.sources_of", lambda _config, names: dict.fromkeys(names, box))
    attrs = {"version_id": "v1", "size": 3}
    with Store.open(tmp_path / "s.db", KEYS, clock=lambda: NOW) as store:
        run = store.begin("crawl", "nightly", "1")
        found = {name: [occurrence(1, name, attrs=attrs)] for name in ("a", "b")}
        run.commit(batch("u", found))
        run.finish(complete=True)
        yield Open(store, cast(Config, None), KEYS, lambda: cast(Examiner, None), "ada", NOW)


def written(opened: Open) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(json.dumps(plan(opened, [ONE]))))


def applied(opened: Open, document: dict[str, Any], keys: Keys = KEYS, now: datetime = NOW) -> list[Done]:
    return list(apply(opened, read_plan(json.dumps(document), keys, now)))


def test_a_plan_changes_nothing_and_is_applied_as_it_was_written(opened: Open, box: Surface) -> None:
    document = written(opened)
    assert box.cleaned == []
    assert [(step["number"], step["do"], step["uri"], step["action"]) for step in document["steps"]] == [
        (1, True, "s3://box/a", "wipe"),
        (2, True, "s3://box/b", "wipe"),
    ]
    assert [one["reason"] for one in document["by_hand"]] == ["its provider offers no call that revokes it"]
    assert [(done.outcome, done.reason) for done in applied(opened, document)] == [("done", "wiped")] * 2
    actions = [row["action"] for row in opened.store.audited(action="cleanup.")]
    assert actions == ["cleanup.planned", *["cleanup.begun", "cleanup.done"] * 2]


def test_what_was_done_can_be_applied_again(opened: Open, box: Surface) -> None:
    document = written(opened)
    applied(opened, document)
    assert [done.reason for done in applied(opened, document)] == ["it was gone already"] * 2
    assert len(box.cleaned) == 2


def test_what_is_left_out_is_left(opened: Open, box: Surface) -> None:
    document = written(opened)
    document["steps"][0]["do"] = False
    assert [done.outcome for done in applied(opened, document)] == ["left", "done"]
    del document["steps"][0]
    assert [done.outcome for done in applied(opened, document)] == ["done"]
    assert box.cleaned == ["s3://box/b"]


def test_drift_is_refused_and_the_others_go_on(opened: Open, box: Surface) -> None:
    document = written(opened)
    box.states["s3://box/a"] = "2"
    assert [done.outcome for done in applied(opened, document)] == ["refused", "done"]
    assert box.cleaned == ["s3://box/b"]


def test_a_refusal_is_told_and_recorded(opened: Open, box: Surface) -> None:
    document = written(opened)
    box.refusal = ValueError("a defect, with a secret in its text")
    assert {done.reason for done in applied(opened, document)} == {"ValueError while cleaning up"}
    box.refusal = UnreadableError("the token may not", hint="ask its owner")
    (first, _) = applied(opened, document)
    assert (first.outcome, first.reason, first.hint) == ("refused", "the token may not", "ask its owner")
    told = [row["detail"]["told"] for row in opened.store.audited(action="cleanup.refused")]
    assert told == ["ValueError while cleaning up"] * 2 + ["the token may not"] * 2


@pytest.mark.parametrize(
    "name", ["uri", "action", "state", "attrs", "finding", "source", "title", "made_at", "rule"]
)
def test_nothing_is_put_into_a_plan(opened: Open, box: Surface, name: str) -> None:
    document = written(opened)
    step = document["steps"][1]
    step[name] = {"version_id": "v2"} if name == "attrs" else f"{step[name]}x"
    with pytest.raises(ConfigError, match="step 2 of the plan is not as it was written"):
        applied(opened, document)
    assert box.cleaned == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(unsprawl_plan=2), "no plan of this version"),
        (lambda d: d.update(key="another"), "another store"),
        (lambda d: d.update(steps={}), "has no steps"),
        (lambda d: d["steps"][0].update(do="yes"), "neither true nor false"),
        (lambda d: d["steps"][0].pop("seal"), "not as it was written"),
    ],
)
def test_what_is_no_plan_of_ours_is_refused(opened: Open, change: Any, told: str) -> None:
    document = written(opened)
    change(document)
    with pytest.raises(ConfigError, match=told):
        applied(opened, document)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '"x"'])
def test_what_is_no_plan_at_all_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_plan(text, KEYS, NOW)


def test_a_plan_of_another_key_is_refused(opened: Open) -> None:
    other = Keys.derive(b"x" * 32)
    document = written(opened) | {"key": other.id}
    with pytest.raises(ConfigError, match="not as it was written"):
        applied(opened, document, other)


def test_an_old_plan_is_refused(opened: Open) -> None:
    document = written(opened)
    assert applied(opened, document, now=NOW + timedelta(days=7))
    with pytest.raises(ConfigError, match="older than 7 days"):
        applied(opened, document, now=NOW + timedelta(days=8))


def test_what_was_settled_meanwhile_is_left_alone(opened: Open, box: Surface) -> None:
    document = written(opened)
    decision = Decision(status=Status.FALSE_POSITIVE, reason="a fixture", author="bo")
    opened.store.decide([ONE], decision)
    assert {done.reason for done in applied(opened, document)} == {"the finding is false positive now"}
    assert box.cleaned == []


def test_what_is_closed_is_left_alone(opened: Open) -> None:
    document = written(opened)
    opened.store.look([ONE], [(place.id, "gone") for place in opened.store.places(ONE)], "ada")
    opened.store.note_check(ONE, Check(Validity.INACTIVE, "dead"), "ada")
    assert {done.reason for done in applied(opened, document)} == {"the finding is closed now"}


def test_an_address_that_was_masked_is_for_people(opened: Open) -> None:
    run = opened.store.begin("crawl", "nightly", "1")
    found = occurrence(2, "m", uri="s3://box/key-…abcd", attrs={"version_id": "v1"})
    run.commit(batch("u", {"m": [found]}))
    document = plan(opened, ["000000000002"])
    assert document["steps"] == []
    assert "masked" in document["by_hand"][1]["reason"]


def test_the_secret_is_taken_out_by_what_the_store_keeps_sealed(opened: Open, box: Surface) -> None:
    import msgspec

    from unsprawl.store.seal import seal

    sealed = seal(KEYS, ONE.encode(), msgspec.msgpack.encode({"secret": b"hunter2-hunter2"}))
    run = opened.store.begin("crawl", "nightly", "1")
    run.commit(batch("u", {"a": [occurrence(1, "a", attrs={"version_id": "v1"}, sealed=sealed)]}))
    run.finish(complete=True)
    box.texts["s3://box/a"] = "password: hunter2-hunter2!"
    document = written(opened)
    assert "hunter2" not in json.dumps(document)
    applied(opened, document)
    assert box.texts["s3://box/a"] == f"password: [removed by unsprawl: {ONE}]!"


def test_without_it_the_place_is_read_once_more(opened: Open, box: Surface) -> None:
    found = replace(occurrence(1, "a"), clear="hunter2-hunter2")

    class Sees(Struct):
        show_secrets: bool = False

        def examine(self, _source: str, _type: str, _document: Document) -> Any:
            assert self.show_secrets
            return type("Examined", (), {"occurrences": (found,)})

    box.texts["s3://box/a"] = "password: hunter2-hunter2!"
    opened.examiner = lambda: cast(Examiner, Sees())
    applied(opened, written(opened))
    assert box.texts["s3://box/a"] == f"password: [removed by unsprawl: {ONE}]!"
