"""pinnwand itself, the software of bpa.st: pastes by addresses and from its database."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from unsprawl.crawlers.paste.source import PasteSource
from unsprawl.errors import UnreadableError
from unsprawl.records import Checkpoint, Cursor, Document, Event, Skipped, Unit


@dataclass
class Site:
    url: str
    database: Path

    def post(self, *files: tuple[str, str]) -> str:
        """A paste with these files (name, content); answers its address."""
        entries = [{"lexer": "text", "content": text, "name": name} for name, text in files]
        body = json.dumps({"expiry": "1day", "files": entries}).encode()
        request = urllib.request.Request(
            f"{self.url}/api/v1/paste", body, {"content-type": "application/json"}
        )
        for _ in range(40):  # it lets one paste through a second
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return str(json.load(answer)["link"])
            except urllib.error.HTTPError as error:
                error.close()
                time.sleep(0.2)
        raise AssertionError("pinnwand takes no paste")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pinnwand")
    database = folder / "pastes.db"
    generous = "capacity = 10000\nconsume = 1\nrefill = 10000\n"
    limits = "".join(f"[ratelimit.{area}]\n{generous}" for area in ("read", "create", "delete"))
    (folder / "p.toml").write_text(f'database_uri = "sqlite:///{database}"\n{limits}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "pinnwand"]
    command += ["--configuration-path", str(folder / "p.toml"), "http", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/api/v1/expiry", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield Site(url, database)
    finally:
        process.terminate()
        process.wait(20)


def look(source: PasteSource, since: Cursor | None = None) -> list[Event]:
    (unit,) = source.units(lambda _: None)
    assert isinstance(unit, Unit)
    return list(source.read(unit, since, lambda _: None))


def documents(events: list[Event]) -> list[Document]:
    return [event for event in events if isinstance(event, Document)]


def source_of(site: Site, **settings: Any) -> PasteSource:
    config = PasteSource.Config(feed="pinnwand", url=site.url, request_interval=0, **settings)
    return PasteSource("pastes", config)


def members(document: Document) -> dict[str, bytes]:
    import io
    import zipfile

    assert isinstance(document.body, bytes)
    with zipfile.ZipFile(io.BytesIO(document.body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_pastes_of_an_access_log_are_read_with_all_their_files(site: Site, tmp_path: Path) -> None:
    link = site.post(("a.env", "first file"), ("b.env", "second file"))
    slug = link.rpartition("/")[2]
    log = tmp_path / "access.log"
    log.write_text(
        f'10.0.0.1 - - [x] "GET /{slug} HTTP/1.1" 200 17\n10.0.0.1 "GET /static/APP.css HTTP/1.1" 200\n'
        f'10.0.0.1 - - [x] "GET /raw/AAAAAAAA HTTP/1.1" 404 9\n10.0.0.1 "GET /about HTTP/1.1"\n'
    )
    source = source_of(site, listed=str(log))
    events = look(source)
    (paste,) = documents(events)
    assert sorted(members(paste).values()) == [b"first file", b"second file"]
    assert paste.url == f"{site.url}/{slug}"
    assert [event.reason for event in events if isinstance(event, Skipped)] == [
        "expired or deleted before it was read"
    ]
    cursor = [event.cursor for event in events if isinstance(event, Checkpoint)][-1]
    another = site.post(("", "and another"))
    with log.open("a") as file:
        file.write(f"bot: have a look at {another} please\n{slug}\n")
    (new,) = documents(look(source, cursor))
    assert new.url == another
    fetched = source.fetch(new.uri)
    assert isinstance(fetched, Document)
    assert isinstance(source.fetch(f"{new.uri}AAAA"), Skipped)
    assert all(one.ok for one in source.diagnose())


def test_the_database_of_a_site_of_our_own_shows_everything(site: Site) -> None:
    source = source_of(site, database=str(site.database))
    first = look(source)
    link = site.post(("deploy.sh", "export A=1"), ("", "notes"))
    cursor = [event.cursor for event in first if isinstance(event, Checkpoint)][-1]
    new = documents(look(source, cursor))
    assert [one.body for one in new] == [b"export A=1", b"notes"]
    assert new[0].path.endswith("/deploy.sh")
    assert {one.url for one in new} == {link}
    assert all(one.modified_at for one in new)
    fetched = source.fetch(new[0].uri)
    assert isinstance(fetched, Document)
    assert fetched.body == b"export A=1"
    assert all(one.ok for one in source.diagnose())


def test_what_is_no_database_of_pinnwand_is_said(site: Site, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database")
    for path in (tmp_path / "x.db", tmp_path / "missing.db"):
        with pytest.raises(UnreadableError, match="database cannot be read"):
            look(source_of(site, database=str(path)))
    with pytest.raises(UnreadableError, match="list of pastes"):
        look(source_of(site, listed=str(tmp_path / "no.log")))
