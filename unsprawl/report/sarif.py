"""SARIF 2.1.0: one result an occurrence, one rule a kind of secret, one notification a gap.

Plain dicts, since the format is small where we use it. Results are streamed; the rules that occur are
collected in a first pass over the rows. Columns count code points, as our rows do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TextIO

from unsprawl.report import escape
from unsprawl.report.cases import Row

if TYPE_CHECKING:
    from unsprawl.report.export import Report

__all__ = ["SCHEMA", "write"]

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_LEVEL: Final = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
#: What code hosts sort alerts by, in the ranges of CVSS.
_SCORE: Final = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}
_SUPPRESSED: Final = frozenset({"false_positive", "accepted"})


def write(report: Report, out: TextIO) -> None:
    """Write one log with one run."""
    rules: dict[str, dict[str, Any]] = {}
    index: dict[str, int] = {}
    for row in report.rows():
        if row["rule"] not in rules:
            index[row["rule"]] = len(rules)
            rules[row["rule"]] = _rule(report, row)
    driver = {"name": "unsprawl", "version": report.version or "0", "rules": list(rules.values())}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"unsprawl/{report.facts.get('run') or 'scan'}"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
    }
    out.write(f'{{"$schema": {_json(SCHEMA)}, "version": "2.1.0", "runs": [{{\n')
    out.writelines(f'"{name}": {_json(value)},\n' for name, value in run.items())
    out.write('"results": [')
    separator = "\n"
    for row in report.rows():
        out.write(separator + _json(_result(row, index[row["rule"]])))
        separator = ",\n"
    out.write("\n]}]}\n")


def _json(value: object) -> str:
    # ASCII throughout: some consumers choke on anything that is not, and lone surrogates survive.
    return json.dumps(value, separators=(",", ":"), default=str)


def _rule(report: Report, row: Row) -> dict[str, Any]:
    note = report.rules.get(row["rule"])
    severity = str(note.severity) if note else row["severity"]
    name = (note.name if note else row["name"]) or row["rule"]
    rule: dict[str, Any] = {
        "id": row["rule"],
        "name": name,
        "shortDescription": {"text": f"{name} found"},
        "defaultConfiguration": {"level": _LEVEL[severity]},
        "properties": {
            "security-severity": _SCORE[severity],
            "tags": ["security", "secret", row["provider"] or "generic"],
        },
    }
    steps = list(note.remediation) if note else []
    if steps:
        rule["help"] = {
            "text": "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1)),
            "markdown": "\n".join(f"{n}. {escape.markdown(step)}" for n, step in enumerate(steps, 1)),
        }
    return rule


def _invocation(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {"executionSuccessful": report.complete}
    if "exit_code" in report.facts:
        found["exitCode"] = int(report.facts["exit_code"])
    notes = list(_notifications(report))
    if notes:
        found["toolExecutionNotifications"] = notes
    return found


def _notifications(report: Report) -> Iterator[dict[str, Any]]:
    for source, gap in report.gaps():
        text = f"{source}: {gap.uri} was not read: {gap.reason}"
        yield {
            "level": "note" if gap.excluded else "error",
            "message": {"text": f"{text}. {gap.hint}" if gap.hint else text},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": _reference(gap.uri)}}}],
        }


def _result(row: Row, rule_index: int) -> dict[str, Any]:
    context = f" ({row['label']}, {row['validity']})"
    result: dict[str, Any] = {
        "ruleId": row["rule"],
        "ruleIndex": rule_index,
        "level": _LEVEL[row["severity"]],
        "message": {"text": f"{row['name'] or row['rule']}: {row['secret']}{context}"},
        "locations": [_location(row)],
        "partialFingerprints": {
            "unsprawlFinding/v1": row["finding"],
            "unsprawlSecret/v1": row["fingerprint"],
        },
        "rank": float(row["risk"] if row["risk"] is not None else 100 * row["confidence"]),
        "properties": {
            name: row[name]
            for name in (
                "confidence",
                "label",
                "environment",
                "validity",
                "evidence",
                "status",
                "source",
                "audience",
                "attrs",
            )
        },
    }
    if row["status"] in _SUPPRESSED:
        why = escape.plain(row["because"] or row["status"])
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _location(row: Row) -> dict[str, Any]:
    region: dict[str, Any] = {"byteOffset": row["start"], "byteLength": row["end"] - row["start"]}
    if row["line"]:
        region |= {"startLine": row["line"], "startColumn": max(1, row["column"])}
        region["endLine"] = max(row["line"], row["line_end"])
    local = row["uri"].startswith("file:") or "://" not in row["uri"]
    where = _reference(row["path"] if local and row["path"] else row["uri"])
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": where}, "region": region}}
    location["logicalLocations"] = [{"fullyQualifiedName": row["path"] or row["uri"], "kind": "resource"}]
    if row["url"]:
        location["message"] = {"text": row["url"]}
    return location


def _reference(text: str) -> str:
    """A valid URI reference. A path keeps its meaning: ``?`` and ``#`` in a file name are part of it."""
    if "://" in text:
        return escape.uri(text)
    path = escape.uri(text.removeprefix("./").replace("%", "%25")).replace("?", "%3F").replace("#", "%23")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    return f"./{path}" if ":" in path.split("/", 1)[0] else path
