"""Source types come by entry points, ours and everybody's, and a broken one is told by its owner's name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unsprawl.config import load
from unsprawl.errors import ConfigError
from unsprawl.plugins import build_source, source_type, source_types

Install = Callable[[str, str, str], None]

GOOD = """
from unsprawl.config import Reference, SourceConfig

class EchoSource:
    type = "echo"
    reads_in = "worker"

    class Config(SourceConfig, frozen=True, kw_only=True):
        url: str
        token: Reference | None = None

    def __init__(self, name, config):
        self.name, self.config = name, config

    def units(self, seen):
        return ()

    def read(self, unit, since, seen):
        return iter(())
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package with one entry point on the path, as an installer would."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(distribution: str, entry: str, code: str) -> None:
        module = entry.partition("= ")[2].partition(":")[0]
        if code:
            (tmp_path / f"{module}.py").write_text(code, "utf-8")
        metadata = tmp_path / f"{distribution}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n", "utf-8"
        )
        (metadata / "entry_points.txt").write_text(f"[unsprawl.sources]\n{entry}\n", "utf-8")
        source_types.cache_clear()

    yield put
    source_types.cache_clear()


def test_the_built_in_surfaces_are_registered() -> None:
    assert {"files", "registry", "s3"} <= set(source_types())


def test_the_name_of_a_type_is_its_modules_name() -> None:
    for name, entry in source_types().items():
        assert entry.module.removesuffix(".source") == f"unsprawl.crawlers.{name}"
        assert source_type(name).__dict__.get("type", name) == name


def test_a_plug_in_is_a_source_like_ours(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-echo", "echo = acme_echo:EchoSource", GOOD)
    (tmp_path / "c.yaml").write_text(
        'sources: {e: {type: echo, url: "http://h.test", token: "${ACME}"}}', "utf-8"
    )
    configured = load(tmp_path / "c.yaml").sources["e"]
    monkeypatch.setenv("ACME", "value")
    source = build_source(configured.name, configured.type, configured.config)
    assert (source.name, source.type) == ("e", "echo")


def test_a_missing_variable_is_told_with_source_and_key(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-echo2", "echo2 = acme_echo2:EchoSource", GOOD)
    monkeypatch.delenv("ACME", raising=False)
    (tmp_path / "c.yaml").write_text('sources: {e: {type: echo2, url: u, token: "${ACME}"}}', "utf-8")
    configured = load(tmp_path / "c.yaml").sources["e"]
    with pytest.raises(ConfigError, match=r"^sources\.e\.token: the environment variable ACME is not set"):
        build_source(configured.name, configured.type, configured.config)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('no license')\n", "RuntimeError: no license"),
        ("import a_module_nobody_has\n", "ModuleNotFoundError"),
        ("", "cannot be loaded"),
        ("Broken = 5\n", "has no Config"),
        ("class Broken:\n    class Config:\n        pass\n", "has no Config"),
    ],
)
def test_a_broken_plug_in_is_told_by_the_name_of_its_package(install: Install, code: str, says: str) -> None:
    name = f"broken{abs(hash(code))}"
    install(f"acme-{name}", f"{name} = acme_{name}:Broken", code)
    with pytest.raises(ConfigError, match=says) as caught:
        source_type(name)
    assert f"acme-{name} 1.2" in str(caught.value)


def test_a_plug_in_without_our_base_is_refused(install: Install, tmp_path: Path) -> None:
    code = "import msgspec\nclass Odd:\n    class Config(msgspec.Struct):\n        a: int = 1\n"
    install("acme-odd", "odd = acme_odd:Odd", code)
    (tmp_path / "c.yaml").write_text("sources: {e: {type: odd}}", "utf-8")
    with pytest.raises(ConfigError, match=r"c\.yaml:1: sources\.e\.type: .*SourceConfig"):
        load(tmp_path / "c.yaml")


def test_two_packages_cannot_share_a_type(install: Install) -> None:
    install("acme-files", "files = acme_files:Files", GOOD)
    with pytest.raises(ConfigError, match=r"acme-files 1\.2"):
        source_types()


def test_an_unknown_type_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="did you mean 'registry'") as caught:
        source_type("registri")
    assert "files" in caught.value.hint


def test_what_a_source_needs_is_loaded_before_its_threads_meet():
    """Threads that load libraries with circles in their imports at once end in a deadlock error."""
    code = """
import subprocess
import sys, threading
from unsprawl import plugins
sys.setswitchinterval(1e-6)
faults = []
def load(kind):
    try:
        plugins.load_needs(plugins.source_type(kind))
    except BaseException as error:
        faults.append(repr(error))
kinds = ("jira", "confluence", "slack", "s3", "registry", "engine")
threads = [threading.Thread(target=load, args=(kind,)) for kind in kinds]
[one.start() for one in threads]; [one.join() for one in threads]
assert not faults, faults
assert {"boto3", "docker", "slack_sdk", "atlassian.rest_client"} <= set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
