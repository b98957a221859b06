"""What the pages show is what the program prints: their examples are run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def examples() -> Any:
    spec = importlib.util.spec_from_file_location("examples", DOCS / "examples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_examples_print_what_the_pages_show() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "examples.py"), "--check"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr


def test_every_page_of_a_job_has_examples_with_output(examples: Any) -> None:
    for name in examples.PAGES:
        found = list(examples.blocks((DOCS / name).read_text("utf-8")))
        assert found, name
        assert all(block.startswith("$ ") for block in found)
        assert any(not line.startswith("$ ") for block in found for line in block.splitlines())


def test_times_ids_and_ports_may_differ_and_nothing_else(examples: Any) -> None:
    shown = "$ x\nhit 1.0 s  a\nhit 2.5 s  b\nfinding 13379a14f9fa of 127.0.0.1:4711, 43 open at 19:10:28\n"
    again = "$ x\nhit 0.9 s  b\nhit 1.5 s  a\nfinding 00009a14f9fb of 127.0.0.1:4712, 43 open at 20:11:29\n"
    assert examples.normalised(shown) == examples.normalised(again)
    assert examples.normalised(shown) != examples.normalised(again.replace("43 open", "44 open"))
    assert examples.normalised(shown) != examples.normalised(again.replace("  a", "  c"))


def test_only_what_says_something_else_is_written_again(examples: Any, tmp_path: Path) -> None:
    page = "a\n<!-- example -->\n```console\n$ echo 2026-01-01\n2025-05-05\n$ echo 1\n2\n```\nb\n"
    fresh = examples.rewritten(page, tmp_path, {"PATH": "/usr/bin:/bin"})
    assert fresh == page.replace("\n2025-05-05", "\n2026-01-01").replace("\n2\n", "\n1\n")
    kept = fresh.replace("\n2026-01-01\n$", "\n2025-05-05\n$")
    assert examples.rewritten(kept, tmp_path, {"PATH": "/usr/bin:/bin"}) == kept
