"""The lock of a job: who holds it, since when, and whether it is alive."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from unsprawl.errors import ConfigError, ExitCode
from unsprawl.store.lock import STALE_S, Holder, holder_of, job_lock

NOW = 1_800_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def lock_file(store: Path) -> Path:
    return store.with_name("store.db.crawl.lock")


def elsewhere(lock_file: Path, *, silent_s: float) -> Holder:
    """A record that another machine has left on the volume."""
    holder = Holder(pid=77, host="node-7", boot="another kernel", since=NOW - 7200, beat=NOW - silent_s)
    lock_file.write_bytes(msgspec.json.encode(holder).ljust(512))
    return holder


def test_the_holder_says_who_it_is_and_leaves_nothing(store: Path, lock_file: Path) -> None:
    with job_lock(store, "crawl", clock=lambda: NOW):
        holder = holder_of(lock_file)
        assert holder is not None
        assert (holder.pid, holder.since, holder.beat) == (os.getpid(), NOW, NOW)
        assert holder.here()
        with pytest.raises(ConfigError) as caught, job_lock(store, "crawl", clock=lambda: NOW + 30):
            raise AssertionError("two at once")
        said = caught.value.message
        assert f"already running (pid {os.getpid()} on {holder.host}, since 2027-01-15 08:00:00 UTC" in said
        assert said.endswith("last heartbeat 30 s ago)")
        assert caught.value.exit_code is ExitCode.USAGE
    assert holder_of(lock_file) is None


def test_the_heart_beats_while_the_job_runs(store: Path, lock_file: Path) -> None:
    with job_lock(store, "crawl", beat_s=0.01):
        first = holder_of(lock_file)
        assert first is not None
        until = time.monotonic() + 5
        while (later := holder_of(lock_file)) is None or later.beat == first.beat:
            assert time.monotonic() < until, "no heartbeat"
            time.sleep(0.01)
        assert later.since == first.since


def test_another_machine_that_was_alive_lately_is_waited_for(store: Path, lock_file: Path) -> None:
    before = elsewhere(lock_file, silent_s=STALE_S - 1)
    with (
        pytest.raises(ConfigError, match="pid 77 on node-7") as caught,
        job_lock(store, "crawl", clock=lambda: NOW),
    ):
        raise AssertionError("two at once")
    assert "120 s after the last heartbeat" in caught.value.hint
    assert holder_of(lock_file) == before


def test_a_machine_that_died_holds_nothing(store: Path, lock_file: Path) -> None:
    elsewhere(lock_file, silent_s=STALE_S)
    with job_lock(store, "crawl", clock=lambda: NOW):
        holder = holder_of(lock_file)
        assert holder is not None
        assert holder.here()


def test_of_two_machines_that_take_over_at_once_one_leaves(store: Path, lock_file: Path) -> None:
    elsewhere(lock_file, silent_s=STALE_S)
    other = Holder(pid=9, host="node-8", boot="a third kernel", since=NOW, beat=NOW)

    timer = threading.Timer(0.2, lambda: lock_file.write_bytes(msgspec.json.encode(other).ljust(512)))
    timer.start()
    with pytest.raises(ConfigError, match="pid 9 on node-8"), job_lock(store, "crawl", clock=lambda: NOW):
        raise AssertionError("two at once")
    timer.join()
    assert holder_of(lock_file) == other


def test_a_dead_process_of_this_machine_holds_nothing(store: Path, lock_file: Path) -> None:
    with job_lock(store, "crawl", clock=lambda: NOW):
        left = lock_file.read_bytes()
    lock_file.write_bytes(
        left
    )  # as a process that was killed leaves it: fresh, and without the kernel's lock
    with job_lock(store, "crawl", clock=lambda: NOW + 1):
        pass


def test_one_that_hangs_is_named_as_such(store: Path) -> None:
    with (
        job_lock(store, "crawl", beat_s=60, clock=lambda: NOW),
        pytest.raises(ConfigError) as caught,
        job_lock(store, "crawl", clock=lambda: NOW + 3600),
    ):
        raise AssertionError("two at once")
    assert "last heartbeat 3,600 s ago" in caught.value.message
    assert "hangs" in caught.value.hint


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"4711\n",
        b"{",
        b"\xff" * 600,
        b'{"pid": 1}',
        b'{"pid": 1, "host": "a", "boot": "b", "since": 1e300, "beat": 1}',
    ],
)
def test_a_record_that_says_nothing_holds_nothing(record: bytes, store: Path, lock_file: Path) -> None:
    lock_file.write_bytes(record)
    with job_lock(store, "crawl"):
        assert holder_of(lock_file) is not None
