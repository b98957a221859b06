"""The threat model names modules that exist, and says of every threat what is done, and where."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")


def test_every_module_that_is_named_exists() -> None:
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", PAGE))
    assert len(named) > 30
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_every_threat_says_what_is_done_and_where() -> None:
    rows = [row for row in re.findall(r"^\| (.+) \|$", PAGE, re.MULTILINE) if row.count(" | ") == 3]
    threats = [row.split(" | ") for row in rows if not row.startswith(("threat", "---"))]
    assert len(threats) > 25
    assert all(threat and done and "`" in where for threat, done, where, *_ in threats)
