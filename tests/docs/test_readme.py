"""What people read first says what the program does: commands, exit codes, targets, sources, links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from unsprawl.cli import COMMANDS
from unsprawl.errors import ExitCode

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', page))


def test_the_readme_lists_every_command_and_no_other() -> None:
    assert set(re.findall(r"^\| `unsprawl ([a-z]+)", README, re.MULTILINE)) == set(COMMANDS)


def test_the_readme_lists_every_exit_code() -> None:
    table = {int(code): text for code, text in re.findall(r"^\| (\d) \| (.+?) \|$", README, re.MULTILINE)}
    assert {code: text.split(":")[0].split()[0] for code, text in table.items()} == {
        code.value: code.name.lower() for code in ExitCode
    }


def test_the_errors_table_gives_each_class_its_exit_code() -> None:
    from unsprawl import errors

    rows = re.findall(r"^\| .+? \| `([A-Za-z]+Error)\b.* \| (\d) \|$", ARCHITECTURE, re.MULTILINE)
    told = {name: int(code) for name, code in rows}
    public = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    leaves = [kind for kind in public if kind.__name__ not in {"UnsprawlError", "SourceError"}]
    assert told == {kind.__name__: int(kind.exit_code) for kind in leaves}


def test_the_status_table_names_every_source() -> None:
    row = re.search(r"^\| surfaces \| (.+?) \|", README, re.MULTILINE)
    assert row
    assert set(re.findall(r"`([a-z0-9]+)`", row[1])) == set(PROJECT["entry-points"]["unsprawl.sources"])


def test_the_formats_are_those_of_the_program() -> None:
    from unsprawl.cli_options import FORMATS

    told = re.search(r"`--format ([a-z|]+)`", README)
    assert told
    assert told[1].split("|") == list(FORMATS)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_make_targets_exist(page: Path) -> None:
    named = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE))
    assert named <= targets()


def test_contributing_lists_what_developers_need() -> None:
    named = re.findall(
        r"^\$ make ([a-z -]+?) +#|^\$ make ([a-z]+)$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    listed = {target for pair in named for text in pair for target in text.split()}
    assert targets() - listed == {"help", "demo", "clean"}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]*(?:#[^)\s]+)?)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text("utf-8")), target


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=relative)
def test_every_page_is_reached_from_the_index(page: Path) -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert page.name == "index.md" or f"]({page.relative_to(ROOT / 'docs').as_posix()})" in index


def test_the_changelog_has_an_unreleased_part_or_this_version() -> None:
    from unsprawl import __version__

    assert PROJECT["version"] == __version__
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "\n## Unreleased\n" in changelog or f"\n## {__version__}" in changelog
