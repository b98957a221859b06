"""Small worlds of every source, to be held against what all sources promise (tests/contract/test_source.py).

To join, write a function that prepares a small world and decorate it with ``@world("type")``. It gets
a folder and an ``ExitStack`` for its servers, and says how the source is built, what can be read and
what is refused there.
"""

from __future__ import annotations

import base64
import gzip
import os
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import issues
import pytest
import wikis
from objects import Blob, ObjectServer, Refuse, serving
from slack_worlds import NOON, small, ts_of
from worlds import World, Worlds

from unsprawl.crawlers.confluence.source import ConfluenceSource
from unsprawl.crawlers.engine.source import EngineSource
from unsprawl.crawlers.files import FilesSource
from unsprawl.crawlers.jira.source import JiraSource
from unsprawl.crawlers.memory import MemorySource
from unsprawl.crawlers.registry.source import RegistrySource
from unsprawl.crawlers.s3.source import S3Source
from unsprawl.crawlers.slack.source import SlackSource
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.engine_server import EngineServer, RunContainer
from unsprawl.estate.imagery import Step, build, layer
from unsprawl.estate.loopback import Fault
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Access, RegistryServer
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import post
from unsprawl.records import Source

__all__ = ["WORLDS"]


WORLDS = Worlds()
world = WORLDS.world


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
    many = server.repositories["team/many"]
    packed = {one.blob.digest for one in layers}
    blobs = {
        f"{top}/team/many@{digest}{'' if digest in packed else '#config'}": body
        for digest, body in many.blobs.items()
    }
    manifests = {f"{top}/team/many@{digest}#manifest": body for digest, (_, body) in many.manifests.items()}
    return World(
        build_source,
        {**blobs, **manifests},
        refused=frozenset({f"{top}/team/closed"}),
        credentials=(password, base64.b64encode(f"bot:{password}".encode()).decode()),
        unreachable=lambda: build_source("http://127.0.0.1:9"),
        gone=f"{top}/team/many@sha256:{'0' * 64}",
    )


@world("engine")
def _engine(_folder: Path, stack: ExitStack) -> World:
    server = stack.enter_context(EngineServer())
    layers = [layer({f"l{number}": os.urandom(3000)}) for number in range(3)]
    server.images = {f"many:{n}": build([Step("COPY", layers[n % 3])], env=[f"N={n}"]) for n in range(5)}
    server.containers = [
        RunContainer("c" * 64, "web", "many:0", added={"/a \x1b#?é": b"new"}, log=b"hello\n"),
        RunContainer("d" * 64, "shut", "many:0", log=None),
    ]
    server.images["gone:1"] = build([Step("COPY", layers[0])], env=["N=gone"])
    gone = server.images["gone:1"].blobs[0].digest
    server.faults = [Fault(f"/images/{gone}/json", 404)]

    def build_source(url: str = server.url) -> Source:
        source = EngineSource("host", EngineSource.Config(base_url=url, logs=True, max_wait=5.0))
        stack.callback(source.close)
        return source

    top = f"engine://{server.url.removeprefix('http://')}"
    names = [name for name in server.images if name != "gone:1"]
    bodies: dict[str, bytes | None] = {
        f"{top}/images/{server.images[name].blobs[0].digest}": None for name in names
    }
    bodies |= {f"{top}/layers/{one.diff_id}": gzip.decompress(one.blob.data) for one in layers}
    bodies |= {f"{top}/containers/{one.identity}": None for one in server.containers}
    bodies |= {f"{top}/containers/{'c' * 64}/log": b"hello\n"}
    bodies |= {f"{top}/containers/{'c' * 64}/files/a%20%1B%23%3F%C3%A9": b"new"}
    return World(
        build_source,
        bodies,
        refused=frozenset({f"{top}/images/{gone}", f"{top}/containers/{'d' * 64}/log"}),
        unreachable=lambda: build_source("http://127.0.0.1:9"),
        gone=f"{top}/layers/sha256:{'0' * 64}",
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
