"""Exports for other platforms: OCSF events and DefectDojo's generic import."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from report_rows import hostile_row, report, row

from unsprawl.report.export import write

ROWS = [
    row(1),
    row(2, severity="low", status="false_positive", line=0, risk=None),
    row(3, severity="critical", status="closed", validity="inactive", gone_at="2030-05-02T00:00:00.000Z"),
    row(4, status="acknowledged", validity="active", url="https://chat.test/p1"),
    hostile_row(5),
]


def written(format: str, rows: list[dict[str, Any]] = ROWS) -> str:
    out = io.StringIO()
    write(report(rows), format, out)
    return out.getvalue()


def test_ocsf_events_are_detection_findings() -> None:
    events = [json.loads(line) for line in written("ocsf").splitlines()]
    assert len(events) == len(ROWS)
    for event, made in zip(events, ROWS, strict=True):
        assert (event["category_uid"], event["class_uid"]) == (2, 2004)
        assert event["type_uid"] == 200_400 + event["activity_id"]
        assert event["finding_info"]["uid"] == made["finding"]
        assert event["metadata"]["version"] == "1.3.0"
        assert 0 <= event["risk_score"] <= 100
        assert 0 <= event["confidence_score"] <= 100
        assert isinstance(event["time"], int)
    assert [event["status"] for event in events[:4]] == ["New", "Suppressed", "Resolved", "In Progress"]
    assert [event["activity_id"] for event in events[:4]] == [1, 3, 3, 2]
    assert [event["severity_id"] for event in events[1:3]] == [2, 5]
    assert events[3]["finding_info"]["src_url"] == "https://chat.test/p1"


def test_defectdojo_knows_an_occurrence_again() -> None:
    findings = json.loads(written("defectdojo"))["findings"]
    assert {one["severity"] for one in findings} <= {"Low", "Medium", "High", "Critical"}
    assert len({one["unique_id_from_tool"] for one in findings}) == len(ROWS)
    assert [one["unique_id_from_tool"] for one in findings] == [
        one["unique_id_from_tool"] for one in json.loads(written("defectdojo"))["findings"]
    ]
    assert [(one["active"], one["is_mitigated"]) for one in findings[:4]] == [
        (True, False),
        (False, False),
        (False, True),
        (True, False),
    ]
    assert findings[1]["false_p"]
    assert findings[3]["verified"]
    assert all(one["cwe"] == 798 for one in findings)
    assert "line" not in findings[1]


@pytest.mark.parametrize("format", ["ocsf", "defectdojo"])
def test_nothing_found_is_a_valid_export(format: str) -> None:
    text = written(format, [])
    assert text == "" if format == "ocsf" else json.loads(text)["findings"] == []
