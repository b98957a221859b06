"""Our requests to Confluence Cloud's API v2, and our server's answers, against the official description."""

from __future__ import annotations

from pathlib import Path

import pytest
import wikis
from prism import Splitter, description, proxied
from wikis import Memory, crawl, small_wiki, source

from unsprawl.estate.confluence_server import ConfluenceServer

pytestmark = pytest.mark.contracts


def test_requests_and_answers_are_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wikis.VARIABLE, wikis.TOKEN)
    described = description("confluence-cloud-v2.openapi.json")
    wiki = small_wiki()
    wiki.of("page")[0].properties = {"app": {"on": True}}
    wiki.write("DEV", "Diagram", "<p>a</p>", "<p>b</p>", kind="custom", type="ac:app:diagram")
    for number in range(30):
        wiki.write("DEV", f"Page {number}", "<p>text</p>")
    settings = {"properties": True, "custom_content": ("ac:app:diagram",)}
    with (
        ConfluenceServer(wiki, wikis.USER, wikis.TOKEN) as server,
        proxied(described, server.url, tmp_path / "prism.log") as prism,
        Splitter("/api/v2/", prism, server.url) as front,
    ):
        server.largest = 20
        front.site = f"{front.url}/wiki"  # type: ignore[attr-defined]
        memory = Memory()
        first = crawl(source(front, **settings), memory)  # type: ignore[arg-type]
        assert front.bad == []
        assert (first.skipped, first.failed) == ({}, {})
        assert len(first.documents) > 80
        wiki.live = True
        wiki.edit(wiki.of("page")[0], "<p>new</p>")
        wiki.comment(wiki.of("page")[1], "<p>new</p>")
        second = crawl(source(front, **settings), memory)  # type: ignore[arg-type]
        assert front.bad == []
        assert len(second.documents) == 4
        made = source(front, **settings)  # type: ignore[arg-type]
        for uri in first.documents:
            made.fetch(uri)
        assert [line for line in front.bad if " 404 " not in line] == []
        assert front.through > 60
        # It would have told: an unknown format of bodies is refused.
        assert made._made is not None
        with pytest.raises(Exception, match="422"):
            made._made[2][0].get("api/v2/pages", {"body-format": "none"}, what="pages")
