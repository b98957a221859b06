"""Small worlds of build logs and paste feeds: as in source_worlds.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import ci_worlds
import pytest
from worlds import World, Worlds

from unsprawl.crawlers.paste.source import PasteSource
from unsprawl.estate import builds
from unsprawl.estate.paste_server import Paste, PasteServer
from unsprawl.records import Source

__all__ = ["WORLDS"]


WORLDS = Worlds()
world = WORLDS.world


def _ci(stack: ExitStack, system: str) -> World:
    here = stack.enter_context(ci_worlds.opened(system))
    for number in range(3):
        run = here.builds.run("acme/shop", age=timedelta(days=10, minutes=-5 * number))
        job = here.builds.job(run, "nightly", builds.Step("sweep", f"night {number}"))
    here.refuse(job)

    def build(url: str = "", **more: Any) -> Source:
        source = here.build(url, **more)
        stack.callback(source.close)
        return source

    bodies = {f"{here.top}/{name}": body for name, body in here.bodies().items()}
    refused = {uri for uri in bodies if uri.endswith(f"/{here.name_of(job)}")}
    assert len(refused) == 1
    return World(
        build,
        {uri: body for uri, body in bodies.items() if uri not in refused},
        refused=frozenset(refused),
        credentials=(ci_worlds.TOKEN,),
        unreachable=lambda: build("http://127.0.0.1:9" + here.path, max_wait=0.1),
        gone=f"{next(iter(bodies))}/run/999999",
    )


def _ci_world(system: str) -> Callable[[Path, ExitStack], World]:
    return lambda _folder, stack: _ci(stack, system)


for _system in ci_worlds.WORLDS:
    world(f"ci-{_system}")(_ci_world(_system))


def _pastes(_folder: Path, stack: ExitStack, feed: Any) -> World:
    """A paste site with 40 pastes of which one was deleted, seen through one kind of feed."""
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    server = stack.enter_context(PasteServer())
    noon = 1_767_690_000
    gists = feed == "gist"
    for number in range(40):
        server.post(f"note {number}\n", noon + number, title=f"note {number}", name=f"n {number}.txt")
    lost = server.pastes[17]
    lost.deleted = True
    token = uuid4().hex
    environment.setenv("PASTE_TOKEN", token)
    server.inline = False
    settings: dict[str, Any] = {"url": server.url if feed != "rss" else f"{server.url}/atom"}
    if gists:
        server.token = token
        settings |= {"token": "${PASTE_TOKEN}"}

    def build(url: str = settings["url"]) -> Source:
        config = PasteSource.Config(feed=feed, request_interval=0, max_wait=0.1, **{**settings, "url": url})
        source = PasteSource("pastes", config)
        stack.callback(source.close)
        return source

    def grow() -> set[str]:
        return {uri(server.post("new\n", noon + 1000, name="new.txt"))}

    def uri(paste: Paste) -> str:
        host = server.url.removeprefix("http://")
        return f"paste://{host}/{paste.id}" + (f"/{quote(paste.name)}" if gists else "")

    bodies: dict[str, bytes | None] = {
        uri(one): (one.text if feed != "rss" else f"{one.title}\n{one.text}").encode()
        for one in server.pastes
        if one is not lost
    }
    if feed == "rss":
        bodies = dict.fromkeys(bodies)
    return World(
        build,
        bodies,
        refused=frozenset({uri(lost)}),
        credentials=(token,),
        unreachable=lambda: build("http://127.0.0.1:9"),
        gone=f"paste://{server.url.removeprefix('http://')}/{'0' * 12}{'/x' * gists}",
        grow=grow,
    )


@world("paste-pastebin")
def _pastebin(folder: Path, stack: ExitStack) -> World:
    return _pastes(folder, stack, "pastebin")


@world("paste-gist")
def _gist(folder: Path, stack: ExitStack) -> World:
    return _pastes(folder, stack, "gist")


@world("paste-rss")
def _rss(folder: Path, stack: ExitStack) -> World:
    return _pastes(folder, stack, "rss")


@world("paste-folder")
def _dumps(folder: Path, _stack: ExitStack) -> World:
    top = folder / "dumps"
    bodies: dict[str, bytes | None] = {}
    for index in range(70):
        path = top / f"d{index % 3}" / f"dump {index}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"dump %d\n" % index)
        bodies[path.as_uri()] = path.read_bytes()

    def grow() -> set[str]:
        (top / "later.txt").write_bytes(b"later")
        return {(top / "later.txt").as_uri()}

    return World(
        lambda: PasteSource("dumps", PasteSource.Config(feed="folder", path=str(top))),
        bodies,
        gone=(top / "gone").as_uri(),
        grow=grow,
    )
