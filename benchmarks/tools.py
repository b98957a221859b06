"""The programs that are compared: how each is called, and how its report is read."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpora import home

__all__ = ["KINGFISHER", "Tool", "environment", "kingfisher", "machine", "unsprawl"]

#: The version every figure in docs/performance.md was measured against.
KINGFISHER = "2.14.0"


@dataclass(frozen=True, slots=True)
class Tool:
    """``command`` has the fields {tree}, {jobs} and {report}; ``codes`` are those of a scan that worked."""

    name: str
    version: str
    command: tuple[str, ...]
    codes: frozenset[int]
    file_key: tuple[str, ...]
    line_key: tuple[str, ...]

    def argv(self, tree: Path, jobs: int, report: Path) -> list[str]:
        fields = {"tree": str(tree), "jobs": str(jobs), "report": str(report)}
        return [part.format(**fields) for part in self.command]

    def places(self, report: Path) -> Iterator[tuple[str, int]]:
        """File and line of every finding in a report; archive members after ``!/``."""
        for row in map(json.loads, report.read_text("utf-8", "replace").splitlines()):
            path, line = _at(row, self.file_key), _at(row, self.line_key)
            if isinstance(path, str) and isinstance(line, int):
                yield path.replace("!/", "!").replace("!", "!/"), line


def _at(row: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def unsprawl() -> Tool:
    """The command of this checkout."""
    binary = Path(sys.executable).with_name("unsprawl")
    version = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    options = ("--jobs", "{jobs}", "--format", "jsonl", "--output", "{report}", "--quiet")
    command = (str(binary), "scan", "{tree}", *options)
    return Tool("unsprawl", version, command, frozenset({0, 1, 3}), ("path",), ("line",))


def kingfisher(binary: Path | None = None, extra: tuple[str, ...] = ()) -> Tool:
    """The peer with its defaults, minus what reaches out (validation, update check).

    Its binary is called directly, without the Python wrapper it is packaged with. It is installed
    from PyPI into an environment of its own below the cache folder, unless one is given.
    """
    binary = binary or _installed()
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()
    quiet = ("--no-validate", "--no-update-check", "--git-history", "none", "--quiet")
    command = (str(binary), "scan", "{tree}", "--jobs", "{jobs}", *quiet, *extra, "--format", "jsonl")
    codes = frozenset({0, 200})  # 200: findings, none validated
    keys = ("finding", "path"), ("finding", "line")
    return Tool("kingfisher", told[-1], (*command, "--output", "{report}"), codes, *keys)


def _installed() -> Path:
    folder = home() / f"kingfisher-{KINGFISHER}"
    if not any(folder.glob("lib/python*/site-packages/kingfisher/bin/kingfisher")):
        print(f"installing kingfisher-bin {KINGFISHER} below {home()}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
        ]
        subprocess.run([*pip, f"kingfisher-bin=={KINGFISHER}"], check=True)
    return next(folder.glob("lib/python*/site-packages/kingfisher/bin/kingfisher"))


def environment() -> dict[str, str]:
    """What both programs see: caches and settings of their own, which the warm-up run fills."""
    own = home() / "state"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    places = {f"XDG_{kind}_HOME": str(own / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")}
    return {**kept, **places, "NO_COLOR": "1", "KF_RULE_CACHE_DIR": str(own / "kingfisher")}


def machine() -> dict[str, str | int]:
    """The machine in the few words that figures need beside them."""
    text = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), ""
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": memory,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
