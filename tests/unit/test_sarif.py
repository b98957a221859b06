"""Against the SARIF 2.1.0 schema, as npm's @microsoft/sarif-multitool-linux 4.6.5 (MIT) ships it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from report_rows import coverage, hostile_row, report, row

from unsprawl.report import sarif

SCHEMA = Path(__file__).parents[1] / "fakes" / "sarif-2.1.0.schema.json"
REFERENCE = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")


@pytest.fixture(scope="module")
def validator() -> Any:
    return Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


def log_of(rows: list[dict[str, Any]], **changes: Any) -> Any:
    out = io.StringIO()
    sarif.write(report(rows, **changes), out)
    return json.loads(out.getvalue())


ROWS = [
    row(1),
    row(1, path="other/a b%20#?.py", line_end=14),
    row(2, uri="s3://bucket/key%20", path="bucket/key", url="https://console.test/x", start=0, end=0),
    row(3, severity="low", status="false_positive", line=0, column=0, line_end=0, risk=None),
    row(4, path="zip.zip!/member", severity="medium", provider="", name=""),
    row(5, path="C:evil", uri="C:evil"),
    row(6, path="bad-\udcff"),
    row(7, path="//host/share"),
    row(9, path="./src/a.py"),
    hostile_row(8),
]


def test_valid_against_the_schema(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(log_of(ROWS))] == []
    assert [error.message for error in validator.iter_errors(log_of([], coverage=[], facts={}))] == []


def test_the_schema_refuses_what_is_wrong(validator: Any) -> None:
    broken = log_of(ROWS)
    broken["runs"][0]["results"][0]["level"] = "critical"
    assert not validator.is_valid(broken)


def test_every_uri_is_a_valid_reference() -> None:
    run = log_of(ROWS)["runs"][0]
    places = [place for result in run["results"] for place in result["locations"]]
    places += [
        place for note in run["invocations"][0]["toolExecutionNotifications"] for place in note["locations"]
    ]
    uris = [place["physicalLocation"]["artifactLocation"]["uri"] for place in places]
    assert len(uris) == len(ROWS) + 3
    for uri in uris:
        assert REFERENCE.fullmatch(uri), uri
    assert uris[1] == "other/a%20b%2520%23%3F.py"
    assert uris[2] == "s3://bucket/key%20"
    assert uris[5] == "./C:evil"
    assert uris[7] == "/host/share"
    assert uris[8] == "src/a.py"


def test_results_point_at_their_rule_and_place() -> None:
    run = log_of(ROWS)["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    for result, given in zip(run["results"], ROWS, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == given["rule"]
        assert result["partialFingerprints"]["unsprawlFinding/v1"] == given["finding"]
    region = run["results"][1]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 12, "startColumn": 9, "endLine": 14, "byteOffset": 100, "byteLength": 40}
    assert "startLine" not in run["results"][3]["locations"][0]["physicalLocation"]["region"]


def test_levels_suppressions_and_help() -> None:
    run = log_of(ROWS)["runs"][0]
    assert [result["level"] for result in run["results"][:5]] == [
        "error",
        "error",
        "error",
        "note",
        "warning",
    ]
    assert run["results"][3]["suppressions"][0]["justification"] == "false_positive"
    assert "suppressions" not in run["results"][0]
    assert run["tool"]["driver"]["rules"][0]["help"]["text"].startswith("1. Revoke the token")
    assert run["columnKind"] == "unicodeCodePoints"


def test_gaps_are_notifications_and_the_run_is_not_successful() -> None:
    invocation = log_of([row()])["runs"][0]["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 3
    assert [note["level"] for note in invocation["toolExecutionNotifications"]] == ["note", "error", "error"]
    assert len(coverage()) == 3
