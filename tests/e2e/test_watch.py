"""``unsprawl watch`` as a process: told once and soon, stopped cleanly, killed and gone on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paste_worlds import OWN, Poster, Watch, own_token, strangers_token

from unsprawl.config import load
from unsprawl.errors import UnsprawlError
from unsprawl.estate.loopback import Fault
from unsprawl.estate.paste_server import PasteServer
from unsprawl.jobs import Options
from unsprawl.placeholders import fill
from unsprawl.secret import Secret
from unsprawl.store.findings import Store
from unsprawl.store.keys import load_keys
from unsprawl.watch.daemon import watch as watch_feeds


@pytest.fixture
def site() -> Iterator[PasteServer]:
    with PasteServer() as server:
        server.shown = 250
        yield server


@pytest.fixture
def watch(site: PasteServer, tmp_path: Path) -> Iterator[Watch]:
    with Watch(tmp_path / "w", site) as watch:
        yield watch


def until(true: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def unsprawl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "unsprawl", *arguments]
    env = {**os.environ, "UNSPRAWL_CONFIG_DIR": str(folder / "key")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=300)


def more(watch: Watch, seen: int) -> bool:
    return len(watch.lines()) > seen


def ended(process: subprocess.Popen[bytes], seconds: float = 60.0) -> str:
    _, errors = process.communicate(timeout=seconds)
    text = errors.decode()
    assert "Traceback" not in text, text
    return text


def test_ten_pastes_a_second_for_ten_seconds(site: PasteServer, watch: Watch) -> None:
    process = watch.start()
    site.post(f"a first one: {own_token(0)}", time.time())
    until(watch.ours)  # rules and model are loaded by now
    with Poster(site, share=10) as poster:
        until(lambda: [watch.lines(), poster.count >= 100][1])
    until(lambda: len(watch.ours()) > len(poster.posted))
    # A clean stop leaves what it has not listed to the next run: here all is to be read.
    until(lambda: [row["documents"] for row in watch.ledger()] == [poster.count + 1])
    process.send_signal(signal.SIGTERM)
    told = ended(process)
    assert process.returncode == 0, told
    lines = watch.ours()[1:]
    pastes = [line["uri"].rpartition("/")[2] for line in lines]
    assert sorted(pastes) == sorted(poster.posted)
    late = [
        watch.arrived[line["event"]["id"]] - poster.posted[paste]
        for line, paste in zip(lines, pastes, strict=True)
    ]
    assert max(late) < 10
    (row,) = watch.ledger()
    assert (row["status"], row["documents"]) == ("complete", poster.count + 1)
    # What strangers lost is none of our business: neither told nor kept.
    kinds = {line["event"]["kind"] for line in watch.lines()}
    assert kinds == {"ours"}
    stored = watch.call(
        "findings", "list", "--store", "unsprawl.db", "--source", "pastes", "--format", "jsonl"
    )
    assert len({json.loads(line)["finding"] for line in stored.stdout.splitlines()}) <= OWN
    held = b"".join(path.read_bytes() for path in watch.folder.glob("unsprawl.db*"))
    written = held + watch.events.read_bytes()
    assert not [n for n in range(OWN) if own_token(n).encode() in written]


def test_nothing_is_lost_over_a_kill_and_nothing_told_twice(site: PasteServer, watch: Watch) -> None:
    process = watch.start("--quiet")
    with Poster(site, rate=6, share=3) as poster:
        for _ in range(3):
            seen = len(watch.lines())
            until(partial(more, watch, seen))
            process.kill()
            process.communicate()
            process = watch.start("--quiet")
        seen = poster.count
        until(lambda: poster.count > seen + 20)
    until(lambda: {line["uri"].rpartition("/")[2] for line in watch.ours()} >= set(poster.posted))
    process.send_signal(signal.SIGTERM)
    assert ended(process) == ""
    assert process.returncode == 0
    names = [line["event"]["id"] for line in watch.ours()]
    # Between the line and the note that it was told a kill may fall: then the same event comes again.
    assert len(names) - len(set(names)) <= 3
    assert len(set(names)) == len(poster.posted)
    (row,) = watch.ledger()
    assert row["status"] == "complete"


def test_a_dead_host_is_failed_and_lives_again(site: PasteServer, tmp_path: Path) -> None:
    with Watch(tmp_path / "w", site, url="http://127.0.0.1:9") as watch:
        once = watch.call("watch", "watch.yaml", "--once")
        assert once.returncode == 4, once.stderr
        assert b"no feed could be read" in once.stderr
        (row,) = watch.ledger()
        assert row["status"] == "failed"
        assert row["reasons"]


def test_a_feed_that_comes_back_goes_on(site: PasteServer, watch: Watch) -> None:
    site.faults = [Fault("api_scraping", 503)]
    process = watch.start()
    until(lambda: any(row["status"] == "failed" for row in watch.ledger()))
    site.post(f"password file\nTOKEN={own_token(1)}\n", time.time())
    site.faults = []
    until(watch.ours)
    process.send_signal(signal.SIGTERM)
    told = ended(process)
    assert process.returncode == 0, told
    assert "answers again" in told
    (row,) = watch.ledger()
    assert row["status"] == "complete"


def test_the_same_dump_is_one_event_and_a_list_of_accounts_too(site: PasteServer, watch: Watch) -> None:
    body = "\n".join(f"line {n} of what was taken, {n * 7919}" for n in range(40))
    site.post(f"{body}\ntoken = {own_token(2)}\n", 1_767_690_000.0)
    site.post(f"REPOST!!\n{body}\ntoken = {own_token(2)}\nenjoy\n", 1_767_690_001.0)
    accounts = [f"user{n}@mail{n % 9}.test:pass{n}word" for n in range(300)]
    ours = ["anna@acme.example:Summer2025!", "bo@mail.acme.example:Winter2024!"]
    site.post("\n".join(accounts[:150] + ours + accounts[150:]), 1_767_690_002.0)
    site.post("\n".join(accounts[200:] + ours + accounts[:90]), 1_767_690_003.0)
    site.post(f"strangers: {strangers_token(1)}", 1_767_690_004.0)
    site.post("the db of acme.example is for sale", 1_767_690_005.0, title="sale")
    once = watch.call("watch", "watch.yaml", "--once", "--format", "jsonl", "--fail-on", "any")
    assert once.returncode == 1, once.stderr
    events = [json.loads(line) for line in once.stdout.splitlines()]
    kinds = sorted(line["event"]["kind"] for line in events)
    assert kinds.count("ours") == 1
    assert len(events) == 3, kinds
    (mine,) = [line for line in events if line["event"]["kind"] == "ours"]
    assert mine["event"]["copies"] == 1
    assert mine["event"]["seen"][0]["source"] == "disk"
    assert mine["event"]["seen"][0]["path"].endswith("deploy.env")
    assert mine["event"]["note"].startswith("ours, first seen in disk")
    (combo,) = [line for line in events if line["event"]["combo"]]
    assert combo["event"]["accounts"] == 2
    assert combo["event"]["copies"] == 1
    again = watch.call("watch", "watch.yaml", "--once", "--format", "jsonl")
    assert (again.returncode, again.stdout) == (0, b"")


def test_a_value_that_no_rule_knows_is_found_by_its_fingerprint(tmp_path: Path) -> None:
    inside, dumps = tmp_path / "inside", tmp_path / "dumps"
    inside.mkdir()
    dumps.mkdir()
    value = fill("<alnum:20>", "vault")
    (inside / "app.env").write_text(f"DATABASE_PASSWORD={value}\n")
    (dumps / "note.txt").write_text(f"look what I found: {value}.\n")
    (tmp_path / "night.yaml").write_text('sources: {disk: {type: files, paths: ["inside"]}}')
    (tmp_path / "watch.yaml").write_text('sources: {dumps: {type: paste, feed: folder, path: "dumps"}}')
    assert unsprawl(tmp_path, "crawl", "night.yaml", "--quiet").returncode == 0
    shown = unsprawl(tmp_path, "watch", "watch.yaml", "--once", "--format", "table")
    assert shown.returncode == 0, shown.stderr
    (line,) = shown.stdout.decode().splitlines()
    assert "ours, first seen in disk" in line
    assert value not in line
    shown = unsprawl(tmp_path, "watch", "watch.yaml", "--for", "2s")
    # On a machine that is busy nothing may have been looked at by then, which is told.
    assert shown.returncode == (3 if b"stopped before it was looked at" in shown.stderr else 0)
    assert shown.stdout == b""


def test_what_turns_out_to_be_ours_later_is_told_later(tmp_path: Path) -> None:
    for folder in ("inside", "dumps"):
        (tmp_path / folder).mkdir()
    (tmp_path / "inside" / "app.env").write_text(f"DEPLOY_TOKEN={own_token(5)}\n")
    (tmp_path / "dumps" / "note.txt").write_text(f"look what I found: {own_token(5)}\n")
    (tmp_path / "night.yaml").write_text('sources: {disk: {type: files, paths: ["inside"]}}')
    (tmp_path / "watch.yaml").write_text('sources: {dumps: {type: paste, feed: folder, path: "dumps"}}')
    kinds = []
    for command in ("watch", "crawl", "watch", "watch"):
        arguments = ("watch.yaml", "--once") if command == "watch" else ("night.yaml", "--quiet")
        shown = unsprawl(tmp_path, command, *arguments)
        assert shown.returncode == 0, shown.stderr
        kinds.append([json.loads(line)["event"]["kind"] for line in shown.stdout.splitlines()])
    assert kinds == [["found"], [], ["ours"], []]


def test_what_a_vault_holds_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    value = fill("<alnum:32>", "in a vault")
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / "note.txt").write_text(f"see {value}\n")
    (tmp_path / "watch.yaml").write_text('sources: {dumps: {type: paste, feed: folder, path: "dumps"}}')
    keys = load_keys()
    Store.open(tmp_path / "unsprawl.db", keys).close()
    row = ("vault", "kv", "kv/shop", "token", "3", keys.fingerprint(Secret(value)), 1, "2026", "2026")
    columns = "vault, kind, path, key, version, fingerprint, current, first_seen, last_seen"
    with closing(sqlite3.connect(tmp_path / "unsprawl.db")) as store, store:
        store.execute(f"CREATE TABLE IF NOT EXISTS known ({columns}, replaced_at)")
        store.execute(f"INSERT INTO known ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    told: list[Any] = []
    outcome = watch_feeds(
        load(tmp_path / "watch.yaml"), Options(), tell=told.append, stop=threading.Event(), once=True
    )
    assert outcome.complete
    (line,) = told
    assert line["rule"] == "watch.known"
    assert line["event"]["note"] == "ours, kept in vault: kv/shop#token version 3, which is current"
    assert line["event"]["known"][0]["path"] == "kv/shop"
    assert value not in json.dumps(told)


def test_an_alert_that_fails_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumps" / "note.txt").write_text(f"see {own_token(1)} and {own_token(2)}\n")
    (tmp_path / "watch.yaml").write_text('sources: {dumps: {type: paste, feed: folder, path: "dumps"}}')
    told: list[Any] = []

    def tell(line: Any) -> None:
        told.append(line)
        if len(told) == 2:
            raise UnsprawlError("the receiver is away")

    config, stop = load(tmp_path / "watch.yaml"), threading.Event()
    with pytest.raises(UnsprawlError, match="away"):
        watch_feeds(config, Options(), tell=tell, stop=stop, once=True)
    watch_feeds(config, Options(), tell=tell, stop=stop, once=True)
    names = [line["event"]["id"] for line in told]
    assert len(names) == 3
    assert names[1] == names[2] != names[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("night.yaml", "--once"), "no source to watch"),
        (("watch.yaml", "--once", "--for", "1s"), "either --once or --for"),
        (("watch.yaml", "--for", "soon"), "no duration"),
        (("nowhere.yaml",), "cannot read"),
    ],
)
def test_what_cannot_be_watched_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "night.yaml").write_text('sources: {disk: {type: files, paths: ["."]}}')
    (tmp_path / "watch.yaml").write_text('sources: {dumps: {type: paste, feed: folder, path: "."}}')
    shown = unsprawl(tmp_path, "watch", *arguments)
    assert shown.returncode == 2
    assert said in shown.stderr.decode()
    assert b"Traceback" not in shown.stderr
