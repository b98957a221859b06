"""Opening a store: made whole, or refused in one clear line with nothing touched."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from batches import DETECTION, KEYS, batch, content, occurrence, open_store
from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

from unsprawl.errors import ConfigError, ExitCode, StoreError
from unsprawl.secret import Keys
from unsprawl.store import schema
from unsprawl.store.findings import Store
from unsprawl.store.lock import job_lock

OTHER = Keys.derive(b"\x07" * 31 + b"\x08")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a few hundred findings, closed."""
    place = tmp_path / "store.db"
    with open_store(place) as store:
        run = store.begin("crawl", "nightly", DETECTION)
        for unit in range(4):
            names = [f"{unit}/{n}" for n in range(100)]
            found = {name: [occurrence(unit * 100 + n // 2, name)] for n, name in enumerate(names)}
            run.commit(batch(f"u{unit}", found))
        run.finish(complete=True)
    return place


def use(path: Path, *, readonly: bool = False) -> None:
    """Open, read everything, write a little."""
    with open_store(path, readonly=readonly) as store:
        list(store.rows())
        list(store.findings())
        store.coverage()
        if not readonly:
            run = store.begin("crawl", "nightly", DETECTION)
            run.commit(batch("more", {f"more/{n}": [occurrence(n, f"more/{n}")] for n in range(200)}))
            run.finish(complete=True)


def test_a_new_store_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    open_store(path).close()
    assert [file.name for file in tmp_path.iterdir()] == ["new.db"], "no draft, no log is left"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert plain.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
    plain.close()


def test_what_was_stored_is_there_when_it_is_opened_again(path: Path) -> None:
    with open_store(path) as store:
        before = content(store)
    with open_store(path, readonly=True) as store:
        assert content(store) == before
        assert len(before["rows"]) == 400


def test_a_missing_store_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        open_store(tmp_path / "none.db", readonly=True)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no directory .*missing"):
        open_store(tmp_path / "missing" / "store.db")


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no regular file"):
        open_store(tmp_path)


def test_another_key_is_refused_and_both_are_named(path: Path) -> None:
    before = path.read_bytes()
    for readonly in (False, True):
        with pytest.raises(StoreError) as caught:
            Store.open(path, OTHER, readonly=readonly)
        assert KEYS.id in caught.value.message
        assert OTHER.id in caught.value.message
        assert caught.value.exit_code is ExitCode.FAILED
        assert caught.value.hint
    assert path.read_bytes() == before


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("store: unsprawl.db\nsources: {}\n" * 40)


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _header(path: Path) -> None:
    path.write_bytes(b"\xff" * 16 + path.read_bytes()[16:])


def _page_size(path: Path) -> None:
    held = path.read_bytes()
    path.write_bytes(held[:16] + b"\x00\x03" + held[18:])


def _half(path: Path) -> None:
    held = path.read_bytes()
    path.write_bytes(held[: len(held) // 2])


def _stub(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def _garbage_within(path: Path) -> None:
    held = bytearray(path.read_bytes())
    for page in range(2, len(held) // 4096, 2):
        held[page * 4096 : page * 4096 + 2048] = b"\xa5" * 2048
    path.write_bytes(bytes(held))


@pytest.mark.parametrize("readonly", [False, True], ids=["writer", "reader"])
@pytest.mark.parametrize(
    "damage", [_empty, _text, _zeros, _header, _page_size, _half, _stub, _garbage_within]
)
def test_a_damaged_store_is_one_clear_error_and_stays_as_it_is(
    path: Path, damage: Callable[[Path], None], readonly: bool
) -> None:
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        use(path, readonly=readonly)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE keys (id TEXT, photo BLOB)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(path)
    assert path.read_bytes() == before


def test_the_store_of_a_newer_unsprawl_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as newer:
        newer.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " VALUES ('unsprawl', '9999_later', '')"
        )
    newer.close()
    for readonly in (False, True):
        with pytest.raises(StoreError, match=r"a newer unsprawl wrote it .*9999_later") as caught:
            open_store(path, readonly=readonly)
        assert "upgrade" in caught.value.hint


@pytest.mark.parametrize("readonly", [False, True], ids=["writer", "reader"])
def test_a_store_of_an_older_unsprawl_is_brought_up_to_date(
    path: Path, monkeypatch: pytest.MonkeyPatch, readonly: bool
) -> None:
    later = Migrations(schema.MIGRATIONS.name)
    later._migrations = list(schema.MIGRATIONS._migrations)

    @later(name="0002_notes")
    def _notes(db: Database) -> None:
        db.execute("CREATE TABLE notes (finding TEXT, text TEXT)")

    monkeypatch.setattr(schema, "MIGRATIONS", later)
    with open_store(path, readonly=readonly) as store:
        assert store._connection.execute("SELECT * FROM notes").fetchall() == []
        assert len(list(store.rows())) == 400


def test_a_reader_cannot_write(path: Path) -> None:
    with (
        open_store(path, readonly=True) as store,
        pytest.raises(StoreError, match="read-only"),
    ):
        store.begin("crawl", "nightly", DETECTION)


def test_odd_characters_in_the_path_are_part_of_its_name(tmp_path: Path) -> None:
    place = tmp_path / "a ?mode=memory&x=%41#b"
    place.mkdir()
    open_store(place / "st?re #1.db").close()
    assert [file.name for file in place.iterdir()] == ["st?re #1.db"]
    use(place / "st?re #1.db")


# --- the lock of a job ---------------------------------------------------------------------------


def test_a_second_run_of_a_job_is_refused_another_job_is_not(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with job_lock(path, "crawl"):
        with job_lock(path, "sweep"), job_lock(tmp_path / "other.db", "crawl"):
            pass
        with (
            pytest.raises(ConfigError, match=r"a crawl into .* is already running \(pid \d+ on ") as caught,
            job_lock(path, "crawl"),
        ):
            raise AssertionError("two at once")
        assert caught.value.exit_code is ExitCode.USAGE
        assert caught.value.hint
    with job_lock(path, "crawl"):
        pass


def test_a_link_to_a_store_shares_its_lock(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    with (
        job_lock(tmp_path / "store.db", "crawl"),
        pytest.raises(ConfigError),
        job_lock(tmp_path / "link.db", "crawl"),
    ):
        raise AssertionError("two at once")


def test_a_job_may_not_name_a_file_elsewhere(tmp_path: Path) -> None:
    with job_lock(tmp_path / "store.db", "../../escape"):
        assert [file.name for file in tmp_path.iterdir()] == ["store.db.______escape.lock"]


def test_a_lock_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot lock"), job_lock(tmp_path / "missing" / "store.db", "crawl"):
        raise AssertionError("held without a file")
    assert list(tmp_path.iterdir()) == []
