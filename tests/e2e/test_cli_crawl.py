"""``unsprawl crawl`` and what follows it, as a scheduler and a person run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unsprawl.placeholders import fill

Done = subprocess.CompletedProcess[str]


class Desk:
    """A folder with a configuration, and the key of its own user."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = root / "tree"
        self.tree.mkdir()
        self.config = root / "nightly.yaml"
        self.config.write_text(f"store: night.db\nsources:\n  here: {{type: files, paths: [{self.tree}]}}\n")
        self.environment = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(root / "key")}
        self.environment |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
        self.password = fill("<alnum:20>")
        self.write("app.env")

    def write(self, name: str) -> None:
        (self.tree / name).write_text(f"DB_PASSWORD={self.password}\n")

    def run(self, *arguments: str) -> Done:
        command = [sys.executable, "-m", "unsprawl", *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.root,
            env=self.environment,
            check=False,
            timeout=120,
        )

    def crawl(self, *arguments: str) -> Done:
        return self.run("crawl", "nightly.yaml", *arguments)

    def rows(self, *arguments: str) -> list[dict[str, object]]:
        done = self.run("findings", "list", "--store", "night.db", "--format", "jsonl", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_second_crawl_reads_only_what_changed(desk: Desk) -> None:
    first = desk.crawl()
    assert first.returncode == 0, first.stderr
    assert "New        1\n" in first.stdout
    assert len(desk.rows()) == 1
    second = desk.crawl()
    assert "New        0\n" in second.stdout
    assert "Unchanged  1 documents" in second.stdout
    desk.write("copy.env")
    desk.crawl("--quiet")
    rows = desk.rows()
    assert [row["path"] for row in rows] == [str(desk.tree / "app.env"), str(desk.tree / "copy.env")]
    assert len({str(row["finding"]) for row in rows}) == 1


def test_what_goes_away_is_gone_and_comes_back(desk: Desk) -> None:
    desk.crawl("-q")
    (desk.tree / "app.env").write_text("DB_PASSWORD=\n")
    assert "Gone       1\n" in desk.crawl().stdout
    assert desk.rows() == []
    (gone,) = desk.rows("--show-gone")
    assert gone["gone_at"]
    page = desk.run("findings", "show", str(gone["finding"]), "--store", "night.db", "--format", "table")
    assert "0 now, 1 gone" in page.stdout


def test_quiet_is_silent_and_fail_on_is_heard(desk: Desk) -> None:
    done = desk.crawl("--quiet", "--fail-on", "any")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_an_unreachable_source_leaves_the_others_and_is_exit_code_3(desk: Desk) -> None:
    config = desk.config.read_text() + "  there: {type: s3, endpoint_url: 'http://127.0.0.1:9'}\n"
    desk.config.write_text(config)
    done = desk.crawl()
    assert done.returncode == 3
    assert "unsprawl coverage" in done.stdout
    assert len(desk.rows()) == 1
    ledger = json.loads(desk.run("coverage", "--store", "night.db", "--format", "json").stdout)
    states = {line["source"]: line["status"] for line in ledger["coverage"]}
    assert states["here"] == "complete"
    assert states["there"] == "failed"
    assert desk.run("doctor", "nightly.yaml").returncode == 3


def test_nothing_reachable_is_exit_code_4(desk: Desk) -> None:
    desk.config.write_text(
        "store: night.db\nsources:\n  there: {type: s3, endpoint_url: 'http://127.0.0.1:9'}\n"
    )
    done = desk.crawl()
    assert done.returncode == 4
    assert done.stderr.endswith("error: no source could be read at all\n")
    assert "not read: there: " in done.stdout


@pytest.mark.parametrize(
    "arguments", [["--format", "json"], ["--output", "report.html"], ["--output", "r.sarif"]]
)
def test_no_report_tells_the_value(arguments: list[str], desk: Desk) -> None:
    done = desk.crawl(*arguments)
    assert done.returncode == 0
    for file in desk.root.rglob("*"):
        if file.is_file() and desk.tree not in file.parents:
            assert desk.password.encode() not in file.read_bytes(), file
    assert desk.password not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "cannot read the configuration"),
        (b"", "empty"),
        (b"\x00\x01", "binary"),
        (b"\xff\xfe", "not UTF-8"),
        (b"sources: [", "nightly.yaml:"),
        (b"sorces: {}\n", "sources"),
        (b"store: x.db\n", "sources"),
        (b"sources:\n  a: {type: fils, paths: [.]}\n", "files"),
        (b"sources:\n  a: {type: files, path: [.]}\n", "paths"),
        (b"rules: [no.yaml]\nsources:\n  a: {type: files, paths: [.]}\n", "no.yaml"),
    ],
)
def test_a_bad_configuration_is_one_line_and_exit_code_2(text: bytes | None, error: str, desk: Desk) -> None:
    if text is None:
        desk.config.unlink()
    else:
        desk.config.write_bytes(text)
    done = desk.crawl()
    assert done.returncode == 2
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert error in done.stderr
    assert all(line.startswith("hint: ") for line in rest)
    assert not (desk.root / "night.db").exists()


def test_a_corrupt_store_and_a_wrong_key_are_exit_code_4(desk: Desk) -> None:
    desk.crawl("-q")
    store = desk.root / "night.db"
    (desk.root / "key").rename(desk.root / "lost")
    for command in (["crawl", "nightly.yaml"], ["findings", "list", "--store", "night.db"]):
        done = desk.run(*command)
        assert done.returncode == 4
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
    if (desk.root / "key").exists():
        (desk.root / "key").rename(desk.root / "other")
    (desk.root / "lost").rename(desk.root / "key")
    assert len(desk.rows()) == 1
    store.write_bytes(b"this is no database, " * 500)
    done = desk.crawl()
    assert done.returncode == 4
    assert store.read_bytes().startswith(b"this is no database, ")


def test_ctrl_c_keeps_what_was_read_and_the_next_crawl_goes_on(desk: Desk) -> None:
    for number in range(3_000):
        (desk.tree / f"{number}.txt").write_text("x" * 5_000)
    command = [sys.executable, "-m", "unsprawl", "crawl", "nightly.yaml", "--jobs", "2"]
    crawl = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=desk.root,
        env=desk.environment, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (desk.root / "night.db").exists():
        assert time.monotonic() < deadline
        assert crawl.poll() is None
        time.sleep(0.01)
    os.killpg(crawl.pid, signal.SIGINT)
    out, err = crawl.communicate(timeout=60)
    if crawl.returncode != 0:  # it may have been quicker than the signal
        assert crawl.returncode == 130
        assert out == ""
        assert (
            err.split()
            == "error: stopped hint: what was read is kept: run the same command again to go on".split()
        )
    done = desk.crawl()
    assert done.returncode == 0, done.stderr
    assert len(desk.rows()) == 1


def test_a_source_whose_only_path_is_not_there_was_not_read(desk: Desk) -> None:
    desk.config.write_text("store: night.db\nsources:\n  here: {type: files, paths: [nowhere]}\n")
    done = desk.crawl()
    assert done.returncode == 4, done.stdout
    assert "Coverage   1 skipped" in done.stdout
    assert "nowhere: no such file or folder" in done.stdout
    assert "nowhere: no such file or folder" in desk.crawl("--quiet").stderr
    desk.config.write_text("store: night.db\nsources:\n  here: {type: files, paths: [nowhere, tree]}\n")
    assert desk.crawl().returncode == 3


def test_an_empty_folder_was_read_to_its_end(desk: Desk) -> None:
    (desk.root / "empty").mkdir()
    desk.config.write_text("store: night.db\nsources:\n  here: {type: files, paths: [empty]}\n")
    done = desk.crawl()
    assert done.returncode == 0, done.stdout
    assert "Coverage   1 complete" in done.stdout


def test_a_store_whose_key_was_lost_gets_no_fresh_one(desk: Desk) -> None:
    desk.crawl("--quiet")
    (desk.root / "key" / "key").rename(desk.root / "kept")
    done = desk.crawl()
    assert done.returncode == 4
    assert "there is no key at" in done.stderr
    assert not (desk.root / "key" / "key").exists()
