"""The demo organisation: everything planted is found, nothing is read twice, no value leaves memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unsprawl.estate.organisation import Organisation, start
from unsprawl.estate.planted import PLANTED
from unsprawl.estate.truth import misses
from unsprawl.secret import Secret
from unsprawl.store.keys import load_keys


def unsprawl(acme: Organisation, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "unsprawl", *arguments]
    return subprocess.run(
        command, cwd=acme.directory, env=acme.environment(), capture_output=True, check=False
    )


def rows(acme: Organisation, *command: str):
    shown = unsprawl(acme, *command, "--store", acme.store.name, "--format", "jsonl")
    return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    """The organisation after its first night, with the built-in registry, and what the night printed."""
    with start(tmp_path_factory.mktemp("acme"), real_registry=False) as acme:
        night = unsprawl(acme, "--debug", "crawl", acme.config.name)
        yield acme, night


def test_everything_planted_is_found_and_every_gap_is_told(crawled):
    acme, night = crawled
    assert night.returncode == 3, night.stderr.decode()
    keys = load_keys(f"file:{acme.env['UNSPRAWL_CONFIG_DIR']}/key")
    assert misses(rows(acme, "findings", "list"), rows(acme, "coverage"), keys) == []


def test_one_secret_on_three_surfaces_is_one_finding(crawled):
    acme, _ = crawled
    keys = load_keys(f"file:{acme.env['UNSPRAWL_CONFIG_DIR']}/key")
    fingerprint = keys.fingerprint(Secret(PLANTED[0].value))
    own = [row for row in rows(acme, "findings", "list") if row["fingerprint"] == fingerprint]
    assert len({row["finding"] for row in own}) == 1
    assert sorted(row["source"] for row in own) == ["buckets", "images", "laptop"]


CANARIES = {"laptop", "buckets", "images", "chat", "tracker", "wiki", "builds"}


def test_each_surface_gives_its_canary_and_none_is_a_finding(crawled):
    acme, night = crawled
    assert b"\nCanaries   7 of 7 seen\n" in night.stdout
    ledger = [row for row in rows(acme, "coverage") if row["title"] == "canary acme"]
    assert {row["source"] for row in ledger} == CANARIES
    assert {row["status"] for row in ledger} == {"complete"}
    assert "unsprawl.canary" not in {row["rule"] for row in rows(acme, "findings", "list")}
    assert acme.env["ACME_CANARY"].encode() not in acme.store.read_bytes() + night.stdout + night.stderr


def test_the_second_night_reads_nothing(crawled):
    acme, _ = crawled
    before = {row["finding"] for row in rows(acme, "findings", "list")}
    again = unsprawl(acme, "crawl", acme.config.name)
    assert again.returncode == 3
    assert b"\nCanaries   7 of 7 seen\n" in again.stdout
    ledger = rows(acme, "coverage")
    assert sum(row["documents"] for row in ledger) == 0
    assert sum(row["unchanged"] for row in ledger) > 10
    assert {row["finding"] for row in rows(acme, "findings", "list")} == before


def test_what_strangers_posted_is_known_by_where_it_came_from(crawled):
    acme, _ = crawled
    watch = unsprawl(acme, "watch", acme.config.name, "--once", "--format", "jsonl")
    assert watch.returncode == 0, watch.stderr.decode()
    events = [json.loads(line) for line in watch.stdout.splitlines()]
    (ours,) = [line for line in events if line["event"]["kind"] == "ours"]
    assert ours["event"]["seen"][0]["source"] == "chat"
    assert [line["event"]["kind"] for line in events if line is not ours] == ["mention"]


def test_no_planted_value_is_written_or_printed(crawled):
    acme, night = crawled
    printed = night.stdout + night.stderr
    printed += unsprawl(acme, "watch", acme.config.name, "--once", "--format", "jsonl").stdout
    for form in ("table", "json", "jsonl", "sarif", "csv", "markdown", "html"):
        printed += unsprawl(acme, "findings", "list", "--store", acme.store.name, "--format", form).stdout
    aside = {"laptop", "exports"}  # what is crawled, and has to hold them
    own = [path for path in Path(acme.directory).rglob("*") if path.is_file() and not aside & {*path.parts}]
    assert acme.store in own
    written = b"".join(path.read_bytes() for path in own)
    for planted in PLANTED:
        assert planted.value.encode() not in printed, planted.name
        assert planted.value.encode() not in written, planted.name


def test_the_command_shows_it_all(tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "unsprawl", "demo"]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert shown.returncode == 0, shown.stdout[-2000:] + shown.stderr
    assert f"All {sum(one.cases for one in PLANTED)} cases were found" in shown.stdout
    assert "What to do" in shown.stdout
    assert "still extractable" in " ".join(shown.stdout.split())
    assert list(tmp_path.iterdir()) == []
    for planted in PLANTED:
        assert planted.value not in shown.stdout + shown.stderr
