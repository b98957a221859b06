"""What the Jira source reads, and what it says of it. The laws of all sources are in test_source.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from issues import TOKEN, Run, build, content, crawl, serving

from unsprawl.crawlers.jira import source as jira
from unsprawl.crawlers.jira.walk import clock
from unsprawl.errors import AuthError
from unsprawl.estate.jira_server import JiraServer
from unsprawl.estate.jira_site import adf_of
from unsprawl.estate.loopback import Fault
from unsprawl.records import Audience, Part


@pytest.fixture(params=[True, False], ids=["cloud", "data-center"])
def server(request: pytest.FixtureRequest) -> Iterator[JiraServer]:
    with serving(request.param) as server:
        yield server


@pytest.fixture
def cloud() -> Iterator[JiraServer]:
    with serving() as server:
        yield server


def parts(run: Run, uri_end: str) -> dict[str, tuple[str, Part]]:
    """The text of each part by what stands behind the ``#`` of its uri, and the part itself."""
    (document,) = [one for uri, one in run.documents.items() if uri.endswith(uri_end)]
    body, borders = content(document), [*document.parts[1:], None]
    return {
        one.uri.partition("#")[2]: (body[one.start : after.start if after else None].decode().strip(), one)
        for one, after in zip(document.parts, borders, strict=True)
    }


# --- what is read --------------------------------------------------------------------------------


def test_every_place_of_an_issue_is_a_part_of_one_document(server: JiraServer) -> None:
    site = server.site
    site.project("OPS")
    entry = site.custom_field("Database entry")
    issue = site.issue(
        "OPS", "Move the shop", description="From a\nto b", environment="Debian", labels=["x", "y"]
    )
    issue.fields[entry] = {"self": "https://x.test/1", "id": "7", "value": "read only"}
    site.clock.pass_by(hours=1)  # type: ignore[attr-defined]
    said = site.comment(issue, "the name is shop", author="cleo")
    done = site.work(issue, "two hours with psql")
    site.link(issue, "the runbook", "https://wiki.test/run?x=1")
    issue.properties = {"proforma.forms": {"answer": {"text": "forty-two"}}}
    found = parts(crawl(build(server)), f"issue/{issue.id}")
    assert {name: text for name, (text, _) in found.items()} == {
        "summary": "Move the shop",
        "description": "From a\nto b",
        "environment": "Debian",
        entry: "Database entry: read only",
        "labels": "labels:\nx\ny",
        f"comment-{said}": "the name is shop",
        f"worklog-{done}": "two hours with psql",
        f"remotelink-{issue.links[0]['id']}": "the runbook\nhttps://wiki.test/run?x=1",
        "property-proforma.forms": "proforma.forms: answer: text: forty-two",
    }
    comment, description = found[f"comment-{said}"][1], found["description"][1]
    assert comment.author == "cleo@acme.test"
    assert comment.modified_at == issue.comments[0]["created"]
    assert comment.url is not None
    assert comment.url.startswith(f"{server.url}/browse/OPS-1?")
    assert said in comment.url
    assert (description.author, description.modified_at) == ("ann@acme.test", issue.created)


def test_rich_text_of_comments_is_joined(cloud: JiraServer) -> None:
    cloud.site.project("OPS")
    issue = cloud.site.issue("OPS", "x")
    inline = [{"type": "text", "text": "abc"}, {"type": "text", "text": "def", "marks": [{"type": "strong"}]}]
    cloud.site.comment(
        issue, {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": inline}]}
    )
    assert "abcdef\n" in crawl(build(cloud)).text(f"issue/{issue.id}")


def test_more_comments_worklogs_and_changes_than_a_search_gives(server: JiraServer) -> None:
    site, server.few = server.site, 5
    site.project("OPS")
    issue = site.issue("OPS", "x")
    for number in range(120):
        site.comment(issue, f"comment {number}")
    for number in range(7):
        site.work(issue, f"work {number}")
        site.edit(issue, "description", f"description-{number}")
    run = crawl(build(server))
    text = run.text(f"issue/{issue.id}")
    assert [line for line in text.splitlines() if line.startswith("comment")] == [
        f"comment {number}" for number in range(120)
    ]
    assert text.count("work ") == 7
    history = parts(run, f"issue/{issue.id}/history")
    assert [text for text, _ in history.values()] == [
        f"description: description-{number}" for number in reversed(range(6))
    ]
    if server.cloud:
        assert len(server.asked("changelog")) == 1  # in bulk


def test_what_was_removed_from_a_field_is_told_as_such(server: JiraServer) -> None:
    site = server.site
    site.project("OPS")
    key = site.custom_field("API key")
    issue = site.issue("OPS", "x", description="the host is db.acme.test\nand the word is swordfish-77")
    issue.fields[key] = "number-one"
    site.edit(issue, "description", "the host is db.acme.test\nask Ann", author="dora")
    site.edit(issue, key, "number-two", author="emil")
    site.edit(issue, "status", "Done")
    run = crawl(build(server))
    assert "swordfish" not in run.text(f"issue/{issue.id}")
    told = [(text, one.attrs, one.author) for text, one in parts(run, "/history").values()]
    assert [text for text, _, _ in told] == [
        "API key: number-one",
        "description: and the word is swordfish-77",
    ]
    assert [attrs["removed_from"] for _, attrs, _ in told] == ["API key", "Description"]
    assert told[1][1]["removed_by"] == told[1][2] == "dora@acme.test"
    assert "still readable in the history" in str(told[1][1]["history"])


def test_what_came_back_is_no_longer_in_the_history(cloud: JiraServer) -> None:
    site = cloud.site
    site.project("OPS")
    issue = site.issue("OPS", "x", description="the word is swordfish-77")
    site.edit(issue, "description", "ask Ann")
    first = crawl(build(cloud))
    site.clock.pass_by(hours=1)  # type: ignore[attr-defined]
    site.edit(issue, "description", "the word is swordfish-77\nask Ann")
    second = crawl(build(cloud), first)
    assert second.text(f"{issue.id}/history") == ""
    assert crawl(build(cloud), second).documents == {}


def test_wiki_markup_in_the_history_is_no_removal(cloud: JiraServer) -> None:
    cloud.site.project("OPS")
    issue = cloud.site.issue(
        "OPS", "x", description=adf_of("see the runbook at https://wiki.test/a\nterraform apply")
    )
    item = {"field": "description", "fieldId": "description", "from": None, "to": None, "toString": ""}
    item["fromString"] = "see *the runbook* at [https://wiki.test/a]\n{code:bash}terraform apply{code}"
    issue.histories.append(
        {"id": "9", "author": "bob", "created": issue.created, "items": [item]},
    )
    assert not [uri for uri in crawl(build(cloud)).documents if uri.endswith("/history")]


def test_large_files_are_streams_and_too_large_ones_are_left_out(server: JiraServer) -> None:
    server.site.project("OPS")
    issue = server.site.issue("OPS", "x")
    large = server.site.attach(issue, "dump é\x1b[31m.sql", bytes(range(256)) * (5 << 12), "application/sql")
    larger = server.site.attach(issue, "disk.img", b"x" * (6 << 20))
    empty = server.site.attach(issue, "empty", b"")
    run = crawl(build(server, max_attachment_bytes=(6 << 20) - 1))
    top = server.url.replace("http", "jira", 1)
    document = run.documents[f"{top}/attachment/{large}"]
    assert not isinstance(document.body, bytes)
    with document.body.open(1000) as file:
        assert file.read(4) == bytes(range(1000 % 256, 1000 % 256 + 4))
    assert document.attrs["issue"] == "OPS-1"
    assert content(run.documents[f"{top}/attachment/{empty}"]) == b""
    assert run.skipped[f"{top}/attachment/{larger}"].excluded


def test_a_deleted_file_leaves_nothing_behind(cloud: JiraServer) -> None:
    cloud.site.project("OPS")
    issue = cloud.site.issue("OPS", "x")
    number = cloud.site.attach(issue, "a.txt", b"content")
    first = crawl(build(cloud))
    cloud.site.clock.pass_by(hours=1)  # type: ignore[attr-defined]
    cloud.site.detach(issue, number)
    second = crawl(build(cloud), first)
    assert second.text(f"attachment/{number}") == ""
    assert crawl(build(cloud), second).documents == {}


def test_projects_and_filters_are_documents(server: JiraServer) -> None:
    site = server.site
    site.project(
        "OPS", description="We run it.", components=[{"name": "db", "description": "on db.acme.test"}]
    )
    site.projects["OPS"].properties = {"deploy": {"branch": "main"}}
    site.saved_search("mine", 'text ~ "what I seek"', shared="")
    run = crawl(build(server))
    assert run.text("project/OPS") == "Ops\nWe run it.\ndb: on db.acme.test\ndeploy: branch: main"
    assert run.text(f"filter/{site.filters[0]['id']}") == 'mine\ntext ~ "what I seek"'


# --- who can read it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grants", "audience"),
    [
        ([{"type": "anyone"}], Audience.PUBLIC),
        ([{"type": "applicationRole"}, {"type": "group", "parameter": "g"}], Audience.ORGANISATION),
        ([{"type": "group", "parameter": "g"}], Audience.RESTRICTED),
        ([{"type": "applicationRole", "parameter": "jira"}], Audience.RESTRICTED),
        ([{"type": "sd.customer.portal.only"}, {"type": "applicationRole"}], Audience.EXTERNAL),
        ([], Audience.UNKNOWN),
    ],
)
def test_the_audience_is_who_may_browse(
    cloud: JiraServer, grants: list[dict[str, str]], audience: Audience
) -> None:
    cloud.site.project("OPS", grants=tuple(grants))
    issue = cloud.site.issue("OPS", "x")
    run = crawl(build(cloud))
    assert {one.audience for uri, one in run.documents.items() if uri.endswith(issue.id)} == {audience}


def test_an_account_that_may_not_ask_knows_public_projects_only(cloud: JiraServer) -> None:
    cloud.administers = False
    cloud.site.project("PUB", grants=({"type": "anyone"},))
    for number in range(8):
        cloud.site.project(f"P{number}")
        cloud.site.issue(f"P{number}", "x")
    hidden = cloud.site.issue("PUB", "x", security={"name": "team"})
    issue = cloud.site.issue("PUB", "x")
    run = crawl(build(cloud))
    audiences = {uri.rpartition("/")[2]: one.audience for uri, one in run.documents.items()}
    assert audiences[issue.id] == Audience.PUBLIC
    assert audiences[hidden.id] == Audience.RESTRICTED
    assert audiences["P7"] == Audience.UNKNOWN
    assert len(cloud.asked("permissionscheme")) == 3


# --- who asks ------------------------------------------------------------------------------------


def test_wrong_credentials_are_no_empty_site(server: JiraServer) -> None:
    server.token = "another"
    server.site.project("PUB", grants=({"type": "anyone"},))
    with pytest.raises(AuthError):
        crawl(build(server))


def test_a_captcha_is_told(cloud: JiraServer) -> None:
    denied = {"x-seraph-loginreason": "AUTHENTICATION_DENIED", "content-type": "application/json"}
    cloud.faults = [Fault("myself", status=200, headers=denied, body=b"{}")]
    with pytest.raises(AuthError, match="captcha"):
        crawl(build(cloud))


def test_an_account_that_sees_nothing_says_so(cloud: JiraServer) -> None:
    (skipped,) = crawl(build(cloud)).skipped.values()
    assert "no project can be browsed" in skipped.reason
    assert "Browse projects" in skipped.hint


def test_without_credentials_everyone_reads_what_is_public(server: JiraServer) -> None:
    server.site.project("OPS")
    server.site.project("PUB", grants=({"type": "anyone"},))
    for key in ("OPS", "PUB"):
        server.site.issue(key, f"in {key}")
    run = crawl(build(server, user="", token=None, deployment="cloud" if server.cloud else "data-center"))
    texts = [content(one).decode() for uri, one in run.documents.items() if "/issue/" in uri]
    assert texts == ["in PUB\n"]


def test_only_the_projects_that_are_named(server: JiraServer) -> None:
    for key in ("DEV", "OPS", "OPSX", "HR"):
        server.site.project(key)
        server.site.issue(key, key)
    run = crawl(build(server, projects=("OPS*", "NONE"), exclude=("OPSX",)))
    assert {one.path for one in run.documents.values()} == {"OPS", "OPS/OPS-1"}
    told = {uri.rpartition("/")[2]: one.excluded for uri, one in run.skipped.items()}
    assert told == {"OPSX": True, "NONE": False}


def test_large_projects_are_a_unit_for_each_year(cloud: JiraServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jira, "LARGE", 10)
    cloud.zone = "Asia/Kathmandu"
    cloud.site.project("OPS")
    for days in range(0, 1100, 50):
        cloud.site.issue("OPS", f"{days} days old", age=timedelta(days=days))
    run = crawl(build(cloud))
    assert [one.rpartition("=")[2] for one in run.cursors if "created" in one] == [
        "2023",
        "2024",
        "2025",
        "2026",
    ]
    assert sum("/issue/" in uri for uri in run.documents) == 22
    assert run.repeated == []
    assert crawl(build(cloud), run).documents == {}


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("UTC", "2026/10/25 00:30"),
        ("Europe/Berlin", "2026/10/25 01:30"),  # 02:30 comes twice that night: the earlier is asked for
        ("America/St_Johns", "2026/10/24 22:00"),
        ("Mars/Crater", "2026/10/23 22:30"),
        ("", "2026/10/23 22:30"),
    ],
)
def test_times_are_those_of_the_user(zone: str, written: str) -> None:
    assert clock(datetime(2026, 10, 25, 0, 30, 59, tzinfo=UTC), zone) == written


def test_the_removed_search_is_never_called(cloud: JiraServer) -> None:
    cloud.site.project("OPS")
    cloud.site.issue("OPS", "x")
    first = crawl(build(cloud))
    crawl(build(cloud), first)
    list(build(cloud).diagnose())
    assert not cloud.asked(r"/rest/api/\d/search(\?|$)")
    assert cloud.asked("search/jql")


def test_doctor_says_what_is_there_and_what_is_missing(server: JiraServer) -> None:
    server.administers = False
    server.site.project("OPS")
    server.site.project("OLD", archived=True)
    server.site.issue("OPS", "x")
    told = {one.what: one for one in build(server, projects=("OPS", "HR")).diagnose()}
    assert told["search issues of OPS"].ok
    assert not told["1 archived projects are not searched"].ok
    assert not told["HR: no such project is shown to this account"].ok
    assert told["who can read a project stays unknown"].hint
    server.token = "another"
    (failed,) = build(server).diagnose()
    assert not failed.ok
    assert failed.hint
    assert TOKEN not in repr(failed)
