"""Coverage over time, out of the ledgers of all runs: how much was read, what was not, and why."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Coverage", "Reading", "SourceReading", "Unread", "read_coverage_of"]

#: Runs that are told; of more, the latest. Reasons, for which something was not read.
_RUNS: Final = 400
_REASONS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One run. Units by how much of each was read; all are 0 where the ledger was pruned (90 days)."""

    run: str
    job: str
    status: str
    started_at: str
    finished_at: str | None
    new: int
    reopened: int
    gone: int
    documents: int
    unchanged: int
    read_bytes: int
    complete: int
    partial: int
    skipped: int
    failed: int

    @property
    def share(self) -> float | None:
        """Of the units, which part was read wholly."""
        return _share(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReading:
    """The last time a source was read: by which run, and what came of it."""

    source: str
    run: str
    job: str
    at: str
    documents: int
    unchanged: int
    read_bytes: int
    complete: int
    partial: int
    skipped: int
    failed: int

    @property
    def share(self) -> float | None:
        """Of the units, which part was read wholly."""
        return _share(self)


def _share(read: Reading | SourceReading) -> float | None:
    units = read.complete + read.partial + read.skipped + read.failed
    return read.complete / units if units else None


@dataclass(frozen=True, slots=True)
class Unread:
    """Why something was not read the last time its source was: how often, and one of the places."""

    source: str
    reason: str
    hint: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """``runs`` come oldest first, ``unread`` the commonest first; ``excluded`` counts what was left out."""

    runs: tuple[Reading, ...]
    sources: tuple[SourceReading, ...]
    unread: tuple[Unread, ...]
    excluded: int


# What `store/coverage.py` says of a unit, for all units of many runs at once.
_UNITS: Final = """
SELECT run, source, documents, unchanged, read_bytes, CASE
    WHEN state = 'gap' THEN iif(missing, 'skipped', '')
    WHEN state = 'source' THEN 'failed'
    WHEN failed AND documents + unchanged > 0 THEN 'partial'
    WHEN failed THEN iif(state = 'stopped', 'skipped', 'failed')
    WHEN state = 'open' OR missing THEN 'partial'
    ELSE 'complete' END AS status
FROM (
  SELECT *, coalesce(json_extract(failure, '$[3]') = 0, 0) AS failed, EXISTS (
    SELECT 1 FROM gaps g WHERE g.run = c.run AND g.source = c.source AND g.unit = c.unit AND g.excluded = 0
  ) AS missing FROM coverage c
)
"""
_SUMS: Final = (
    "coalesce(sum(u.documents), 0) AS documents, coalesce(sum(u.unchanged), 0) AS unchanged,"
    " coalesce(sum(u.read_bytes), 0) AS read_bytes, "
    + ", ".join(
        f"coalesce(sum(u.status = '{name}'), 0) AS {name}"
        for name in ("complete", "partial", "skipped", "failed")
    )
)
#: The last run that read a source.
_LAST: Final = (
    "SELECT c.source, max(c.run) AS run FROM coverage c JOIN runs r ON r.id = c.run"
    " WHERE r.started_at <= ? GROUP BY c.source"
)

#: What was not read the last time, as a whole (`coverage`) or in part (`gaps`).
_WHY: Final = f"""
WITH last AS ({_LAST}), why AS (
  SELECT source, reason, hint, uri, excluded FROM last JOIN gaps USING (source, run)
  UNION ALL
  SELECT source, json_extract(failure, '$[1]'), json_extract(failure, '$[2]'), json_extract(failure, '$[0]'),
    json_extract(failure, '$[3]')
  FROM last JOIN coverage USING (source, run) WHERE failure IS NOT NULL
)
"""


def read_coverage_of(connection: sqlite3.Connection, begin: str, end: str) -> Coverage:
    """Of the runs that began within the period; sources and reasons as of its end."""
    runs = _records(
        connection,
        "SELECT r.id AS run, r.job, r.status, r.started_at, r.finished_at,"
        f" (SELECT count(*) FROM findings WHERE first_run = r.id) AS new, r.reopened, r.gone, {_SUMS}"
        f" FROM runs r LEFT JOIN ({_UNITS}) u ON u.run = r.id WHERE r.started_at > ? AND r.started_at <= ?"
        " GROUP BY r.id ORDER BY r.id DESC LIMIT ?",
        (begin, end, _RUNS),
    )
    sources = _records(
        connection,
        f"SELECT u.source, u.run, r.job, coalesce(r.finished_at, r.started_at) AS at, {_SUMS}"
        f" FROM ({_LAST}) l JOIN ({_UNITS}) u ON u.source = l.source AND u.run = l.run"
        " JOIN runs r ON r.id = l.run GROUP BY u.source ORDER BY u.source",
        (end,),
    )
    reasons = connection.execute(
        f"{_WHY} SELECT source, reason, hint, count(*), min(uri) FROM why WHERE excluded = 0"
        " GROUP BY source, reason, hint ORDER BY 4 DESC, 1, 2 LIMIT ?",
        (end, _REASONS),
    ).fetchall()
    (excluded,) = connection.execute(f"{_WHY} SELECT count(*) FROM why WHERE excluded = 1", (end,)).fetchone()
    return Coverage(
        runs=tuple(Reading(**record) for record in reversed(runs)),
        sources=tuple(SourceReading(**record) for record in sources),
        unread=tuple(Unread(*row) for row in reasons),
        excluded=excluded,
    )


def _records(connection: sqlite3.Connection, query: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    records = [dict(zip(names, row, strict=True)) for row in cursor]
    for record in records:
        record["run"] = str(record["run"])
    return records
