"""Generated pages are current: a change of a flag or a key shows in the documentation that goes with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def generate(script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *options], cwd=ROOT, capture_output=True, text=True)


def test_generated_pages_are_current() -> None:
    done = generate(ROOT / "docs" / "generate.py", "--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_told_and_written_again(tmp_path: Path) -> None:
    script = Path(shutil.copy(ROOT / "docs" / "generate.py", tmp_path))
    shutil.copy(ROOT / "docs" / "rules.md", tmp_path)  # half of it is written by hand
    assert generate(script).returncode == 0
    assert generate(script, "--check").returncode == 0
    (tmp_path / "cli.md").write_text("# The command line\n")
    done = generate(script, "--check")
    assert (done.returncode, done.stderr) == (1, "docs/cli.md is not current; run: make docs\n")
    assert generate(script).stdout == "docs/cli.md\n"
