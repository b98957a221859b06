"""A new rule meets old text bit by bit, and the ledger says how far it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from unsprawl.cli import unsprawl
from unsprawl.placeholders import fill
from unsprawl.records import Batch, Counts, Unit
from unsprawl.secret import Keys
from unsprawl.store.findings import Store

RULE = """
rules:
  - id: gitacme.token
    name: Acme token
    severity: high
    keywords: [acme_]
    pattern: '(?P<secret>acme_[0-9a-z]{24})'
    prefix: acme_
    examples: ["acme_<lower:24>", "key acme_<lower:24>"]
    negatives: ["acme_short"]
    remediation: ["Ask Acme."]
"""

# Few rules: to compile all of them takes seconds, and here it is done for each set of them.
CONFIG = """
sources:
  tree: {type: files, paths: [tree]}
exclude_rules: ['[!g]*', 'g[!i]*']
"""


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(unsprawl, list(arguments), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return int(done.return_value or 0), done.stdout


def token(number: int) -> str:
    return fill("acme_<lower:24>", str(number))


@pytest.fixture
def nightly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    (tmp_path / "tree").mkdir()
    for number in range(40):
        (tmp_path / "tree" / f"{number:02d}.txt").write_text(f"token = {token(number)}\n", "utf-8")
    config = tmp_path / "nightly.yaml"
    config.write_text(CONFIG, "utf-8")
    return config


def ledger(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("coverage", "--config", str(config), "--format", "json")[1])
    return found


def read(config: Path) -> int:
    return sum(int(row["documents"]) for row in ledger(config)["coverage"])


def test_old_text_is_read_again_by_new_rules_within_the_time(nightly: Path, tmp_path: Path) -> None:
    assert run("crawl", str(nightly), "--quiet", "--jobs", "1")[0] == 0
    assert read(nightly) == 40
    rules = tmp_path / "acme.yaml"
    rules.write_text(RULE, "utf-8")
    own = ("crawl", str(nightly), "--rules", str(rules), "--jobs", "1", "--rescan")
    (tmp_path / "tree" / "new.txt").write_text("nothing yet\n", "utf-8")

    _, out = run(*own, "--rescan-for", "0s")
    assert "by the present rules 1 of 41 documents" in out
    assert read(nightly) == 1
    assert ledger(nightly)["reread"] == [
        {"source": "tree", "documents": 41, "read": 1, "units": 0, "whole": 0}
    ]
    assert "1 of 41 documents" in run("coverage", "--config", str(nightly), "--format", "table")[1]

    _, out = run(*own, "--rescan-for", "1h")
    assert "Reread" not in out
    assert read(nightly) == 40
    assert ledger(nightly)["reread"][0]["read"] == 41
    rows = run("findings", "list", "--config", str(nightly), "--rule", "gitacme.token", "--format", "jsonl")[
        1
    ]
    assert len(rows.splitlines()) == 40

    run(*own, "--rescan-for", "1h")
    assert read(nightly) == 0


def test_without_rescan_new_rules_read_everything_in_one_run(nightly: Path, tmp_path: Path) -> None:
    run("crawl", str(nightly), "--quiet", "--jobs", "1")
    rules = tmp_path / "acme.yaml"
    rules.write_text(RULE, "utf-8")
    run("crawl", str(nightly), "--rules", str(rules), "--quiet", "--jobs", "1")
    assert read(nightly) == 40


def test_full_and_rescan_exclude_each_other(nightly: Path) -> None:
    with pytest.raises(Exception, match="leave one out"):
        run("crawl", str(nightly), "--full", "--rescan")


def step(number: int, *, done: bool = True) -> Batch:
    return Batch(
        source="chat", unit=Unit("general"), counts=Counts(documents=1), cursor={"at": number}, done=done
    )


def test_a_cursor_goes_on_late_and_remembers_that_what_is_before_it_was_read_by_others(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path / "s.db", Keys.derive(b"k" * 32)) as store:

        def crawl(rules: str, rescan_until: float | None, expected: int | None, now: int) -> None:
            one = store.begin("crawl", "nightly.yaml", rules, rescan_until=rescan_until)
            cursor = one.cursor("chat", "general")
            assert (cursor and cursor["at"]) == expected
            one.commit(step(now))
            one.finish(complete=True)

        never, late = float("inf"), 0.0
        crawl("old", None, None, 1)
        crawl("old", None, 1, 2)
        # New rules, and no time for old text: on from the cursor, and not taken for read by them.
        crawl("new", late, 2, 3)
        assert store.reread("new")[0]["whole"] == 0
        crawl("new", late, 3, 4)
        assert store.reread("new")[0]["whole"] == 0
        # Once there is time, from the start.
        crawl("new", never, None, 5)
        assert store.reread("new")[0]["whole"] == 1
        crawl("new", never, 5, 6)
        # Back to the old rules: they have not seen what came since.
        crawl("old", late, 6, 7)
        crawl("new", None, None, 8)
        crawl("old", None, None, 9)


def test_a_run_that_died_goes_on_from_its_own_cursor(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", Keys.derive(b"k" * 32)) as store:
        first = store.begin("crawl", "nightly.yaml", "old")
        first.cursor("chat", "general")
        first.commit(step(1))
        first.finish(complete=True)
        died = store.begin("crawl", "nightly.yaml", "new", rescan_until=0.0)
        assert died.cursor("chat", "general") == {"at": 1}
        died.commit(step(2, done=False))
        again = store.begin("crawl", "nightly.yaml", "new", rescan_until=float("inf"))
        assert again.resumed
        assert again.cursor("chat", "general") == {"at": 2}
        again.commit(step(3))
        again.finish(complete=True)
        assert store.reread("new")[0]["whole"] == 0
