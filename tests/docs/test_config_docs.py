"""docs/configuration.md and docs/concepts.md say what the program does: every key, type, word and code."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml

from unsprawl import config, records, yamltext
from unsprawl.config import AcceptedGap, ConfigFile, SourceConfig, Watchlist, load
from unsprawl.errors import ConfigError, ExitCode
from unsprawl.keeper_settings import SETTINGS
from unsprawl.plugins import build_source, source_type, source_types
from unsprawl.references import FORMS
from unsprawl.store.sink import Coverage

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text("utf-8")
NIGHTLY = ROOT / "configs" / "nightly.yaml"
WATCH = ROOT / "configs" / "breach-watch.yaml"
TYPES = sorted(source_types())


def section(page: str, title: str) -> str:
    """What stands below a heading, up to the next heading of any level."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, f"no section {title!r}"
    return match.group(1)


def table(text: str) -> dict[str, list[str]]:
    """The first column of a table (each word in code) and the rest of the row."""
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            rows |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1:])
    return rows


def keys(kind: type) -> set[str]:
    return set(kind.__struct_encode_fields__)  # type: ignore[attr-defined]


def test_every_top_level_key_is_documented_and_no_other() -> None:
    assert set(table(section(CONFIGURATION, "Top-level keys"))) == keys(ConfigFile)


def test_every_common_key_is_documented_and_no_other() -> None:
    assert set(table(section(CONFIGURATION, "Keys of every source"))) == keys(SourceConfig) | {"type"}
    assert set(table(section(CONFIGURATION, "Accepted gaps"))) == keys(AcceptedGap)


def test_every_source_type_is_documented_and_no_other() -> None:
    assert sorted(re.findall(r"^## Source type `(\w+)`", CONFIGURATION, re.MULTILINE)) == TYPES
    assert set(re.findall(r"^### `(\w+)`", section_tree(CONCEPTS, "Attributes"), re.MULTILINE)) == set(TYPES)


def section_tree(page: str, title: str) -> str:
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match
    return match.group(1)


@pytest.mark.parametrize("name", TYPES)
def test_every_key_of_a_type_is_documented_and_no_other(name: str) -> None:
    rows = table(section(CONFIGURATION, f"Source type `{name}`"))
    kind = source_type(name).Config
    assert set(rows) == keys(kind) - keys(SourceConfig)
    required = {field.name for field in config.type_info(kind).fields if field.required}  # type: ignore[attr-defined]
    assert {key for key, cells in rows.items() if cells[0] == "required"} == required


def test_every_form_of_a_reference_is_documented_and_no_other() -> None:
    assert set(table(section(CONFIGURATION, "References"))) == set(FORMS.split(", "))


def test_examples_in_the_page_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(accept:.*?)```", CONFIGURATION, re.DOTALL)
    assert blocks
    for block in blocks:
        entry = {"type": "files", "paths": ["."], **yaml.safe_load(block)}
        text = yaml.safe_dump({"sources": {"a": entry}})
        (tmp_path / "c.yaml").write_text(text, "utf-8")
        assert load(tmp_path / "c.yaml").sources["a"].config.accept


def test_the_error_in_the_page_is_what_is_said(tmp_path: Path) -> None:
    shown = re.search(r"```text\nnightly\.yaml:9: (.*)\n```", CONFIGURATION)
    assert shown
    file = tmp_path / "nightly.yaml"
    text = "\n" * 6 + 'sources:\n  images: {type: registry, url: "https://h.test",\n    tokne: "${A}"}\n'
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}:9: {shown.group(1)}"


# --- the example and the schema ------------------------------------------------------------------


def test_the_nightly_example_loads() -> None:
    loaded = load(NIGHTLY)
    assert {source.type for source in loaded.sources.values()} == {"files", "registry", "s3"}
    assert loaded.store == ROOT / "configs" / "unsprawl.db"


def test_the_watch_example_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "a stand-in")
    loaded = load(WATCH)
    assert {source.config.feed for source in loaded.sources.values()} == {  # type: ignore[attr-defined]
        *("gist", "pastebin", "pinnwand", "rss", "folder")
    }
    assert loaded.watch.domains
    for source in loaded.sources.values():
        build_source(source.name, source.type, source.config)
    content, _ = yamltext.parse(WATCH.read_text("utf-8"), "breach-watch.yaml")
    assert list(validator().iter_errors(content)) == []


def test_every_key_of_the_watchlist_is_documented_and_no_other() -> None:
    assert set(table(section(CONFIGURATION, "Watch"))) == keys(Watchlist)


def test_the_nightly_example_points_editors_at_the_schema() -> None:
    first = NIGHTLY.read_text("utf-8").splitlines()[0]
    pointer = first.partition("$schema=")[2]
    assert (NIGHTLY.parent / pointer).resolve() == ROOT / "docs" / "config.schema.json"


def test_what_the_example_leaves_commented_is_valid_too(tmp_path: Path) -> None:
    text = re.sub(r"^( *)# ([a-z_]+: .*)$", r"\1\2", NIGHTLY.read_text("utf-8"), flags=re.MULTILINE)
    lines = text.splitlines()
    used = [line for line in lines if not line.startswith("yaml-language-server")]
    text = "\n".join(used)
    assert {"key", "seal", "jobs", "rules"} <= set(yaml.safe_load(text))
    (tmp_path / "nightly.yaml").write_text(text, "utf-8")
    load(tmp_path / "nightly.yaml")


SWEEP = ROOT / "configs" / "sweep.yaml"


def test_the_sweep_example_is_valid_with_what_it_leaves_commented(tmp_path: Path) -> None:
    loaded = load(SWEEP)
    assert {source.type for source in loaded.sources.values()} >= {"slack", "jira", "files", "registry"}
    assert [keeper.type for keeper in loaded.known] == ["vault"]
    text = re.sub(r"^( *)# ([a-z_]+: .*)$", r"\1\2", SWEEP.read_text("utf-8"), flags=re.MULTILINE)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("yaml-language-server"))
    (tmp_path / "sweep.yaml").write_text(text, "utf-8")
    assert load(tmp_path / "sweep.yaml").jobs == 8
    from unsprawl import yamltext

    content, _ = yamltext.parse(text, "sweep.yaml")
    assert list(validator().iter_errors(content)) == []


def test_every_keeper_and_key_is_documented() -> None:
    page = table(section((ROOT / "docs" / "known.md").read_text("utf-8"), "Keepers"))
    assert set(page) == set(SETTINGS)
    for name, kind in SETTINGS.items():
        documented = set(re.findall(r"`(\w+)`", page[name][0]))
        assert documented == keys(kind) - {"exclude"}


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_takes_the_example() -> None:
    content, _ = yamltext.parse(NIGHTLY.read_text("utf-8"), "nightly.yaml")
    assert list(validator().iter_errors(content)) == []


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"sources": {}},
        {"sources": {"a": {"type": "files"}}},
        {"sources": {"a": {"type": "nothing"}}},
        {"sources": {"a": {"type": "files", "paths": ["."], "url": "x"}}},
        {"sources": {"a": {"type": "files", "paths": ["."]}}, "stoer": "x"},
        {"sources": {"a": {"type": "files", "paths": ["."]}}, "key": "a literal"},
        {"sources": {"a b": {"type": "files", "paths": ["."]}}},
        {"sources": {"a": {"type": "registry", "url": "https://h.test", "token": "a literal"}}},
    ],
)
def test_the_schema_refuses_what_the_program_refuses(tmp_path: Path, content: dict[str, object]) -> None:
    assert list(validator().iter_errors(content))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content), "utf-8")
    with pytest.raises(ConfigError):
        load(tmp_path / "c.yaml")


# --- concepts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Validity", records.Validity),
        ("Labels, environments, audiences", records.Label),
        ("Labels, environments, audiences", records.Environment),
        ("Labels, environments, audiences", records.Audience),
        ("Labels, environments, audiences", records.Severity),
    ],
)
def test_every_word_of_a_scale_is_explained(title: str, words: type[StrEnum]) -> None:
    text = section(CONCEPTS, title)
    assert [word.value for word in words if f"`{word.value}`" not in text] == []


def test_every_status_is_explained_and_no_other() -> None:
    assert set(table(section(CONCEPTS, "Status"))) == {status.value for status in records.Status}
    assert set(table(section(CONCEPTS, "The ledger"))) == {str(word) for word in words_of(Coverage)}


def words_of(kind: object) -> set[str]:
    return {word.value for word in kind} if isinstance(kind, type) else set(get_args(kind))  # type: ignore[attr-defined]


def test_every_exit_code_is_explained_and_no_other() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d) \|", section(CONCEPTS, "Exit codes"), re.MULTILINE)}
    assert codes == {int(code) for code in ExitCode}


@pytest.mark.parametrize("name", ["engine", "registry", "s3"])
def test_attributes_that_are_explained_exist(name: str) -> None:
    folders = (ROOT / "crawlers", ROOT / "unsprawl" / "oci")
    modules = "\n".join(path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py"))
    # Of a pair that is built from a verb (`deleted_in`, `overwritten_in`) the ending stands in the code.
    for attribute in table(section(CONCEPTS, f"`{name}`")):
        ending = attribute.removeprefix("deleted").removeprefix("overwritten")
        assert re.search(rf'["}}]{re.escape(ending)}"|\b{attribute}=', modules), attribute
