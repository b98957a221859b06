"""What every source promises, held against each of them.

The worlds they are held against, and how to join: ``tests/fakes/source_worlds.py``, ``feed_worlds.py``.
"""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import feed_worlds
import msgspec
import pytest
import source_worlds
from worlds import World

from unsprawl.config import SourceConfig
from unsprawl.crawlers.memory import MemorySource
from unsprawl.errors import SourceError
from unsprawl.records import (
    Checkpoint,
    Cursor,
    Document,
    Event,
    Refetchable,
    Seen,
    Skipped,
    Source,
    Stream,
    Unchanged,
    Unit,
)
from unsprawl.wire.usage import metered

WORLDS = {**source_worlds.WORLDS, **feed_worlds.WORLDS}


@pytest.fixture(params=WORLDS)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield WORLDS[request.param](tmp_path, stack)


# --- reading helpers -----------------------------------------------------------------------------


def never(_key: str) -> str | None:
    return None


@dataclass
class Crawl:
    """Everything one run of a source gave."""

    units: list[Unit] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)
    skipped: dict[str, Skipped] = field(default_factory=dict)
    unchanged: int = 0
    repeated: list[str] = field(default_factory=list)


def crawl(source: Source, seen: Seen = never) -> Crawl:
    run = Crawl()
    for item in source.units(seen):
        if isinstance(item, Skipped):
            run.skipped[item.uri] = item
            continue
        run.units.append(item)
        for event in source.read(item, None, seen):
            if isinstance(event, Document):
                if event.uri in run.documents:
                    run.repeated.append(event.uri)
                run.documents[event.uri] = event
            elif isinstance(event, Skipped):
                run.skipped[event.uri] = event
            elif isinstance(event, Unchanged):
                run.unchanged += event.count
    return run


def content(document: Document) -> bytes:
    if isinstance(document.body, bytes):
        return document.body
    with document.body.open(0) as file:
        return file.read()


def told(event: Event) -> tuple[Any, ...]:
    """What of an event can be compared: a stream is another object each time."""
    if isinstance(event, Document):
        return ("document", event.uri, event.version)
    if isinstance(event, Checkpoint):
        return ("checkpoint", *(item for item in event.cursor.items() if item[0] != "at"))
    return (type(event).__name__, event)


# --- the promises --------------------------------------------------------------------------------


def test_everything_readable_is_read_and_everything_else_is_told(here: World) -> None:
    run = crawl(here.build())
    assert set(run.documents) == set(here.bodies)
    assert {uri for uri, skipped in run.skipped.items() if not skipped.excluded} == here.refused
    for uri, body in here.bodies.items():
        assert body is None or content(run.documents[uri]) == body


def test_a_refusal_says_why(here: World) -> None:
    run = crawl(here.build())
    assert here.refused or type(here.build()) is not MemorySource
    for uri in here.refused:
        assert run.skipped[uri].reason
        assert "Traceback" not in run.skipped[uri].reason


def test_uris_are_unique(here: World) -> None:
    assert crawl(here.build()).repeated == []


def test_units_are_stable_unique_and_travel(here: World) -> None:
    first = [unit for unit in here.build().units(never) if isinstance(unit, Unit)]
    second = [unit for unit in here.build().units(never) if isinstance(unit, Unit)]
    assert [(unit.id, unit.parents) for unit in first] == [(unit.id, unit.parents) for unit in second]
    assert len({unit.id for unit in first}) == len(first)
    assert all(unit.id for unit in first)
    other = here.build()
    for unit in first[:3]:
        sent = pickle.loads(pickle.dumps(unit))
        events = [told(event) for event in here.build().read(unit, None, never)]
        assert [told(event) for event in other.read(sent, None, never)] == events


def test_reading_from_any_checkpoint_gives_the_rest(here: World) -> None:
    source = here.build()
    for unit in source.units(never):
        if isinstance(unit, Skipped):
            continue
        events = list(source.read(unit, None, never))
        given = [told(event) for event in events]
        for index, event in enumerate(events[:-1]):
            if isinstance(event, Checkpoint):
                cursor: Cursor = msgspec.json.decode(msgspec.json.encode(event.cursor))
                resumed = [told(event) for event in here.build().read(unit, cursor, never)]
                rest = given[index + 1 :]
                # Inclusive: what lies at the border may come again, nothing may be missing.
                assert resumed[len(resumed) - len(rest) :] == rest
                assert set(map(str, resumed)) <= set(map(str, given))


def test_a_second_run_reads_nothing_that_did_not_change(here: World) -> None:
    first = crawl(here.build())
    versions = {document.key: document.version for document in first.documents.values() if document.version}
    assert len(versions) == len(first.documents)
    second = crawl(here.build(), versions.get)
    assert second.documents == {}
    assert second.unchanged == len(first.documents)
    assert second.skipped.keys() == first.skipped.keys()


def test_after_a_whole_run_the_last_cursor_sees_what_is_new(here: World) -> None:
    source = here.build()
    units = [unit for unit in source.units(never) if isinstance(unit, Unit)]
    if here.grow is not None:
        sees_what_is_new(here, units, here.grow)
        return
    tomorrow = {unit.id: unit for unit in here.build().units(never) if isinstance(unit, Unit)}
    for unit in units:
        events = list(source.read(unit, None, never))
        cursors = [event.cursor for event in events if isinstance(event, Checkpoint)]
        if cursors:
            again = here.build().read(tomorrow[unit.id], cursors[-1], never)
            documents = [told(event) for event in events if isinstance(event, Document)]
            assert [told(event) for event in again if isinstance(event, Document)] == documents


def sees_what_is_new(here: World, units: list[Unit], grow: Callable[[], set[str]]) -> None:
    source, last, versions = here.build(), dict[str, Cursor](), dict[str, str | None]()
    for unit in units:
        for event in source.read(unit, None, never):
            if isinstance(event, Checkpoint):
                last[unit.id] = event.cursor
            elif isinstance(event, Document):
                versions[event.key] = event.version
    new = grow()
    source = here.build()
    events = [
        event
        for unit in source.units(versions.get)
        if isinstance(unit, Unit)
        for event in source.read(unit, last.get(unit.id), versions.get)
    ]
    assert {event.uri for event in events if isinstance(event, Document)} == new


def test_documents_are_well_formed(here: World) -> None:
    for document in crawl(here.build()).documents.values():
        assert document.uri.partition(":")[0].isidentifier()
        assert document.uri.isprintable()
        assert " " not in document.uri
        assert document.path
        assert document.modified_at is None or document.modified_at.tzinfo is not None
        msgspec.json.encode(document.attrs)


def test_streams_open_at_any_offset(here: World) -> None:
    for document in crawl(here.build()).documents.values():
        if isinstance(document.body, Stream) and document.body.seekable:
            body = content(document)
            assert document.body.size in (None, len(body))
            for offset in (1, len(body) // 2, len(body) - 1, len(body)):
                with document.body.open(offset) as file:
                    assert file.read() == body[offset:]


def test_one_document_can_be_fetched_again(here: World) -> None:
    source = here.build()
    assert isinstance(source, Refetchable)
    run = crawl(source)
    for uri in list(run.documents)[:5]:
        fetched = source.fetch(uri)
        assert isinstance(fetched, Document)
        assert content(fetched) == content(run.documents[uri])
    assert isinstance(source.fetch(here.gone), Skipped)
    assert isinstance(source.fetch("https://elsewhere.test/x"), Skipped)


def test_a_reader_that_stops_early_leaves_nothing_behind(here: World) -> None:
    source = here.build()
    for unit in source.units(never):
        if isinstance(unit, Unit):
            reading = source.read(unit, None, never)
            next(reading, None)
            reading.close()  # type: ignore[attr-defined]
    assert set(crawl(source).documents) == set(here.bodies)


def test_no_credential_is_ever_said(here: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run = crawl(here.build())
    said = caplog.text + repr(run.units) + repr(run.skipped) + repr(here.build())
    if here.unreachable is not None:
        with pytest.raises(SourceError) as failure:
            crawl(here.unreachable())
        said += "".join(traceback.format_exception(failure.value)) + failure.value.hint + caplog.text
    assert not [value for value in here.credentials if value in said]


def test_names_agree(here: World) -> None:
    source = here.build()
    kind: Any = type(source)
    assert kind.__module__.removesuffix(".source") == f"unsprawl.crawlers.{source.type}"
    assert issubclass(kind.Config, SourceConfig)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"no_such_key": 1}, kind.Config)


def test_every_request_is_counted(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets are kept by this count: that of the client is that of the servers."""
    served: list[str] = []
    parse = BaseHTTPRequestHandler.parse_request

    def counted(handler: BaseHTTPRequestHandler) -> bool:
        line = str(vars(handler)["raw_requestline"])
        if "/robots.txt" not in line:
            served.append(line)
        return parse(handler)

    monkeypatch.setattr(BaseHTTPRequestHandler, "parse_request", counted)
    with metered() as usage:
        source = here.build()
        run = crawl(source)
        for uri in list(run.documents)[:3]:
            content(run.documents[uri])
    assert usage.requests == len(served)
