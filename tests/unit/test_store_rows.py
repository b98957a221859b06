"""The record of one occurrence, and the number that says how urgent it is."""

from __future__ import annotations

import itertools
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from batches import batch, occurrence
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.records import Audience, Environment, Label, Severity, Validity
from unsprawl.store.memory import MemorySink
from unsprawl.store.risk import PRIVILEGES, Exposure, parts, privilege_of, risk
from unsprawl.store.rows import FIELDS, row, timestamp

CONTRACT = (
    "finding rule name provider secret fingerprint confidence label environment severity risk validity status"
    " source uri url path line column start end line_end views attrs companions author modified_at audience"
    " first_seen last_seen gone_at owner context because evidence"
).split()
NOON = datetime(2026, 3, 1, 12, 0, 0, 5_000, tzinfo=timezone(timedelta(hours=2)))


def made(**changes: Any) -> dict[str, Any]:
    return row(occurrence(1, "a", **changes), first_seen=NOON, last_seen=NOON)


def test_a_row_has_the_fields_of_the_contract_in_their_order() -> None:
    assert list(made()) == CONTRACT == list(FIELDS)


def test_a_row_is_plain_json() -> None:
    attrs = {"layer": "sha256:ab", "hidden": True, "size": 3}
    full = made(attrs=attrs, views=("raw", "base64"), companions={"id": "AKIA…"}, modified_at=NOON)
    assert json.loads(json.dumps(full)) == full
    assert full["attrs"] == attrs
    assert (full["views"], full["companions"]) == (["raw", "base64"], {"id": "AKIA…"})


def test_times_are_utc() -> None:
    assert made(modified_at=NOON)["modified_at"] == "2026-03-01T10:00:00.005Z"
    assert made()["first_seen"] == "2026-03-01T10:00:00.005Z"
    assert timestamp(datetime(2026, 3, 1)) == "2026-03-01T00:00:00.000Z"  # noqa: DTZ001
    assert timestamp(datetime(987, 3, 1, tzinfo=UTC)) < timestamp(NOON)


def test_times_sort_as_texts() -> None:
    moments = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(milliseconds=n * 37) for n in range(90)]
    assert sorted(map(timestamp, moments)) == [timestamp(moment) for moment in moments]


def test_values_show_only_when_they_are_asked_for_and_there() -> None:
    carried = occurrence(1, "a", clear="the-value", clear_context="key = the-value")
    times: dict[str, Any] = {"first_seen": None, "last_seen": None}
    hidden, shown = (row(carried, **times, show_secrets=flag) for flag in (False, True))
    assert (hidden["secret"], hidden["context"]) == ("acme_…wxyz", "key = acme_…wxyz")
    assert (shown["secret"], shown["context"]) == ("the-value", "key = the-value")
    assert row(occurrence(1, "a"), **times, show_secrets=True)["secret"] == "acme_…wxyz"


def test_a_scan_without_a_store_lists_its_rows_by_place() -> None:
    sink = MemorySink()
    places = {name: [occurrence(1, name, start, start=start) for start in (9, 3)] for name in ("b", "a")}
    sink.commit(batch("u", places))
    rows = list(sink.rows())
    assert [(one["path"], one["start"]) for one in rows] == [
        ("box/a", 3),
        ("box/a", 9),
        ("box/b", 3),
        ("box/b", 9),
    ]
    assert {one["status"] for one in rows} == {"open"}
    assert all(one["first_seen"].endswith("Z") for one in rows)
    assert sink.finished_units("box") == frozenset()
    assert sink.cursor("box", "u") is None
    assert sink.seen("box")("a") is None


# --- risk ----------------------------------------------------------------------------------------

PARTS: dict[str, list[str]] = {
    "severity": [Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL],
    "validity": [Validity.INACTIVE, Validity.UNKNOWN, Validity.ACTIVE],
    "audience": [Audience.RESTRICTED, Audience.ORGANISATION, Audience.EXTERNAL, Audience.PUBLIC],
    "environment": [Environment.TEST, Environment.DEVELOPMENT, Environment.STAGING, Environment.PRODUCTION],
    "label": [Label.EXAMPLE, Label.TEST, Label.WEAK, Label.REAL],
}


def test_risk_spans_its_range() -> None:
    worst = Exposure("admin", 400, 12)
    assert risk("critical", "active", 1.0, "public", "production", "real", worst) == 100
    assert risk("low", "inactive", 0.0, "restricted", "test", "example") == 0


@given(st.data())
def test_worse_in_any_part_is_never_less_risk(data: st.DataObject) -> None:
    known: dict[str, Any] = {name: data.draw(st.sampled_from(values)) for name, values in PARTS.items()}
    confidence = data.draw(st.floats(0, 1))
    for name, values in PARTS.items():
        risks = [risk(confidence=confidence, **known | {name: value}) for value in values]
        assert risks == sorted(risks)
    exposures: dict[str, Any] = {
        "privilege": PRIVILEGES,
        "age_days": sorted(data.draw(st.lists(st.floats(-1, 1e4), min_size=2))),
        "copies": sorted(data.draw(st.lists(st.integers(0, 50), min_size=2))),
    }
    held = {name: data.draw(st.sampled_from(values)) for name, values in exposures.items()}
    for name, steps in exposures.items():
        risks = [risk(confidence=confidence, **known, exposure=Exposure(**held | {name: at})) for at in steps]
        assert risks == sorted(risks)
    surer = data.draw(st.floats(confidence, 1))
    assert risk(confidence=confidence, **known) <= risk(confidence=surer, **known)


@given(st.data())
def test_the_parts_multiply_to_the_risk(data: st.DataObject) -> None:
    known: dict[str, Any] = {name: data.draw(st.sampled_from(values)) for name, values in PARTS.items()}
    confidence = data.draw(st.floats(0, 1))
    exposure = Exposure(
        data.draw(st.sampled_from(PRIVILEGES)), data.draw(st.floats(0, 999)), data.draw(st.integers(0, 99))
    )
    given: dict[str, Any] = {"confidence": confidence, "exposure": exposure, **known}
    factors = [part.factor for part in parts(**given)]
    assert abs(math.prod(factors) - risk(**given)) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ("", "unknown"), ("repo, user", "unknown"), ("AdministratorAccess", "admin"), ("admin:org", "admin"),
        ("arn:aws:iam::1:root", "admin"), ("*", "admin"), ("read_write", "write"), ("api:write", "write"),
        ("read-only", "read"), ("read_api", "read"), ("no permissions", "none"), ("unreadable", "unknown"),
    ],
)  # fmt: skip
def test_what_a_check_told_is_a_level(told: str, level: str) -> None:
    assert privilege_of(told) == level


def test_every_combination_of_words_has_a_risk() -> None:
    kinds = (Severity, Validity, Audience, Environment, Label)
    for severity, validity, audience, environment, label in itertools.product(*kinds):
        assert 0 <= risk(severity, validity, 0.7, audience, environment, label) <= 100


@pytest.mark.parametrize("label", [Label.PLACEHOLDER, Label.HASH, Label.REFERENCE])
def test_what_is_no_credential_carries_little_risk(label: Label) -> None:
    assert risk("critical", "unknown", 0.5, label=label) < 10
