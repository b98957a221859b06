"""What every source promises, held against each of them.

To join, write a function that prepares a small world and decorate it with ``@world("type")``. It gets
a folder and an ``ExitStack`` for its servers, and says how the source is built, what can be read and
what is refused there.
"""

from __future__ import annotations

import base64
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import issues
import msgspec
import pytest
import wikis
from objects import Blob, ObjectServer, Refuse, serving
from slack_worlds import NOON, small, ts_of

from unsprawl.config import SourceConfig
from unsprawl.crawlers.confluence import ConfluenceSource
from unsprawl.crawlers.files import FilesSource
from unsprawl.crawlers.jira import JiraSource
from unsprawl.crawlers.memory import MemorySource
from unsprawl.crawlers.registry import RegistrySource
from unsprawl.crawlers.s3 import S3Source
from unsprawl.crawlers.slack import SlackSource
from unsprawl.errors import SourceError
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.imagery import Step, build, layer
from unsprawl.estate.loopback import Fault
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Access, RegistryServer
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import post
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


@dataclass(frozen=True)
class World:
    """``build`` makes the source afresh, as another process would; ``unreachable`` the same source where
    nothing answers. ``bodies`` are all readable documents by their uri, None where only the uri is known."""

    build: Callable[[], Source]
    bodies: dict[str, bytes | None]
    refused: frozenset[str] = frozenset()
    credentials: tuple[str, ...] = ()
    unreachable: Callable[[], Source] | None = None
    gone: str = ""
    grow: Callable[[], set[str]] | None = None
    """Adds something, and answers its uris. For sources whose last cursor passes over what was read
    before."""


_WORLDS: dict[str, Callable[[Path, ExitStack], World]] = {}


def world(
    name: str,
) -> Callable[[Callable[[Path, ExitStack], World]], Callable[[Path, ExitStack], World]]:
    def register(prepare: Callable[[Path, ExitStack], World]) -> Callable[[Path, ExitStack], World]:
        _WORLDS[name] = prepare
        return prepare

    return register


@world("memory")
def _memory(_folder: Path, _stack: ExitStack) -> World:
    bundles: dict[str, dict[str, str | None]] = {
        "a": {"one": "first", "two": "second", "three": None},
        "b/c": {"ø \n?": "third"},
        "empty": {},
    }
    return World(
        lambda: MemorySource("notes", MemorySource.Config(bundles=bundles)),
        {"memory:a/one": b"first", "memory:a/two": b"second", "memory:b%2Fc/%C3%B8%20%0A%3F": b"third"},
        refused=frozenset({"memory:a/three"}),
        gone="memory:a/four",
    )


@world("files")
def _files(folder: Path, _stack: ExitStack) -> World:
    top = folder / "tree"
    bodies: dict[str, bytes | None] = {}
    for index in range(150):
        path = top / f"d{index % 7}" / f"f{index}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % index * index)
        bodies[path.as_uri()] = path.read_bytes()
    odd = os.fsencode(top) + b"/caf\xe9 \n#?.env"
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    bodies[top.as_uri() + "/caf%E9%20%0A%23%3F.env"] = b"odd"
    (top / "big.bin").write_bytes(os.urandom(5 << 20))
    bodies[(top / "big.bin").as_uri()] = (top / "big.bin").read_bytes()
    missing = folder / "missing"
    paths = (str(top), str(missing))
    return World(
        lambda: FilesSource("disk", FilesSource.Config(paths=paths)),
        bodies,
        refused=frozenset({missing.as_uri()}),
        gone=(top / "d0" / "gone").as_uri(),
    )


@world("s3")
def _s3(_folder: Path, stack: ExitStack) -> World:
    keys = {"ACCESS": uuid4().hex, "SECRET": uuid4().hex, "SESSION": uuid4().hex}
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    for name, value in keys.items():
        environment.setenv(f"OBJECTS_{name}", value)
    server = stack.enter_context(serving(ObjectServer(access_key=keys["ACCESS"])))
    blobs = {
        f"logs/{index:04}": Blob(text=b"%d" % index if index % 20 == 0 else b"") for index in range(1010)
    }
    blobs |= {"top": Blob(text=b"top"), "a/empty": Blob(text=b""), "a/big": Blob(5 << 20)}
    blobs |= {"odd \n\x1b[31m%41?#é//../x": Blob(text=b"odd")}
    refused = {"a/cold": Blob(3, storage="GLACIER"), "a/gone": Blob(3), "a/mine": Blob(3)}
    server.buckets = {"one": {**blobs, **refused}, "closed": {}, "void": {}}
    server.always = {
        ("one", "a/gone"): Refuse(404, "NoSuchKey"),
        ("one", "a/mine"): Refuse(403, "AccessDenied"),
        ("closed", ""): Refuse(403, "AccessDenied"),
    }

    def build(url: str = server.url) -> Source:
        config = S3Source.Config(
            endpoint_url=url,
            access_key="${OBJECTS_ACCESS}",
            secret_key="${OBJECTS_SECRET}",
            session_token="${OBJECTS_SESSION}",
            attempts=1,
        )
        return S3Source("store", config)

    odd = "s3://one/odd%20%0A%1B%5B31m%2541%3F%23%C3%A9//../x"
    bodies = {f"s3://one/{key}": blob.span(0, blob.length) for key, blob in blobs.items() if " " not in key}
    return World(
        build,
        {**bodies, odd: b"odd"},
        refused=frozenset({f"s3://one/{key}" for key in refused} | {"s3://closed/"}),
        credentials=tuple(keys.values()),
        unreachable=lambda: build("http://127.0.0.1:9"),
        gone="s3://one/a/never",
    )


@world("registry")
def _registry(_folder: Path, stack: ExitStack) -> World:
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    password = uuid4().hex
    environment.setenv("REGISTRY_TOKEN", password)
    server = stack.enter_context(RegistryServer())
    layers = [layer({f"l{number}": os.urandom(3000)}) for number in range(3)]
    for number in range(60):
        steps = [Step("COPY", layers[number % 3])]
        push(server.url, "team/many", build(steps, env=[f"N={number}"]), f"t{number:03}")
    push(server.url, "team/closed", build([Step("COPY", layers[0])]), "v1")
    server.access = Access(users={"bot": password}, forbidden=("team/closed",))

    def build_source(url: str = server.url) -> Source:
        config = RegistrySource.Config(url=url, user="bot", token="${REGISTRY_TOKEN}", max_wait=0.1)
        source = RegistrySource("images", config)
        stack.callback(source.close)
        return source

    top = f"registry://{server.url.removeprefix('http://')}"
    blobs = server.repositories["team/many"].blobs
    packed = {one.blob.digest for one in layers}
    return World(
        build_source,
        {
            f"{top}/team/many@{digest}{'' if digest in packed else '#config'}": body
            for digest, body in blobs.items()
        },
        refused=frozenset({f"{top}/team/closed"}),
        credentials=(password, base64.b64encode(f"bot:{password}".encode()).decode()),
        unreachable=lambda: build_source("http://127.0.0.1:9"),
        gone=f"{top}/team/many@sha256:{'0' * 64}",
    )


@world("slack")
def _slack(_folder: Path, stack: ExitStack) -> World:
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    token = f"xoxb-{uuid4().hex}"
    environment.setenv("SLACK_TOKEN", token)
    team = small()
    server = stack.enter_context(SlackServer(team, {token: None}))
    server.pages = {"conversations.history": 7}
    general = team.channels[0]

    def build_source(url: str = server.url) -> Source:
        config = SlackSource.Config(token="${SLACK_TOKEN}", base_url=url, max_wait=0.1)
        return SlackSource("chat", config)

    def grow() -> set[str]:
        general.add(post(NOON + 20_000, "U00000001", "something new"))
        return {f"{top}/{general.id}/{ts_of(NOON + 20_000)}"}

    top = "slack://T0ACME"
    bodies: dict[str, bytes | None] = {f"{top}/people/{user['id']}": None for user in team.users}
    bodies |= {f"{top}/{channel.id}?about": None for channel in team.channels}
    bodies |= {f"{top}/files/{file.raw['id']}": file.content for file in team.files}
    run = f"{top}/{general.id}/{ts_of(NOON)}"
    bodies |= {f"{top}/{general.id}/{one['ts']}": None for one in general.messages}
    del bodies[f"{top}/{general.id}/{ts_of(NOON + 60)}"]
    bodies[run] = b"user: admin\npassword: see below\n"
    bodies[f"{top}/{general.id}/{ts_of(NOON + 4000)}"] = b"how do I sign in?\nlike this\nthanks\n"
    return World(
        build_source,
        bodies,
        refused=frozenset({f"{top}/{team.channels[1].id}"}),
        credentials=(token,),
        unreachable=lambda: build_source("http://127.0.0.1:9/api"),
        gone=f"{top}/{general.id}/{ts_of(NOON + 1)}",
        grow=grow,
    )


@world("confluence")
def _confluence(_folder: Path, stack: ExitStack) -> World:
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    environment.setenv(wikis.VARIABLE, wikis.TOKEN)
    wiki = wikis.small_wiki()
    server = stack.enter_context(ConfluenceServer(wiki, wikis.USER, wikis.TOKEN))
    for number in range(60):
        wiki.write("DEV", f"Page {number}", f"<p>{number}</p>")
    server.largest = 20
    broken = wiki.attach(wiki.of("page")[0], "lost.bin", b"lost")
    server.faults = [Fault("lost.bin", 403)]

    def build(url: str = server.site) -> Source:
        config = ConfluenceSource.Config(
            url=url, user=wikis.USER, token="${" + wikis.VARIABLE + "}", max_wait=0.1
        )
        source = ConfluenceSource("wiki", config)
        stack.callback(source.close)
        return source

    top = "confluence://" + server.site.removeprefix("http://")
    return World(
        build,
        dict.fromkeys(wikis.uris(wiki, top, lost=broken.id)),
        refused=frozenset({f"{top}/attachments/{broken.id}"}),
        credentials=(wikis.TOKEN, server.login),
        unreachable=lambda: build("http://127.0.0.1:9/wiki"),
        gone=f"{top}/pages/1",
    )


def _jira(stack: ExitStack, *, cloud: bool) -> World:
    server = stack.enter_context(issues.serving(cloud, zone="America/St_Johns"))
    server.page = 20
    site = server.site
    site.project("DEV", description="what we build", components=[{"name": "web", "description": "the shop"}])
    site.project("SHUT", closed=True)
    site.project("OLD", archived=True)
    for number in range(50):
        issue = site.issue("DEV", f"Task {number}", age=timedelta(days=60 - number), description="Do it.")
        site.comment(issue, f"Comment {number}")
    site.edit(issue, "description", "Done.")
    site.attach(issue, "log.txt", b"all is well")
    big = os.urandom(5 << 20)
    large = site.attach(issue, "big.bin", big, "application/octet-stream")
    lost = site.attach(issue, "lost.bin", b"lost", "application/octet-stream")
    server.faults = [Fault(f"attachment(/content)?/{lost}", 403)]
    site.saved_search("mine", "project = DEV")

    def build(url: str = server.url) -> Source:
        settings: dict[str, Any] = {"user": server.user} if cloud else {"deployment": "data-center"}
        config = JiraSource.Config(url=url, token="${" + issues.VARIABLE + "}", max_wait=0.1, **settings)
        source = JiraSource("tracker", config)
        stack.callback(source.close)
        return source

    top = server.url.replace("http", "jira", 1)
    bodies: dict[str, bytes | None] = {f"{top}/issue/{one}": None for one in site.issues}
    bodies |= {f"{top}/issue/{issue.id}/history": b"description: Do it.\n"}
    bodies |= {f"{top}/attachment/{one}": body for one, (_, body) in issue.files.items() if one != lost}
    bodies |= {f"{top}/filter/{site.filters[0]['id']}": b"mine\nproject = DEV"}
    bodies |= {f"{top}/project/DEV": b"Dev\nwhat we build\nweb: the shop"}
    assert bodies[f"{top}/attachment/{large}"] == big
    pair = base64.b64encode(f"{server.user}:{issues.TOKEN}".encode()).decode()
    return World(
        build,
        bodies,
        refused=frozenset({f"{top}/attachment/{lost}", f"{top}/project/SHUT", f"{top}/project/OLD"}),
        credentials=(issues.TOKEN, pair),
        unreachable=lambda: build("http://127.0.0.1:9"),
        gone=f"{top}/issue/999999",
    )


@world("jira")
def _jira_cloud(_folder: Path, stack: ExitStack) -> World:
    return _jira(stack, cloud=True)


@world("jira-data-center")
def _jira_data_center(_folder: Path, stack: ExitStack) -> World:
    return _jira(stack, cloud=False)


@pytest.fixture(params=_WORLDS)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield _WORLDS[request.param](tmp_path, stack)


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
    assert kind.__module__ == f"unsprawl.crawlers.{source.type}"
    assert issubclass(kind.Config, SourceConfig)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"no_such_key": 1}, kind.Config)
