"""SQLite databases as tables: a row is a line of ``column: value``, so that a value stands beside its name.

The file is hostile: its schema is not trusted, nothing but reading is allowed, and sizes and time are
limited. What was deleted stands in the raw bytes only, which are scanned besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from unsprawl.detectors.containers.pieces import Cut, Inside, Leaf
from unsprawl.detectors.containers.streams import Reader, over

if TYPE_CHECKING:
    import sqlite3

__all__ = ["tables"]

#: Bytes of one value or row, and of a statement of the schema.
_VALUE: Final = 32 << 20
_STATEMENT: Final = 1 << 20
#: Seconds that the database itself may work, what reads the rows apart; steps between two looks at the clock.
_SECONDS: Final = 60.0
_STEPS: Final = 10_000
#: Containers among the values of one table: how many, and bytes, are kept to be opened after it.
_PACKED: Final = 1000
_PACKED_BYTES: Final = 64 << 20
_SHORTEST: Final = 16
_PIECE: Final = 256 << 10
#: Where the header says whether a log stands beside the file: without one there is nothing to open.
_JOURNAL: Final = slice(18, 20)

_VIRTUAL: Final = re.compile(r"\s*create\s+virtual\b", re.IGNORECASE)
_READABLE: Final = re.compile(rb"[\t\x20-\x7e]{6,}")


class _Text(bytes):
    """What stands in the database as text, and not as bytes."""

    __slots__ = ()


def tables(body: bytes, inside: Inside) -> Iterator[Leaf | Cut]:
    """The schema and every table of the database ``body``."""
    clock, failures = _Clock(), _failures()
    try:
        connection = _opened(body, clock)
    except failures as error:
        yield inside.damaged(f"damaged database: {clock.reason(error)}")
        return
    try:
        schema = clock.rows(connection.execute("SELECT name, sql, type FROM sqlite_schema"))
        listed = [tuple(_shown(value) for value in row) for row in schema]
    except failures as error:
        yield inside.damaged(f"damaged database: {clock.reason(error)}")
        connection.close()
        return
    try:
        yield Leaf(
            inside.member("schema"), Reader.of(";\n".join(row[1] for row in listed if row[1]).encode())
        )
        for name, statement, kind in listed:
            # A virtual table keeps its rows in tables of its own, which stand in the list.
            if kind == "table" and not _VIRTUAL.match(statement):
                if one_too_many := inside.counted():
                    yield one_too_many
                    return
                yield from _table(connection, name, len(body), inside, clock)
                if inside.account.spent:
                    return
    finally:
        connection.close()


def _failures() -> tuple[type[Exception], ...]:
    """What reading a damaged database raises; messages and names that are no UTF-8 are among it."""
    import sqlite3

    return sqlite3.Error, sqlite3.Warning, MemoryError, OverflowError, ValueError


def _opened(body: bytes, clock: _Clock) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        journal = b"\1\1" if body[_JOURNAL] == b"\2\2" else body[_JOURNAL]
        connection.deserialize(body[: _JOURNAL.start] + journal + body[_JOURNAL.stop :])
        connection.text_factory = _Text
        for category, most in (
            (sqlite3.SQLITE_LIMIT_LENGTH, _VALUE),
            (sqlite3.SQLITE_LIMIT_SQL_LENGTH, _STATEMENT),
            (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 50),
            (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
            (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        ):
            connection.setlimit(category, most)
        connection.set_progress_handler(clock.late, _STEPS)
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "cache_size=-16384"):
            connection.execute(f"PRAGMA {pragma}")
        connection.set_authorizer(_reading_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _reading_only(action: int, *_: object) -> int:
    import sqlite3

    allowed = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class _Clock:
    """The time that the database takes, without what happens between two rows."""

    def __init__(self) -> None:
        self._left = _SECONDS
        self._until = monotonic() + _SECONDS

    def late(self) -> bool:
        return monotonic() > self._until

    def rows(self, cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
        while True:
            begin = monotonic()
            self._until = begin + self._left
            try:
                row = cursor.fetchone()
            finally:
                self._left -= monotonic() - begin
            if row is None:
                return
            yield row

    def reason(self, error: Exception) -> str:
        """Why the reading ended with ``error``, whose words may quote what stands in the database."""
        if self._left <= 0:
            return f"takes more than {_SECONDS:.0f} s"
        return str(getattr(error, "sqlite_errorname", type(error).__name__))


def _table(
    connection: sqlite3.Connection, name: str, size: int, inside: Inside, clock: _Clock
) -> Iterator[Leaf | Cut]:
    member = f"table {name}"
    table = _Rows(connection, name, size, inside, clock)
    reader = Reader(table.next)
    yield Leaf(inside.member(member), reader)
    reader.skip(1 << 62)
    if table.fault:
        yield inside.damaged(table.fault, member)
    for place, value in table.packed:
        yield from inside.below(Reader.of(value), f"{member}!/{place}")
    if table.unopened:
        yield inside.damaged("some of the archives and documents in it were not opened: too many", member)


class _Rows:
    """The text of one table. ``packed`` are the values that are containers, with their places."""

    def __init__(
        self, connection: sqlite3.Connection, name: str, size: int, inside: Inside, clock: _Clock
    ) -> None:
        self._inside, self._size, self._clock = inside, size, clock
        self._lines = self._read(connection, name)
        self._made = 0
        self._packed_size = 0
        self.fault = ""
        self.packed: list[tuple[str, bytes]] = []
        self.unopened = False

    def next(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        try:
            while size < _PIECE and not self.fault and (line := next(self._lines, b"")):
                lines.append(line)
                size += len(line)
                self._made += len(line)
                self.fault = over(self._inside.account, len(line), self._made, self._size)
        except _failures() as error:
            self.fault = f"damaged table: {self._clock.reason(error)}"
            self._lines = iter(())
        return b"".join(lines)

    def _read(self, connection: sqlite3.Connection, name: str) -> Iterator[bytes]:
        quoted = name.replace('"', '""')
        cursor = connection.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - quoted, and read only
        columns = [column[0] for column in cursor.description]
        heads = [f"{column}: ".encode("utf-8", "replace") for column in columns]
        for number, row in enumerate(self._clock.rows(cursor), 1):
            values = []
            for index, value in enumerate(row):
                if value is not None:
                    values.append(heads[index] + self._value(value, f"row {number} {columns[index]}"))
            yield b" | ".join(values) + b"\n"

    def _value(self, value: object, place: str) -> bytes:
        if not isinstance(value, bytes):
            return str(value).encode()
        if len(value) >= _SHORTEST and self._inside.packed(value):
            self._packed_size += len(value)
            if len(self.packed) < _PACKED and self._packed_size <= _PACKED_BYTES:
                self.packed.append((place, value))
            else:
                self.unopened = True
        if isinstance(value, _Text) or _is_text(value):
            return value
        # Strings within something else: the raw bytes of a long value are spread over the file.
        return b" ".join(_READABLE.findall(value))


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in value


def _shown(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
