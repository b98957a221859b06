"""Values that are known by their fingerprint: what vaults keep, and what a sweep was asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from unsprawl.store.findings import Store

__all__ = ["INCIDENT", "Entry", "KnownLedger", "Swept", "read_known", "remember", "retire"]

#: The kind of what is no vault's: values that somebody swept for, by the day.
INCIDENT: Final = "incident"

_COLUMNS: Final = (
    "vault, kind, path, key, version, max(current) AS current, min(first_seen) AS first_seen,"
    " max(last_seen) AS last_seen, max(replaced_at) AS replaced_at"
)
_WRITE: Final = """
INSERT INTO known (vault, kind, path, key, version, fingerprint, current, first_seen, last_seen)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen, current = excluded.current, kind = excluded.kind,
  replaced_at = iif(excluded.current, NULL, coalesce(replaced_at, excluded.last_seen))
"""


class Entry(Protocol):
    """One known value: its fingerprint, and where it belongs."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def vault(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def current(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Swept:
    """A value that was swept for on a ``path``: a day."""

    fingerprint: str
    path: str
    vault: str = "sweep"
    kind: str = INCIDENT
    key: str = ""
    version: str = ""
    current: bool = True


def remember(connection: sqlite3.Connection, entries: Iterable[Entry], now: str) -> None:
    """Write entries; one that is there is refreshed. In a transaction."""
    connection.executemany(
        _WRITE,
        [
            (it.vault, it.kind, it.path, it.key, it.version, it.fingerprint, it.current, now, now)
            for it in entries
        ],
    )


def retire(connection: sqlite3.Connection, vault: str, since: str, unread: Iterable[str], now: str) -> int:
    """What ``vault`` no longer has is current no more, and how many that are; not below ``unread`` paths.

    In a transaction. ``since`` is when its reading began.
    """
    gone = connection.execute(
        "SELECT path, key, version, fingerprint FROM known WHERE vault = ? AND last_seen < ? AND current",
        (vault, since),
    ).fetchall()
    kept = tuple(path.rstrip("/") for path in unread)
    lost = [row for row in gone if not any(row[0] == path or row[0].startswith(f"{path}/") for path in kept)]
    connection.executemany(
        "UPDATE known SET current = 0, replaced_at = ?"
        " WHERE vault = ? AND path = ? AND key = ? AND version = ? AND fingerprint = ?",
        [(now, vault, *row) for row in lost],
    )
    return len(lost)


def read_known(
    connection: sqlite3.Connection, fingerprint: str | None = None, vault: str | None = None
) -> Iterator[dict[str, Any]]:
    """Entries as plain records, those in use first."""
    terms, values = [], []
    for column, wanted in (("fingerprint", fingerprint), ("vault", vault)):
        if wanted is not None:
            terms.append(f"{column} = ?")
            values.append(wanted)
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    cursor = connection.execute(
        f"SELECT {_COLUMNS}, sum((SELECT count(*) FROM findings f"
        " WHERE f.fingerprint = known.fingerprint)) AS findings"
        f" FROM known {where} GROUP BY vault, path, key, version"
        " ORDER BY vault, path, key, current DESC, version",
        values,
    )
    names = [column[0] for column in cursor.description]
    for record in cursor:
        entry = dict(zip(names, record, strict=True))
        entry["current"] = bool(entry["current"])
        yield entry


class KnownLedger:
    """Writes what is read of vaults into a store, in short transactions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._begun: dict[str, str] = {}

    def write(self, entries: Sequence[Entry]) -> None:
        for vault in {it.vault for it in entries}:
            self._begun.setdefault(vault, self._store.moment())
        self._store.remember_known(entries)

    def finish(self, vault: str, unread: Sequence[str]) -> int:
        """What was not written since the first entry is current no more, and how many that are."""
        return self._store.retire_known(vault, self._begun.get(vault) or self._store.moment(), unread)
