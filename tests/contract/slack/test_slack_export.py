"""Exports and Discovery: the same normaliser, and what was edited or deleted."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slack_worlds import NOON, Memory, Night, small, ts_of

from unsprawl.crawlers.slack.source import SlackSource
from unsprawl.errors import ConfigError, UnreadableError
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import Workspace, post
from unsprawl.records import Document, Skipped

CHANNEL = {"id": "C1", "name": "general", "created": 1_600_000_000, "topic": {"value": "the topic"}}
USERS = [
    {"id": "U1", "team_id": "T1", "name": "anna", "profile": {"real_name": "Anna", "title": "the title"}},
    {"id": "U2", "team_id": "T1", "name": "bo", "profile": {"real_name": "Bo"}},
]


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., SlackSource]:
    def build(members: dict[str, Any], *, top: str = "", **keys) -> SlackSource:
        path = tmp_path / f"export{len(list(tmp_path.iterdir()))}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in {"users.json": USERS, "channels.json": [CHANNEL], **members}.items():
                text = content if isinstance(content, str | bytes) else json.dumps(content)
                archive.writestr(top + name, text)
        return SlackSource("archive", SlackSource.Config(export=str(path), **keys))

    return build


def crawl(source: SlackSource, memory: Memory | None = None) -> Night:
    return (memory or Memory()).crawl(source)


def by_uri(night: Night) -> dict[str, Document]:
    return {one.uri: one for one in night.documents}


def test_a_standard_export_gives_what_the_api_would(export) -> None:
    root = post(
        NOON, "U1", "where is it?", reply_count=2, thread_ts=ts_of(NOON), latest_reply=ts_of(NOON + 90_000)
    )
    days = {
        "general/2025-01-06.json": [
            root,
            post(NOON + 10, "U2", "user: admin &amp; co"),
            post(NOON + 20, "U2", "password: x", blocks=[]),
            post(NOON + 30, "U1", "here", thread_ts=ts_of(NOON)),
        ],
        "general/2025-01-07.json": [post(NOON + 90_000, "U2", "thanks", thread_ts=ts_of(NOON))],
        "canvases.json": [{"id": "F1", "title": "in a canvas"}],
        "integration_logs.json": [{"service_type": "hook", "reason": "in a log"}],
        "direct": {},
    }
    source = export(days)
    memory = Memory()
    night = crawl(source, memory)
    found = by_uri(night)
    assert found[f"slack://T1/C1/{ts_of(NOON)}"].body == b"where is it?\nhere\nthanks\n"
    run = found[f"slack://T1/C1/{ts_of(NOON + 10)}"]
    assert run.body == b"user: admin & co\npassword: x\n"
    assert [part.author for part in run.parts] == ["Bo", "Bo"]
    assert found["slack://T1/C1?about"].body == b"#general\ntopic: the topic\n"
    for wanted in (b"the title", b"in a canvas", b"in a log"):
        assert wanted in night.text
    again = crawl(source, memory)
    assert again.documents == []
    assert again.unchanged == len(night.documents)


def test_all_lists_and_folders_are_conversations(export) -> None:
    members = {
        "groups.json": [{"id": "G1", "name": "secret"}],
        "dms.json": [{"id": "D1", "members": ["U1", "U2"]}],
        "mpims.json": [{"id": "G2", "name": "mpdm-anna--bo-1"}],
        "secret/2025-01-06.json": [post(NOON, "U1", "a")],
        "D1/2025-01-06.json": [post(NOON, "U1", "b")],
        "mpdm-anna--bo-1/2025-01-06.json": [post(NOON, "U1", "c")],
        "nobody-lists-me/2025-01-06.json": [post(NOON, "U1", "d")],
    }
    night = crawl(export(members, top="acme export/"))
    told = {one.attrs["channel"]: str(one.audience) for one in night.documents if "channel" in one.attrs}
    assert told == {
        "#general": "organisation",
        "#secret": "restricted",
        "@Anna, Bo": "restricted",
        "@mpdm-anna--bo-1": "restricted",
        "#nobody-lists-me": "organisation",
    }


def test_a_corporate_export_shows_what_was_edited_and_deleted(export) -> None:
    changed = post(NOON, "U1", "")
    changed |= {
        "subtype": "message_changed",
        "message": post(NOON, "U1", "key: removed\nkept line", edited={"ts": ts_of(NOON + 5), "user": "U1"}),
        "original": post(NOON, "U1", "key: old value\nkept line"),
    }
    deleted = {
        "type": "message", "subtype": "message_deleted", "ts": ts_of(NOON + 2000),
        "previous_message": post(NOON + 2000, "U2", "deleted value"),
    }  # fmt: skip
    tombstone = post(NOON + 4000, "U2", "This message was deleted.", subtype="tombstone")
    tombstone["original"] = post(NOON + 4000, "U2", "buried value")
    night = crawl(export({"general/2025-01-06.json": [changed, deleted, tombstone]}))
    past = {one.body: one for one in night.documents if "state" in one.attrs}
    assert {body: one.attrs["state"] for body, one in past.items()} == {
        b"key: old value\n": "edited",
        b"deleted value\n": "deleted",
        b"buried value\n": "deleted",
    }
    assert past[b"deleted value\n"].author == "Bo"
    assert night.text.count(b"kept line") == 1
    assert b"key: removed" in night.text


def test_what_is_broken_is_told_and_the_rest_is_read(export) -> None:
    night = crawl(
        export(
            {
                "general/2025-01-06.json": [post(NOON, "U1", "good", files=[{"id": "F1", "name": "x"}])],
                "general/2025-01-07.json": "[not json",
                "general/2025-01-08.json": "[" * 100_000,
                "general/2025-01-09.json": {"not": "a list"},
                "groups.json": "broken",
            }
        )
    )
    assert b"good" in night.text
    assert night.gaps == {
        "slack://T1/C1?day=2025-01-07",
        "slack://T1/C1?day=2025-01-08",
        "slack://T1/C1?files",
        "slack://export/groups.json",
    }


def test_something_else_is_no_export(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"no archive")
    source = SlackSource("archive", SlackSource.Config(export=str(path)))
    with pytest.raises(UnreadableError, match="no ZIP archive"):
        list(source.units(lambda _key: None))
    assert [one.ok for one in source.diagnose()] == [False]
    with pytest.raises(ConfigError, match="either `token` or `export`"):
        SlackSource("both", SlackSource.Config(export="x", token="${X}"))


def test_a_document_of_an_export_is_found_again(export) -> None:
    source = export({"general/2025-01-06.json": [post(NOON, "U1", "a"), post(NOON + 5, "U1", "b")]})
    found = source.fetch(f"slack://T1/C1/{ts_of(NOON + 5)}")
    assert isinstance(found, Document)
    assert found.body == b"a\nb\n"
    assert isinstance(source.fetch("slack://T1/C1/1.000000"), Skipped)
    assert isinstance(source.fetch("https://elsewhere.test/"), Skipped)
    assert [one.ok for one in source.diagnose()] == [True, True]
    excluded = export({"general/2025-01-06.json": [post(NOON, "U1", "a")]}, exclude=("general",))
    assert [one.excluded for one in crawl(excluded).skipped] == [True]


def test_discovery_reads_every_conversation_and_what_was_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    team: Workspace = small()
    general, closed = team.channels
    closed.add(post(NOON, "U00000002", "in a closed channel"))
    general.edit(general.messages[-2], "password: removed", NOON + 99)
    taken = general.add(post(NOON + 30_000, "U00000001", "taken out value"))
    general.delete(taken)
    monkeypatch.setenv("SLACK_TOKEN", "t")
    with SlackServer(team, {"t": None}) as server:
        server.pages = {f"discovery.conversations.{feed}": 5 for feed in ("list", "history", "edits")}
        source = SlackSource(
            "all", SlackSource.Config(token="${SLACK_TOKEN}", base_url=server.url, discovery=True)
        )
        memory = Memory()
        night = crawl(source, memory)
        assert night.gaps == set()
        assert b"in a closed channel" in night.text
        past = {one.body: one.attrs["state"] for one in night.documents if "state" in one.attrs}
        assert past == {b"password: see below\n": "edited", b"taken out value\n": "deleted"}
        assert by_uri(night)[f"slack://T0ACME/{general.id}/{ts_of(NOON + 4000)}"].body == (
            b"how do I sign in?\nlike this\nthanks\n"
        )
        assert crawl(source, memory).documents == []
        general.add(post(NOON + 40_000, "U00000001", "new"))
        assert crawl(source, memory).uris == [f"slack://T0ACME/{general.id}/{ts_of(NOON + 40_000)}"]
