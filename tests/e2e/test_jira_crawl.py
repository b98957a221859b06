"""A Jira that refuses and fails, crawled by the command people run: found once, told, continued."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from crawls import Crawl, killed
from issues import TOKEN, VARIABLE, serving

from unsprawl.estate.jira_server import JiraServer
from unsprawl.estate.loopback import Fault
from unsprawl.placeholders import fill

_ISSUES = 64
#: The request at which a crawl is killed: while it lists, in the middle of a page, behind a checkpoint.
_KILLED_AT = (6, 40, 90)


def token(name: object) -> str:
    return fill("<github-token:ghp_>", seed=f"jira {name}")


PASSWORD = fill("<alnum:18>", seed="jira password")


@pytest.fixture(scope="module")
def server() -> Iterator[JiraServer]:
    with serving(zone="Asia/Kolkata") as server:
        server.page, server.few = 25, 5
        site = server.site
        site.project("SHOP", description=f"deploy with {token('project')}")
        site.project("HR", closed=True)
        entry = site.custom_field("Deploy token")
        places = ("description", "comment", "file", "field", "work", "history", "link", "property")
        for number in range(_ISSUES):
            issue = site.issue("SHOP", f"Issue {number}", age=timedelta(hours=number))
            value, place = token(number), places[number % len(places)]
            if place == "description":
                issue.fields["description"] = f"export GITHUB_TOKEN={value}"
            elif place == "comment":
                for one in range(12):
                    site.comment(issue, f"GITHUB_TOKEN={value}" if one == 10 else f"comment {one}")
            elif place == "file":
                site.attach(issue, "env.txt", f"GITHUB_TOKEN={value}\n".encode())
            elif place == "field":
                site.edit(issue, entry, value)
            elif place == "work":
                site.work(issue, f"used {value} for it")
            elif place == "history":
                issue.fields["description"] = f"export GITHUB_TOKEN={value}"
                site.edit(issue, "description", "see the vault")
            elif place == "link":
                site.link(issue, "the deployment", f"https://ci.acme.test/?token={value}")
            else:
                issue.properties = {"deploy": {"token": value}}
        meeting = site.issue("SHOP", "The new database")
        site.comment(meeting, "host: db.acme.internal\nuser: migrator", author="ann")
        site.comment(meeting, f"password: {PASSWORD}", author="bob")
        closed = site.issue("SHOP", "For the board", description=f"GITHUB_TOKEN={token('closed')}")
        closed.closed = True
        site.saved_search("mine", f"text ~ {token('filter')}")
        yield server


def crawl_of(folder: Path, server: JiraServer) -> Crawl:
    source = {"type": "jira", "url": server.url, "user": server.user, "token": f"${{{VARIABLE}}}"}
    return Crawl(folder, source, {VARIABLE: TOKEN})


def test_everything_is_found_once_and_what_is_refused_is_told(tmp_path: Path, server: JiraServer) -> None:
    crawl = crawl_of(tmp_path / "crawl", server)
    server.faults = [
        Fault("/search/jql", 429, {"retry-after": "0"}, after=1, times=2),
        Fault("/comment", cut=80, times=1),
        Fault("/remotelink", reset=True, after=7, times=1),
    ]
    assert crawl.finish() == 3
    rows = crawl.rows("findings", "export")
    found = [row["fingerprint"] for row in rows]
    # Besides those of the issues: project, filter, password, and what a search shows of a refused issue.
    assert len(found) == len(set(found)) == _ISSUES + 4
    assert {row["author"] for row in rows if "password" in row["rule"]} == {"bob@acme.test"}
    (pair,) = [row for row in rows if "password" in row["rule"]]
    assert pair["companions"]["account"] == "migrator"
    assert pair["attrs"]["parts"]["account"]["uri"] != pair["uri"]
    removed = [row for row in rows if "removed_from" in row["attrs"]]
    assert len(removed) == _ISSUES // 8
    assert {row["attrs"]["removed_by"] for row in removed} == {"bob@acme.test"}
    gaps = [gap["uri"] for row in crawl.rows("coverage") for gap in row["gaps"]]
    closed = next(one.id for one in server.site.issues.values() if one.closed)
    assert sorted(uri.rpartition("/")[2] for uri in gaps) == sorted(["HR", closed])
    assert crawl.finish() == 3
    again = crawl.rows("coverage")
    assert sum(row["documents"] for row in again) == 1  # the refused one is tried again
    assert sorted(gap["uri"] for row in again for gap in row["gaps"]) == sorted(gaps)


def test_killed_at_any_request_it_converges(tmp_path: Path, server: JiraServer) -> None:
    server.faults = []
    undisturbed = crawl_of(tmp_path / "undisturbed", server)
    assert undisturbed.finish() == 3
    disturbed = crawl_of(tmp_path / "disturbed", server)
    killed(disturbed, server, _KILLED_AT)
    assert disturbed.finish() == 3
    assert disturbed.facts() == undisturbed.facts()
