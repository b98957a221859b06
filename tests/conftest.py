"""What every test stands on: a home of its own, no network beyond loopback, reproducible properties."""

from __future__ import annotations

import ipaddress
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unsprawl",
    deadline=None,
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "soak", parent=settings.get_profile("unsprawl"), derandomize=False, max_examples=5000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unsprawl"))

#: Anything here would make a test read the settings of whoever runs it.
FOREIGN = (
    "AWS_",
    "DOCKER_",
    "SLACK_",
    "UNSPRAWL_",
    "VAULT_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NETRC",
)


def _refuse_the_network(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect" or not isinstance(arguments[1], tuple):
        return
    host = str(arguments[1][0])
    try:
        local = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        local = host in {"localhost", ""}
    if not local:
        # No OSError: code under test would take that for an ordinary failure, and the test would pass.
        raise RuntimeError(f"a test connects to {host}; tests stay on the loopback interface")


def pytest_configure() -> None:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request of every server
    sys.addaudithook(_refuse_the_network)


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys, caches and credentials of the tests never meet those of the person who runs them.

    The cache is shared by the test processes of one run: compiling the rules takes seconds.
    """
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(FOREIGN):
                patch.delenv(name)
        home: Path = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("NO_COLOR", "1")
        patch.setenv("COLUMNS", "120")
        yield
