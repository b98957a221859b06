"""Files: what is walked, what is left out and why, and how what moves under our hands is read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from unsprawl.crawlers.files import FilesSource
from unsprawl.errors import UnreadableError
from unsprawl.records import Document, Skipped, Stream, Unchanged, Unit


def never(_key: str) -> None:
    return None


def source(*paths: Path | str, **options: Any) -> FilesSource:
    return FilesSource("disk", FilesSource.Config(paths=tuple(map(str, paths)), **options))


def crawl(*paths: Path | str, **options: Any) -> tuple[list[Document], list[Skipped]]:
    crawled = source(*paths, **options)
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for item in crawled.units(never):
        events = [item] if isinstance(item, Skipped) else list(crawled.read(item, None, never))
        documents += [event for event in events if isinstance(event, Document)]
        skipped += [event for event in events if isinstance(event, Skipped)]
    return documents, skipped


def plant(top: Path, *names: str) -> None:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def below(top: Path, documents: Sequence[Document]) -> list[str]:
    return [document.uri.removeprefix(top.as_uri() + "/") for document in documents]


def only(skipped: list[Skipped]) -> Skipped:
    assert len(skipped) == 1, skipped
    return skipped[0]


def test_order_is_that_of_names_files_before_folders(tmp_path: Path) -> None:
    plant(tmp_path, "b/2", "b/1", "a/z", "c", "a/b/c", "B")
    documents, skipped = crawl(tmp_path)
    assert below(tmp_path, documents) == ["B", "c", "a/z", "a/b/c", "b/1", "b/2"]
    assert not skipped


def test_the_path_is_what_was_typed_and_the_uri_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "src/x/a.py", "src/b.py")
    monkeypatch.chdir(tmp_path)
    for typed, shown in [
        ("src", ["src/b.py", "src/x/a.py"]),
        ("./src/", ["./src/b.py", "./src/x/a.py"]),
        (".", ["./src/b.py", "./src/x/a.py"]),
        ("src/../src/b.py", ["src/../src/b.py"]),
        ("src/b.py", ["src/b.py"]),
    ]:
        documents, _ = crawl(typed)
        assert [document.path for document in documents] == shown
        assert documents[0].uri == (tmp_path / "src/b.py").as_uri()


def test_units_hold_256_files_or_12_mib_and_big_files_stand_alone(tmp_path: Path) -> None:
    for index in range(514):
        (tmp_path / f"{index:03}").write_bytes(b"x")
    for name in ("z1", "z2", "z3"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(5 << 20)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(13 << 20)
    units = [unit for unit in source(tmp_path).units(never) if isinstance(unit, Unit)]
    names = [[entry[0] for folder in unit.data["folders"] for entry in folder.entries] for unit in units]
    assert sorted(map(len, names)) == [1, 1, 4, 256, 256]
    assert ["huge"] in names
    assert sorted(chain(*names)) == sorted(path.name for path in tmp_path.iterdir())
    assert {unit.parents for unit in units} == {(tmp_path.as_uri() + "/",)}


def test_an_empty_folder_stands_in_the_ledger(tmp_path: Path) -> None:
    units = list(source(tmp_path).units(never))
    assert [(unit.parents, unit.title) for unit in units if isinstance(unit, Unit)] == [
        ((tmp_path.as_uri() + "/",), str(tmp_path))
    ]


def test_a_file_given_twice_or_within_a_given_folder_is_read_once(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/c", "a/d", "e")
    (tmp_path / "link").symlink_to("a/d")
    given = [tmp_path / "a", tmp_path / "a/b", tmp_path / "a/../a/d", tmp_path / "a/d", tmp_path / "link"]
    documents, _ = crawl(*given)
    assert sorted(below(tmp_path, documents)) == ["a/b/c", "a/d"]


def test_many_single_files_share_units(tmp_path: Path) -> None:
    plant(tmp_path, *(f"d{index}/f" for index in range(300)))
    units = [unit for unit in source(*sorted(tmp_path.glob("*/f"))).units(never) if isinstance(unit, Unit)]
    assert len(units) == 2
    assert {unit.parents for unit in units} == {("file:",)}


def test_links_are_counted_not_followed_and_loops_end(tmp_path: Path) -> None:
    plant(tmp_path, "a/real")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to("self")
    (tmp_path / "a/file").symlink_to("real")
    documents, skipped = crawl(tmp_path)
    assert below(tmp_path, documents) == ["a/real"]
    assert only(skipped).excluded
    assert "3 symbolic links" in only(skipped).reason

    documents, skipped = crawl(tmp_path, follow_symlinks=True)
    assert below(tmp_path, documents) == ["a/file", "a/real"]
    assert [item.uri for item in skipped] == [(tmp_path / "a/self").as_uri()]


def test_a_link_given_as_an_argument_is_followed_and_shown_as_typed(tmp_path: Path) -> None:
    plant(tmp_path, "real.env")
    (tmp_path / "link").symlink_to("real.env")
    documents, _ = crawl(tmp_path / "link")
    assert documents[0].path == str(tmp_path / "link")
    assert documents[0].uri == (tmp_path / "real.env").as_uri()
    assert documents[0].body == b"real.env"


def test_special_files_are_told_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        # A socket's name is short by the system's law.
        monkeypatch.chdir(tmp_path)
        server.bind("sock")
        documents, skipped = crawl(tmp_path)
    assert documents == []
    assert {item.reason for item in skipped} == {"a named pipe, not a file", "a socket, not a file"}
    assert all(item.excluded for item in skipped)


def test_history_of_version_control_is_left_out_its_configuration_is_not(tmp_path: Path) -> None:
    plant(tmp_path, ".git/HEAD", ".git/refs/x", ".git/config", ".git/objects/ab/cdef", "objects/mine")
    plant(tmp_path, "bare/HEAD", "bare/refs/x", "bare/objects/pack/p", "node_modules/m/index.js", ".env")
    documents, skipped = crawl(tmp_path)
    read = below(tmp_path, documents)
    assert {".git/config", "objects/mine", "node_modules/m/index.js", ".env"} <= set(read)
    assert not [name for name in read if name.startswith((".git/objects/", "bare/objects/"))]
    assert len(skipped) == 2
    assert all(item.excluded for item in skipped)


def test_hidden_files_can_be_left_out(tmp_path: Path) -> None:
    plant(tmp_path, ".env", ".cache/x", "a")
    documents, skipped = crawl(tmp_path, hidden=False)
    assert below(tmp_path, documents) == ["a"]
    assert len(skipped) == 2


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.py", ["a/b.txt", "v/w/x.txt"]),
        ("v", ["a/b.txt", "a/c.py"]),
        ("v/", ["a/b.txt", "a/c.py"]),
        ("/v", ["a/b.txt", "a/c.py"]),
        ("w", ["a/b.txt", "a/c.py", "v/y.py"]),
        ("v/w/**", ["a/b.txt", "a/c.py", "v/y.py"]),
        ("**/x.txt", ["a/b.txt", "a/c.py", "v/y.py"]),
        ("a/?.py", ["a/b.txt", "v/w/x.txt", "v/y.py"]),
        ("[!b].txt", ["a/b.txt", "a/c.py", "v/y.py"]),
        ("*/x.txt", ["a/b.txt", "a/c.py", "v/w/x.txt", "v/y.py"]),
        ("[z", ["a/b.txt", "a/c.py", "v/w/x.txt", "v/y.py"]),
    ],
)
def test_exclusion(tmp_path: Path, pattern: str, left: list[str]) -> None:
    plant(tmp_path, "a/b.txt", "a/c.py", "v/w/x.txt", "v/y.py")
    documents, skipped = crawl(tmp_path, exclude=(pattern,))
    assert sorted(below(tmp_path, documents)) == left
    assert all(item.excluded for item in skipped)
    assert bool(skipped) == (len(left) < 4)


def test_exclusion_holds_for_single_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "tests/fixture.pem", "a.pem")
    monkeypatch.chdir(tmp_path)
    documents, skipped = crawl("tests/fixture.pem", "a.pem", exclude=("tests/**",))
    assert below(tmp_path, documents) == ["a.pem"]
    assert only(skipped).excluded


def test_files_above_a_limit_are_left_out_by_the_owner(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123456")
    documents, skipped = crawl(tmp_path, max_file_bytes=5)
    assert below(tmp_path, documents) == ["a"]
    assert only(skipped).excluded


def test_an_unchanged_file_is_counted_not_opened(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b")
    documents, _ = crawl(tmp_path)
    versions = {document.key: document.version for document in documents}
    crawled = source(tmp_path)
    (unit,) = [unit for unit in crawled.units(never) if isinstance(unit, Unit)]
    assert list(crawled.read(unit, None, versions.get)) == [Unchanged(2)]


def test_an_edit_with_the_old_size_and_time_is_still_seen(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    status = path.stat()
    (document,), _ = crawl(path)
    path.write_bytes(b"behind")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (again,), _ = crawl(path)
    assert again.version != document.version


def test_what_vanishes_between_walk_and_read_is_told(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b")
    crawled = source(tmp_path)
    (unit,) = [unit for unit in crawled.units(never) if isinstance(unit, Unit)]
    (tmp_path / "a").unlink()
    events = list(crawled.read(unit, None, never))
    assert isinstance(events[0], Skipped)
    assert "vanished" in events[0].reason
    assert isinstance(events[1], Document)


def test_what_becomes_a_link_or_a_pipe_between_walk_and_read_is_not_followed(tmp_path: Path) -> None:
    plant(tmp_path, "a", "b", "c")
    crawled = source(tmp_path)
    (unit,) = [unit for unit in crawled.units(never) if isinstance(unit, Unit)]
    for name in "ab":
        (tmp_path / name).unlink()
    (tmp_path / "a").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "b")
    first, second, third = crawled.read(unit, None, never)
    assert isinstance(first, Skipped)
    assert "link" in first.reason
    assert second == Skipped((tmp_path / "b").as_uri(), "a named pipe, not a file", excluded=True)
    assert isinstance(third, Document)


@pytest.mark.parametrize("size", [0, 3, 2_000_000, 6_000_000])
def test_a_file_that_grows_between_walk_and_read_is_read_whole_under_its_old_version(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x")
    crawled = source(path)
    (unit,) = [unit for unit in crawled.units(never) if isinstance(unit, Unit)]
    path.write_bytes(b"y" * size)
    (document,) = crawled.read(unit, None, never)
    assert isinstance(document, Document)
    if isinstance(document.body, bytes):
        body = document.body
    else:
        with document.body.open(0) as file:
            body = file.read()
    assert body == b"y" * size
    (now,), _ = crawl(path)
    assert now.version != document.version


def test_a_file_of_unknown_size_is_read_to_its_end() -> None:
    documents, _ = crawl("/proc/self/status")
    assert isinstance(documents[0].body, bytes)
    assert b"VmRSS" in documents[0].body


def test_a_file_the_system_refuses_is_told_with_a_hint() -> None:
    # Opens, and fails at the first byte, even for root.
    documents, skipped = crawl("/proc/self/mem")
    assert documents == []
    assert only(skipped).reason
    assert not only(skipped).excluded


def test_kernel_file_systems_are_not_walked_unless_named() -> None:
    walked = source("/proc/self").units(never)
    assert any(isinstance(item, Unit) and item.data["folders"] for item in walked)


def test_permissions_are_told_with_a_hint() -> None:
    # Root may read everything, so a child without privileges makes the folder and looks at it.
    script = (
        "import os, sys, tempfile\n"
        "from unsprawl.crawlers.files import FilesSource\n"
        "from unsprawl.records import Skipped\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "with tempfile.TemporaryDirectory() as top:\n"
        "    os.mkdir(f'{top}/closed')\n"
        "    for name in ('a', 'closed/b', 'secret'): open(f'{top}/{name}', 'w').close()\n"
        "    for name in ('closed', 'secret'): os.chmod(f'{top}/{name}', 0)\n"
        "    source = FilesSource('disk', FilesSource.Config(paths=(top,)))\n"
        "    for item in source.units(lambda key: None):\n"
        "        gap = isinstance(item, Skipped)\n"
        "        events = [item] if gap else source.read(item, None, lambda key: None)\n"
        "        for event in events:\n"
        "            name = os.path.basename(event.uri.rstrip('/'))\n"
        "            print(name, getattr(event, 'reason', 'read'), getattr(event, 'hint', ''), sep='|')\n"
    )
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    hint = "run as a user who may read it, or exclude it"
    assert sorted(answer.stdout.splitlines()) == [
        "a|read|",
        f"closed|permission denied|{hint}",
        f"secret|permission denied|{hint}",
    ]


def test_paths_that_are_too_long_are_told(tmp_path: Path) -> None:
    plant(tmp_path, "a")
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=deep)
        below_it = os.open("d" * 200, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below_it
    os.close(deep)
    documents, skipped = crawl(tmp_path)
    assert below(tmp_path, documents) == ["a"]
    assert "too long" in only(skipped).reason


def test_a_deep_tree_is_no_recursion(tmp_path: Path) -> None:
    subprocess.run(["mkdir", "-p", f"{tmp_path}/{'d/' * 500}"], check=True)
    Path(f"{tmp_path}/{'d/' * 500}a").write_text("a")
    documents, _ = crawl(tmp_path)
    assert len(documents) == 1


def test_a_missing_path_is_a_gap_and_the_rest_is_read(tmp_path: Path) -> None:
    plant(tmp_path, "a")
    documents, skipped = crawl(tmp_path / "none", tmp_path)
    assert below(tmp_path, documents) == ["a"]
    assert only(skipped).reason == "no such file or folder"
    assert not only(skipped).excluded


def test_big_files_are_streams_that_notice_when_they_shrink(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(5 << 20))
    (document,), _ = crawl(path)
    assert isinstance(document.body, Stream)
    with document.body.open(0) as file:
        assert len(file.read(1000)) == 1000
        os.truncate(path, 2000)
        assert len(file.read(1000)) == 1000
        with pytest.raises(UnreadableError, match="shrank"):
            file.read(1000)
    path.unlink()
    with pytest.raises(UnreadableError, match="vanished"):
        document.body.open(0)


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
def test_standard_input(size: int) -> None:
    script = (
        "from unsprawl.crawlers.files import FilesSource\n"
        "source = FilesSource('disk', FilesSource.Config(paths=('-',)))\n"
        "(unit,) = source.units(lambda key: None)\n"
        "(document,) = source.read(unit, None, lambda key: None)\n"
        "body = document.body if isinstance(document.body, bytes) else document.body.open(0).read()\n"
        "print(document.uri, document.path, type(document.body).__name__, len(body), source.reads_in)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], input=b"x" * size, capture_output=True, check=True, timeout=60
    )
    kind = "Stream" if size > 4 << 20 else "bytes"
    assert answer.stdout.decode().split() == ["stdin:", "-", kind, str(size), "coordinator"]


def test_fetch_stays_below_the_paths(tmp_path: Path) -> None:
    plant(tmp_path, "in/a", "out")
    crawled = source(tmp_path / "in")
    assert isinstance(crawled.fetch((tmp_path / "in/a").as_uri()), Document)
    for uri in [(tmp_path / "out").as_uri(), (tmp_path / "in").as_uri() + "/../out", "file://relative", ""]:
        refused = crawled.fetch(uri)
        assert isinstance(refused, Skipped)
        assert "not below" in refused.reason
    (tmp_path / "in/a").unlink()
    gone = crawled.fetch((tmp_path / "in/a").as_uri())
    assert isinstance(gone, Skipped)
    assert gone.reason == "no longer there"


def test_diagnosis(tmp_path: Path) -> None:
    plant(tmp_path, "a")
    told = {d.what.rpartition("/")[2]: d.ok for d in source(tmp_path / "a", tmp_path / "b").diagnose()}
    assert told == {"a can be read": True, "b: no such file or folder": False}
