"""init: what is asked becomes a configuration that loads, and no value is ever asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from unsprawl.cli_init import _SURFACES, init
from unsprawl.config import load
from unsprawl.errors import ConfigError
from unsprawl.plugins import source_types


def asked(folder: Path, answers: list[str], *options: str) -> str:
    result = CliRunner().invoke(
        init, [str(folder / "night.yaml"), *options], input="\n".join(answers) + "\n", standalone_mode=False
    )
    assert result.exception is None, result.exception
    return result.output


def test_one_folder_is_a_configuration_that_was_tried(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    told = asked(tmp_path, ["y", str(tmp_path / "tree"), *["n"] * (len(_SURFACES) - 1), ""])
    loaded = load(tmp_path / "night.yaml")
    assert [source.type for source in loaded.sources.values()] == ["files"]
    assert loaded.store == tmp_path / "night.db"
    assert "ok    disk" in told


def test_every_surface_can_be_chosen(tmp_path: Path) -> None:
    answers = ["y", "docs, src"]
    answers += ["y", ""]
    answers += ["y", "https://acme.atlassian.net/wiki", "bot@acme.test", ""]
    answers += ["y", "https://jira.acme.test", "", "$JIRA_TOKEN"]
    answers += ["y", "https://registry.acme.test", "", "-"]
    answers += ["y", ""]
    answers += ["y", "", "", ""]
    answers += ["y", "gitlab", "https://git.acme.test", "${GITLAB_TOKEN}"]
    told = asked(tmp_path, [*answers, "", ""], "--no-try")
    text = (tmp_path / "night.yaml").read_text("utf-8")
    loaded = load(tmp_path / "night.yaml")
    kinds = {source.type for source in loaded.sources.values()}
    assert kinds == {kind for _, kind, _, _ in _SURFACES}
    assert kinds | {"paste"} == set(source_types()), "what is watched is asked for by breach-watch.yaml"
    assert "${SLACK_TOKEN}" in text
    assert "${JIRA_TOKEN}" in text
    assert "${GITLAB_TOKEN}" in text
    assert "REGISTRY_TOKEN" not in text, "a dash is for none"
    assert "Set before that" in told


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "night.yaml").write_text("mine", "utf-8")
    with pytest.raises(ConfigError, match="is there already"):
        CliRunner().invoke(
            init, [str(tmp_path / "night.yaml")], standalone_mode=False, catch_exceptions=False
        )
    assert (tmp_path / "night.yaml").read_text("utf-8") == "mine"
