"""Servers of others, started on the loopback interface for as long as they are needed."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["docker_registry", "free_port", "has_docker_registry"]

_PROGRAM: Final = "docker-registry"
_PATIENCE: Final = 15.0


def has_docker_registry() -> bool:
    """Whether the CNCF distribution registry is installed (Debian: ``docker-registry``)."""
    return shutil.which(_PROGRAM) is not None


def free_port() -> int:
    """A port that nothing listens on. Someone else may take it before us: starting then fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def docker_registry(
    directory: Path, port: int = 0, *, auth: Mapping[str, Any] | None = None, access_log: bool = False
) -> Iterator[str]:
    """The real registry with its data in ``directory``, its log in ``registry.log``. Gives its address."""
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    settings = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": not access_log}, "level": "error"},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "unsprawl-demo"},
        **({"auth": dict(auth)} if auth else {}),
    }
    file = directory / "registry.yml"
    file.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    program = shutil.which(_PROGRAM)
    assert program is not None
    with (directory / "registry.log").open("ab") as log:
        process = subprocess.Popen([program, "serve", str(file)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _await(f"{url}/v2/", process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as anything is answered: a 401 is an answer too."""
    deadline = time.monotonic() + _PATIENCE
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        try:
            direct.open(url, timeout=2).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            if process.poll() is not None:
                raise OSError(f"{_PROGRAM} ended at once with status {process.returncode}") from None
            time.sleep(0.02)
        else:
            return
    raise OSError(f"{_PROGRAM} does not answer after {_PATIENCE:.0f} s")
