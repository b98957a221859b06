"""One batch, one transaction: sightings, cases, versions, gaps, cursor and counts, or none of them.

The order in which batches of different units arrive leaves no trace but times: cases take the face of
their worst sighting, a sighting delivered by several units in one run is that of the greatest unit name,
and is gone only when the units that read its document no longer had it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from unsprawl.records import Counts, Gap, Status
from unsprawl.store import checks
from unsprawl.store.carried import with_carried
from unsprawl.store.coverage import state_after
from unsprawl.store.lifecycle import reopen
from unsprawl.store.prepare import Key, Prepared, plain
from unsprawl.store.refused import write_refused
from unsprawl.store.sink import Committed

__all__ = ["encode_gap", "write"]

#: Below the 999 parameters that old SQLite builds allow in one statement.
_PARAMETERS: Final = 900

#: In the order of ``prepare``.
_COLUMNS: Final = (
    *("surface", "rule", "title", "provider", "secret", "uri", "path", "url"),
    *("line", "col", "line_end", "start", "stop", "confidence", "severity", "label", "environment"),
    *("views", "attrs", "companions", "author", "modified_at", "audience", "context", "last_version"),
    *("vector", "proven"),
)

_INSERT: Final = (
    f"INSERT INTO occurrences (finding, source, document, ordinal, {', '.join(_COLUMNS)},"
    " first_version, first_seen, last_seen, run, unit)"
    f" VALUES ({', '.join('?' * (4 + len(_COLUMNS) + 5))})"
)
_UPDATE: Final = (
    f"UPDATE occurrences SET {', '.join(f'{name} = ?' for name in _COLUMNS)},"
    " last_seen = ?, run = ?, unit = ?, gone_at = NULL WHERE id = ?"
)

_TIES: Final = ("rule", "secret", "label", "environment", "title", "provider")
_BETTER: Final = (
    "(excluded.severity, excluded.confidence, {ours}) > (findings.severity, findings.confidence, {theirs})"
).format(
    # The smaller text wins a tie, so the sides are swapped.
    ours=", ".join(f"findings.{name}" for name in _TIES),
    theirs=", ".join(f"excluded.{name}" for name in _TIES),
)
_FACE: Final = (*_TIES, "severity", "confidence")
_KNOWS_MORE: Final = "(excluded.validity, excluded.evidence) > (findings.validity, findings.evidence)"
_UPSERT_FINDING: Final = f"""
INSERT INTO findings (id, fingerprint, rule, title, provider, secret, severity, confidence, label,
  environment, validity, evidence, sealed, first_seen, last_seen, first_run)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
  {
    ", ".join(f"{name} = CASE WHEN {_BETTER} THEN excluded.{name} ELSE findings.{name} END" for name in _FACE)
},
  {
    ", ".join(
        f"{name} = CASE WHEN {_KNOWS_MORE} THEN excluded.{name} ELSE findings.{name} END"
        for name in ("validity", "evidence")
    )
},
  sealed = COALESCE(findings.sealed, excluded.sealed),
  last_seen = max(findings.last_seen, excluded.last_seen),
  unsettled = 1
"""
_UPSERT_SEEN: Final = """
INSERT INTO seen (name, source, version, run, unit) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
  before = CASE WHEN run = excluded.run THEN before ELSE version END,
  before_run = CASE WHEN run = excluded.run THEN before_run ELSE run END,
  version = excluded.version, run = excluded.run, unit = excluded.unit
WHERE run <> excluded.run OR excluded.unit >= unit
"""
_ADD_COVERAGE: Final = """
INSERT INTO coverage (run, source, unit, title, parents, state, failure, last_batch,
  documents, unchanged, skipped, excluded, read_bytes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  title = excluded.title, parents = excluded.parents, state = excluded.state, failure = excluded.failure,
  last_batch = excluded.last_batch, documents = documents + excluded.documents,
  unchanged = unchanged + excluded.unchanged, skipped = skipped + excluded.skipped,
  excluded = coverage.excluded + excluded.excluded, read_bytes = read_bytes + excluded.read_bytes
"""


@dataclass(frozen=True, slots=True)
class _Known:
    """A sighting that the store has: its row, who delivered it last, since when it is gone."""

    row: int
    run: int
    unit: bytes
    gone_at: str | None


def write(
    connection: sqlite3.Connection, run: int, started_at: str, prepared: Prepared, now: str, whole: str
) -> Committed:
    """Write ``prepared`` within the caller's transaction. ``whole``: which rules read its unit from its
    start.
    """
    batch = prepared.batch
    unit_id = plain(batch.unit.id)
    earlier = connection.execute(
        "SELECT state, last_batch FROM coverage WHERE run = ? AND source = ? AND unit = ?",
        (run, batch.source, unit_id),
    ).fetchone()
    if earlier is not None and earlier[1] == prepared.digest:
        return Committed(repeated=True)
    # What a unit delivers after its end is a repetition: it may refresh what it names, it adds to no count.
    ended = earlier is not None and earlier[0] != "open"

    prepared = with_carried(connection, prepared, _COLUMNS)
    known = _known_occurrences(connection, prepared)
    new, reopened = _reopen(connection, run, prepared, known)
    vanished, returned = _write_occurrences(connection, run, started_at, prepared, known, now)
    connection.executemany(
        _UPSERT_FINDING,
        [(finding, *columns, now, now, run) for finding, columns in prepared.findings.items()],
    )
    kept = [finding for finding, columns in prepared.findings.items() if columns[-1] is not None]
    checks.schedule(connection, kept, reopened, now)
    if batch.refused or batch.documents:
        write_refused(connection, batch.source, batch.documents, batch.refused, now)
    again = 0 if earlier is None else _seen_again(connection, run, prepared)
    connection.executemany(
        _UPSERT_SEEN,
        [(name, batch.source, version, run, prepared.unit) for name, version in prepared.seen.items()],
    )
    repeated_gaps = {flag: _write_gaps(connection, run, prepared, unit_id, flag) for flag in (False, True)}
    if prepared.cursor is not None:
        connection.execute(
            "INSERT INTO cursors (source, unit, run, sealed, whole) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET run = excluded.run, sealed = excluded.sealed, whole = excluded.whole",
            (batch.source, unit_id, run, prepared.cursor, whole),
        )
    if not ended:
        counts = Counts(
            batch.counts.documents - min(again, batch.counts.documents),
            batch.counts.unchanged,
            batch.counts.skipped - min(repeated_gaps[False], batch.counts.skipped),
            batch.counts.excluded - min(repeated_gaps[True], batch.counts.excluded),
            batch.counts.read_bytes,
        )
        _write_coverage(connection, run, prepared, unit_id, counts)
    connection.execute(
        "UPDATE runs SET reopened = reopened + ?, gone = gone + ? WHERE id = ?",
        (len(reopened), vanished - returned, run),
    )
    return Committed(tuple(sorted(new)), tuple(sorted(reopened)), vanished, repeated=ended)


def encode_gap(gap: Gap) -> str:
    import msgspec

    return msgspec.json.encode([plain(gap.uri), plain(gap.reason), plain(gap.hint), gap.excluded]).decode()


def _known_occurrences(connection: sqlite3.Connection, prepared: Prepared) -> dict[Key, _Known]:
    """All sightings in the documents of the batch, those it names and those it no longer has."""
    documents = prepared.documents.union(key[1] for key in prepared.occurrences)
    known: dict[Key, _Known] = {}
    for chunk in _chunks(sorted(documents)):
        rows = connection.execute(
            "SELECT finding, document, ordinal, id, run, unit, gone_at FROM occurrences"
            f" WHERE document IN ({_marks(chunk)}) AND source = ?",
            (*chunk, prepared.batch.source),
        )
        for finding, document, ordinal, *rest in rows:
            known[finding, document, ordinal] = _Known(*rest)
    return known


def _reopen(
    connection: sqlite3.Connection, run: int, prepared: Prepared, known: dict[Key, _Known]
) -> tuple[set[str], set[str]]:
    """New cases, and those that come back: closed and seen again, or rotated and seen in a new place."""
    statuses: dict[str, str] = {}
    for chunk in _chunks(sorted(prepared.findings)):
        statuses.update(
            connection.execute(
                f"SELECT id, status FROM findings WHERE id IN ({_marks(chunk)})", chunk
            ).fetchall()
        )
    settled = {id_: status for id_, status in statuses.items() if status in (Status.CLOSED, Status.ROTATED)}
    reopened = {id_ for id_, status in settled.items() if status == Status.CLOSED}
    if settled:
        for key in prepared.occurrences:
            place = known.get(key)
            if key[0] in settled and (place is None or place.gone_at is not None):
                reopened.add(key[0])
    for id_ in sorted(reopened):
        reopen(connection, id_, "it was seen again", f"run {run}")
    return prepared.findings.keys() - statuses.keys(), reopened


def _write_occurrences(
    connection: sqlite3.Connection,
    run: int,
    started_at: str,
    prepared: Prepared,
    known: dict[Key, _Known],
    now: str,
) -> tuple[int, int]:
    """Answers how many sightings vanished, and how many that had vanished in this very run came back."""
    unit, source = prepared.unit, prepared.batch.source
    inserts: list[tuple[Any, ...]] = []
    updates: list[tuple[Any, ...]] = []
    returned = 0
    for key, columns in prepared.occurrences.items():
        finding, document, ordinal = key
        place = known.get(key)
        if place is None:
            first = prepared.first_versions[key]
            inserts.append((finding, source, document, ordinal, *columns, first, now, now, run, unit))
        elif place.run != run or unit >= place.unit:
            updates.append((*columns, now, run, unit, place.row))
            returned += place.gone_at is not None and place.gone_at >= started_at
    connection.executemany(_INSERT, inserts)
    connection.executemany(_UPDATE, updates)
    vanished = [
        (key[0], place.row)
        for key, place in known.items()
        if place.gone_at is None
        and key not in prepared.occurrences
        and key[1] in prepared.documents
        and (place.run != run or place.unit == unit)
    ]
    connection.executemany(
        "UPDATE occurrences SET gone_at = ? WHERE id = ?", [(now, row) for _, row in vanished]
    )
    connection.executemany(
        "UPDATE findings SET unsettled = 1 WHERE id = ?",
        [(id_,) for id_ in sorted({id_ for id_, _ in vanished})],
    )
    return len(vanished), returned


def _seen_again(connection: sqlite3.Connection, run: int, prepared: Prepared) -> int:
    """Documents that this unit delivered before in this run: an inclusive cursor repeats its border."""
    again = 0
    for chunk in _chunks(sorted(prepared.seen)):
        rows = connection.execute(
            f"SELECT name, version FROM seen WHERE name IN ({_marks(chunk)}) AND run = ? AND unit = ?",
            (*chunk, run, prepared.unit),
        )
        again += sum(prepared.seen[name] == version for name, version in rows)
    return again


def _write_gaps(
    connection: sqlite3.Connection, run: int, prepared: Prepared, unit_id: str, excluded: bool
) -> int:
    """Answers how many of the gaps of this kind the run had already."""
    source = prepared.batch.source
    distinct = {
        (plain(gap.uri), plain(gap.reason)): plain(gap.hint)
        for gap in prepared.batch.gaps
        if gap.excluded == excluded
    }
    if not distinct:
        return 0
    written = connection.executemany(
        "INSERT OR IGNORE INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(run, source, unit_id, uri, reason, hint, excluded) for (uri, reason), hint in distinct.items()],
    ).rowcount
    return len(distinct) - written


def _write_coverage(
    connection: sqlite3.Connection, run: int, prepared: Prepared, unit_id: str, counts: Counts
) -> None:
    import msgspec

    batch = prepared.batch
    connection.execute(
        _ADD_COVERAGE,
        (
            run,
            batch.source,
            unit_id,
            plain(batch.unit.title or batch.unit.id),
            msgspec.json.encode([plain(parent) for parent in batch.unit.parents]).decode(),
            state_after(batch),
            None if batch.failure is None else encode_gap(batch.failure),
            prepared.digest,
            counts.documents,
            counts.unchanged,
            counts.skipped,
            counts.excluded,
            counts.read_bytes,
        ),
    )


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _PARAMETERS)):
        yield chunk


def _marks(items: list[Any]) -> str:
    return ",".join("?" * len(items))
