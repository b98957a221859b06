"""``unsprawl report`` on the command line: formats, periods, what it refuses, and the digest it sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unsprawl.cli import main
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.placeholders import fill

NOTIFY = {"type": "webhook", "name": "team", "url": "${HOOK}"}


class Hook(LoopbackServer):
    status = 200

    def answer(self, request: Request) -> Answer:
        return data({}, self.status)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose store has one finding, a token in a file."""
    folder = tmp_path_factory.mktemp("report")
    token = fill("<github-token:ghp_>", "report")
    (folder / "tree").mkdir()
    (folder / "tree" / "a.env").write_text(f"GITHUB_TOKEN={token}\n", "utf-8")
    (folder / "key").write_text(bytes(range(32)).hex(), "ascii")
    (folder / "key").chmod(0o600)
    config = {
        "key": f"file:{folder}/key",
        "sources": {"disk": {"type": "files", "paths": ["tree"]}},
        "exclude_rules": ["[!g]*", "g[!i]*"],
    }
    (folder / "c.yaml").write_text(json.dumps(config), "utf-8")
    assert main(["crawl", str(folder / "c.yaml"), "--quiet", "--jobs", "1"]) == 0
    return folder / "c.yaml"


def test_the_format_follows_the_file_and_the_option(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begins = {
        "a.html": "<!doctype html>",
        "a.md": "# Exposed secrets",
        "a.json": '{"version"',
        "a.txt": "Exposed",
    }
    for name, begin in begins.items():
        file = tmp_path / name
        assert main(["report", "--config", str(store), "--output", str(file)]) == 0
        assert file.read_text("utf-8").startswith(begin)
        assert file.stat().st_mode & 0o777 == 0o600
    capsys.readouterr()
    assert main(["report", "--config", str(store)]) == 0
    assert capsys.readouterr().out.startswith("# Exposed secrets\n\n- **Open exposures:** 1")
    assert main(["report", "--config", str(store), "--period", "2w", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["title"], told["open"]["total"], told["changes"]["new"]) == ("Digest of 2 weeks", 1, 1)
    assert told["top"][0]["next"].startswith("Delete the token")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--weekly", "--period", "3d"], "--weekly is --period 7d"),
        (["--weekly", "--since", "3d"], "--period and --since both say when it begins"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "the period ends before it begins"),
        (["--period", "7"], "'7' is no period"),
        (["--period", "0d"], "'0d' is no period"),
        (["--send"], "--send needs --weekly or --period"),
        (["--weekly", "--send"], "the configuration names nobody to tell"),
        (["--output", "x.csv"], "a report is written as table, html, markdown, json, not csv"),
    ],
)
def test_what_does_not_fit_together_is_one_line(
    store: Path, arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--config", str(store), *arguments]) == 2
    assert error in capsys.readouterr().err.splitlines()[0]


def test_a_period_may_lie_far_back(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for period in (["--period", "1d"], ["--period", "9999w"], ["--since", "0001-01-02"]):
        assert main(["report", "--config", str(store), "--until", "0001-01-03", *period]) == 0
        assert "0 exposures are open" in capsys.readouterr().out
    assert main(["report", "--config", str(store), "--since", "0001-01-01"]) == 0
    assert "1 exposure is open" in capsys.readouterr().out


def test_without_a_store_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 2
    assert main(["report", "--store", "none.db"]) == 4
    assert "unsprawl.db" in capsys.readouterr().err


def test_the_digest_is_sent_and_a_channel_that_fails_is_code_3(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = store.with_name("notify.yaml")
    config.write_text(
        json.dumps(json.loads(store.read_text("utf-8")) | {"notify": [NOTIFY]}),
        "utf-8",
    )
    week = ["report", "--config", str(config), "--weekly", "--send", "--output", str(tmp_path / "week.md")]
    with Hook() as hook:
        monkeypatch.setenv("HOOK", f"{hook.url}/digest?token=in-the-address")
        assert main(week) == 0
        assert "team: 1 told" in capsys.readouterr().err
        (asked,) = hook.asked("/digest")
        assert json.loads(asked.body)["event"] == "digest"
        hook.status = 503
        assert main(week) == 3
    told = capsys.readouterr().err
    assert "127.0.0.1 answered 503" in told
    assert "in-the-address" not in told
    assert (tmp_path / "week.md").exists()
