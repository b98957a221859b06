"""Real container engines for as long as a test needs them: Docker and Podman from Debian."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["docker_engine", "podman_engine"]

_PATIENCE = 30.0


@contextlib.contextmanager
def docker_engine() -> Iterator[str]:
    """The address of a Docker engine with a store of its own."""
    with _folder() as top:
        command = ["dockerd", "--data-root", f"{top}/data", "--exec-root", f"{top}/exec", "-p", f"{top}/pid"]
        command += ["-H", f"unix://{top}/s", "--iptables=false", "--ip6tables=false", "--bridge=none"]
        command += ["--storage-driver=vfs"]
        with _running(command, top):
            yield f"unix://{top}/s"


@contextlib.contextmanager
def podman_engine() -> Iterator[str]:
    """The address of a Podman service with a store of its own."""
    with _folder() as top:
        command = ["podman", "--root", f"{top}/root", "--runroot", f"{top}/run", "--storage-driver", "vfs"]
        command += ["system", "service", "--time=0", f"unix://{top}/s"]
        with _running(command, top):
            yield f"unix://{top}/s"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # The path of a socket may have a hundred characters: those of pytest are longer.
    top = Path(tempfile.mkdtemp(prefix="unsprawl-"))
    try:
        yield top
    finally:
        shutil.rmtree(top, ignore_errors=True)


@contextlib.contextmanager
def _running(command: list[str], top: Path) -> Iterator[None]:
    with (top / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=top)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _answers(top / "s"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise OSError((top / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(path: Path) -> bool:
    """Asked without the SDK, which forgets sockets that it could not connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
            probe.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            return b" 200 " in probe.recv(100)
        except OSError:
            return False
