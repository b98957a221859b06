"""Our requests to GitHub, held against GitHub's own description of its API (``api.github.com.json``).

The description comes from npm, ``@octokit/openapi``, which stands beside Prism (``make test-servers``).
Answers are our server's: it shows a part of what GitHub does.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import ci_worlds
import pytest
from ci_worlds import CiWorld
from prism import described_by, mocked

from unsprawl.estate.actions_server import ActionsServer
from unsprawl.estate.loopback import Answer, Request
from unsprawl.records import Document, Skipped, Unit

pytestmark = pytest.mark.contracts


class Described(ActionsServer):
    """Asks Prism what it thinks of each request before it answers by itself."""

    prism = ""

    def __init__(self, like: ActionsServer) -> None:
        super().__init__(like.builds, like.token, like.storage)
        self.bad: list[str] = []

    def answer(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.prism).netloc, timeout=60)
        try:
            headers = {name: value for name, value in request.headers.items() if name != "host"}
            connection.request(request.method, request.raw, request.body or None, headers)
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        if response.status in (404, 405, 422, 500):
            self.bad.append(f"{request.method} {request.line}: {response.status}")
        return super().answer(request)


@pytest.fixture
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CiWorld, Described]]:
    log = tmp_path_factory.mktemp("prism") / "log"
    with (
        mocked(described_by("@octokit/openapi", "generated/api.github.com.json"), log) as url,
        ci_worlds.opened("github") as here,
    ):
        assert isinstance(here.server, ActionsServer)
        with Described(here.server) as server:
            server.prism = url
            yield here, server


def test_every_request_is_one_that_github_describes(described: tuple[CiWorld, Described]) -> None:
    here, server = described
    here.builds.projects["acme/shop"].runs[0].jobs[0].summary = "all is well"
    for projects in ((), ("acme",), ("acme/shop",)):
        source = here.build(server.url, projects=projects)
        documents = []
        for unit in source.units(lambda _: None):
            assert isinstance(unit, Unit)
            documents += [
                one for one in source.read(unit, None, lambda _: None) if not isinstance(one, Skipped)
            ]
        found = [one for one in documents if isinstance(one, Document)]
        assert len(found) > 10
        assert all(isinstance(source.fetch(one.uri), Document) for one in found)
        assert all(one.ok for one in source.diagnose())
        source.close()
    assert server.bad == []
    kinds = {request.path.partition("/actions/")[2].partition("/")[0] for request in server.requests}
    assert {"runs", "jobs", "artifacts", "variables", "organization-variables", "permissions"} <= kinds


def test_prism_does_check(described: tuple[CiWorld, Described]) -> None:
    _, server = described
    source = described[0].build(server.url)
    source._system()._desk.spider.get("/repos/acme/shop/actions/runs?per_page=many")  # type: ignore[attr-defined]
    source._system()._desk.spider.get("/repos/acme/shop/actions/nothing")  # type: ignore[attr-defined]
    source.close()
    assert len(server.bad) == 2, server.bad
