"""Generated pages are current: a change of a flag or a key shows in the documentation that goes with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_current() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_told(tmp_path: Path) -> None:
    (tmp_path / "generate.py").write_bytes((ROOT / "docs" / "generate.py").read_bytes())
    for name in ("config.schema.json", "rule.schema.json"):
        (tmp_path / name).write_bytes((ROOT / "docs" / name).read_bytes())
    (tmp_path / "cli.md").write_text("# The command line\n")
    command = [sys.executable, str(tmp_path / "generate.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "docs/cli.md is not current; run: make docs\n"
