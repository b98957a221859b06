"""What is installed is what is in the tree: the wheel holds every module and every data file, and it runs.

It is built as a release is built, tree to source distribution to wheel, because that is where other
build backends lose linked folders without a word.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def expected() -> set[str]:
    """The names that a wheel of this tree must hold, metadata aside."""
    names = {"unsprawl/py.typed"}
    for package in SETUPTOOLS["packages"]:
        folder = ROOT / package.replace(".", "/")  # through the links
        home = package.replace(".", "/")
        names |= {f"{home}/{path.name}" for path in folder.glob("*.py*") if path.is_file()}
        for pattern in SETUPTOOLS["package-data"].get(package, ()):
            names |= {
                f"{home}/{p.relative_to(folder).as_posix()}" for p in folder.glob(pattern) if p.is_file()
            }
    return names


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution and the wheel made from it, of a copy of what git tracks or would track."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode == 0:
        names = [name for name in os.fsdecode(listed.stdout).split("\0") if name]
    else:  # an unpacked source archive has no git
        names = [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if p.is_symlink() or p.is_file()]
    for name in names:
        source, target = ROOT / name, tree / name
        if not os.path.lexists(source):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            target.write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_the_wheel_holds_every_module_and_data_file(built: tuple[Path, Path]) -> None:
    with ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    # What is compiled is missing where no compiler is, and the wheel works all the same.
    compiled = {module["name"].replace(".", "/") + ".abi3.so" for module in SETUPTOOLS["ext-modules"]}
    assert names - compiled == expected()


def test_the_wheel_brings_one_top_level_name(built: tuple[Path, Path]) -> None:
    with ZipFile(built[1]) as wheel:
        tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"unsprawl"}


def test_the_source_distribution_holds_the_licence_and_the_rules(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    rules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "detectors" / "rules").glob("*.yaml")}
    assert {"LICENSE", "README.md", *rules} <= names


def test_the_installed_command_runs_without_the_tree(built: tuple[Path, Path], tmp_path: Path) -> None:
    home = tmp_path / "site"
    with ZipFile(built[1]) as wheel:
        wheel.extractall(home)
    # A module of the same name in the working folder is the accident that flat package names invite.
    (tmp_path / "models.py").write_text("raise RuntimeError('the user own models.py was imported')")
    environment = {**os.environ, "PYTHONPATH": str(home)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    where = run("-c", "import unsprawl.store; print(unsprawl.store.__file__)")
    assert where.stdout.strip() == str(home / "unsprawl" / "store" / "__init__.py"), where.stderr
    rules = run("-m", "unsprawl", "rules", "list", "--format", "json")
    assert rules.returncode == 0, rules.stderr
    assert '"provider"' in rules.stdout
