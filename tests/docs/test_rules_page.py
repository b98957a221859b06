"""docs/rules.md describes every key of a rule, and the rule it shows is a good one."""

from __future__ import annotations

import re
from pathlib import Path

from unsprawl.cli import main
from unsprawl.detectors.rulebook.rulekeys import KEYS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rules.md").read_text("utf-8")


def test_every_key_is_described_and_no_other() -> None:
    assert sorted(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)) == sorted(KEYS)


def test_the_example_keeps_the_contract(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    (tmp_path / "acme.yaml").write_text(example[1])
    assert main(["rules", "check", str(tmp_path)]) == 0


def test_the_placeholders_are_known() -> None:
    from unsprawl.placeholders import fill

    named = re.findall(r"`(<[a-z0-9-]+(?::[A-Za-z0-9_:-]+)?>)`", PAGE)
    assert len(named) > 8
    assert [name for name in named if fill(name) == name] == []
