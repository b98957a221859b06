"""What is learned from decisions: the vectors of judged findings, and what they say about the others.

A vector is a keyed hash of surroundings and of a value's shape (``models/embedding.py``): no text, no value.
The comparison itself is not made here, see :mod:`unsprawl.recall`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from unsprawl.records import Status, Validity
from unsprawl.secret import Keys, Secret
from unsprawl.store.prepare import VALIDITIES
from unsprawl.store.seal import unseal

__all__ = [
    "Recalled",
    "Sighting",
    "Token",
    "feedback_rows",
    "marks",
    "recall",
    "remember",
    "token",
    "unjudged",
]

#: Changes whenever somebody decides, or takes back a decision.
Token: TypeAlias = tuple[int, int]

#: Different surroundings of one finding that are held against others.
_PLACES: Final = 100
_ROWS: Final = """
SELECT b.finding, t.decision, b.harmless, b.rule, o.provider, o.secret, o.surface, o.path, o.views,
  o.companions, o.label, o.environment, o.context, b.vector, b.model, b.at, o.source, o.uri, o.line,
  o.col AS "column", o.line_end, f.sealed
FROM feedback b
JOIN findings f ON f.id = b.finding
JOIN occurrences o USING (finding, source, document, ordinal)
JOIN triage t ON t.id = (
  SELECT max(id) FROM triage WHERE finding = b.finding AND undone_at IS NULL
)
ORDER BY b.finding, o.id
"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place of a finding nobody has decided. ``proven``: its format proves itself."""

    finding: str
    rule: str
    proven: bool
    vector: bytes


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a finding is like: the finding ``alike``, marked as a false positive, how near, how many agree."""

    alike: str
    similarity: float
    marks: int
    silenced: bool


def remember(connection: sqlite3.Connection, finding: str, *, harmless: bool | None, now: str) -> None:
    """Keep the vectors of a finding as those of a false positive or a confirmed one; None forgets them."""
    connection.execute("DELETE FROM feedback WHERE finding = ?", (finding,))
    if harmless is None:
        return
    connection.execute(
        "INSERT INTO feedback (finding, source, document, ordinal, rule, harmless, vector, model, at)"
        " SELECT o.finding, o.source, o.document, o.ordinal, o.rule, ?, o.vector, r.detection, ?"
        " FROM occurrences o JOIN runs r ON r.id = o.run WHERE o.finding = ? AND o.vector IS NOT NULL",
        (harmless, now, finding),
    )


def marks(connection: sqlite3.Connection, limit: int) -> list[tuple[str, str, bool, bytes]]:
    """Finding, rule, whether it is a false positive, vector: the newest ``limit``, a hundred a finding."""
    rows = connection.execute(
        "SELECT finding, rule, harmless, vector FROM ("
        " SELECT finding, rule, harmless, vector, at,"
        " row_number() OVER (PARTITION BY finding ORDER BY source, document, ordinal) AS place"
        " FROM feedback GROUP BY finding, rule, harmless, vector"
        ") WHERE place <= ? ORDER BY at DESC, finding, place LIMIT ?",
        (_PLACES, limit),
    )
    return [(finding, rule, bool(harmless), vector) for finding, rule, harmless, vector in rows]


def unjudged(connection: sqlite3.Connection, rules: frozenset[str]) -> Iterator[Sighting]:
    """The places where open findings of these rules stand now, by finding.

    A finding that works (``active``) is left out: nothing silences it. So is one with a place of another
    rule, or without a vector, since not all that is known of it can be compared.
    """
    wanted = ",".join("?" * len(rules))
    rows = connection.execute(
        "SELECT o.finding, o.rule, o.proven, o.vector FROM findings f JOIN occurrences o ON o.finding = f.id"
        f" WHERE f.status IN (?, ?) AND f.validity <> ? AND f.rule IN ({wanted}) AND o.gone_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM occurrences x WHERE x.finding = f.id AND x.gone_at IS NULL"
        " AND (x.vector IS NULL OR x.rule <> f.rule))"
        " ORDER BY o.finding, o.id",
        (Status.OPEN, Status.REOPENED, VALIDITIES.index(Validity.ACTIVE), *sorted(rules)),
    )
    for finding, rule, proven, vector in rows:
        yield Sighting(finding, rule, bool(proven), vector)


def token(connection: sqlite3.Connection) -> Token:
    newest, undone = connection.execute("SELECT max(id), count(undone_at) FROM triage").fetchone()
    return newest or 0, undone


def recall(connection: sqlite3.Connection, found: Mapping[str, Recalled]) -> tuple[set[str], set[str]]:
    """Put ``found`` in the place of all that was recalled before, within the caller's transaction.

    Answers which findings are silenced now and were not, and which were and are not.
    """
    silenced = "SELECT finding FROM recalled WHERE silenced = 1"
    before = {finding for (finding,) in connection.execute(silenced)}
    connection.execute("DELETE FROM recalled")
    connection.executemany(
        "INSERT INTO recalled VALUES (?, ?, ?, ?, ?)",
        [(id_, it.alike, it.similarity, it.marks, it.silenced) for id_, it in sorted(found.items())],
    )
    now = {finding for finding, it in found.items() if it.silenced}
    return now - before, before - now


def feedback_rows(connection: sqlite3.Connection, keys: Keys) -> Iterator[dict[str, Any]]:
    """Every judged place, for training: what was decided, and the redacted surroundings with the vector.

    ``harmless`` is True for false positives. ``secret`` is the preview, ``context`` has it in the place of
    the value; ``value`` is a ``Secret`` where the store keeps it sealed, else None; ``model`` is the
    detection (rules and model) that saw it.
    """
    cursor = connection.execute(_ROWS)
    names = [column[0] for column in cursor.description]
    for record in cursor:
        row = dict(zip(names, record, strict=True))
        sealed = row.pop("sealed")
        row["value"] = None if sealed is None else _value(unseal(keys, row["finding"].encode(), sealed))
        row["harmless"] = bool(row["harmless"])
        row["views"] = msgspec.json.decode(row["views"])
        row["companions"] = msgspec.json.decode(row["companions"])
        yield row


def _value(opened: bytes) -> Secret:
    return Secret(msgspec.msgpack.decode(opened, type=dict[str, bytes]).get("secret", b""))
