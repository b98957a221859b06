"""Slack workspaces for the tests, and a crawl that remembers as the store does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from unsprawl.crawlers.slack.client import SlackClient
from unsprawl.crawlers.slack.session import Session
from unsprawl.crawlers.slack.source import SlackSource
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import Channel, Workspace, post, stamp
from unsprawl.records import Checkpoint, Cursor, Document, Event, Skipped, Source, Unchanged, Unit
from unsprawl.secret import Secret
from unsprawl.wire.patience import Patience

#: A Monday some days ago at noon (UTC), as all messages of a test come on one day.
NOON = (int(time.time()) // 86_400 - 5) * 86_400 + 43_200
DAY = 86_400
TOKEN = "the-token-of-a-test"
SECRET = Secret(TOKEN.encode())
_sessions: dict[tuple[str, float], Session] = {}


def uri(channel: Channel, ts: str, query: str = "") -> str:
    return f"slack://T0ACME/{channel.id}/{ts}{query}"


def ts_of(at: float) -> str:
    return stamp(round(at * 1_000_000))


def small() -> Workspace:
    """Two people, a channel with a run, a thread and single messages, and one that is closed."""
    team = Workspace()
    anna, bo = team.user("anna", "Anna Ander"), team.user("bo", "Bo Berg", is_restricted=True)
    general = team.channel("general", topic={"value": "all of us", "creator": anna, "last_set": 1})
    for number in range(60):
        general.add(post(NOON - 40 * DAY + number * 4000, (anna, bo)[number % 2], f"message {number}"))
    general.add(post(NOON, anna, "user: admin"))
    general.add(post(NOON + 30, bo, "and the password?"))
    general.add(post(NOON + 60, anna, "password: see below"))
    root = general.add(post(NOON + 4000, bo, "how do I sign in?"))
    general.reply(root, post(NOON + 4100, anna, "like this"))
    general.reply(root, post(NOON + 9000, bo, "thanks"))
    team.channel("closed", kind="private_channel").refusal = "not_in_channel"
    team.file("notes.txt", b"some notes\n", NOON, user=anna)
    team.file("dump.sql", b"-- dump\n" * 300_000, NOON + 1, user=bo)
    return team


@dataclass
class Night:
    """What one run gave."""

    units: list[Unit] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unchanged: int = 0
    failures: dict[str, Exception] = field(default_factory=dict)

    @property
    def uris(self) -> list[str]:
        return sorted(one.uri for one in self.documents)

    @property
    def text(self) -> bytes:
        return b"\n".join(body(one) for one in self.documents)

    @property
    def gaps(self) -> set[str]:
        return {one.uri for one in self.skipped if not one.excluded}


@dataclass
class Memory:
    """Versions and cursors from run to run, committed at checkpoints as the pipeline does."""

    versions: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)

    def crawl(self, source: Source, *, catch: type[Exception] = ZeroDivisionError) -> Night:
        night = Night()
        for item in source.units(self.versions.get):
            if isinstance(item, Skipped):
                night.skipped.append(item)
                continue
            night.units.append(item)
            try:
                events = source.read(item, self.cursors.get(item.id), self.versions.get)
                self.take(item, events, night)
            except catch as error:
                night.failures[item.id] = error
        return night

    def take(self, unit: Unit, events: Iterable[Event], night: Night) -> None:
        for event in events:
            if isinstance(event, Document):
                night.documents.append(event)
                if event.version is not None:
                    self.versions[event.key] = event.version
            elif isinstance(event, Skipped):
                night.skipped.append(event)
            elif isinstance(event, Unchanged):
                night.unchanged += event.count
            elif isinstance(event, Checkpoint):
                self.cursors[unit.id] = msgspec.json.decode(msgspec.json.encode(event.cursor))


def body(document: Document) -> bytes:
    if isinstance(document.body, bytes):
        return document.body
    with document.body.open(0) as file:
        return file.read()


def source_of(slack: SlackServer, *, total: float = 5.0, **keys: Any) -> SlackSource:
    """A source that loses little time between two attempts."""
    config = SlackSource.Config(token="${SLACK_TOKEN}", base_url=slack.url, **keys)
    source = SlackSource("chat", config)
    patience = Patience(attempts=8, total=total, first=0.01, longest=0.05)
    # The same connections for all nights of a test, as far as they have the same patience.
    held = _sessions.setdefault(
        (slack.url, total), Session(SlackClient(slack.url, SECRET, patience=patience))
    )
    held.slow = False
    source._held = held
    return source


def crawl(slack: SlackServer, memory: Memory | None = None, **keys: Any) -> Night:
    slack.requests.clear()
    return (memory or Memory()).crawl(source_of(slack, **keys))


def by_uri(night: Night) -> dict[str, Document]:
    return {one.uri: one for one in night.documents}


def forget_sessions() -> None:
    """Close what :func:`source_of` holds open."""
    for session in _sessions.values():
        session.client.close()
    _sessions.clear()


def counted(asked: Counter[str]) -> dict[str, int]:
    return dict(sorted(asked.items()))
