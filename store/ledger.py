"""What earlier runs read: versions and cursors, valid for the detection that read them.

``seen`` answers as of the beginning of the running run: a version committed by a run that has not finished
yet stands beside the one before it. So units and reads follow from the store as the run found it, and a run
that dies and resumes lists, reads and counts what an undisturbed one would.

A rolling re-read (``crawl --rescan``) reads again what other rules have seen, until its time is up; from then
on what they have seen counts as seen, and the next run goes on with it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Final

from unsprawl.records import Cursor
from unsprawl.secret import Keys
from unsprawl.store.connection import faults
from unsprawl.store.seal import seal, unseal

__all__ = ["SeenReader", "open_cursor", "progress", "seal_cursor", "seen_reader"]

#: Of the cache of a reader, in KiB: each thread and worker has one, and names fall all over the file.
_CACHE: Final = -2048


class SeenReader:
    """Answers ``seen(key)`` for one source from a read-only connection, opened on the first question.

    Can be sent to another process, and asked from several threads.
    """

    def __init__(
        self, path: Path, keys: Keys, source: str, detection: str, rescan_until: float | None = None
    ) -> None:
        self._path = Path(path)
        self._keys = keys
        self._name = keys.documents(source)
        self._source = source
        self._detection = detection
        self._rescan_until = rescan_until
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._valid: frozenset[int] = frozenset()
        self._older: frozenset[int] = frozenset()

    def __call__(self, key: str) -> str | None:
        name = self._name(key)
        with self._lock, faults(self._path):
            connection = self._connection or self._open()
            row = connection.execute(
                "SELECT version, run, before, before_run FROM seen WHERE name = ?", (name,)
            ).fetchone()
        if row is None:
            return None
        version, run, before, before_run = row
        if run in self._valid:
            return str(version)
        if before is not None and before_run in self._valid:
            return str(before)
        if self._rescan_until is None or time.monotonic() < self._rescan_until:
            return None
        if run in self._older:
            return str(version)
        return str(before) if before is not None and before_run in self._older else None

    def _open(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA cache_size = {_CACHE}")
        ended = connection.execute("SELECT id, detection FROM runs WHERE status <> 'running'").fetchall()
        self._valid = frozenset(run for run, detection in ended if detection == self._detection)
        self._older = frozenset(run for run, _ in ended) - self._valid
        self._connection = connection
        return connection

    def close(self) -> None:
        """Let go of the file; the next question opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (SeenReader, (self._path, self._keys, self._source, self._detection, self._rescan_until))

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def seen_reader(
    path: Path, keys: Keys, source: str, detection: str, rescan_until: float | None = None
) -> SeenReader:
    """What the store at ``path`` remembers of ``source`` under this detection version.

    From ``rescan_until`` on, on the monotonic clock, also what it remembers under others.
    """
    return SeenReader(path, keys, source, detection, rescan_until)


def progress(connection: sqlite3.Connection, detection: str) -> list[dict[str, Any]]:
    """How much of each source was read by ``detection``: remembered documents, units with a cursor."""
    found: dict[str, dict[str, Any]] = {}

    def of(source: str) -> dict[str, Any]:
        return found.setdefault(source, {"source": source, "documents": 0, "read": 0, "units": 0, "whole": 0})

    for source, count, present in connection.execute(
        "SELECT s.source, count(*), sum(r.detection = ?) FROM seen s JOIN runs r ON r.id = s.run"
        " GROUP BY s.source",
        (detection,),
    ):
        of(source).update(documents=count, read=present)
    for source, count, present in connection.execute(
        "SELECT c.source, count(*), sum(coalesce(c.whole, r.detection) = ?)"
        " FROM cursors c JOIN runs r ON r.id = c.run GROUP BY c.source",
        (detection,),
    ):
        of(source).update(units=count, whole=present)
    return [found[source] for source in sorted(found)]


def seal_cursor(keys: Keys, source: str, unit_id: str, cursor: Cursor) -> bytes:
    """A cursor may name objects, and their names may hold secrets."""
    import msgspec

    return seal(keys, _place(source, unit_id), msgspec.json.encode(cursor))


def open_cursor(keys: Keys, source: str, unit_id: str, sealed: bytes) -> Cursor:
    import msgspec

    return msgspec.json.decode(unseal(keys, _place(source, unit_id), sealed), type=dict[str, Any])


def _place(source: str, unit_id: str) -> bytes:
    return b"\0".join(
        (b"cursor", source.encode("utf-8", "surrogateescape"), unit_id.encode("utf-8", "surrogateescape"))
    )
