"""Build systems over nights: what a second night costs, what dies, what comes later, who sees the token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import ci_worlds
import pytest
from ci_nights import Night, night, take
from ci_worlds import CiWorld

from unsprawl.crawlers.ci.source import CiSource
from unsprawl.errors import AuthError, ConfigError, RetryableError, SourceError
from unsprawl.estate.builds import Builds, Step
from unsprawl.estate.loopback import Fault
from unsprawl.records import Document, Skipped, Unit

SYSTEMS = tuple(ci_worlds.WORLDS)


@pytest.fixture(params=SYSTEMS)
def world(request: pytest.FixtureRequest) -> Iterator[CiWorld]:
    with ci_worlds.opened(request.param) as one:
        yield one


# --- nights --------------------------------------------------------------------------------------


def test_the_second_night_reads_nothing(world: CiWorld) -> None:
    first = night(world.build())
    assert first.gaps == []
    world.server.requests.clear()
    second = night(world.build(), first)
    assert second.documents == {}
    asked = [one.line for one in world.server.requests]
    # Who asks, which projects there are, each project's runs, and the one that had not finished.
    assert len(asked) <= 2 + 2 * len(world.builds.projects) + 2, asked


def test_what_ran_is_read_when_it_has_ended_and_what_is_new_with_it(world: CiWorld) -> None:
    first = night(world.build())
    shop = world.builds.projects["acme/shop"]
    running = next(run for run in shop.runs if run.finished is None)
    world.builds.now += timedelta(hours=1)
    world.builds.finish(running)
    new = world.builds.run("acme/shop", age=timedelta(minutes=3))
    world.builds.job(new, "build", Step("make", "something new"))
    second = night(world.build(), first)
    bodies = {f"{world.top}/{name}" for name in world.bodies()}
    assert set(second.documents) == bodies - set(first.documents)
    assert len(second.documents) >= 4
    assert night(world.build(), second).documents == {}


def test_no_token_ever_leaves_its_host(world: CiWorld) -> None:
    night(world.build())
    for request in world.storage.requests:
        assert ci_worlds.TOKEN not in str(request.headers), request.line
        assert not {"authorization", "private-token", "circle-token"} & request.headers.keys()
    assert all(ci_worlds.TOKEN not in one.line for one in world.server.requests)


def test_a_log_that_is_deleted_is_told_once_a_run_and_leaves_the_rest(world: CiWorld) -> None:
    shop = world.builds.projects["acme/shop"]
    for job in shop.runs[0].jobs:
        job.gone = True
    first = night(world.build())
    assert first.gaps == []
    told = [one for one in first.skipped if "deleted" in one.reason]
    assert len(told) == 1
    bodies = {f"{world.top}/{name}" for name in world.bodies()}
    assert set(first.documents) == {uri for uri in bodies if not uri.endswith("shop/run/1/job/console")}


def test_a_log_that_fails_is_asked_for_again(world: CiWorld) -> None:
    job = world.builds.projects["acme/shop"].runs[1].jobs[0]
    world.refuse(job)
    first = night(world.build())
    assert len(first.gaps) == 1
    assert "403" in first.gaps[0].reason
    world.server.faults.clear()
    world.storage.faults.clear()
    second = night(world.build(), first)
    assert [uri for uri in second.documents if "/job/" in uri] == [first.gaps[0].uri]
    assert second.gaps == []
    assert night(world.build(), second).documents == {}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"retry-after": "0"}),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}),
        (429, {"ratelimit-remaining": "0", "ratelimit-reset": "0"}),
        (503, {}),
    ],
    ids=["standard", "github", "seconds", "busy"],
)
def test_a_system_that_asks_for_patience_gets_it(
    world: CiWorld, status: int, headers: dict[str, str]
) -> None:
    world.server.faults = [Fault("", status, headers, after=5, times=2)]
    run = night(world.build())
    assert run.gaps == []
    assert set(run.documents) == {f"{world.top}/{name}" for name in world.bodies()}


def test_a_limit_beyond_patience_fails_the_unit_and_the_next_night_goes_on(world: CiWorld) -> None:
    source = world.build()
    units = [unit for unit in source.units(lambda _: None) if isinstance(unit, Unit)]
    world.server.faults = [Fault("", 429, {"retry-after": "3600"}, after=4)]
    half = Night()

    def all_units() -> None:
        for unit in units:
            take(half, source, unit, Night())

    with pytest.raises(RetryableError, match="asked to wait 3600 s"):
        all_units()
    world.server.faults.clear()
    whole = night(world.build(), half)
    assert set(half.documents) | set(whole.documents) == {f"{world.top}/{name}" for name in world.bodies()}


def test_wrong_credentials_stop_the_source(world: CiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ci_worlds.VARIABLE, "another")
    with pytest.raises(AuthError) as refused:
        night(world.build())
    assert refused.value.hint


def test_nobody_listens(world: CiWorld) -> None:
    with pytest.raises(SourceError, match="refused the connection"):
        night(world.build("http://127.0.0.1:9" + world.path, max_wait=0.1))


def test_the_doctor_sees_it_all(world: CiWorld) -> None:
    lines = list(world.build().diagnose())
    assert all(one.ok for one in lines), lines
    assert lines[0].what.startswith("log in to")
    assert any("projects" in one.what for one in lines)


def test_the_doctor_says_what_is_wrong(world: CiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ci_worlds.VARIABLE, "another")
    lines = list(world.build().diagnose())
    assert [one.ok for one in lines] == [False]
    assert lines[0].hint


def test_projects_can_be_chosen(world: CiWorld) -> None:
    prefix = {"circleci": "gh/acme/", "azure": ""}.get(world.system, "acme/")
    source = world.build(projects=(f"{prefix}web",))
    units = [unit for unit in source.units(lambda _: None) if isinstance(unit, Unit)]
    assert [unit.title.rpartition("/")[2] for unit in units] == ["web"]
    source = world.build(projects=(f"{prefix}w*",))
    assert len([unit for unit in source.units(lambda _: None) if isinstance(unit, Unit)]) == 1


def test_a_project_that_is_not_there_is_told(world: CiWorld) -> None:
    prefix = {"circleci": "gh/acme/", "azure": ""}.get(world.system, "acme/")
    told = list(world.build(projects=(f"{prefix}nothing",)).units(lambda _: None))
    assert told
    assert all(isinstance(one, Skipped) and not one.excluded and one.reason for one in told)


def test_what_is_excluded_is_not_asked_for(world: CiWorld) -> None:
    world.builds.file(world.builds.projects["acme/shop"].runs[1], "report", b"x" * 100)
    run = night(world.build(exclude=("**/web",), artifacts=False))
    assert not [uri for uri in run.documents if "/artifact/" in uri or uri.endswith("web")]
    assert all(one.excluded for one in run.skipped)


@pytest.mark.parametrize(
    "answer", [b"[]", b"{}", b"null", b"7", b'["x"]', b'{"workflow_runs": [{}]}', b"<", b""]
)
def test_an_answer_of_another_shape_is_one_clear_line(world: CiWorld, answer: bytes) -> None:
    world.server.faults = [Fault("", 200, {"content-type": "application/json"}, answer, after=2)]
    source = world.build(max_wait=0.1)
    told: list[str] = []
    try:
        for unit in source.units(lambda _: None):
            if isinstance(unit, Unit):
                now = Night()
                take(now, source, unit, Night())
                told += [one.reason for one in now.gaps]
    except SourceError as error:
        told.append(error.message)
    source.close()
    assert all(len(line) < 300 and "Traceback" not in line for line in told)


def test_a_link_to_this_machines_own_services_is_not_followed() -> None:
    with ci_worlds.opened("circleci") as here:
        server = here.server
        original = server._steps  # type: ignore[attr-defined]

        def elsewhere(number: int) -> Any:
            answer = original(number)
            return type(answer)(
                200, answer.body.replace(here.storage.url.encode(), b"http://169.254.169.254")
            )

        server._steps = elsewhere  # type: ignore[attr-defined]
        run = night(here.build())
        assert run.gaps
        assert all("link-local" in one.reason for one in run.gaps)


# --- others --------------------------------------------------------------------------------------


def test_child_pipelines_belong_to_their_parent() -> None:
    with ci_worlds.opened("gitlab") as here:
        builds = here.builds
        parent = builds.projects["acme/shop"].runs[1]
        child = builds.run("acme/shop", age=timedelta(days=4))
        builds.job(child, "scan", Step("scan", "child at work"))
        builds.projects["acme/shop"].runs.remove(child)
        parent.children.append(child)
        run = night(here.build())
        uri = f"{here.top}/acme%2Fshop/run/{parent.id}/job/{child.jobs[0].id}"
        assert run.documents[uri].attrs["job"] == f"child-{child.id}/scan"
        assert set(run.documents) == {f"{here.top}/{name}" for name in here.bodies()}


def test_a_page_to_log_in_is_no_data() -> None:
    with ci_worlds.opened("azure") as here:
        page = b"<!DOCTYPE html><html><body>Sign in</body></html>"
        here.server.faults = [Fault("build/builds", 203, {"content-type": "text/html"}, page)]
        with pytest.raises(AuthError, match="a page instead of"):
            night(here.build())


def test_a_long_log_of_buildbot_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    import unsprawl.crawlers.ci.buildbot as module

    def fill(builds: Builds) -> None:
        builds.project("acme/shop")
        run = builds.run("acme/shop")
        builds.job(run, "build", Step("make", "\n".join(f"line {number}" for number in range(1000))))

    monkeypatch.setattr(module, "_LINES", 100)
    with ci_worlds.opened("buildbot", fill) as here:
        held = night(here.build())
        (log,) = [one for uri, one in held.documents.items() if "/job/" in uri]
        assert isinstance(log.body, bytes)
        assert log.body.count(b"\n") == 1001
        assert not here.server.asked("/raw")
        monkeypatch.setattr(module, "_LONG", 500)
        source = here.build()
        streamed = source.fetch(log.uri)
        assert isinstance(streamed, Document)
        assert not isinstance(streamed.body, bytes)
        with streamed.body.open(0) as file:
            assert file.read() == log.body
        source.close()


@pytest.mark.parametrize("system", ["jenkins", "buildbot"])
def test_a_system_without_a_cloud_needs_an_address(system: Any) -> None:
    with pytest.raises(ConfigError, match="has no address of its own"):
        CiSource("builds", CiSource.Config(system=system))


def test_what_people_copy_from_a_browser_is_understood() -> None:
    assert (
        CiSource("a", CiSource.Config(system="github", url="https://github.com/")).base
        == "https://api.github.com"
    )
    assert CiSource("a", CiSource.Config(system="gitlab")).base == "https://gitlab.com"
