"""``unsprawl scan`` as people run it: a process, its streams, its exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from unsprawl.placeholders import fill

FORMATS = ("table", "json", "jsonl", "sarif", "csv", "markdown", "html")


def unsprawl(
    *arguments: str, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "unsprawl", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, check=False, timeout=120)


@pytest.fixture(scope="module")
def password() -> str:
    return fill("<alnum:20>")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, password: str) -> Path:
    root = tmp_path_factory.mktemp("tree")
    (root / "src").mkdir()
    (root / "src" / "settings.py").write_text(f'# settings\nDB_PASSWORD = "{password}"\n')
    (root / "src" / "clean.py").write_text("print('hello')\n")
    data = f"database:\n  password: {password}\n".encode()
    with tarfile.open(root / "backup.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("etc/app.yaml")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return root


def test_finds_the_copies_of_one_secret(tree: Path, password: str) -> None:
    done = unsprawl("scan", ".", "--format", "jsonl", "--quiet", cwd=tree)
    assert (done.returncode, done.stderr) == (1, b"")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["path"] for row in rows} == {"./src/settings.py", "./backup.tar.gz!/etc/app.yaml"}
    assert len({row["fingerprint"] for row in rows}) == 1
    (line,) = [row["line"] for row in rows if row["path"] == "./src/settings.py"]
    assert line == 2


@pytest.mark.parametrize("format", FORMATS)
def test_no_format_tells_a_value_unless_asked(format: str, tree: Path, password: str) -> None:
    done = unsprawl("scan", ".", "--format", format, cwd=tree)
    assert done.returncode == 1
    assert done.stdout
    assert password.encode() not in done.stdout + done.stderr
    shown = unsprawl("scan", ".", "--format", format, "--show-secrets", cwd=tree)
    assert shown.returncode == 1
    if format != "table":  # a table may shorten what does not fit
        assert password.encode() in shown.stdout


def test_formats_are_what_they_say(tree: Path) -> None:
    outputs = {name: unsprawl("scan", ".", "-q", "-f", name, cwd=tree).stdout.decode() for name in FORMATS}
    assert json.loads(outputs["json"])["counts"]["occurrences"] == 2
    assert len(json.loads(outputs["sarif"])["runs"][0]["results"]) == 2
    assert len(list(csv.DictReader(io.StringIO(outputs["csv"])))) == 2
    assert outputs["markdown"].startswith("# Scan of .")
    assert outputs["html"].rstrip().endswith("</html>")
    assert "Coverage complete." in outputs["table"]


def test_standard_input(password: str) -> None:
    done = unsprawl("scan", "-", "-q", stdin=f"password: {password}\n".encode())
    assert done.returncode == 1
    assert json.loads(done.stdout)["line"] == 1
    assert unsprawl("scan", "-", stdin=b"nothing here\n").returncode == 0


def test_jobs_do_not_change_the_result(tree: Path) -> None:
    def places(jobs: str) -> set[tuple[str, str, int]]:
        rows = map(json.loads, unsprawl("scan", ".", "-q", "--jobs", jobs, cwd=tree).stdout.splitlines())
        return {(row["finding"], row["path"], row["start"]) for row in rows}

    assert places("1") == places("2")


def test_clean_and_excluded(tree: Path) -> None:
    assert unsprawl("scan", "src/clean.py", cwd=tree).returncode == 0
    done = unsprawl("scan", ".", "--exclude", "**/settings.py", "--exclude", "*.gz", cwd=tree)
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize("quiet", [True, False])
def test_an_unreadable_file_is_incomplete(quiet: bool, tree: Path) -> None:
    # A file that nobody can read from its start, whatever their rights.
    done = unsprawl("scan", "/proc/self/mem", ".", *(["-q"] if quiet else []), cwd=tree)
    assert done.returncode == 3
    assert done.stderr.startswith(b"not read: file:///proc/")
    assert len(done.stdout.splitlines()) == 2


def test_a_broken_archive_is_incomplete_and_the_rest_is_scanned(
    tree: Path, tmp_path: Path, password: str
) -> None:
    (tmp_path / "half.tar.gz").write_bytes((tree / "backup.tar.gz").read_bytes()[:60])
    (tmp_path / "app.env").write_text(f"DB_PASSWORD={password}\n")
    done = unsprawl("scan", ".", "-f", "json", cwd=tmp_path)
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert document["complete"] is False
    assert document["counts"]["findings"] == 1
    assert b"half.tar.gz" in done.stderr


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path, password: str) -> None:
    text = f"DB_PASSWORD={password}\n".encode()
    for name in ("a\x1b]0;owned\x07\u202e.env".encode(), b"no utf-8 \xff.env"):
        (tmp_path / os.fsdecode(name)).write_bytes(text)
    for format in FORMATS:
        done = unsprawl("scan", ".", "-f", format, cwd=tmp_path)
        assert done.returncode == 1
        assert b"\x1b" not in done.stdout + done.stderr
        assert "\u202e".encode() not in done.stdout + done.stderr
        assert b"\xff" not in done.stdout


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        (
            "bad-regex.yaml",
            "provider: x\nrules:\n- id: x.y\n  name: X\n  severity: low\n  pattern: '(?P<secret>a'\n",
            "x.y",
        ),
        ("binary.yaml", "\x00\x01\x02", "binary.yaml"),
        ("empty.yaml", "", "empty.yaml"),
    ],
)
def test_a_bad_rule_file_is_exit_code_2(name: str, text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    done = unsprawl("scan", ".", "--rules", name, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ")
    assert error.encode() in done.stderr
    assert b"Traceback" not in done.stderr


def test_help_is_quick() -> None:
    def once() -> float:
        began = time.perf_counter()
        assert unsprawl("--help").returncode == 0
        return time.perf_counter() - began

    assert min(once() for _ in range(5)) < 0.3
