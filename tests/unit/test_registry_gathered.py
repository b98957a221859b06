"""Names of layers shared by the processes of a crawl: each layer comes once, whatever the order."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from unsprawl.errors import UnreadableError
from unsprawl.estate.imagery import layer
from unsprawl.oci.gathered import Folder, Gathered

LAYER = layer({"app/.env": "TOKEN=very-secret-content", "big": os.urandom(700_000)}, deletes=["app/old"])
ID = LAYER.diff_id


@pytest.fixture
def folder():
    one = Folder()
    yield one
    one.remove()
    assert not Path(one.path).exists()


class Far:
    """The registry, which counts how often it is asked."""

    def __init__(self, data=LAYER.blob.data, pause=0.0):
        self.asked = 0
        self._data = data
        self._pause = pause

    def __call__(self):
        self.asked += 1
        time.sleep(self._pause)
        return io.BytesIO(self._data)


def names_of(folder, far, **more):
    return Gathered(folder.path, folder.key).names(ID, far, **{"keep": True, **more})


def examine(folder, far, *, covers=True, count=-1):
    with Gathered(folder.path, folder.key).examined(ID, far, covers=covers) as file:
        return file.read(count)


def test_names_are_written_down_while_a_layer_is_examined(folder):
    far = Far()
    assert examine(folder, far) == LAYER.blob.data
    names = names_of(folder, far)
    assert (set(names.entries), names.deleted) == ({"app/.env", "big"}, {"app/old"})
    assert far.asked == 1


def test_a_layer_that_is_wanted_before_its_turn_is_kept_for_it(folder):
    far = Far()
    assert set(names_of(folder, far).entries) == {"app/.env", "big"}
    assert examine(folder, far) == LAYER.blob.data
    assert far.asked == 1
    assert [one for one in Path(folder.path).iterdir() if one.suffix == ".blob"] == []


def test_what_was_examined_before_is_not_kept(folder):
    names_of(folder, Far(), keep=False)
    assert {one.suffix for one in Path(folder.path).iterdir()} <= {".names", ".busy"}


def test_nothing_of_a_layer_can_be_read_in_the_folder(folder):
    names_of(folder, Far())
    found = b"".join(path.read_bytes() for path in Path(folder.path).iterdir())
    assert LAYER.blob.data[:64] not in found
    assert b"app/.env" not in found
    assert Path(folder.path).stat().st_mode & 0o77 == 0


def test_who_wants_the_names_waits_for_who_reads(folder):
    far = Far(pause=0.2)
    reader = threading.Thread(target=examine, args=(folder, far))
    reader.start()
    time.sleep(0.05)
    assert set(names_of(folder, far).entries) == {"app/.env", "big"}
    reader.join()
    assert far.asked == 1


def test_who_reads_waits_for_who_fetches_the_names(folder):
    far = Far(pause=0.2)
    fetcher = threading.Thread(target=names_of, args=(folder, far))
    fetcher.start()
    time.sleep(0.05)
    assert examine(folder, far) == LAYER.blob.data
    fetcher.join()
    assert far.asked == 1


def test_a_reader_that_stops_at_the_end_of_the_archive_leaves_whole_names(folder):
    far = Far()
    examine(folder, far, count=len(LAYER.blob.data) - 5)
    names_of(folder, far)
    assert far.asked == 1


def test_a_reader_that_breaks_off_leaves_none(folder, monkeypatch):
    monkeypatch.setattr("unsprawl.oci.gathered._DRAINED", 1000)
    far = Far()
    examine(folder, far, count=100)
    assert set(names_of(folder, far).entries) == {"app/.env", "big"}
    assert far.asked == 2


def test_what_is_no_archive_is_told_without_another_request(folder):
    far = Far(b"no archive at all" * 100)
    examine(folder, far)
    with pytest.raises(UnreadableError, match="not a tar"):
        names_of(folder, far)
    assert far.asked == 1


def test_an_error_of_the_layer_reaches_who_reads_it(folder):
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise UnreadableError("the layer is truncated")

    for covers in (True, False):
        with pytest.raises(UnreadableError, match="truncated"):
            examine(folder, Broken, covers=covers)
    with pytest.raises(UnreadableError, match="truncated"):
        names_of(folder, Broken)
    assert examine(folder, Far()) == LAYER.blob.data


def test_without_the_folder_all_is_read_from_afar(folder):
    gone = Folder()
    gone.remove()
    far = Far()
    assert set(names_of(gone, far).entries) == {"app/.env", "big"}
    assert examine(gone, far) == LAYER.blob.data
    assert far.asked == 2


def test_a_full_disk_ends_the_keeping_only(folder, monkeypatch):
    monkeypatch.setattr("unsprawl.oci.gathered._MOST_KEPT", 0)
    far = Far()
    assert set(names_of(folder, far).entries) == {"app/.env", "big"}
    assert examine(folder, far) == LAYER.blob.data
    assert far.asked == 2


def test_what_a_killed_crawl_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = (
        "import os, signal; from unsprawl.oci.gathered import Folder; "
        "print(Folder().path, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ).stdout.strip()
    working, linked = Folder(), tmp_path / "unsprawl-layers-linked"
    linked.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    Folder().remove()
    assert Path(killed).exists()  # it is so new that its lock might be missing
    for path in (killed, working.path, tmp_path / "elsewhere"):
        os.utime(path, (0, 0))
    Folder().remove()
    assert not Path(killed).exists()
    assert Path(working.path).exists()
    assert (tmp_path / "elsewhere").exists()
    working.remove()


def test_a_folder_is_removed_by_its_maker_alone(folder, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: -1)
    folder.remove()
    assert Path(folder.path).exists()
    monkeypatch.undo()
