"""A Confluence with everything wrong at once, crawled by the command: every secret once, every gap told."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wikis

from unsprawl.estate.confluence_center_server import ConfluenceCenterServer
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.loopback import Fault
from unsprawl.estate.wiki_model import Wiki
from unsprawl.placeholders import fill

PLACES = (
    "page",
    "code",
    "split",
    "live",
    "removed",
    "comment",
    "inline",
    "reply",
    "file",
    "zip",
    "old file",
    "blog",
    "archived",
    "trashed",
    "draft",
    "template",
    "personal",
    "parameter",
)


def planted() -> dict[str, str]:
    return {place: fill("<github-token:ghp_>", f"wiki {place}") for place in PLACES}


def written(value: dict[str, str]) -> Wiki:
    """A wiki with a secret at each of the places, and one in a space that is closed."""
    wiki = Wiki()
    wiki.room("OPS", "Operations")
    wiki.room("~anna", "Anna", kind="personal")
    wiki.room("HR", "People", closed=True)
    cut = value["split"]
    macro = (
        '<ac:structured-macro ac:name="code"><ac:parameter ac:name="language">bash</ac:parameter>'
        f"<ac:plain-text-body><![CDATA[export GITHUB_TOKEN={value['code']}\n]]></ac:plain-text-body>"
        "</ac:structured-macro>"
    )
    kept = f"<p>deploy with GITHUB_TOKEN={value['page']}</p>"
    page = wiki.write(
        "OPS",
        "Runbook",
        f"{kept}<table><tbody><tr><th><p>Token</p></th><td><p>{value['removed']}</p></td></tr></tbody></table>",
        f"{kept}{macro}",
        f"{kept}{macro}<p>token: {cut[:12]}<strong>{cut[12:20]}</strong>{cut[20:]}</p>",
    )
    parameter = f'<ac:parameter ac:name="title">{value["parameter"]}</ac:parameter>'
    status = f'<ac:structured-macro ac:name="status">{parameter}</ac:structured-macro>'
    wiki.write("OPS", "Macro", status)
    node = {"type": "text", "text": f"GITHUB_TOKEN={value['live']}"}
    wiki.write("OPS", "Live", json.dumps({"type": "doc", "content": [node]}), live=True)
    note = wiki.comment(page, f"<p>use {value['comment']} for now</p>")
    wiki.comment(note, f"<p>no, token {value['reply']}</p>")
    wiki.comment(page, f"<p>or {value['inline']}</p>", kind="inline", marked="deploy")
    wiki.attach(page, "app.env", f"GITHUB_TOKEN={value['old file']}\n".encode(), b"GITHUB_TOKEN=\n")
    wiki.attach(page, "shop.env", f"GITHUB_TOKEN={value['file']}\n".encode())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("etc/app.ini", f"[github]\ntoken = {value['zip']}\n")
    wiki.attach(page, "backup.zip", packed.getvalue(), media_type="application/zip")
    wiki.write("OPS", "News", f"<p>the token is {value['blog']}</p>", kind="blogpost")
    wiki.write("OPS", "Old", f"<p>token {value['archived']}</p>", status="archived")
    wiki.write("OPS", "Gone", f"<p>token {value['trashed']}</p>", status="trashed")
    wiki.write("OPS", "Draft", f"<p>token {value['draft']}</p>", status="draft")
    wiki.write("~anna", "Notes", f"<p>token {value['personal']}</p>")
    wiki.write("HR", "Closed", f"<p>token {fill('<github-token:ghp_>', 'closed')}</p>")
    wiki.template("Report", f"<p>token {value['template']}</p>", "OPS")
    for number in range(60):
        filler = wiki.write("OPS", f"Page {number}", f"<p>nothing {number}</p>")
        wiki.comment(filler, f"<p>nothing either {number}</p>")
    return wiki


class Desk:
    """The command, with a folder and a key of its own."""

    def __init__(self, folder: Path, url: str, **settings: Any) -> None:
        self.folder = folder
        source = {"type": "confluence", "url": url, "token": "${WIKI_TOKEN}", "max_wait": 20, **settings}
        (folder / "wiki.yaml").write_text(json.dumps({"store": "wiki.db", "sources": {"wiki": source}}))
        self.environment = {**os.environ, "WIKI_TOKEN": wikis.TOKEN, "UNSPRAWL_CONFIG_DIR": str(folder / "k")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unsprawl", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """A crawl that is going to be killed."""
        command = [sys.executable, "-m", "unsprawl", "crawl", "wiki.yaml", "--quiet"]
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=nowhere, stderr=nowhere
        )

    def rows(self, *command: str) -> list[dict[str, Any]]:
        done = self.run(*command, "--store", "wiki.db", "--format", "jsonl")
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=["cloud", "data center"])
def wiki(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Desk, Any, dict[str, str]]]:
    value = planted()
    if request.param == "cloud":
        with ConfluenceServer(written(value), wikis.USER, wikis.TOKEN) as cloud:
            yield Desk(tmp_path, cloud.site, user=wikis.USER), cloud, value
    else:
        # Its API gives no templates.
        del value["template"]
        with ConfluenceCenterServer(written(planted()), wikis.TOKEN) as center:
            yield Desk(tmp_path, center.site), center, value


def trouble(server: Any) -> None:
    server.largest = 20
    server.faults = [
        Fault("", 429, {"retry-after": "0"}, after=4, times=3),
        Fault("pages|content", 503, after=5, times=2),
        Fault("comment", reset=True, times=1),
        Fault("pages|content", cut=100, after=3, times=2),
        Fault("pages|content", drip=0.02, after=2, times=1),
        Fault("shop.env", cut=5, times=2),
        Fault(r"lost\.env", spoil=lambda _body: b"<!doctype html><html>Log in"),
    ]
    runbook = server.wiki.of("page")[0]
    server.wiki.attach(runbook, "lost.env", b"A=1")
    if isinstance(server, ConfluenceServer):
        server.faults.append(Fault("v2/pages.*cursor", before=server.expire, after=1, times=1))
        server.disorder = {"pages", "attachments"}
        server.endless = {"footer-comments"}


def test_every_secret_is_found_once_whatever_goes_wrong(wiki: tuple[Desk, Any, dict[str, str]]) -> None:
    desk, server, value = wiki
    trouble(server)
    done = desk.run("crawl", "wiki.yaml")
    assert done.returncode == 3, done.stdout + done.stderr
    rows = desk.rows("findings", "list")
    previews = Counter(str(row["finding"]) for row in rows)
    assert len(previews) == len(value), sorted((row["path"], row["secret"]) for row in rows)
    assert set(previews.values()) == {1}
    ledger = desk.rows("coverage")
    told = {gap["uri"].partition("/wiki/")[2] or gap["uri"] for row in ledger for gap in row["gaps"]}
    said = json.dumps(ledger)
    assert "spaces/HR" in said
    assert "a page instead of the file" in said
    if isinstance(server, ConfluenceServer):
        assert any("footer-comments" in uri for uri in told)
    for text in (done.stdout, done.stderr, said, (desk.folder / "wiki.db").read_bytes().decode("latin-1")):
        assert not [place for place, one in value.items() if one in text]


def test_what_only_history_shows_says_where_it_went(wiki: tuple[Desk, Any, dict[str, str]]) -> None:
    desk, server, value = wiki
    server.wiki.rooms["HR"].closed = False
    assert desk.run("crawl", "wiki.yaml", "--quiet").returncode == 0
    page = server.wiki.of("page")[0]
    (removed,) = [row for row in desk.rows("findings", "list") if row["path"].endswith("Runbook/history")]
    assert removed["uri"].endswith(f"/pages/{page.id}?version=1")
    assert removed["attrs"]["removed_in"] == 2
    assert removed["attrs"]["removed_by"] == "Bo Berg"
    assert removed["author"] == "Anna Ahlgren"
    assert removed["url"] == f"{server.site}/pages/viewpage.action?pageId={page.id}&pageVersion=1"
    # The next night nothing is read; then somebody takes the token off the page, and it moves to the history.
    quiet = desk.run("crawl", "wiki.yaml")
    assert "New        0\n" in quiet.stdout
    server.wiki.live = True
    server.wiki.edit(page, page.last.body.replace(value["page"], "$TOKEN"), "bo")
    assert desk.run("crawl", "wiki.yaml", "--quiet").returncode == 0
    rows = [row for row in desk.rows("findings", "list") if row["path"].startswith("OPS/Runbook")]
    moved = [row for row in rows if row["attrs"].get("removed_in") == 4]
    assert len(moved) == 1
    assert moved[0]["gone_at"] is None
    former = [row for row in rows if row["finding"] == moved[0]["finding"] and row["gone_at"]]
    assert [row["path"] for row in former] in ([], ["OPS/Runbook"])


def test_killed_and_continued_the_store_holds_the_same(tmp_path: Path) -> None:
    value = planted()
    with ConfluenceServer(written(value), wikis.USER, wikis.TOKEN) as server:
        server.largest = 10
        stores = []
        for name in ("calm", "killed"):
            folder = tmp_path / name
            folder.mkdir()
            desk = Desk(folder, server.site, user=wikis.USER)
            if name == "killed":
                # Slow enough that each death meets it at another place.
                server.faults = [Fault("/wiki/", wait=0.1)]
                for number in range(3):
                    before = len(server.requests)
                    process = desk.start()
                    while len(server.requests) < before + 6 + 7 * number and process.poll() is None:
                        time.sleep(0.01)
                    process.kill()
                    process.wait(30)
                server.faults = []
            assert desk.run("crawl", "wiki.yaml", "--quiet").returncode == 3
            rows = desk.rows("findings", "list")
            stores.append(sorted((row["uri"], row["line"], row["path"], str(row["attrs"])) for row in rows))
            assert len(rows) == len(value)
    assert stores[0] == stores[1]
