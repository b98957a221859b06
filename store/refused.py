"""Candidates that were held for no credential: only their fingerprints, and where they stood.

When one of them turns out to be a credential after all, its places are known at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from unsprawl.records import Refused

__all__ = ["read_refused", "write_refused"]

_PLACES: Final = 500
_CHUNK: Final = 500


def write_refused(
    connection: sqlite3.Connection,
    source: str,
    documents: Iterable[bytes],
    found: Sequence[Refused],
    now: str,
) -> None:
    """Replace what was refused in ``documents``. In a transaction."""
    names = sorted({*documents, *(it.document for it in found)})
    for at in range(0, len(names), _CHUNK):
        chunk = names[at : at + _CHUNK]
        connection.execute(f"DELETE FROM refused WHERE document IN ({','.join('?' * len(chunk))})", chunk)
    connection.executemany(
        "INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (it.document, bytes.fromhex(it.fingerprint), source, it.rule, it.confidence, it.uri, it.line, now)
            for it in found
        ],
    )


def read_refused(connection: sqlite3.Connection, fingerprint: str) -> Iterator[dict[str, Any]]:
    """Where a value was refused, the likeliest first."""
    names = ("source", "rule", "confidence", "uri", "line", "at")
    for record in connection.execute(
        f"SELECT {', '.join(names)} FROM refused WHERE fingerprint = ? ORDER BY confidence DESC, uri LIMIT ?",
        (bytes.fromhex(fingerprint), _PLACES),
    ):
        yield dict(zip(names, record, strict=True))
