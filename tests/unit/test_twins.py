"""An archive is scanned by several processes as it would be by one, whatever becomes of them."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from unsprawl.placeholders import fill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")

PROGRAM = Path(__file__).parent.parent / "fakes" / "scan_archive.py"
TOKEN = "token = <github-token:ghp_>\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred members with a token each, an archive, a damaged one, and a large one."""
    path = tmp_path_factory.mktemp("twins") / "a.tar"
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as nested:
        add(nested, "deep.env", fill(TOKEN, "deep").encode())
    with tarfile.open(path, "w") as tar:
        for number in range(200):
            text = f"line\n{'filler text ' * 400}\n{fill(TOKEN, str(number))}".encode()
            add(tar, f"part-{number:03}.txt", text)
            if number == 90:
                add(tar, "nested.tar.gz", inner.getvalue())
            if number == 100:
                add(tar, "large.txt", b"words and more\n" * 400_000 + text)
                add(tar, "large.tar", nested_tar())
            if number == 110:
                add(tar, "broken.gz", b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 4000)
    return path


def nested_tar() -> bytes:
    """More than a twin is given at once, and in it what it is given."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number in range(40):
            packed = gzip.compress(fill(TOKEN, f"packed {number}").encode())
            add(tar, f"deep-{number}.gz", packed)
            add(tar, f"deep-{number}.bin", b"words and more\n" * 10_000)
    return file.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def scan(archive: Path, idle: int, mishap: str = "none", *stop: str) -> Any:
    done = subprocess.run(
        [sys.executable, PROGRAM, archive, str(idle), mishap, *stop],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def alone(archive: Path) -> Any:
    return scan(archive, 0)


def test_without_an_idle_processor_there_is_no_twin(alone: Any) -> None:
    assert alone["twins"] == 0
    assert [row[0] for row in alone["found"]].count("part-000.txt") == 1
    assert len(alone["found"]) == 200 + 3 + 40


@pytest.mark.parametrize(("idle", "twins"), [(1, 1), (2, 2), (9, 3)])
def test_twins_find_the_same_in_the_same_order(archive: Path, alone: Any, idle: int, twins: int) -> None:
    assert scan(archive, idle) == {"found": alone["found"], "twins": twins, "left": []}


def test_where_none_can_be_started_all_is_scanned_by_one(archive: Path, alone: Any) -> None:
    assert scan(archive, 1, "crowded") == alone


@pytest.mark.parametrize("mishap", ["killed", "raises", "once"])
def test_what_a_twin_dies_of_is_scanned_by_its_original(archive: Path, alone: Any, mishap: str) -> None:
    met = scan(archive, 1, mishap)
    assert met["found"] == alone["found"]
    assert met["twins"] >= 1
    assert met["left"] == []


def test_a_scan_that_is_left_early_leaves_no_process(archive: Path, alone: Any) -> None:
    met = scan(archive, 2, "none", "20")
    assert met == {"found": alone["found"][:20], "twins": 2, "left": []}


def test_many_small_members_with_much_to_tell_hold_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "many.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(6000):
            text = fill(TOKEN, str(number)) if number % 8 == 0 else "x"
            add(tar, f"{'a long name ' * 40}{number}", text.encode())
    assert scan(path, 1) == {**scan(path, 0), "twins": 1}
