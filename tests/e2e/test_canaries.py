"""What was planted is met each night and never reported; a source that loses it has failed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import ci_worlds
import pytest
from slack_worlds import NOON

from unsprawl.canaries import new_value
from unsprawl.cli import main
from unsprawl.config import load
from unsprawl.estate.builds import Builds, Step
from unsprawl.estate.s3_server import CREDENTIALS, s3_server
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import Workspace, post
from unsprawl.jobs import Options, Result, crawl
from unsprawl.placeholders import fill
from unsprawl.secret import Secret
from unsprawl.store.findings import Store
from unsprawl.store.keys import load_keys

CANARY = new_value()
LEAK = fill("<github-token:ghp_>", "beside the canary")


@dataclass
class Planted:
    """A surface with a canary and a leak. ``lose`` takes the canary away, ``at`` is where it stands."""

    source: dict[str, Any]
    at: str
    lose: Callable[[], None]


def _files(folder: Path, _stack: ExitStack) -> Planted:
    box = folder / "box"
    box.mkdir()
    (box / "canary.txt").write_text(f"Do not remove: {CANARY}\n")
    (box / "app.env").write_text(f"GITHUB_TOKEN={LEAK}\n")
    at = (box / "canary.txt").as_uri()
    return Planted({"type": "files", "paths": ["box"]}, at, (box / "canary.txt").unlink)


def _slack(_folder: Path, stack: ExitStack) -> Planted:
    team = Workspace()
    team.user("anna", "Anna")
    channel = team.channel("canaries")
    message = channel.add(post(NOON - 86_400, "U1", f"canary, leave it here: `{CANARY}`"))
    channel.add(post(NOON - 80_000, "U1", f"GITHUB_TOKEN={LEAK}"))
    server = stack.enter_context(SlackServer(team, {"a token of a test": None}))
    stack.enter_context(pytest.MonkeyPatch.context()).setenv("CHAT_TOKEN", "a token of a test")
    source = {"type": "slack", "token": "${CHAT_TOKEN}", "base_url": server.url}
    at = f"slack://T0ACME/{channel.id}/{message['ts']}"
    return Planted(source, at, lambda: channel.delete(message))


def _s3(_folder: Path, stack: ExitStack) -> Planted:
    storage = stack.enter_context(s3_server(0))
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    for name, value in CREDENTIALS.items():
        patch.setenv(name, value)
    client = storage.client()
    client.create_bucket(Bucket="acme")
    client.put_object(Bucket="acme", Key="canary.json", Body=json.dumps({"canary": CANARY}).encode())
    client.put_object(Bucket="acme", Key="app.env", Body=f"GITHUB_TOKEN={LEAK}\n".encode())
    source = {"type": "s3", "endpoint_url": storage.url, "region": CREDENTIALS["AWS_DEFAULT_REGION"]}
    return Planted(
        source, "s3://acme/canary.json", lambda: client.delete_object(Bucket="acme", Key="canary.json")
    )


def _ci(_folder: Path, stack: ExitStack) -> Planted:
    kept: list[Builds] = []

    def filled(builds: Builds) -> None:
        kept.append(builds)
        builds.project("acme/shop")
        run = builds.run("acme/shop", age=timedelta(hours=3))
        builds.job(run, "canary", Step("say", f"\x1b[32mcanary: {CANARY[:20]}\x1b[0m{CANARY[20:]}"))
        builds.job(run, "deploy", Step("push", f"GITHUB_TOKEN={LEAK}"))

    world = stack.enter_context(ci_worlds.opened("github", filled))
    token = f"${{{ci_worlds.VARIABLE}}}"
    source = {"type": "ci", "system": "github", "url": world.server.url, "token": token, "max_wait": 3}

    def lose() -> None:
        kept[0].projects["acme/shop"].runs[0].jobs[0].gone = True

    return Planted(source, "ci://**", lose)


PLANTED = {"files": _files, "slack": _slack, "s3": _s3, "ci": _ci}


@pytest.fixture(params=list(PLANTED))
def planted(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Planted]:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    with ExitStack() as stack:
        yield PLANTED[request.param](tmp_path, stack)


def night(folder: Path, planted: Planted, **canary: Any) -> Result:
    keys = load_keys()
    settings = {"name": "own", "fingerprint": keys.fingerprint(Secret(CANARY)), **canary}
    source = {**planted.source, "canaries": [settings]}
    (folder / "nightly.yaml").write_text(json.dumps({"jobs": 1, "sources": {"it": source}}))
    return crawl(load(folder / "nightly.yaml"), Options())


def reported(folder: Path) -> list[str]:
    with Store.open(folder / "unsprawl.db", load_keys(), readonly=True) as store:
        return [row["rule"] for row in store.rows()]


def test_it_is_met_each_night_and_missed_when_it_is_lost(planted: Planted, tmp_path: Path) -> None:
    first = night(tmp_path, planted)
    (row,) = [row for row in first.coverage if row.title == "canary own"]
    assert (row.status, row.units, row.documents, row.skipped) == ("complete", 0, 0, 0)
    assert [(gap.reason, gap.excluded) for gap in row.gaps] == [("canary seen", True)]
    assert first.complete
    assert reported(tmp_path) == ["github.personal-token"]

    # Nothing changed, so nothing is read but the place of the canary; its uri is that of the ledger.
    uri = row.gaps[0].uri
    if "*" not in planted.at:
        assert uri == planted.at
    for at in ("**", planted.at):
        second = night(tmp_path, planted, at=at)
        assert second.totals.documents == 0
        assert [(one.title, one.uri) for one in second.canaries] == [("canary own", uri)]
        assert second.complete

    planted.lose()
    third = night(tmp_path, planted)
    assert not third.complete
    assert third.readable
    by_title = {row.title: row for row in third.coverage}
    for title in ("canary own", "it"):
        assert by_title[title].status == "failed"
        (gap,) = by_title[title].gaps
        assert gap.reason.startswith("canary missed: ")
        assert "may this account still read it" in gap.hint
    assert reported(tmp_path) == ["github.personal-token"]


@pytest.mark.parametrize("planted", ["files"], indirect=True)
def test_another_place_an_old_one_and_one_never_met_do_not_count(planted: Planted, tmp_path: Path) -> None:
    elsewhere = night(tmp_path, planted, at=str(tmp_path / "box" / "app.env"))
    assert [one.why for one in elsewhere.canaries] == ["canary missed: it does not stand there any more"]
    pattern = night(tmp_path, planted, at=f"{tmp_path}/box/no*.txt")
    assert [one.why for one in pattern.canaries] == ["canary missed: no crawl has met it there yet"]
    assert night(tmp_path, planted, at=f"{tmp_path}/box/can*.txt", max_age="1h").complete
    os.utime(tmp_path / "box" / "canary.txt", (NOON - 90_000, NOON - 90_000))
    old = night(tmp_path, planted, max_age="1d")
    assert [one.why[:40] for one in old.canaries] == ["canary missed: its newest document is of"]
    never = night(tmp_path, planted, fingerprint="0" * 64)
    assert [one.uri for one in never.canaries] == [""]


@pytest.mark.parametrize("planted", ["s3"], indirect=True)
def test_a_source_that_cannot_be_listed_is_not_asked_for_its_canary(planted: Planted, tmp_path: Path) -> None:
    planted.source["endpoint_url"] = "http://127.0.0.1:9"
    dead = night(tmp_path, planted, at=planted.at)
    (row,) = [row for row in dead.coverage if row.title == "canary own"]
    (why,) = row.reasons
    assert why.startswith("canary missed: ")
    assert "the endpoint does not answer" in why
    assert not dead.readable


@pytest.mark.parametrize("planted", ["files"], indirect=True)
def test_a_value_behind_a_reference_and_the_commands(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OWN_CANARY", CANARY)
    source = {**planted.source, "canaries": [{"value": "${OWN_CANARY}"}]}
    Path("nightly.yaml").write_text(json.dumps({"jobs": 1, "sources": {"it": source}}))
    assert main(["crawl", "nightly.yaml", "--format", "json"]) == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    (seen,) = report["canaries"]
    assert seen["source"] == "it"
    assert seen["seen"] == planted.at
    assert "Canaries   1 of 1 seen\n" in shown.err
    assert CANARY not in shown.out + shown.err
    assert CANARY.encode() not in Path("unsprawl.db").read_bytes()
    assert main(["canary", "check", "nightly.yaml"]) == 0
    assert capsys.readouterr().out.endswith(f"seen at {planted.at}\n")
    planted.lose()
    assert main(["canary", "check", "nightly.yaml"]) == 3
    assert "canary missed: no longer there" in capsys.readouterr().out
    assert main(["crawl", "nightly.yaml"]) == 3
    assert "; missed: it (canary " in capsys.readouterr().out

    assert main(["canary", "new", "nightly.yaml"]) == 0
    page = capsys.readouterr().out
    (value,) = [word for word in page.split() if word.startswith("unsprawl_canary_")]
    Path("box/canary.txt").write_text(value)
    fingerprint = page.partition("fingerprint: ")[2].split()[0]
    assert night(tmp_path, planted, fingerprint=fingerprint).complete


def test_a_scan_reports_no_canary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.env").write_text(
        f"API_TOKEN={CANARY}\nPASSWORD='{CANARY}'\nurl: https://x:{CANARY}@h.test/\n"
    )
    assert main(["scan", str(tmp_path), "--format", "json", "--jobs", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["findings"] == 0
