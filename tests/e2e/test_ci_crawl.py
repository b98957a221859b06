"""A build system that fails and dies, crawled by the command people run: found once, told, continued."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import ci_worlds
import pytest
from ci_worlds import TOKEN, VARIABLE, CiWorld
from crawls import Crawl, killed

from unsprawl.estate.builds import Builds, Step
from unsprawl.estate.loopback import Fault
from unsprawl.placeholders import fill

_RUNS = 40
#: The request at which a crawl is killed: while it lists, in the middle of a run, behind a checkpoint.
_KILLED_AT = (4, 37, 90)


def token(name: object) -> str:
    return fill("<github-token:ghp_>", seed=f"ci {name}")


def split(value: str, number: int) -> str:
    """The value as logs show it: in two colours, with a time in it, over a full line, encoded twice."""
    stamp = "2026-03-02T09:00:00.0000001Z "
    forms = (
        f"export GITHUB_TOKEN={value}",
        f"using \x1b[32m{value[:9]}\x1b[0m\x1b[33m{value[9:]}\x1b[0m",
        f"using {value[:15]}{stamp}{value[15:]}",
        f"{'x ' * 34}using{' ' * 2}{value[:5]}\n{value[5:]}",
        f"debug: {base64.b64encode(base64.b64encode(value.encode())).decode()}",
        f"10%\r55%\rGITHUB_TOKEN={value}\rdone",
    )
    return forms[number % len(forms)]


def filled(builds: Builds) -> None:
    builds.project("acme/shop").variables = {"GH_TOKEN": token("variable")}
    builds.project("acme/payroll", closed=True)
    for number in range(_RUNS):
        run = builds.run("acme/shop", age=timedelta(days=_RUNS - number))
        builds.job(run, "build", Step("make", "compiled"), Step("deploy", split(token(number), number)))
        if number == 7:
            builds.file(run, "env", f"GITHUB_TOKEN={token('artifact')}\n".encode())


@pytest.fixture(scope="module")
def world() -> Iterator[CiWorld]:
    with ci_worlds.opened("github", filled) as one:
        yield one


def crawl_of(folder: Path, url: str) -> Crawl:
    source = {"type": "ci", "system": "github", "url": url, "token": f"${{{VARIABLE}}}", "max_wait": 5}
    return Crawl(folder, source, {VARIABLE: TOKEN})


def test_every_split_token_is_found_at_its_line_of_the_raw_log(tmp_path: Path, world: CiWorld) -> None:
    crawl = crawl_of(tmp_path / "crawl", world.server.url)
    world.server.faults = [
        Fault("/actions/runs", 429, {"retry-after": "0"}, after=1, times=2),
        Fault("/jobs", reset=True, after=7, times=1),
    ]
    world.storage.faults = [Fault("/logs", 403, after=5, times=1)]
    assert crawl.finish() == 3
    rows = crawl.rows("findings", "export")
    fingerprints = [row["fingerprint"] for row in rows]
    assert len(fingerprints) == len(set(fingerprints)) == _RUNS + 2
    logs = [row for row in rows if "/job/" in row["uri"]]
    assert len(logs) == _RUNS
    # Three lines of a group and what the step printed, then the group of the step that leaks.
    assert {row["line"] for row in logs} == {8}
    assert {row["attrs"]["step"] for row in logs} == {"deploy"}
    assert all(row["uri"].endswith("#step-2") and row["url"].endswith("#step:2:1") for row in logs)
    assert all(
        row["attrs"]["expires_at"] and "days after it was read" in row["attrs"]["retention"] for row in logs
    )
    ledger = {row["title"]: row["status"] for row in crawl.rows("coverage")}
    assert ledger == {"acme/shop": "complete", "acme/payroll": "partial"}
    world.server.requests.clear()
    assert crawl.finish() == 3
    assert sum(row["documents"] for row in crawl.rows("coverage")) == 0
    assert len(world.server.asked("/repos/acme/shop/")) == 1


def test_killed_at_any_request_it_converges(tmp_path: Path, world: CiWorld) -> None:
    world.server.faults, world.storage.faults = [], []
    undisturbed = crawl_of(tmp_path / "undisturbed", world.server.url)
    assert undisturbed.finish() == 3
    disturbed = crawl_of(tmp_path / "disturbed", world.server.url)
    killed(disturbed, world.server, _KILLED_AT)
    assert disturbed.finish() == 3
    assert disturbed.facts() == undisturbed.facts()


def test_a_dead_host_is_failed_in_the_ledger(tmp_path: Path) -> None:
    crawl = crawl_of(tmp_path / "dead", "http://127.0.0.1:9")
    assert crawl.finish() == 4
    (row,) = crawl.rows("coverage")
    assert row["status"] == "failed"
    assert "refused the connection" in row["gaps"][0]["reason"]
