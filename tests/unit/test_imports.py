"""Imports: what help may load, that every module loads cleanly, and that the fences really bite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("crawlers", "detectors", "models", "store")
HEAVY = (
    *("atlassian", "boto3", "botocore", "cryptography", "docker", "httpx2", "hyperscan", "jinja2", "lxml"),
    *("numpy", "onnxruntime", "pypdfium2", "re2", "rich", "scrapy", "slack_sdk", "sqlite_utils", "sqlite3"),
    *("starlette", "structlog", "twisted", "uvicorn", "yaml"),
)


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    # The tree itself comes first on the path, so that a copy is judged and not what is installed.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from unsprawl.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = {name.partition(".")[0] for name in python("-c", code).stderr.split()}
    assert "unsprawl" in loaded
    assert loaded.isdisjoint(HEAVY)


#: What a scan of a folder has no use for before anything is found.
UNUSED = (
    *("email.message", "importlib.metadata", "re2", "sqlite3", "typing_extensions", "yaml"),
    *("unsprawl.canaries", "unsprawl.detectors.judgement", "unsprawl.recall"),
)


def test_a_scan_loads_only_what_it_uses(tmp_path: Path) -> None:
    code = (
        f"import gc, sys; from unsprawl.cli import main; code = main(['scan', {str(tmp_path)!r}, '--quiet']);"
        "print(gc.isenabled(), gc.get_freeze_count(), *sys.modules, file=sys.stderr); sys.exit(code)"
    )
    python("-c", code)  # fills the cache of rules
    done = python("-c", code)
    assert done.returncode == 0
    collecting, frozen, *loaded = done.stderr.split()
    assert set(loaded).isdisjoint(UNUSED)
    assert "msgspec" in loaded
    assert collecting == "True"
    assert int(frozen) > 20_000, "the rules are looked through for garbage"


def test_help_takes_less_than_a_third_of_a_second() -> None:
    best = float("inf")
    for _ in range(10):  # the best of several, for other test processes share the cores
        started = time.perf_counter()
        assert python("-m", "unsprawl", "--help").returncode == 0
        best = min(best, time.perf_counter() - started)
        if best < 0.3:
            return
    pytest.fail(f"unsprawl --help takes {best:.2f} s")


#: They stand on torch, which the extra ``train`` brings.
TRAINING = {f"unsprawl.models.{name}" for name in ("export", "linear", "network", "training")}


def test_every_module_loads_without_a_warning_and_under_one_name() -> None:
    code = (
        "import importlib, pkgutil, sys, unsprawl\n"
        f"skipped = {{'unsprawl.__main__'}} | {TRAINING!r}\n"
        "for found in pkgutil.walk_packages(unsprawl.__path__, 'unsprawl.'):\n"
        "    found.name in skipped or importlib.import_module(found.name)\n"
        f"bare = set(sys.modules) & set({FOLDERS!r})\n"
        "sys.exit(f'loaded under a second name: {bare}' if bare else 0)\n"
    )
    done = python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_layers_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("crawlers/files.py", "unsprawl.store.schema"),
        ("store/schema.py", "unsprawl.detectors.rules"),
        ("unsprawl/records.py", "unsprawl.config"),
        ("unsprawl/wire/client.py", "unsprawl.crawlers.files"),
        ("unsprawl/pipeline.py", "unsprawl.jobs"),
    ],
)
def test_the_layers_bite(module: str, forbidden: str, tmp_path: Path) -> None:
    for folder in ("unsprawl", *FOLDERS):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as source:
        source.write(f"\nimport {forbidden}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stderr
    own = "unsprawl." + module.removeprefix("unsprawl/").removesuffix(".py").replace("/", ".")
    assert f"{own} -> {forbidden}" in done.stdout


@pytest.mark.parametrize("folder", FOLDERS)
def test_bare_imports_are_refused(folder: str) -> None:
    ruff = [
        str(Path(sys.executable).with_name("ruff")),
        "check",
        "--select",
        "TID251",
        "--stdin-filename",
        "unsprawl/x.py",
    ]
    done = subprocess.run([*ruff, "-"], cwd=ROOT, input=f"import {folder}\n", capture_output=True, text=True)
    assert done.returncode == 1
    assert f"unsprawl.{folder}" in done.stdout
