"""A small wiki, and both kinds of Confluence that serve it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import wikis

from unsprawl.estate.confluence_center_server import ConfluenceCenterServer
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.wiki_model import Wiki


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wikis.VARIABLE, wikis.TOKEN)


@pytest.fixture
def wiki() -> Wiki:
    return wikis.small_wiki()


@pytest.fixture
def cloud(wiki: Wiki) -> Iterator[ConfluenceServer]:
    with ConfluenceServer(wiki, wikis.USER, wikis.TOKEN) as server:
        yield server


@pytest.fixture(params=["cloud", "data center"])
def server(wiki: Wiki, request: pytest.FixtureRequest) -> Iterator[wikis.Server]:
    if request.param == "cloud":
        with ConfluenceServer(wiki, wikis.USER, wikis.TOKEN) as cloud:
            yield cloud
    else:
        with ConfluenceCenterServer(wiki, wikis.TOKEN) as center:
            yield center
