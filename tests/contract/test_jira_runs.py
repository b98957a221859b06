"""Later runs of the Jira source read what changed, at the price of what changed; broken ones converge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from issues import Clock, Run, build, crawl, serving

from unsprawl.estate.jira_server import JiraServer
from unsprawl.estate.jira_site import Issue, JiraSite
from unsprawl.estate.loopback import Fault
from unsprawl.records import Checkpoint, Document, Unit


@pytest.fixture(params=[True, False], ids=["cloud", "data-center"])
def server(request: pytest.FixtureRequest) -> Iterator[JiraServer]:
    with serving(request.param, zone="Pacific/Chatham") as server:
        yield server


def fill(site: JiraSite, projects: int, issues: int = 3) -> list[Issue]:
    made = []
    for number in range(projects):
        site.project(f"P{number}")
        made += [
            site.issue(f"P{number}", f"issue {age}", age=timedelta(days=age + 1), description="a")
            for age in range(issues)
        ]
    return made


def later(server: JiraServer, **more: float) -> None:
    clock = server.site.clock
    assert isinstance(clock, Clock)
    clock.pass_by(**(more or {"hours": 12}))
    server.requests.clear()


def test_two_hundred_projects_without_a_change_cost_one_search(server: JiraServer) -> None:
    fill(server.site, 200, issues=1)
    first = crawl(build(server))
    assert sum("/issue/" in uri for uri in first.documents) == 200
    later(server)
    second = crawl(build(server), first)
    assert second.documents == {}
    assert second.unchanged == 200
    assert len(server.asked("search/jql|/2/search")) == 1
    # The account, the time, the projects (as the account and as a stranger), the filters, what changed.
    assert len(server.requests) <= 12


@pytest.mark.parametrize("after", ["12 hours", "at once"])
@pytest.mark.parametrize("change", ["edit", "comment", "custom", "file", "work", "late"])
def test_each_change_is_found_and_nothing_else_is_read(server: JiraServer, change: str, after: str) -> None:
    site = server.site
    entry = site.custom_field("Password")
    issues = fill(site, 5)
    server.few = 2
    first = crawl(build(server))
    if after == "12 hours":
        later(server)
    else:
        later(server, seconds=1)
    issue = issues[7]
    changes: dict[str, Callable[[], Any]] = {
        "edit": lambda: site.edit(issue, "description", "the news"),
        "comment": lambda: site.comment(issue, "the news"),
        "custom": lambda: site.edit(issue, entry, "the news"),
        "file": lambda: site.attach(issue, "news.txt", b"the news"),
        "work": lambda: site.work(issue, "the news"),
        "late": lambda: site.comment(issue, "the news"),
    }
    changes[change]()
    second = crawl(build(server), first)
    texts = {uri.rpartition("/")[2]: second.text(uri) for uri in second.documents}
    history = {"history"} if change == "edit" else set()
    assert set(texts) == {issue.id, *history, *issue.files}
    assert "the news" in "".join(texts.values())
    assert crawl(build(server), second).documents == {}


def test_a_change_while_the_run_goes_on_is_found_by_the_next(server: JiraServer) -> None:
    site = server.site
    issues = fill(site, 3)
    first = crawl(build(server))
    later(server)
    site.comment(issues[8], "one")

    def meanwhile() -> None:
        site.clock.pass_by(minutes=1)  # type: ignore[attr-defined]
        site.comment(issues[0], "two")

    server.faults = [Fault("remotelink", before=meanwhile, times=1)]
    second = crawl(build(server), first)
    third = crawl(build(server), second)
    found = [*second.documents, *third.documents]
    assert any(uri.endswith(f"/{issues[0].id}") for uri in found)
    assert any(uri.endswith(f"/{issues[8].id}") for uri in found)


def test_what_could_not_be_read_is_tried_again_until_it_can(server: JiraServer) -> None:
    issues = fill(server.site, 2)
    number = server.site.attach(issues[1], "late.txt", b"content")
    server.faults = [Fault(f"attachment/(content/)?{number}", 403), Fault(f"{issues[4].id}/remotelink", 500)]
    first = crawl(build(server, max_wait=0.2))
    assert [uri.rpartition("/")[2] for uri in first.skipped] == [number]
    assert f"{issues[4].id}" not in "".join(first.versions)
    later(server)
    second = crawl(build(server, max_wait=0.2), first)
    assert [uri.rpartition("/")[2] for uri in second.skipped] == [number]
    server.faults = []
    later(server)
    third = crawl(build(server), second)
    assert {uri.rpartition("/")[2] for uri in third.documents} == {number, issues[4].id}
    assert third.skipped == {}
    later(server)
    fourth = crawl(build(server), third)
    assert (fourth.documents, fourth.skipped) == ({}, {})
    assert not server.asked(rf"issue/{issues[1].id}")


def test_an_issue_that_is_deleted_meanwhile_is_not_asked_for_for_ever(server: JiraServer) -> None:
    issues = fill(server.site, 1)
    server.faults = [Fault(f"{issues[0].id}/remotelink", 403)]
    first = crawl(build(server))
    del server.site.issues[issues[0].id]
    server.faults = []
    second = crawl(build(server), first)
    assert second.skipped == {}
    assert second.cursors[next(one for one in second.cursors if one.endswith("P0"))]["again"] == []


def test_a_run_that_is_killed_behind_any_checkpoint_converges(server: JiraServer) -> None:
    server.page = 4
    fill(server.site, 1, issues=14)
    source = build(server)
    unit = [one for one in source.units(lambda _: None) if isinstance(one, Unit)][-1]
    events = list(source.read(unit, None, lambda _: None))
    wanted = {one.uri for one in events if isinstance(one, Document)}
    assert len(wanted) == 15
    for index, event in enumerate(events):
        if isinstance(event, Checkpoint) and event.cursor.get("walk"):
            versions = {one.key: one.version for one in events[:index] if isinstance(one, Document)}
            resumed = build(server)
            (again,) = [
                one for one in resumed.units(versions.get) if isinstance(one, Unit) and one.id == unit.id
            ]
            rest = list(resumed.read(again, event.cursor, versions.get))
            new = {one.uri for one in rest if isinstance(one, Document)}
            assert set(versions) | new == wanted
            assert not set(versions) & new
            ended = [one for one in rest if isinstance(one, Checkpoint)][-1]
            assert ended.cursor["mark"] == unit.data["now"]


def test_a_right_that_was_given_later_is_noticed_within_a_week(server: JiraServer) -> None:
    issues = fill(server.site, 2)
    hidden = server.site.issues.pop(issues[0].id)
    first = crawl(build(server))
    server.site.issues[hidden.id] = hidden
    later(server, days=1)
    second = crawl(build(server), first)
    assert second.documents == {}
    later(server, days=6)
    third = crawl(build(server), second)
    assert [uri.rpartition("/")[2] for uri in third.documents] == [hidden.id]
    later(server, days=1)
    fourth = crawl(build(server), third)
    assert len(server.asked("search/jql|/2/search")) == 1
    assert fourth.documents == {}


def test_a_cursor_of_other_rules_begins_anew(server: JiraServer) -> None:
    fill(server.site, 2)
    first = crawl(build(server))
    later(server)
    second = crawl(build(server), Run(cursors=first.cursors))
    assert second.documents.keys() == first.documents.keys()


def test_the_same_run_does_not_read_a_unit_twice(server: JiraServer) -> None:
    fill(server.site, 1)
    source = build(server)
    unit = [one for one in source.units(lambda _: None) if isinstance(one, Unit)][-1]
    last = [one for one in source.read(unit, None, lambda _: None) if isinstance(one, Checkpoint)][-1]
    assert list(source.read(unit, last.cursor, lambda _: None)) == []
