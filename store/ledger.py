"""What earlier runs read: versions and cursors, valid for the detection that read them.

``seen`` answers as of the beginning of the running run: a version committed by a run that has not finished
yet stands beside the one before it. So units and reads follow from the store as the run found it, and a run
that dies and resumes lists, reads and counts what an undisturbed one would.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

from unsprawl.records import Cursor
from unsprawl.secret import Keys
from unsprawl.store.connection import faults
from unsprawl.store.seal import seal, unseal

__all__ = ["SeenReader", "open_cursor", "seal_cursor", "seen_reader"]


class SeenReader:
    """Answers ``seen(key)`` for one source from a read-only connection, opened on the first question.

    Can be sent to another process, and asked from several threads.
    """

    def __init__(self, path: Path, keys: Keys, source: str, detection: str) -> None:
        self._path = Path(path)
        self._keys = keys
        self._source = source
        self._detection = detection
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._valid: frozenset[int] = frozenset()

    def __call__(self, key: str) -> str | None:
        name = self._keys.document(self._source, key)
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
        return str(before) if before is not None and before_run in self._valid else None

    def _open(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA cache_size = -16384")
        valid = connection.execute(
            "SELECT id FROM runs WHERE detection = ? AND status <> 'running'", (self._detection,)
        )
        self._valid = frozenset(run for (run,) in valid)
        self._connection = connection
        return connection

    def close(self) -> None:
        """Let go of the file; the next question opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (SeenReader, (self._path, self._keys, self._source, self._detection))

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def seen_reader(path: Path, keys: Keys, source: str, detection: str) -> SeenReader:
    """What the store at ``path`` remembers of ``source`` under this detection version."""
    return SeenReader(path, keys, source, detection)


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
