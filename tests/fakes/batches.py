"""Batches as the pipeline makes them, and the content of a store without its times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unsprawl.records import Batch, Counts, Cursor, Gap, Occurrence, Severity, Unit
from unsprawl.secret import Keys
from unsprawl.store.findings import Filter, Store

KEYS = Keys.derive(bytes(range(32)))
DETECTION = "rules-1+model-1"


def occurrence(finding: int | str, document: str, ordinal: int = 0, **changes: Any) -> Occurrence:
    """A sighting of case ``finding`` in ``document`` of source ``box``."""
    given: dict[str, Any] = {
        "finding": finding if isinstance(finding, str) else f"{finding:012x}",
        "fingerprint": f"{finding:0>64}",
        "rule": "acme.key",
        "title": "Acme key",
        "provider": "acme",
        "document": KEYS.name("box", document),
        "ordinal": ordinal,
        "secret": "acme_…wxyz",
        "source": "box",
        "surface": "s3",
        "uri": f"s3://box/{document}",
        "path": f"box/{document}",
        "line": 3,
        "column": 7,
        "line_end": 3,
        "start": 40 + ordinal,
        "end": 60 + ordinal,
        "confidence": 0.9,
        "severity": Severity.HIGH,
        "context": "key = acme_…wxyz",
        "version": "v1",
    }
    return Occurrence(**given | changes)


def batch(
    unit: str | Unit,
    documents: dict[str, list[Occurrence]] | None = None,
    *,
    version: str = "v1",
    cursor: Cursor | None = None,
    done: bool = True,
    gaps: tuple[Gap, ...] = (),
    unchanged: int = 0,
    failure: Gap | None = None,
    fatal: bool = False,
) -> Batch:
    """What one step did: ``documents`` with their sightings, ten bytes each, remembered under ``version``."""
    read = documents or {}
    excluded = sum(gap.excluded for gap in gaps)
    return Batch(
        source="box",
        unit=Unit(unit) if isinstance(unit, str) else unit,
        counts=Counts(len(read), unchanged, len(gaps) - excluded, excluded, 10 * len(read)),
        occurrences=tuple(found for all_found in read.values() for found in all_found),
        documents=tuple(KEYS.name("box", name) for name in read),
        seen=tuple((KEYS.name("box", name), version) for name in read),
        gaps=gaps,
        cursor=cursor,
        done=done,
        failure=failure,
        fatal=fatal,
    )


def open_store(path: Path, **options: Any) -> Store:
    return Store.open(path, KEYS, **options)


def content(store: Store) -> dict[str, Any]:
    """Everything a person could tell two stores apart by, times and sealed bytes aside."""
    rows = []
    for row in store.rows(Filter(include_gone=True)):
        gone = row["gone_at"] is not None
        rows.append(row | {"first_seen": "", "last_seen": "", "gone_at": gone})
    cases = [
        case
        | {"first_seen": "", "last_seen": "", "closed_at": case["closed_at"] is not None}
        | {"proof": case["proof"].partition(" since ")[0]}
        for case in store.findings(Filter(include_gone=True))
    ]
    runs = [(run.id, run.job, run.status, run.new, run.reopened, run.gone) for run in store.runs()]
    remembered = store._connection.execute("SELECT name, version, before FROM seen ORDER BY name").fetchall()
    return {"rows": rows, "cases": cases, "runs": runs, "coverage": store.coverage(), "seen": remembered}
