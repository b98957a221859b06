"""Rows and ledger lines as the store gives them, for tests of the formats."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from unsprawl.records import Gap
from unsprawl.report.export import Report
from unsprawl.store.sink import CoverageRow

#: What a stranger may call a file, a page or himself.
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>|`x`\x1b[31m\x9b2J\n"
    "\u202eevil @team http://evil.test \u05d0"
)


def row(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "finding": f"{number:012x}",
        "rule": "github.token",
        "name": "GitHub token",
        "provider": "github",
        "secret": "ghp_…x9Qz",
        "fingerprint": f"{number:064x}",
        "confidence": 0.97,
        "label": "real",
        "environment": "production",
        "severity": "critical",
        "risk": 82,
        "validity": "unknown",
        "status": "open",
        "source": "files",
        "uri": "file:///srv/app/settings.py",
        "url": None,
        "path": "app/settings.py",
        "line": 12,
        "column": 9,
        "start": 100,
        "end": 140,
        "line_end": 12,
        "views": [],
        "attrs": {},
        "companions": {},
        "author": "dana",
        "modified_at": "2026-01-02T03:04:05.000Z",
        "audience": "organisation",
        "first_seen": "2026-11-20T00:00:00.000Z",
        "last_seen": "2026-11-21T00:00:00.000Z",
        "gone_at": None,
        "owner": None,
        "context": "token = ghp_…x9Qz",
        "because": None,
        "evidence": None,
    } | changes


def hostile_row(number: int = 99) -> dict[str, Any]:
    names = ("name", "provider", "source", "path", "author", "owner", "context", "rule", "secret")
    changes = dict.fromkeys(names, HOSTILE) | {"uri": f"file:///{HOSTILE}", "url": "javascript:alert(3)"}
    return row(number, **changes, attrs={HOSTILE: HOSTILE}, companions={"host": HOSTILE})


def coverage() -> list[CoverageRow]:
    bomb = Gap("s3://backups/bomb.zip", "the archive expands beyond 1 GB", "exclude it")
    denied = Gap(f"s3://secret/{HOSTILE}", "403: access denied", "grant s3:ListBucket")
    vendored = Gap("app/vendor", "left out by the configuration", excluded=True)
    partial = CoverageRow(
        source="store",
        title="backups",
        status="partial",
        documents=7,
        unchanged=40,
        skipped=1,
        read_bytes=9_123_456_789,
        reasons=(bomb.reason,),
        gaps=(bomb,),
    )
    return [
        CoverageRow(
            source="files", title="app", status="complete", documents=3, excluded=1, gaps=(vendored,)
        ),
        partial,
        CoverageRow(source="store", title="secret", status="failed", reasons=("403",), gaps=(denied,)),
    ]


def report(rows: list[dict[str, Any]], **changes: Any) -> Report:
    steps = ("Revoke the token in the account's settings", "Look in the audit log for its use")
    note = SimpleNamespace(
        id="github.token", name="GitHub token", provider="github", severity="critical", remediation=steps
    )
    fields: dict[str, Any] = {
        "title": "Scan of app",
        "rows": lambda: iter(rows),
        "coverage": coverage(),
        "complete": False,
        "rules": {note.id: note},
        "facts": {"exit_code": 3, "run": "r1", "seconds": 1.5},
        "version": "0.1.0",
    }
    return Report(**(fields | changes))
