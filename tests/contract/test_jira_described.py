"""Our requests and our server's answers, both held against Atlassian's own description of its API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from issues import Clock, Run, build, crawl, serving
from prism import description, proxied

from unsprawl.estate.jira_server import JiraServer

pytestmark = pytest.mark.contracts


def described() -> dict[str, Any]:
    """The description without its examples (JSON within strings), and without the search that was removed."""
    found: dict[str, Any] = json.loads(description("jira-cloud-v3.openapi.json").read_text())
    # It says that links come one by one, where Jira gives (and its own example shows) a list.
    links = found["paths"]["/rest/api/3/issue/{issueIdOrKey}/remotelink"]["get"]["responses"]["200"]
    content = links["content"]["application/json"]
    content["schema"] = {"type": "array", "items": content["schema"]}
    found["paths"].pop("/rest/api/3/search", None)
    return without_examples(found)  # type: ignore[no-any-return]


def without_examples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_examples(child) for key, child in value.items() if key != "example"}
    return [without_examples(child) for child in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JiraServer, str]]:
    """A site with something of everything, and the address of the proxy in front of it."""
    folder = tmp_path_factory.mktemp("prism")
    (folder / "jira.json").write_text(json.dumps(described()))
    with serving() as server:
        fill(server)
        with proxied(folder / "jira.json", server.url, folder / "prism.log") as url:
            yield server, url


def fill(server: JiraServer) -> None:
    site, server.page, server.few = server.site, 5, 2
    site.project(
        "OPS", description="all of it", components=[{"id": "1", "name": "db", "description": "the db"}]
    )
    site.projects["OPS"].properties = {"deploy": {"branch": "main"}}
    site.project("PUB", grants=({"type": "anyone"},))
    entry = site.custom_field("Deployment")
    for number in range(12):
        issue = site.issue("OPS", f"issue {number}", age=timedelta(days=number), description="one\ntwo")
        issue.fields[entry] = "every day"
    for number in range(4):
        site.comment(issue, f"comment {number}")
        site.work(issue, f"work {number}")
        site.edit(issue, "description", f"text number {number}")
    site.attach(issue, "notes.txt", b"all is well")
    site.link(issue, "the runbook", "https://wiki.test/run")
    issue.properties = {"form": {"answer": "yes"}}
    site.saved_search("mine", "project = OPS")


def through(site: tuple[JiraServer, str], before: Run | None = None) -> Run:
    server, url = site
    return crawl(build(server, url=url), before)


def test_both_sides_keep_the_published_contract(site: tuple[JiraServer, str]) -> None:
    server, url = site
    first = through(site)
    assert first.skipped == {}
    assert sum("/issue/" in uri for uri in first.documents) == 13
    assert sum("/attachment/" in uri for uri in first.documents) == 1
    clock = server.site.clock
    assert isinstance(clock, Clock)
    clock.pass_by(hours=3)
    changed = next(iter(server.site.issues.values()))
    server.site.comment(changed, "the news")
    second = through(site, first)
    assert [uri.rpartition("/")[2] for uri in second.documents] == [changed.id]
    assert second.skipped == {}
    source = build(server, url=url)
    assert all(one.ok for one in source.diagnose())
    for uri in first.documents:
        assert type(source.fetch(uri)).__name__ == "Document", uri
    source.close()
    assert not server.asked(r"/rest/api/\d/search(\?|$)")


def test_the_proxy_does_check(site: tuple[JiraServer, str]) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path, status in (
        ("/rest/api/3/search?jql=x", 404),
        ("/rest/api/3/project/search?maxResults=abc", 422),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            direct.open(f"{site[1]}{path}", timeout=30)
        refused.value.close()
        assert refused.value.code == status
