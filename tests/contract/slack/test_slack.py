"""Slack over the wire: what is read, what later runs cost, and who can see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from slack_worlds import (
    DAY,
    NOON,
    Memory,
    body,
    by_uri,
    counted,
    crawl,
    ts_of,
    uri,
)

from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import Workspace, post
from unsprawl.records import Audience

# --- what is read --------------------------------------------------------------------------------


def test_two_messages_of_one_author_meet_whoever_speaks_between_them(
    slack: SlackServer, team: Workspace
) -> None:
    general = team.channels[0]
    made = by_uri(crawl(slack))[uri(general, ts_of(NOON))]
    assert made.body == b"user: admin\npassword: see below\n"
    first, second = made.parts
    assert (first.start, second.start) == (0, 12)
    assert second.uri == uri(general, ts_of(NOON + 60))
    assert second.url == f"https://acme.slack.com/archives/{general.id}/p{NOON + 60}000000"
    assert second.author == "Anna Ander"
    assert second.modified_at == datetime.fromtimestamp(NOON + 60, UTC)


def test_a_thread_is_one_document_and_each_reply_keeps_its_place(slack: SlackServer, team: Workspace) -> None:
    general = team.channels[0]
    root = ts_of(NOON + 4000)
    made = by_uri(crawl(slack))[uri(general, root)]
    assert made.body == b"how do I sign in?\nlike this\nthanks\n"
    assert [part.author for part in made.parts] == ["Bo Berg", "Anna Ander", "Bo Berg"]
    assert made.parts[1].uri == uri(general, ts_of(NOON + 4100), f"?thread_ts={root}")
    assert made.parts[1].url == (
        f"https://acme.slack.com/archives/{general.id}/p{NOON + 4100}000000?thread_ts={root}&cid={general.id}"
    )
    assert made.attrs["thread"] == root


def test_ten_minutes_midnight_and_another_author_part_runs(slack: SlackServer, team: Workspace) -> None:
    channel = team.channel("runs")
    night = NOON + 43_200
    for at, user in (
        (NOON, "U1"),
        (NOON + 600, "U1"),
        (NOON + 1201, "U1"),
        (night - 30, "U1"),
        (night + 30, "U1"),
    ):
        channel.add(post(at, user, f"at {at}"))
    channel.add(post(night + 40, "U2", "other"))
    mine = [one for one in crawl(slack).documents if channel.id in one.uri and "?" not in one.uri]
    assert sorted(body(one).count(b"\n") for one in mine) == [1, 1, 1, 1, 2]


def test_all_kinds_of_conversations_are_read_with_their_audience(slack: SlackServer, team: Workspace) -> None:
    kinds: dict[str, tuple[dict[str, Any], Audience]] = {
        "open": ({}, Audience.ORGANISATION),
        "secret": ({"kind": "private_channel"}, Audience.RESTRICTED),
        "mpdm-a--b": ({"kind": "mpim"}, Audience.RESTRICTED),
        "dm": ({"kind": "im", "user": "U00000002"}, Audience.RESTRICTED),
        "partners": ({"is_ext_shared": True, "connected_team_ids": ["T0OTHER"]}, Audience.EXTERNAL),
        "guests": ({}, Audience.EXTERNAL),
        "old": ({"is_archived": True}, Audience.ORGANISATION),
    }
    for name, (raw, _) in kinds.items():
        channel = team.channel(name, **raw)
        channel.add(post(NOON, "U00000001", f"in {name}"))
        if name == "guests":
            channel.members.append("U00000002")
    found = {
        str(one.body.decode().strip().removeprefix("in ")): one
        for one in crawl(slack).documents
        if isinstance(one.body, bytes) and one.body.startswith(b"in ")
    }
    assert {name: one.audience for name, one in found.items()} == {
        name: audience for name, (_, audience) in kinds.items()
    }
    assert found["dm"].attrs["channel"] == "@Bo Berg"
    assert found["partners"].attrs["shared_with"] == ["T0OTHER"]


def test_what_stands_around_the_messages_is_read(slack: SlackServer, team: Workspace) -> None:
    channel = team.channel(
        "around",
        topic={"value": "topic text &amp; more", "creator": "U00000001", "last_set": NOON},
        purpose={"value": "purpose text", "creator": "", "last_set": 0},
        properties={"tabs": [{"type": "canvas", "label": "tab text"}]},
    )
    channel.bookmarks.append({"title": "door", "link": "https://x.test/?k=bookmark", "date_updated": NOON})
    channel.add(post(NOON, "U00000001", "hello"))
    team.usergroups.append({"id": "S1", "name": "Admins", "handle": "admins", "description": "group text"})
    team.user("eve", "Eve", profile={"title": "title text", "fields": {"X1": {"value": "field text"}}})
    files = {
        "snippet": team.file("run.sh", b"echo snippet content\n", NOON, mode="snippet"),
        "canvas": team.file(
            "Canvas", b"<html><body>canvas content</body></html>", NOON, mode="quip", mimetype="text/html"
        ),
        "list": team.file("Todo", b"", NOON, mode="list", filetype="list"),
    }
    files["list"].rows = [{"id": "R1", "fields": [{"key": "name", "value": "list content"}]}]
    night = crawl(slack)
    for wanted in (
        b"topic text & more", b"purpose text", b"tab text", b"door https://x.test/?k=bookmark", b"group text",
        b"title text", b"field text", b"snippet content", b"canvas content", b"list content",
    ):  # fmt: skip
        assert wanted in night.text, wanted


def test_a_file_of_a_shared_channel_is_asked_for_and_read(slack: SlackServer, team: Workspace) -> None:
    stub = team.file("theirs.txt", b"from outside\n", NOON, foreign=True)
    file = {"id": stub.raw["id"], "file_access": "check_file_info", "mode": "hosted"}
    team.channels[0].add(post(NOON + 7000, "U00000001", "see", files=[file]))
    night = crawl(slack)
    assert by_uri(night)[f"slack://T0ACME/files/{stub.raw['id']}"].body == b"from outside\n"


def test_large_files_are_streamed(slack: SlackServer, team: Workspace) -> None:
    files = [one for one in crawl(slack).documents if one.path == "files/dump.sql"]
    assert not isinstance(files[0].body, bytes)
    assert slack.asked["download"] == 1 + 0  # only the small one: the stream was never opened


def test_pinned_messages_beyond_the_plan_are_read(slack: SlackServer, team: Workspace) -> None:
    channel = team.channel("limited")
    channel.limited = True
    channel.add(post(NOON, "U00000001", "still here"))
    channel.messages.append(post(NOON - 400 * DAY, "U00000001", "pinned long ago", pinned_to=[channel.id]))
    night = crawl(slack)
    assert b"pinned long ago" in night.text
    assert f"slack://T0ACME/{channel.id}?older" in night.gaps


# --- incremental ---------------------------------------------------------------------------------


def test_without_a_change_the_second_run_asks_once_a_conversation(
    slack: SlackServer, team: Workspace
) -> None:
    for number in range(40):
        team.channel(f"c{number}").add(post(NOON, "U00000001", "x"))
    memory = Memory()
    first = crawl(slack, memory)
    second = crawl(slack, memory)
    assert second.documents == []
    assert second.gaps == first.gaps
    assert counted(slack.asked) == {
        "auth.test": 1,
        "conversations.history": 42,
        "conversations.list": 1,
        "files.list": 1,
        "usergroups.list": 1,
        "users.conversations": 1,
        "users.list": 1,
    }


def test_only_what_changed_is_read_again(slack: SlackServer, team: Workspace) -> None:
    general = team.channels[0]
    memory = Memory()
    crawl(slack, memory)
    *_, third, root = general.messages
    general.edit(third, "password: changed", NOON + 70)
    general.reply(root, post(NOON + 9500, "U00000001", "one more"))
    general.add(post(NOON + 20_000, "U00000002", "new"))
    team.file("new.txt", b"new file\n", NOON + 20_000)
    night = crawl(slack, memory)
    assert night.uris == [
        uri(general, ts_of(NOON)),
        uri(general, root["ts"]),
        uri(general, ts_of(NOON + 20_000)),
        f"slack://T0ACME/files/{team.files[-1].raw['id']}",
    ]
    assert b"changed" in night.text
    assert slack.asked["conversations.replies"] == 1
    assert crawl(slack, memory).documents == []


def test_a_reply_to_an_old_thread_is_found_by_the_cheaper_way(slack: SlackServer, team: Workspace) -> None:
    dense, sparse = team.channel("dense"), team.channel("sparse")
    roots = []
    for number in range(50):
        roots.append(dense.add(post(NOON - 30 * DAY + number, f"U{number}", "root")))
        dense.reply(roots[-1], post(NOON - 30 * DAY + 5000 + number, "U1", "reply"))
    old = sparse.add(post(NOON - 60 * DAY, "U1", "old root"))
    sparse.reply(old, post(NOON - 30 * DAY, "U2", "reply"))
    for number in range(2500):
        sparse.add(post(NOON - 59 * DAY + 700 * number, f"U{number % 7}", f"m{number}"))
    memory = Memory()
    crawl(slack, memory)
    assert crawl(slack, memory).documents == []
    assert [form["channel"] for name, form in slack.requests if name == "conversations.replies"] == [
        sparse.id
    ]
    assert slack.asked["conversations.history"] <= len(team.channels)
    dense.reply(roots[7], post(NOON, "U3", "late answer"))
    sparse.reply(old, post(NOON, "U3", "very late answer"))
    night = crawl(slack, memory)
    assert night.uris == sorted([uri(dense, roots[7]["ts"]), uri(sparse, old["ts"])])
    assert b"very late answer" in night.text


def test_a_reply_that_was_also_sent_to_the_channel_leads_to_its_thread(
    slack: SlackServer, team: Workspace
) -> None:
    general = team.channels[0]
    memory = Memory()
    ancient = general.messages[0]
    crawl(slack, memory)
    general.reply(ancient, post(NOON + 20_000, "U1", "answer after weeks"))
    shown = post(
        NOON + 20_000, "U1", "answer after weeks", subtype="thread_broadcast", thread_ts=ancient["ts"]
    )
    general.add(shown)
    night = crawl(slack, memory)
    assert night.uris == [uri(general, ancient["ts"])]


def test_edited_replies_are_looked_for_where_asked(slack: SlackServer, team: Workspace) -> None:
    general = team.channels[0]
    memory = Memory()
    crawl(slack, memory, reply_edits="10d")
    assert crawl(slack, memory, reply_edits="10d").documents == []
    replies = general.threads[ts_of(NOON + 4000)]
    replies[0] |= {"text": "like that", "edited": {"ts": ts_of(NOON + 9900), "user": "U1"}}
    assert crawl(slack, memory).documents == []
    assert crawl(slack, memory, reply_edits="10d").uris == [uri(general, ts_of(NOON + 4000))]


def test_a_deleted_message_empties_its_document(slack: SlackServer, team: Workspace) -> None:
    general = team.channels[0]
    memory = Memory()
    crawl(slack, memory)
    general.delete(general.messages[-2])
    general.delete(general.messages[-3])
    general.delete(general.messages[-2])
    gone = {one.uri: one for one in crawl(slack, memory).documents}
    assert sorted(gone) == [uri(general, ts_of(NOON)), uri(general, ts_of(NOON + 30))]
    assert {one.body for one in gone.values()} == {b""}
    assert {one.attrs["state"] for one in gone.values()} == {"deleted"}
    assert crawl(slack, memory).documents == []


def test_bookmarks_are_asked_for_when_something_was_written(slack: SlackServer, team: Workspace) -> None:
    general = team.channels[0]
    memory = Memory()
    crawl(slack, memory)
    general.bookmarks.append({"title": "new", "link": "https://x.test/", "date_updated": NOON})
    general.add(post(NOON + 20_000, "U00000001", "see the bookmark"))
    assert f"slack://T0ACME/{general.id}?bookmarks" in crawl(slack, memory).uris
    assert slack.asked["bookmarks.list"] == 1
