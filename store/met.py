"""What the store knows of a value by its fingerprint alone, the moment somebody asks."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from unsprawl.store.known import INCIDENT, read_known
from unsprawl.store.prepare import SEVERITIES, VALIDITIES
from unsprawl.store.refused import read_refused
from unsprawl.store.triage import EFFECTIVE, TOLD_FROM

__all__ = ["Met", "met"]

_FINDINGS: Final = f"""
SELECT f.id AS finding, f.rule, f.severity, {EFFECTIVE} AS status, f.first_seen, f.last_seen,
  f.validity, f.evidence, f.owner, f.owner_because,
  count(*) AS places, sum(o.gone_at IS NULL) AS live
FROM findings f JOIN occurrences o ON o.finding = f.id {TOLD_FROM}
WHERE f.fingerprint = ? GROUP BY f.id ORDER BY f.id
"""


@dataclass(frozen=True, slots=True)
class Met:
    """Plain records, fit to be shown."""

    findings: tuple[dict[str, Any], ...] = ()
    refused: tuple[dict[str, Any], ...] = ()
    known: tuple[dict[str, Any], ...] = ()


def met(connection: sqlite3.Connection, fingerprint: str) -> Met:
    cursor = connection.execute(_FINDINGS, (fingerprint,))
    names = [column[0] for column in cursor.description]
    found = [dict(zip(names, record, strict=True)) for record in cursor]
    for case in found:
        case["severity"] = str(SEVERITIES[case["severity"] - 1])
        case["validity"] = str(VALIDITIES[case["validity"]])
    kept = (entry for entry in read_known(connection, fingerprint) if entry["kind"] != INCIDENT)
    return Met(tuple(found), tuple(read_refused(connection, fingerprint)), tuple(kept))
