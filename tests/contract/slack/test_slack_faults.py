"""Slack when it is busy, broken, hostile or refuses: what is found, what is told, what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from slack_worlds import (
    DAY,
    NOON,
    TOKEN,
    Memory,
    Night,
    counted,
    crawl,
    source_of,
    ts_of,
    uri,
)

from unsprawl.errors import AuthError, RetryableError
from unsprawl.estate.slack_server import LOGIN_PAGE, Fault, SlackServer
from unsprawl.estate.slack_workspace import Channel, Workspace, post
from unsprawl.records import Checkpoint, Diagnosis, Document, Skipped, Unit


def planted(team: Workspace, pages: int = 4) -> tuple[list[Channel], set[bytes]]:
    """Channels with a marker in each message, reply and file."""
    marks: set[bytes] = set()
    channels = []
    del team.files[1:]  # the large one would be searched for every mark

    def mark(kind: str, number: int) -> str:
        marks.add(f"<{kind}-{number}>".encode())
        return f"<{kind}-{number}>".replace("<", "&lt;").replace(">", "&gt;")

    for number in range(4):
        channel = team.channel(f"planted{number}")
        channels.append(channel)
        for index in range(pages * 20):
            message = post(NOON - 2 * DAY + index * 700, f"U{index % 3}", mark(f"m{number}", index))
            channel.add(message)
            if index % 20 == 0:
                for reply in range(25):
                    text = mark(f"r{number}-{index}", reply)
                    channel.reply(message, post(NOON - DAY + index * 100 + reply, "U1", text))
    for index in range(6):
        text = f"file &{index}\n" * 20
        marks.add(f"file &{index}".encode())
        team.file(f"f{index}", text.encode(), NOON + index)
    return channels, marks


def exactly_once(night: Night, marks: set[bytes]) -> None:
    text = night.text
    assert [mark for mark in marks if mark not in text] == []
    assert [mark for mark in marks if mark.startswith(b"<") and text.count(mark) != 1] == []


def storm(slack: SlackServer) -> None:
    """Each kind of trouble, often: about one request in four meets one."""
    late = format_datetime(datetime.now(UTC) + timedelta(seconds=0.2), usegmt=True)
    slack.faults += [
        Fault(r"\.", status=429, headers={"Retry-After": "0"}, share=0.06),
        Fault(r"\.", status=429, headers={"Retry-After": late}, share=0.03),
        Fault(r"\.", error="ratelimited", share=0.03),
        Fault(r"\.", error="internal_error", share=0.02),
        Fault(r"\.", status=502, share=0.03),
        Fault(r"\.", status=503, share=0.02),
        Fault(r"\.", reset=True, share=0.03),
        Fault(r"history|replies|files-pri", cut=40, share=0.05),
        Fault(r"history", drip=0.005, share=0.03),
        Fault(r"history", spoil=lambda answer: {**answer, "messages": answer["messages"][::-1]}, share=0.2),
    ]


def test_in_a_storm_everything_is_found_once_at_nearly_no_more_requests(
    slack: SlackServer, team: Workspace
) -> None:
    _, marks = planted(team)
    slack.pages = {"conversations.history": 20, "conversations.replies": 10, "conversations.list": 2}
    calm = crawl(slack)
    exactly_once(calm, marks)
    least = counted(slack.asked)
    # What paging allows: a page of twenty messages, three of ten for each thread, …
    channels = len(team.channels)
    assert least["conversations.history"] == 4 * 4 + 4 + 1
    assert least["conversations.replies"] == 4 * 4 * 3 + 1
    assert least["conversations.list"] == -(-channels // 2)
    storm(slack)
    night = crawl(slack, total=30.0)
    failed = sum(fault.hits for fault in slack.faults if fault.spoil is None and not fault.drip)
    assert failed > 10
    assert slack.asked.total() - failed <= 1.1 * sum(least.values())
    assert night.uris == calm.uris
    exactly_once(night, marks)
    assert night.gaps == calm.gaps


def test_expired_cursors_and_repeated_pages_lose_and_double_nothing(
    slack: SlackServer, team: Workspace
) -> None:
    _, marks = planted(team)
    slack.pages = {"conversations.history": 20, "conversations.replies": 10, "conversations.list": 2}
    calm = crawl(slack)
    before: dict[str, dict] = {}

    def repeat(answer: dict) -> dict:
        """The page before once more, in place of the one that was asked for."""
        last = before.setdefault("last", answer)
        before["last"] = answer
        return {**last, "has_more": True}

    slack.faults.append(Fault(r"conversations.list.*cursor", error="invalid_cursor", times=1))
    slack.faults.append(Fault(r"conversations.replies.*cursor", error="invalid_cursor", times=3))
    assert crawl(slack).uris == calm.uris
    slack.faults.clear()
    channel = team.channels[2]
    slack.faults.append(Fault(f"conversations.history.*channel={channel.id}", spoil=repeat, times=4))
    night = crawl(slack)
    assert night.uris == calm.uris
    exactly_once(night, marks)


def test_where_somebody_always_speaks_every_checkpoint_leads_on(slack: SlackServer, team: Workspace) -> None:
    """Runs of several authors overlap all day, and no page ends between two of them."""
    busy = team.channel("busy")
    for number in range(1000):
        busy.add(post(NOON - number * 300, f"U{number % 2 + 1}", f"said {number}"))
    slack.pages = {"conversations.history": 20}
    wanted = {one.uri: one.body for one in crawl(slack).documents if busy.id in one.uri}
    assert len(wanted) < 100
    source = source_of(slack)
    unit = next(one for one in source.units(lambda _: None) if isinstance(one, Unit) and busy.id in one.id)
    found: dict[str, object] = {}
    cursor, places = None, set[str]()
    while True:
        for event in source.read(unit, cursor, lambda _: None):
            if isinstance(event, Document):
                assert found.setdefault(event.uri, event.body) == event.body
            if isinstance(event, Checkpoint) and event.cursor != cursor:
                cursor = event.cursor
                break
        assert str(cursor) not in places
        places.add(str(cursor))
        if "before" not in (cursor or {}):
            break
    assert len(places) > 3
    assert found == wanted


def test_a_listing_in_a_circle_is_told_and_ends(slack: SlackServer, team: Workspace) -> None:
    channel = team.channel("circle")
    for index in range(30):
        channel.add(post(NOON + index * 700, "U1", f"m{index}"))
    page = [channel.messages[-1]]
    answer = {"messages": page, "has_more": True, "response_metadata": {"next_cursor": "bmV4dDox"}}
    slack.faults.append(Fault(f"history.*channel={channel.id}", spoil=lambda _: answer))
    night = crawl(slack)
    assert f"slack://T0ACME/{channel.id}" in night.gaps
    assert slack.asked["conversations.history"] < 10


def test_one_refused_channel_or_thread_or_file_is_one_gap(slack: SlackServer, team: Workspace) -> None:
    general = team.channels[0]
    slack.faults += [
        Fault(f"replies.*ts={ts_of(NOON + 4000)}", error="thread_not_visible"),
        Fault(f"/files-pri/{team.files[0].raw['id']}/", body=LOGIN_PAGE),
    ]
    memory = Memory()
    night = crawl(slack, memory)
    assert night.gaps == {
        f"slack://T0ACME/{team.channels[1].id}",
        uri(general, ts_of(NOON + 4000), "?thread"),
        f"slack://T0ACME/files/{team.files[0].raw['id']}",
    }
    assert b"how do I sign in?" in night.text
    slack.faults.clear()
    later = crawl(slack, memory)
    assert later.uris == [uri(general, ts_of(NOON + 4000)), f"slack://T0ACME/files/{team.files[0].raw['id']}"]


def test_a_web_page_is_read_where_it_is_the_file(slack: SlackServer, team: Workspace) -> None:
    page = b"<!DOCTYPE html><html><body>our page</body></html>"
    team.file("page.html", page, NOON, mimetype="text/html")
    night = crawl(slack)
    assert page in night.text
    slack.faults.append(Fault("/files-pri/", body=LOGIN_PAGE))
    gaps = [one for one in crawl(slack).skipped if "sign in" in one.reason]
    assert len(gaps) == len(team.files) - 1  # the stream is not opened here
    assert "files:read" in gaps[0].hint


def test_a_server_that_is_down_midway_fails_the_unit_and_the_next_run_goes_on(
    slack: SlackServer, team: Workspace
) -> None:
    channels, marks = planted(team)
    slack.pages = {"conversations.history": 20}
    memory = Memory()
    third = ts_of(NOON - 2 * DAY + 40 * 700)
    slack.faults.append(Fault(f"history.*channel={channels[0].id}.*latest={third}", status=500))
    source = source_of(slack, total=0.05)
    night = memory.crawl(source, catch=RetryableError)
    assert list(night.failures) == [f"slack://T0ACME/{channels[0].id}"]
    slack.faults.clear()
    slack.requests.clear()
    rest = memory.crawl(source_of(slack))
    asked = [
        form
        for name, form in slack.requests
        if name.endswith("history") and form["channel"] == channels[0].id
    ]
    assert len(asked) <= 3
    night.documents += [one for one in rest.documents if one.uri not in night.uris]
    exactly_once(night, marks)


def test_a_refused_token_stops_the_source(slack: SlackServer) -> None:
    slack.tokens.clear()
    with pytest.raises(AuthError, match="not valid"):
        crawl(slack)


def test_missing_scopes_are_gaps_and_are_not_asked_for(slack: SlackServer, team: Workspace) -> None:
    slack.tokens[TOKEN] = frozenset({"channels:read", "channels:history", "users:read"})
    night = crawl(slack)
    told = {one.uri.partition("?")[2] for one in night.skipped if one.reason.startswith("the token lacks")}
    assert {"groups:read", "im:history", "files:read", "bookmarks:read"} <= told
    assert b"password: see below" in night.text
    assert not {"files.list", "bookmarks.list", "usergroups.list"} & set(slack.asked)


def test_where_scopes_are_not_told_each_kind_is_tried(slack: SlackServer, team: Workspace) -> None:
    slack.faults.append(Fault("conversations.list.*types=[^&]*im", error="missing_scope"))
    night = crawl(slack)
    assert b"password: see below" in night.text
    assert {"slack://T0ACME?im", "slack://T0ACME?mpim"} <= night.gaps


def test_the_token_goes_to_no_other_host(slack: SlackServer, team: Workspace) -> None:
    other = SlackServer(Workspace(), {})
    with other:
        elsewhere = team.file("elsewhere", b"1", NOON, url_private_download=f"{other.root}/files-pri/F1/x")
        metadata = team.file("metadata", b"1", NOON, url_private_download="http://169.254.169.254/latest/")
        slack.faults.append(
            Fault("/files-pri/F00000001", status=302, headers={"Location": f"{other.root}/login"})
        )
        slack.faults.append(
            Fault("usergroups", status=307, headers={"Location": f"{other.url}/usergroups.list"})
        )
        night = crawl(slack)
        assert {token for _, token in other.authorizations} <= {""}
        assert not [path for path, _ in other.authorizations if "F1" in path]
    for file in (elsewhere, metadata):
        assert f"slack://T0ACME/files/{file.raw['id']}" in night.gaps


# --- the limits ----------------------------------------------------------------------------------


def test_the_regime_of_one_request_a_minute_is_told(slack: SlackServer, team: Workspace) -> None:
    channel = team.channel("busy")
    for index in range(200):
        channel.add(post(NOON - 40 * DAY + index * 7200, "U1", f"m{index}"))
    slack.held_back = True
    source = source_of(slack, total=0.05)
    # The first refusal asks for the better part of a minute; nobody waits for it here.
    night = Memory().crawl(source, catch=RetryableError)
    assert night.failures
    assert any("asked to wait" in str(error) for error in night.failures.values())
    source._session.slow = True
    source._session.client.pace("conversations.history").slow_to(1e6)
    slack.held_back, slack.pages = False, {"conversations.history": 15}
    unit = next(unit for unit in night.units if unit.title == "#busy")
    told = [event for event in source.read(unit, None, lambda _key: None) if isinstance(event, Skipped)]
    assert [one.excluded for one in told] == [True]
    assert "one request a minute and 15 messages a request" in told[0].reason
    hours = int(told[0].reason.split(" h for")[0].split()[-1])
    assert 20 < hours < 50  # a page spans a good day, and the channel was made in 2020


def test_doctor_says_what_is_reached_and_what_is_missing(slack: SlackServer, team: Workspace) -> None:
    def lines() -> dict[str, Diagnosis]:
        return {one.what: one for one in source_of(slack).diagnose()}

    assert all(one.ok for one in lines().values())
    slack.tokens[TOKEN] = frozenset({"channels:read", "channels:history"})
    missing = {what for what, one in lines().items() if not one.ok}
    assert "scope groups:read" in missing
    assert "scope files:read" in missing
    assert lines()["read messages"].ok
    for _ in range(300):
        team.channels[0].add(post(NOON + 30_000 + _, "U1", "x"))
    slack.held_back = True
    slack.limits = {}
    source = source_of(slack)
    source._session.client.pace("conversations.history").refusals = 1
    said = [one for one in source.diagnose() if one.what.startswith("read messages")]
    assert not said[0].ok
    assert "internal app" in said[0].hint
    slack.tokens.clear()
    assert [one.ok for one in source_of(slack).diagnose()] == [False]
