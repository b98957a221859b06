"""OCSF 1.3 for security lakes and SIEMs: one Detection Finding (class 2004) a line, one an occurrence.

https://schema.ocsf.io/1.3.0/classes/detection_finding
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from unsprawl.report import escape
from unsprawl.report.cases import Row

if TYPE_CHECKING:
    from unsprawl.report.export import Report

__all__ = ["write"]

_VERSION: Final = "1.3.0"
_CATEGORY, _CLASS = 2, 2004
_SEVERITY: Final = {
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
#: Activity (1 create, 2 update, 3 close) and status (1 new, 2 in progress, 3 suppressed, 4 resolved).
_STATUS: Final = {
    "open": (1, 1),
    "reopened": (2, 1),
    "acknowledged": (2, 2),
    "rotated": (2, 2),
    "closed": (3, 4),
    "false_positive": (3, 3),
    "accepted": (3, 3),
}
_NAMES: Final = {1: "New", 2: "In Progress", 3: "Suppressed", 4: "Resolved"}


def write(report: Report, out: TextIO) -> None:
    """Write all rows, one event a line."""
    out.writelines(escape.json_line(_event(report, row)) + "\n" for row in report.rows())


def _event(report: Report, row: Row) -> dict[str, Any]:
    severity_id, severity = _SEVERITY[row["severity"]]
    activity, status = _STATUS.get(row["status"], (2, 1))
    seen = {"first_seen_time": _time(row["first_seen"]), "last_seen_time": _time(row["last_seen"])}
    note = report.rules.get(row["rule"])
    event: dict[str, Any] = {
        "activity_id": activity,
        "category_uid": _CATEGORY,
        "class_uid": _CLASS,
        "type_uid": _CLASS * 100 + activity,
        "time": _time(row["last_seen"]) or 0,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status,
        "status": _NAMES[status],
        "confidence_score": round(100 * row["confidence"]),
        "risk_score": row["risk"] or 0,
        "metadata": {
            "version": _VERSION,
            "product": {"name": "unsprawl", "vendor_name": "unsprawl", "version": report.version or "0"},
        },
        "finding_info": {
            "uid": row["finding"],
            "title": f"{row['name'] or row['rule']} exposed in {row['source']}",
            "desc": f"{row['secret']} ({row['label']}, validity {row['validity']})",
            "types": ["Exposed secret"],
            "data_sources": [row["source"]],
            "analytic": {
                "uid": row["rule"],
                "name": row["name"] or row["rule"],
                "type_id": 1,
                "type": "Rule",
            },
            **({"src_url": row["url"]} if row["url"] else {}),
            **{name: value for name, value in seen.items() if value},
        },
        "resources": [{"uid": row["uri"], "name": row["path"] or row["uri"], "type": row["source"]}],
        "evidences": [{"data": {"line": row["line"], "column": row["column"], "views": row["views"]}}],
        "unmapped": {
            name: row[name]
            for name in (
                "fingerprint",
                "validity",
                "environment",
                "audience",
                "author",
                "owner",
                "attrs",
                "gone_at",
            )
        },
    }
    if note and note.remediation:
        event["remediation"] = {"desc": "\n".join(note.remediation)}
    return event


def _time(text: str | None) -> int | None:
    """Milliseconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp() * 1000) if text else None
