"""The store when the machine fails: full disk, read-only media, kills, other processes. Real ones."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batches import DETECTION, batch, content, occurrence, open_store

from unsprawl.errors import ConfigError, StoreError
from unsprawl.records import Batch
from unsprawl.store.lock import job_lock

FAKES = Path(__file__).parents[1] / "fakes"
NOBODY = 65534

#: Commits one batch after the other, saying so after each, until the end or an error.
CRAWLER = """
import json, resource, sys
from batches import DETECTION, open_store
from test_store_faults import work
from unsprawl.errors import StoreError
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with open_store(sys.argv[1]) as store:
        run = store.begin("crawl", "nightly", DETECTION)
        for one in work():
            if one.unit.id in run.finished_units("box"):
                continue
            run.commit(one)
            print(one.unit.id, flush=True)
        run.finish(complete=True)
        print("finished", flush=True)
except StoreError as error:
    print(json.dumps([error.message, error.hint]))
    sys.exit(error.exit_code)
"""


def work() -> list[Batch]:
    """Thirty units of fifty documents; the same in every process."""
    batches = []
    for unit in range(30):
        names = [f"{unit}/{n}" for n in range(50)]
        read = {name: [occurrence(n % 20, name, context="…" * 300)] for n, name in enumerate(names)}
        batches.append(batch(f"u{unit:02}", read, cursor={"unit": unit}))
    return batches


def crawler(path: Path, file_size_limit: int = 0) -> subprocess.Popen[str]:
    places = os.pathsep.join([str(FAKES), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", CRAWLER, str(path), str(file_size_limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": places},
    )


def check(path: Path, committed: list[str]) -> None:
    """The file is sound and holds every batch whose commit returned, each one whole."""
    plain = sqlite3.connect(path)
    assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()
    with open_store(path) as store:
        run = store.begin("crawl", "nightly", DETECTION)
        assert set(committed) <= run.finished_units("box")
        units = len(run.finished_units("box"))
        assert len(committed) <= units <= len(committed) + 1, (
            "the last one may have landed before it was said"
        )
        assert len(list(store.rows())) == 50 * units
        assert sum(row.documents for row in run.coverage()) == 50 * units
        assert all(run.cursor("box", unit) == {"unit": int(unit[1:])} for unit in committed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("undisturbed") / "store.db"
    child = crawler(path)
    assert child.communicate(timeout=120)[0].endswith("finished\n")
    with open_store(path) as store:
        return content(store)


@pytest.mark.parametrize("limit", [300_000, 700_000, 1_500_000])
def test_a_full_disk_is_one_clear_error_and_loses_nothing(
    tmp_path: Path, limit: int, undisturbed: dict[str, Any]
) -> None:
    """The kernel refuses to let a file grow, as a quota does."""
    path = tmp_path / "store.db"
    child = crawler(path, limit)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (4, "")
    *committed, last = out.splitlines()
    message, hint = json.loads(last)
    assert str(path) in message
    assert "disk" in hint
    assert "finished" not in committed
    check(path, committed)
    finish(path, undisturbed)


def test_a_full_file_system_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    batches = work()
    with open_store(path) as store:
        run = store.begin("crawl", "nightly", DETECTION)
        run.commit(batches[0])
        before = content(store)
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(StoreError, match="the disk is full") as caught:
            run.commit(batches[1])
        assert "free some space" in caught.value.hint
        assert content(store) == before
        store._connection.execute("PRAGMA max_page_count = 1000000")
        run.commit(batches[1])
        assert len(list(store.rows())) == 100


def test_a_disk_too_full_for_a_new_store_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    child = crawler(path, 8_000)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (4, "")
    assert str(path) in json.loads(out)[0]
    assert list(tmp_path.iterdir()) == []


def finish(path: Path, undisturbed: dict[str, Any]) -> None:
    child = crawler(path)
    assert child.communicate(timeout=120)[0].endswith("finished\n")
    with open_store(path) as store:
        assert content(store) == undisturbed


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_instant_it_keeps_what_it_said_and_resumes(
    tmp_path: Path, seed: int, undisturbed: dict[str, Any]
) -> None:
    path = tmp_path / "store.db"
    chance = random.Random(seed)
    child = crawler(path)
    assert child.stdout is not None
    committed = [child.stdout.readline().strip() for _ in range(chance.randrange(1, 25))]
    threading.Event().wait(chance.uniform(0, 0.01))
    child.send_signal(signal.SIGKILL)
    committed += child.stdout.read().split()
    child.communicate(timeout=60)
    if committed[-1] == "finished":
        committed.pop()
    else:
        check(path, committed)
    finish(path, undisturbed)


def test_killed_while_it_is_made_there_is_no_store_or_a_whole_one(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    for number in range(3):
        path = tmp_path / f"{number}.db"
        child = crawler(path)
        while child.poll() is None and not any(tmp_path.glob(f"*{number}.db*")):
            pass
        child.kill()
        child.communicate()
        if path.exists():
            open_store(path).close()
    finish(path, undisturbed)


def test_two_first_crawls_at_once_share_one_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    children = [crawler(path) for _ in range(3)]
    for child in children:
        out, err = child.communicate(timeout=120)
        assert (child.returncode, err) == (0, ""), out
    with open_store(path) as store:
        assert len(list(store.rows())) == 1500


def test_a_sweep_commits_beside_a_crawl(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with open_store(path) as store:
        child = crawler(path)
        sweep = store.begin("sweep", "nightly", "values")
        commits = 0
        while child.poll() is None or commits == 0:
            sweep.commit(batch(f"s{commits}", {f"sweep/{commits}": [occurrence(7, f"sweep/{commits}")]}))
            commits += 1
        assert child.communicate()[0].endswith("finished\n")
        assert len(list(store.rows())) == 1500 + commits


def test_the_lock_of_a_job_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    program = (
        "import sys, time; from unsprawl.store.lock import job_lock\n"
        "with job_lock(sys.argv[1], 'crawl'): print('held', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=f"already running .pid {child.pid} on "), job_lock(path, "crawl"):
        raise AssertionError("two at once")
    child.kill()
    child.communicate()
    with job_lock(path, "crawl"):
        pass


# --- what may not be written ---------------------------------------------------------------------

#: Opens the store as a user who may only read it.
READER = f"""
import json, os, sys
from pathlib import Path
from batches import DETECTION, open_store, batch, occurrence
from unsprawl.errors import StoreError
# All that is imported later: another user may not be allowed to read this interpreter's library.
import urllib.parse, unsprawl.store.schema, unsprawl.store.keys
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
answers = {{}}
for readonly in (True, False):
    try:
        with open_store(Path(sys.argv[1]), readonly=readonly) as store:
            answers[str(readonly)] = len(list(store.rows()))
    except StoreError as error:
        answers[str(readonly)] = [error.message, error.hint]
print(json.dumps(answers))
"""


@pytest.fixture
def media() -> Iterator[Path]:
    """A store on what stands for read-only media: neither file nor directory may be written."""
    # Outside pytest's own directory, into which no other user may look.
    folder = Path(tempfile.mkdtemp(prefix="unsprawl-media-"))
    with open_store(folder / "store.db") as store:
        run = store.begin("crawl", "nightly", DETECTION)
        run.commit(work()[0])
        run.finish(complete=True)
    yield folder / "store.db"
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o444, 0o555), (0o444, 0o777), (0o666, 0o555)])
def test_what_may_only_be_read_is_read_and_refused_for_writing(
    media: Path, file_mode: int, folder_mode: int
) -> None:
    media.chmod(file_mode)
    media.parent.chmod(folder_mode)
    before = media.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", READER, str(media)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(FAKES)},
        timeout=60,
    )
    assert done.stderr == ""
    answers = json.loads(done.stdout)
    assert answers["True"] == 50
    message, hint = answers["False"]
    assert str(media) in message
    assert "read-only" in message or "cannot be opened" in message
    assert "writable" in hint
    assert media.read_bytes() == before


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        run = store.begin("crawl", "nightly", DETECTION)
        for unit in range(12):
            read = {f"{unit}/{n}": [occurrence(n, f"{unit}/{n}", context="x" * 2000)] for n in range(1000)}
            run.commit(batch(f"u{unit}", read))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(1 for _ in store.rows()) == 12_000
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 16 * 1024, "the rows themselves are 24 MB"
