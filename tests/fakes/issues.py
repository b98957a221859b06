"""Crawling a Jira in a test: the site, a source with little patience, and what one run of it gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from unsprawl.crawlers.jira.source import JiraSource
from unsprawl.estate.jira_server import JiraServer
from unsprawl.estate.jira_site import JiraSite
from unsprawl.records import Checkpoint, Document, Skipped, Unchanged, Unit
from unsprawl.wire.patience import Patience

__all__ = ["TOKEN", "VARIABLE", "Clock", "Run", "build", "content", "crawl", "serving"]

VARIABLE = "JIRA_TOKEN"
TOKEN = "d" * 24
START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **more: float) -> None:
        self.now += timedelta(**more)


@contextmanager
def serving(cloud: bool = True, **settings: Any) -> Iterator[JiraServer]:
    """An empty site; the environment holds the token of its account."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, TOKEN)
        with JiraServer(JiraSite(Clock()), cloud=cloud, **settings) as server:
            server.token = TOKEN
            yield server


def build(server: JiraServer, **settings: Any) -> JiraSource:
    """A source as a configuration makes it, but with short waits."""
    user = {"user": server.user} if server.cloud else {"deployment": "data-center"}
    settings = {"url": server.url, "token": "${" + VARIABLE + "}", **user, **settings}
    source = JiraSource("tracker", JiraSource.Config(**settings))
    site = source._api().site
    site._patience = site._files.patience = Patience(6, 20.0, first=0.01, longest=0.02)
    return source


@dataclass
class Run:
    """Everything one run gave. ``cursors`` are the last of each unit, ``versions`` what a store keeps."""

    documents: dict[str, Document] = field(default_factory=dict)
    skipped: dict[str, Skipped] = field(default_factory=dict)
    unchanged: int = 0
    cursors: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)

    def text(self, uri_end: str) -> str:
        (document,) = [one for uri, one in self.documents.items() if uri.endswith(uri_end)]
        return content(document).decode()


def content(document: Document) -> bytes:
    if isinstance(document.body, bytes):
        return document.body
    with document.body.open(0) as file:
        return file.read()


def crawl(source: JiraSource, before: Run | None = None, seen: Callable[[str], Any] | None = None) -> Run:
    """One run, from the cursors and versions of the run before."""
    run = Run(
        versions=dict(before.versions) if before else {}, cursors=dict(before.cursors) if before else {}
    )
    known = seen or dict(run.versions).get
    try:
        for item in source.units(known):
            if isinstance(item, Unit):
                for event in source.read(item, run.cursors.get(item.id), known):
                    _take(run, item, event)
            else:
                run.skipped[item.uri] = item
    finally:
        source.close()
    return run


def _take(run: Run, unit: Unit, event: Any) -> None:
    if isinstance(event, Document):
        if event.uri in run.documents:
            run.repeated.append(event.uri)
        run.documents[event.uri] = event
        if event.version is not None:
            run.versions[event.key] = event.version
    elif isinstance(event, Skipped):
        run.skipped[event.uri] = event
    elif isinstance(event, Unchanged):
        run.unchanged += event.count
    elif isinstance(event, Checkpoint):
        run.cursors[unit.id] = event.cursor
