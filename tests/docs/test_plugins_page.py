"""The source on the plug-in author's page is installed, crawled and crawled again, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from os import environ
from pathlib import Path

from unsprawl.placeholders import fill

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_source_on_the_page_works_as_it_stands(tmp_path: Path) -> None:
    site, exports = tmp_path / "site", tmp_path / "exports"
    info = site / "acme_tickets-1.0.dist-info"
    for folder in (info, exports):
        folder.mkdir(parents=True)
    (site / "acme_tickets.py").write_text(block("python"))
    project = tomllib.loads(block("toml"))["project"]
    ((group, entries),) = project["entry-points"].items()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\ntickets = {entries['tickets']}\n")
    token = fill("<github-token:ghp_>")
    (exports / "desk.csv").write_text(f"id,changed,author,text\n7,2026-01-01,dana,GITHUB_TOKEN={token}\n")
    (exports / "bad.csv").write_bytes(b"\xff\xfe")
    (tmp_path / "nightly.yaml").write_text(block("yaml"))

    def crawl() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "unsprawl", "crawl", "nightly.yaml"],
            cwd=tmp_path,
            env={**environ, "PYTHONPATH": str(site), "UNSPRAWL_CONFIG_DIR": str(tmp_path / "key")},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    first, second = crawl(), crawl()
    assert first.returncode == second.returncode == 3, first.stderr
    assert "New        1\n" in first.stdout
    assert "tickets:bad.csv: cannot be read" in first.stdout
    assert "New        0\n" in second.stdout
    assert "Unchanged  1 documents" in second.stdout


def test_the_source_on_the_page_stays_short() -> None:
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) <= 45
