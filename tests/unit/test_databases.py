"""SQLite databases are read as tables, and hostile ones stay in budget."""

from __future__ import annotations

import gzip
import sqlite3
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unpacked import token, tokens, unpack

from unsprawl.detectors.containers import databases, documents
from unsprawl.detectors.containers.streams import Budget


def database(*statements: str, rows: dict[str, list[tuple[object, ...]]] | None = None) -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    for table, values in (rows or {}).items():
        for row in values:
            connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    body = connection.serialize()
    connection.close()
    return bytes(body)


WHOLE = database(
    "CREATE TABLE account (name TEXT, password TEXT, age INT, score REAL, photo BLOB)",
    'CREATE TABLE "odd "" name" (a, b) ',
    "CREATE VIEW seen AS SELECT name FROM account",
    f"CREATE TRIGGER watch AFTER INSERT ON account BEGIN SELECT '{token('trigger')}'; END",
    "CREATE VIRTUAL TABLE notes USING fts5(body)",
    rows={
        "account": [
            ("ann", token("row"), 42, 1.5, b"\0\xffbinary " + token("strings").encode() + b"\0"),
            (None, "line\nend", None, None, token("text blob").encode()),
            ("packed", None, None, None, gzip.compress(token("packed").encode())),
        ],
        '"odd "" name"': [(token("odd"), "x")],
        "notes": [(token("search index"),)],
    },
)


def test_rows_are_lines_of_names_and_values() -> None:
    contents, cuts = unpack(WHOLE)
    assert cuts == {}
    assert contents[""] == WHOLE
    lines = contents["table account"].decode().splitlines()
    assert lines[0] == (
        f"name: ann | password: {token('row')} | age: 42 | score: 1.5 | photo: binary {token('strings')}"
    )
    assert lines[1:4] == ["password: line", f"end | photo: {token('text blob')}", "name: packed | photo: "]
    assert contents['table odd " name'].decode() == f"a: {token('odd')} | b: x\n"
    assert "CREATE VIEW seen" in contents["schema"].decode()


def test_every_token_is_found_where_it_stands() -> None:
    found = tokens(WHOLE)
    # In the file the texts of a row stand end to end.
    assert found[token("row")] == {"table account"}
    assert "schema" in found[token("trigger")]
    assert found[token("packed")] == {"table account!/row 3 photo!/row 3 photo"}
    assert "table notes_content" in found[token("search index")]


def test_a_database_with_a_log_beside_it_and_one_in_utf_16_are_read() -> None:
    logged = bytearray(WHOLE)
    logged[18:20] = b"\2\2"
    assert "table account" in unpack(bytes(logged))[0]
    wide = database(
        "PRAGMA encoding='UTF-16le'", "CREATE TABLE a (b)", rows={"a": [("p\u00e4ss " + token("wide"),)]}
    )
    assert tokens(wide) == {token("wide"): {"table a"}}


def test_a_long_value_that_is_spread_over_pages_is_one() -> None:
    body = database("CREATE TABLE a (b)", rows={"a": [("x" * 4000 + token("long") * 400,)]})
    assert unpack(body)[0]["table a"].count(token("long").encode()) == 400


def test_what_only_begins_like_a_database_is_scanned_as_it_is() -> None:
    body = b"SQLite format 3\0 " + token("plain").encode()
    assert tokens(body) == {token("plain"): {""}}
    assert next(iter(unpack(body)[1].values())).startswith("damaged database: ")
    assert unpack(WHOLE[:4096])[1]


def test_a_large_database_is_scanned_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_SQLITE", 1000)
    assert list(unpack(WHOLE)[0]) == [""]
    assert list(unpack(WHOLE)[1].values()) == ["a database of more than 0 MiB: only its bytes were scanned"]


def hostile(schema: str, *, name: str = "a", kind: str = "table") -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE a (b)")
    connection.execute("INSERT INTO a VALUES (1)")
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_schema SET sql = ?, name = ?, type = ?", (schema, name, kind))
    body = bytes(connection.serialize())
    connection.close()
    return body


@pytest.mark.parametrize(
    "body",
    [
        hostile("CREATE TABLE a (b, c GENERATED ALWAYS AS (hex(zeroblob(900000000))) VIRTUAL)"),
        hostile("CREATE TABLE a (b, c GENERATED ALWAYS AS (load_extension('x')) VIRTUAL)"),
        hostile(
            "CREATE VIEW a AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n"
        ),
        hostile("CREATE VIEW a AS SELECT writefile('/tmp/x', 'y')", kind="view"),
        hostile("CREATE TABLE a (" + ",".join(f"c{n}" for n in range(1900)) + ")"),
        hostile("nonsense"),
        hostile("CREATE TABLE a (b)", name="a\0b"),
        hostile("CREATE TABLE a (b)", name='"; DROP TABLE a; --'),
        hostile("CREATE VIRTUAL TABLE a USING csv(filename='/etc/passwd')"),
    ],
)
def test_hostile_schemas_do_nothing(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_SECONDS", 1.0)
    begin = monotonic()
    contents, _ = unpack(body)
    assert monotonic() - begin < 10
    assert contents[""] == body


def test_rows_and_packed_values_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_PACKED", 2)
    many = database("CREATE TABLE a (b)", rows={"a": [(gzip.compress(b"x" * 99),)] * 4})
    assert unpack(many)[1] == {
        "table a": "some of the archives and documents in it were not opened: too many"
    }
    _, cuts = unpack(WHOLE, budget=Budget(unpacked=100))
    assert "unpacks to more than 0 MiB" in cuts["table account"]
    _, cuts = unpack(WHOLE, budget=Budget(entries=1))
    assert cuts == {"": "more than 1 archive entries"}


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_databases_never_fail(data: st.DataObject) -> None:
    body = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.one_of(st.integers(16, 110), st.integers(16, len(body) - 1)))
        body[at] = data.draw(st.integers(0, 255))
    begin = monotonic()
    unpack(bytes(body[: data.draw(st.integers(16, len(body)))]), budget=Budget(seconds=20))
    assert monotonic() - begin < 20
