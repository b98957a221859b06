"""DefectDojo's "Generic Findings Import": one finding an occurrence, known again by its own identity.

https://docs.defectdojo.com/supported_tools/parsers/generic_findings_import/
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, TextIO

from unsprawl.report import escape
from unsprawl.report.cases import Row

if TYPE_CHECKING:
    from unsprawl.report.export import Report

__all__ = ["write"]

#: CWE-798, use of hard-coded credentials.
_WEAKNESS: Final = 798
_OVER: Final = frozenset({"closed", "false_positive", "accepted"})


def write(report: Report, out: TextIO) -> None:
    """Write one document; its findings are streamed."""
    head = json.dumps({"name": report.title, "type": "unsprawl"})[:-1]
    out.write(f'{head}, "findings": [')
    separator = "\n"
    for row in report.rows():
        out.write(separator + json.dumps(_finding(report, row), default=str))
        separator = ",\n"
    out.write("\n]}\n")


def _finding(report: Report, row: Row) -> dict[str, Any]:
    note = report.rules.get(row["rule"])
    steps = list(note.remediation) if note else []
    facts = [
        ("Secret", f"`{row['secret']}`" if "`" not in row["secret"] else escape.markdown(row["secret"])),
        ("Where", escape.markdown(row["url"] or row["uri"])),
        ("Validity", row["validity"]),
        ("Audience", row["audience"]),
        ("Author", escape.markdown(row["author"] or "unknown")),
    ]
    found: dict[str, Any] = {
        "title": f"{row['name'] or row['rule']} in {row['source']}"[:500],
        "description": "\n".join(f"**{name}**: {value}  " for name, value in facts),
        "severity": row["severity"].capitalize(),
        "mitigation": "\n".join(f"{n}. {escape.markdown(step)}" for n, step in enumerate(steps, 1)),
        "cwe": _WEAKNESS,
        "vuln_id_from_tool": row["rule"],
        "unique_id_from_tool": _identity(row),
        "file_path": (row["path"] or row["uri"])[:4000],
        "line": row["line"] or None,
        "component_name": row["source"],
        "static_finding": True,
        "dynamic_finding": False,
        "active": row["status"] not in _OVER and not row["gone_at"],
        "verified": row["validity"] == "active",
        "false_p": row["status"] == "false_positive",
        "risk_accepted": row["status"] == "accepted",
        "is_mitigated": row["status"] == "closed" or bool(row["gone_at"]),
        "tags": ["secret", row["provider"] or "generic", row["source"]],
    }
    if row["first_seen"]:
        found["date"] = row["first_seen"][:10]
    return {name: value for name, value in found.items() if value is not None}


def _identity(row: Row) -> str:
    place = f"{row['source']}\n{row['uri']}\n{row['start']}"
    return f"{row['finding']}:{hashlib.sha256(place.encode('utf-8', 'replace')).hexdigest()[:16]}"
