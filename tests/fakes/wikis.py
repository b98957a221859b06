"""A Confluence with a bit of everything, and sources that read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from unsprawl.crawlers.confluence.source import ConfluenceSource
from unsprawl.estate.confluence_center_server import ConfluenceCenterServer
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.wiki_model import Wiki
from unsprawl.records import Checkpoint, Cursor, Document, Seen, Skipped, Source, Unchanged, Unit
from unsprawl.wire.patience import Patience

USER = "bot@acme.test"
TOKEN = uuid4().hex
VARIABLE = "WIKI_TOKEN"
Server = ConfluenceServer | ConfluenceCenterServer
QUICK = Patience(6, 20.0, first=0.005, longest=0.01)


def source(server: Server, name: str = "wiki", **settings: Any) -> ConfluenceSource:
    """A source of the server that waits for nothing longer than it must."""
    user = "" if isinstance(server, ConfluenceCenterServer) else USER
    settings = {"user": user, "token": "${" + VARIABLE + "}", **settings}
    made = ConfluenceSource(name, ConfluenceSource.Config(url=server.site, **settings))
    return quick(made)


def quick(made: ConfluenceSource) -> ConfluenceSource:
    made._open()
    assert made._made is not None
    for site in made._made[2]:
        site._patience = site._files.patience = QUICK
    return made


def small_wiki() -> Wiki:
    """Two spaces that can be read and one that cannot."""
    wiki = Wiki()
    wiki.room("DEV", "Development", description="Where we build.")
    wiki.room("~anna", "Anna", kind="personal")
    wiki.room("OPEN", "Handbook", open=True)
    page = wiki.write("DEV", "Runbook", "<p>first</p><p>second</p>", "<p>second</p>", "<p>third</p>")
    reply = wiki.comment(page, "<p>a comment</p>", "<p>an edited comment</p>")
    wiki.comment(reply, "<p>a reply</p>")
    wiki.comment(page, "<p>a remark</p>", kind="inline", marked="second")
    wiki.attach(page, "app.env", b"A=1\n", b"A=2\n", note="settings")
    wiki.write("DEV", "Old", "<p>archived</p>", status="archived")
    wiki.write("DEV", "Gone", "<p>trashed</p>", status="trashed")
    wiki.write("DEV", "News", "<p>a post</p>", kind="blogpost")
    wiki.write("DEV", "Draft", "<p>a draft</p>", status="draft")
    live = json.dumps({"type": "doc", "content": [{"type": "text", "text": "live"}]})
    wiki.write("~anna", "Notes", live, live=True)
    open_page = wiki.write("OPEN", "Welcome", "<p>hello</p>")
    wiki.write("OPEN", "Board", "<p>for some</p>", hidden=True)
    wiki.comment(open_page, "<p>nice</p>")
    wiki.template("Report", "<p>template</p>", "DEV")
    wiki.template("Letter", "<p>for all</p>")
    return wiki


def uris(wiki: Wiki, top: str, lost: str = "") -> list[str]:
    """The uris of all documents of a wiki but those of one entry."""
    kinds = {"page": "pages", "blogpost": "blogposts", "footer": "footer-comments"}
    kinds |= {"inline": "inline-comments", "attachment": "attachments", "custom": "custom-content"}
    found = [f"{top}/spaces/{room.key}" for room in wiki.rooms.values()]
    found += [f"{top}/templates/{one.id}" for one in wiki.templates.values()]
    for entry in wiki.entries.values():
        kind = "drafts" if entry.status == "draft" else kinds[entry.kind]
        place = f"{top}/{kind}/{entry.id}"
        if entry.id != lost:
            found.append(place)
        if entry.kind == "attachment":
            found += [f"{place}?version={one.number}" for one in entry.revisions[:-1]]
            found += [f"{place}#comment"] if entry.note else []
        elif len(entry.revisions) > 1:
            found.append(f"{place}#history")
    return found


def never(_key: str) -> str | None:
    return None


@dataclass
class Memory:
    """What a store keeps between runs: versions by key, the last cursor by unit."""

    versions: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)

    def seen(self, key: str) -> str | None:
        return self.versions.get(key)


@dataclass
class Run:
    """Everything that one crawl gave."""

    documents: dict[str, Document] = field(default_factory=dict)
    skipped: dict[str, Skipped] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    unchanged: int = 0


def crawl(made: Source, memory: Memory | None = None) -> Run:
    """One run as the pipeline does it: a unit that fails costs nothing but itself."""
    memory = memory or Memory()
    run = Run()
    for unit in made.units(memory.seen):
        if isinstance(unit, Skipped):
            run.skipped[unit.uri] = unit
            continue
        read(made, unit, memory, run)
    return run


def read(
    made: Source, unit: Unit, memory: Memory, run: Run, stop: Callable[[int], bool] = lambda _count: False
) -> None:
    """One unit from its cursor on. Where ``stop`` says so the process dies: only checkpoints were kept."""
    versions: dict[str, str] = {}
    held = Run()
    seen: Seen = memory.seen
    try:
        for count, event in enumerate(made.read(unit, memory.cursors.get(unit.id), seen)):
            if stop(count):
                return
            if isinstance(event, Document):
                if event.uri in held.documents or event.uri in run.documents:
                    run.twice.append(event.uri)
                held.documents[event.uri] = event
                assert event.version is not None
                versions[event.key] = event.version
            elif isinstance(event, Skipped):
                held.skipped[event.uri] = event
            elif isinstance(event, Unchanged):
                held.unchanged += event.count
            elif isinstance(event, Checkpoint):
                _keep(run, held, memory, versions)
                held, versions = Run(), {}
                memory.cursors[unit.id] = event.cursor
    except Exception as error:  # noqa: BLE001 - as the pipeline does it
        run.failed[unit.id] = error
    _keep(run, held, memory, versions)


def _keep(run: Run, held: Run, memory: Memory, versions: dict[str, str]) -> None:
    run.documents |= held.documents
    run.skipped |= held.skipped
    run.unchanged += held.unchanged
    memory.versions |= versions
