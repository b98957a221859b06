"""The layout keeps its promises: links equal the mapping, nothing is nested, no module outgrows a reader."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
MAPPED = {package.split(".")[1]: folder for package, folder in SETUPTOOLS["package-dir"].items()}
REAL = [ROOT / "unsprawl", *(ROOT / folder for folder in MAPPED.values())]
MODULES = sorted(path for folder in REAL for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
CODE = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
LONGEST = 400


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_links_equal_the_mapping() -> None:
    links = {p.name: p.readlink().as_posix() for p in (ROOT / "unsprawl").iterdir() if p.is_symlink()}
    assert links == {name: f"../{folder}" for name, folder in MAPPED.items()}


def test_every_package_of_the_tree_is_declared() -> None:
    # A package that is not declared is seen by an editable install and left out of the wheel.
    top = {p for p in (ROOT / "unsprawl").iterdir() if p.is_dir() and p.name != "__pycache__"}
    below = {p.parent for folder in top for p in folder.glob("*/__init__.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in top | below}
    assert {"unsprawl", *names} == set(SETUPTOOLS["packages"])


def test_packages_are_two_levels_deep_at_most() -> None:
    homes = {path.parent for path in MODULES}
    tops = {*REAL, *(folder for folder in (ROOT / "unsprawl").iterdir() if folder.is_dir())}
    assert all(home in tops or home.parent in tops for home in homes)


def test_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_no_module_outgrows_a_reader(path: Path) -> None:
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    assert len(lines) <= LONGEST


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=relative)
def test_every_module_says_its_duty(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    ahead = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert ahead, "from __future__ import annotations"


def test_constraints_are_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert len(set(names)) == len(names)


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(d for extra in project["optional-dependencies"].values() for d in extra),
    ]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=;! ]", line)[0]).lower() for line in wanted}
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert names <= {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in pinned}
