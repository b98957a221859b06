"""Is it gone? Only an answer counts, and each place has its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from unsprawl.cli import main
from unsprawl.config import Config, load
from unsprawl.detection import examiner_of
from unsprawl.errors import AuthError
from unsprawl.jobs import Options, crawl
from unsprawl.placeholders import fill
from unsprawl.records import Document, Skipped
from unsprawl.refetch import Outcome, refetch
from unsprawl.store.findings import Store
from unsprawl.store.keys import load_keys
from unsprawl.structs import replace

TOKEN = fill("<github-token:ghp_>", "refetch")
LINE = f'export GITHUB_TOKEN="{TOKEN}"\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    (tmp_path / "box").mkdir()
    for name in ("a.env", "b.env"):
        (tmp_path / "box" / name).write_text(LINE)
    settings = {"seal": "open", "jobs": 1, "sources": {"box": {"type": "files", "paths": ["box"]}}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    config = load(tmp_path / "c.yaml")
    crawl(config, Options())
    return config


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with Store.open(config.store, load_keys()) as store:
        yield store


def again(store: Store, config: Config) -> Outcome:
    (finding,) = (case["finding"] for case in store.findings())
    (outcome,) = refetch(store, config, examiner_of(config, load_keys()), [finding], "ada")
    return outcome


def looks(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one.place.path.rpartition("/")[2], one.look) for one in outcome.looked]


def test_what_stands_stands(store: Store, config: Config) -> None:
    assert looks(again(store, config)) == [("a.env", "stands"), ("b.env", "stands")]


def test_deleted_and_cleaned_are_gone_and_stay_known(store: Store, config: Config, tmp_path: Path) -> None:
    (tmp_path / "box" / "a.env").unlink()
    (tmp_path / "box" / "b.env").write_text("export GITHUB_TOKEN=\n")
    outcome = again(store, config)
    assert looks(outcome) == [("a.env", "gone"), ("b.env", "gone")]
    assert outcome.status == "open"  # nobody has proven that it is dead
    (tmp_path / "box" / "b.env").write_text(LINE)
    assert looks(again_all(store, config)) == [("a.env", "gone"), ("b.env", "stands")]
    assert [row["action"] for row in store.audited(action="finding.")] == ["finding.refetched"] * 2


def again_all(store: Store, config: Config) -> Outcome:
    (finding,) = {row["subject"] for row in store.audited(action="finding.")}
    (outcome,) = refetch(store, config, examiner_of(config, load_keys()), [finding], "ada")
    return outcome


def test_twice_in_one_document_and_now_once(store: Store, config: Config, tmp_path: Path) -> None:
    place = tmp_path / "box" / "a.env"
    place.write_text(LINE + LINE)
    crawl(config, Options())
    place.write_text(LINE)
    assert looks(again(store, config)) == [("a.env", "stands"), ("a.env", "gone"), ("b.env", "stands")]


def test_a_value_that_no_rule_would_report_still_stands(store: Store, config: Config, tmp_path: Path) -> None:
    (tmp_path / "box" / "a.env").write_text(f"x{TOKEN}x\n")
    assert looks(again(store, config))[0] == ("a.env", "stands")


class Odd:
    """A source that answers as a test likes."""

    type = "files"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def fetch(self, uri: str) -> Document | Skipped:
        if isinstance(self.answer, Exception):
            raise self.answer
        return replace(self.answer, uri=uri)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "answer",
    [
        Skipped("", "access denied"),
        AuthError("the token was revoked"),
        ValueError("a defect"),
        Document(uri="", body=b"PK\x03\x04 broken archive", path="x.zip", media_type="application/zip"),
    ],
    ids=["denied", "auth", "defect", "broken"],
)
def test_what_is_no_answer_changes_nothing(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(
        "unsprawl.workers.sources_of", lambda _config, names: dict.fromkeys(names, Odd(answer))
    )
    outcome = again(store, config)
    assert {one.look for one in outcome.looked} == {"unknown"}
    assert len(store.places(outcome.finding)) == 2


def test_a_source_that_is_not_configured_is_told(store: Store, config: Config) -> None:
    outcome = again(store, replace(config, sources={}))
    assert {one.reason for one in outcome.looked} == {"no source of this name is configured"}


def test_the_command_counts_and_exits_by_what_it_saw(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["findings", "refetch", "--config", str(config.file), "--format", "json"]
    assert main([*call, "--due"]) == 1
    assert main([*call, "--due"]) == 0  # the next look is due in days
    for name in ("a.env", "b.env"):
        (tmp_path / "box" / name).unlink()
    capsys.readouterr()
    assert main(call) == 0
    said = capsys.readouterr()
    assert '"counts":{"gone":2' in said.out
    assert "2 places gone, 0 stand, 0 unknown; 0 closed, 0 reopened." in said.err
    assert TOKEN not in said.out + said.err
    assert main([*call, "--due", "--rule", "x"]) == 2
