"""Opening the file: made whole or not at all, refused with one clear line when it cannot be used."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from unsprawl.errors import StoreError
from unsprawl.secret import Keys
from unsprawl.store.publish import publish
from unsprawl.store.rows import timestamp

__all__ = ["connect", "faults", "transaction"]

_MAGIC: Final = b"SQLite format 3\x00"
#: Others (a sweep, the triage UI) commit in milliseconds; this is for a stalled disk.
_BUSY_SECONDS: Final = 30
#: Up to this size the whole file is checked when it is opened for writing: some 50 ms.
_CHECKED_BYTES: Final = 16 << 20
#: Pages of the log before it is merged (32 MiB): keyed names fall all over the indexes, so what is merged
#: rarely is merged once for many batches. Of the cache, in KiB: the system keeps the file's pages anyway.
_LOG: Final = 8192
_CACHE: Final = -16384
_RESTORE: Final = "restore it from a backup, or move it away and crawl again into a new one"

_FAULTS: Final = {
    "SQLITE_FULL": ("the disk is full", "free some space and start again: all that was committed is intact"),
    "SQLITE_IOERR": (
        "it cannot be read or written",
        "look for a full disk, a quota or file size limit, or a failing disk",
    ),
    "SQLITE_READONLY": ("it is read-only", "make the file and its directory writable, or give another store"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "the file and its directory have to be readable and writable"),
    "SQLITE_PERM": ("it may not be opened", "the file and its directory have to be readable and writable"),
    "SQLITE_CORRUPT": ("it is damaged", _RESTORE),
    "SQLITE_NOTADB": ("it is no SQLite database", _RESTORE),
    "SQLITE_BUSY": (
        f"another process kept it locked for {_BUSY_SECONDS} seconds",
        "end that process, then start again",
    ),
    "SQLITE_LOCKED": ("another process keeps it locked", "end that process, then start again"),
    "SQLITE_TOOBIG": (
        "a text or value is too large for it",
        "this is a defect of unsprawl: please report it",
    ),
}


@contextlib.contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system complain about into one ``StoreError``."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None)
        if name is None:
            raise  # a misuse of the module, not a fault of the store
        for prefix, (what, hint) in _FAULTS.items():
            if name.startswith(prefix):
                raise StoreError(f"the store {path}: {what} ({name})", hint=hint) from error
        raise StoreError(f"the store {path}: {error} ({name})", hint=_RESTORE) from error
    except OSError as error:
        raise StoreError(
            f"the store {path}: {error.strerror}", hint="look at the file and its directory"
        ) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. Takes the write lock at once, so that what is read inside stays true until the end."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def connect(path: Path, keys: Keys, *, readonly: bool) -> sqlite3.Connection:
    """A connection to the store at ``path``, made first when it is missing and not ``readonly``.

    Raises ``StoreError``; an existing file that is no store of these keys is left as it is.
    """
    with faults(path):
        if not path.exists() and not readonly:
            _make(path, keys)
        _check_file(path)
        connection = _open_existing(path, readonly)
    try:
        with faults(path):
            _check_contents(connection, path, keys, readonly)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_existing(path: Path, readonly: bool) -> sqlite3.Connection:
    if not readonly:
        return _open(path, "mode=rw")
    try:
        return _open(path, "mode=ro")
    except sqlite3.OperationalError:
        # On read-only media SQLite cannot make its shared memory. Without a log nothing is unmerged,
        # so the file alone is the whole truth.
        if Path(f"{path}-wal").exists():
            raise
        return _open(path, "mode=ro&immutable=1")


def _open(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    # NORMAL: a power cut may lose the last commits, never half of one. A lost commit took its cursor
    # with it, so the next run reads that stretch again.
    pragmas = (
        "synchronous = NORMAL",
        "trusted_schema = OFF",
        f"cache_size = {_CACHE}",
        f"wal_autocheckpoint = {_LOG}",
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path, keys: Keys) -> None:
    """Build a whole store under another name, then publish it: an interrupted first run leaves none."""
    if not path.parent.is_dir():
        raise StoreError(
            f"the store {path}: there is no directory {path.parent}", hint="make it, or correct `store:`"
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with contextlib.closing(_open(draft, "mode=rw")) as connection:
            from unsprawl.store.schema import APPLICATION_ID

            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("PRAGMA journal_mode = WAL")
            _migrate(connection, keys)
            made = timestamp(datetime.now(UTC))
            connection.execute("INSERT INTO keys VALUES (?, ?, ?)", (keys.id, _proof(keys), made))
        publish(draft, path)
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{draft}{suffix}").unlink(missing_ok=True)


def _migrate(connection: sqlite3.Connection, keys: Keys) -> None:
    from sqlite_utils.db import Database

    from unsprawl.store import audit
    from unsprawl.store.schema import AUDIT, MIGRATIONS

    database = Database(connection, execute_plugins=False)
    audit.bind(connection, keys, lambda: datetime.now(UTC))
    with transaction(connection):
        begins = AUDIT in {migration.name for migration in MIGRATIONS.pending(database)}
        MIGRATIONS.apply(database)
        if begins:
            # Here alone: a log that is found empty later was emptied by somebody.
            audit.begin(connection)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise StoreError(f"there is no store at {path}", hint="a crawl makes it; look at `store:` or --store")
    if not path.is_file():
        raise StoreError(f"the store {path}: it is no regular file", hint="give the path of a file")
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        raise StoreError(f"the store {path}: it is empty, so something cut it off", hint=_RESTORE)
    if not header.startswith(_MAGIC):
        raise StoreError(f"the store {path}: it is no SQLite database", hint=_RESTORE)
    pages, page_bytes = int.from_bytes(header[28:32], "big"), int.from_bytes(header[16:18], "big")
    wal = Path(f"{path}-wal")
    settled = not wal.exists() or wal.stat().st_size == 0
    if settled and path.stat().st_size < pages * (65536 if page_bytes == 1 else page_bytes):
        raise StoreError(f"the store {path}: it is damaged, its end is missing", hint=_RESTORE)


def _check_contents(connection: sqlite3.Connection, path: Path, keys: Keys, readonly: bool) -> None:
    from unsprawl.store.schema import APPLICATION_ID, MIGRATIONS, names

    (application,) = connection.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if application != APPLICATION_ID or not {"keys", MIGRATIONS.migrations_table} <= tables:
        raise StoreError(
            f"the store {path}: it is the database of another program", hint="give another path as the store"
        )
    _check_key(connection, path, keys)
    applied = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    present = {name for (name,) in connection.execute(applied, (MIGRATIONS.name,))}
    known = names()
    if present - known:
        raise StoreError(
            f"the store {path}: a newer unsprawl wrote it ({', '.join(sorted(present - known))})",
            hint="upgrade unsprawl on this machine",
        )
    if not readonly:
        # What cannot be written shows now, not after an hour of reading. (BEGIN IMMEDIATE alone succeeds on
        # a read-only file.)
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("UPDATE keys SET id = id")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if path.stat().st_size <= _CHECKED_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise StoreError(f"the store {path}: it is damaged", hint=_RESTORE)
    if known - present:
        if readonly:
            connection = _open(path, "mode=rw")
        try:
            _migrate(connection, keys)
        finally:
            if readonly:
                connection.close()


def _proof(keys: Keys) -> bytes:
    """Tells the right key from a wrong one; it names the normaliser too, whose fingerprints would differ."""
    return keys.name("unsprawl", "store", "key")


def _check_key(connection: sqlite3.Connection, path: Path, keys: Keys) -> None:
    rows = connection.execute("SELECT id, proof FROM keys ORDER BY created_at").fetchall()
    if (keys.id, _proof(keys)) in rows:
        return
    known = ", ".join(str(key) for key, _ in rows) or "none"
    raise StoreError(
        f"the store {path} belongs to key {known}, not to the present key {keys.id}",
        hint="give the key it was made with (`key:` in the configuration, or UNSPRAWL_CONFIG_DIR)",
    )
