"""GitHub Actions over nights: what a second night costs, attempts, retention, steps and dead links."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import ci_worlds
import pytest
from ci_nights import Night, night
from ci_worlds import CiWorld

from unsprawl.estate.builds import Builds, Step
from unsprawl.estate.loopback import Fault
from unsprawl.records import Checkpoint, Document, Skipped, Unit


@pytest.fixture
def github() -> Iterator[CiWorld]:
    with ci_worlds.opened("github") as one:
        yield one


def large(builds: Builds) -> None:
    """One repository with five thousand runs of one job."""
    builds.project("acme/shop")
    for number in range(5000):
        run = builds.run("acme/shop", age=timedelta(days=60) - timedelta(minutes=10 * number))
        builds.job(run, "build", Step("make", f"{number}"))


def test_five_thousand_runs_cost_one_request_on_the_second_night() -> None:
    with ci_worlds.opened("github", large) as here:
        source = here.build()
        (unit,) = source.units(lambda _: None)
        assert isinstance(unit, Unit)
        known = source._system().runs(unit.data["project"], None)
        keys = [run.key for run in known if not isinstance(run, Skipped)]
        assert len(keys) == len(set(keys)) == 5000
        asked = here.server.asked("/actions/runs")
        assert len(asked) <= 60
        assert max(one.number("page", 1) for one in asked) <= 10
        ended = {
            "ended": "before",
            "number": int(keys[0]),
            "at": unit.data["now"],
            "listed": unit.data["now"],
        }
        here.server.requests.clear()
        events = list(
            source.read(
                unit, {**ended, "open": [], "again": []}, lambda key: "known" if key == unit.id else None
            )
        )
        documents = [event for event in events if isinstance(event, Document)]
        assert len(here.server.asked("/actions/runs\\?")) == 1
        # Those on the one page that are not known are read; what lies behind it is known by its number.
        assert 0 < len(documents) <= 200
        again = [one for one in here.build().units(lambda _: None) if isinstance(one, Unit)]
        versions = {event.key: event.version for event in documents} | {unit.id: "known"}
        here.server.requests.clear()
        last = [event.cursor for event in events if isinstance(event, Checkpoint)][-1]
        second = list(source.read(again[0], last, versions.get))
        assert not [event for event in second if isinstance(event, Document)]
        assert len(here.server.requests) == 1
        source.close()


def test_more_runs_in_one_second_than_a_search_shows_are_told(github: CiWorld) -> None:
    github.server.cap = 10  # type: ignore[attr-defined]
    import unsprawl.crawlers.ci.github as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CAP", 10)
        for _ in range(15):
            run = github.builds.run("acme/web", age=timedelta(days=5))
            github.builds.job(run, "build", Step("make", "x"))
        told = night(github.build(projects=("acme/web",)))
    assert any("more than 10 began in the second" in one.reason for one in told.gaps)


def test_every_attempt_is_read_and_a_later_one_is_seen(github: CiWorld) -> None:
    first = night(github.build())
    run = github.builds.projects["acme/shop"].runs[2]
    github.builds.now += timedelta(hours=1)
    github.builds.again(run)
    job = github.builds.job(run, "build", Step("make", "second attempt"))
    second = night(github.build(), first)
    uri = f"{github.top}/acme%2Fshop/run/{run.id}/job/{job.id}"
    assert second.documents[uri].attrs["attempt"] == 2
    assert second.documents[uri].body.count(b"second attempt") == 1  # type: ignore[union-attr]


def test_the_oldest_run_is_read_first_since_its_logs_die_first(github: CiWorld) -> None:
    run = night(github.build())
    logs = [run.documents[uri] for uri in run.order if "/job/" in uri and "shop" in uri]
    ends = [document.modified_at for document in logs if document.modified_at]
    assert ends == sorted(ends)
    assert len(ends) == 6


def test_a_finding_knows_until_when_it_can_be_read(github: CiWorld) -> None:
    github.server.days = 26  # type: ignore[attr-defined]
    run = night(github.build())
    oldest = next(run.documents[uri] for uri in run.order if "/job/" in uri)
    assert oldest.modified_at
    expires = oldest.modified_at + timedelta(days=26)
    assert oldest.attrs["expires_at"] == expires.isoformat()
    assert oldest.attrs["readable_since"] == oldest.modified_at.isoformat()
    told = str(oldest.attrs["retention"])
    assert told.startswith("readable by everyone with access to the project since ")
    assert f"is deleted on {expires:%Y-%m-%d}, " in told
    assert told.endswith(" days after it was read here")


def test_steps_are_parts_with_their_names_and_links(github: CiWorld) -> None:
    run = night(github.build())
    document = next(one for uri, one in run.documents.items() if "/job/" in uri and len(one.parts) == 2)
    assert isinstance(document.body, bytes)
    made, tested = document.parts
    assert (made.attrs["step"], tested.attrs["step"]) == ("make", "test")
    assert document.body[tested.start :].startswith(b"20")
    assert b"all is well" in document.body[tested.start :]
    assert b"compiling" in document.body[made.start : tested.start]
    assert tested.url
    assert tested.url.endswith("#step:2:1")


def test_masks_are_counted_where_they_stand(github: CiWorld) -> None:
    run = github.builds.run("acme/shop", age=timedelta(days=1))
    github.builds.job(run, "build", Step("a", "login ***\nand ***"), Step("b", "nothing"))
    found = night(github.build())
    document = next(one for uri, one in found.documents.items() if f"/run/{run.id}/job/" in uri)
    assert document.attrs["masks"] == 2
    assert [part.attrs.get("masks") for part in document.parts] == [2, None]


def test_a_link_that_died_is_asked_for_afresh(github: CiWorld) -> None:
    github.storage.faults = [
        Fault("/logs/", 403, {}, b"<Error><Code>AuthenticationFailed</Code></Error>", times=1)
    ]
    run = night(github.build())
    assert run.gaps == []
    assert set(run.documents) == {f"{github.top}/{name}" for name in github.bodies()}


def test_a_link_that_stays_dead_is_a_gap(github: CiWorld) -> None:
    number = github.builds.projects["acme/web"].runs[0].jobs[0].id
    github.storage.faults = [Fault(f"/logs/{number}", 403, {}, b"<Error/>")]
    (gap,) = night(github.build()).gaps
    assert "the link to the log of job lint was refused by 127.0.0.1 (403)" in gap.reason
    assert gap.hint


def test_a_large_artifact_is_streamed(github: CiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    import unsprawl.crawlers.ci.desk as desk

    monkeypatch.setattr(desk, "WHOLE_BYTES", 50)
    run = night(github.build())
    (artifact,) = [one for uri, one in run.documents.items() if "/artifact/" in uri]
    assert not isinstance(artifact.body, bytes)
    with artifact.body.open(0) as file:
        assert file.read().startswith(b"PK")
    assert all(ci_worlds.TOKEN not in str(one.headers) for one in github.storage.requests)


def test_an_artifact_beyond_the_limit_is_excluded(github: CiWorld) -> None:
    run = night(github.build(max_artifact_bytes=10))
    (told,) = run.skipped
    assert told.excluded
    assert "larger than max_artifact_bytes" in told.reason


def test_old_runs_can_be_left_out(github: CiWorld) -> None:
    run = night(github.build(lookback_days=10))
    assert {one.attrs.get("run") for one in run.documents.values()} == {
        None,
        github.builds.projects["acme/web"].runs[0].id,
    }
    (told,) = run.skipped
    assert told.reason == "3 runs are older than lookback_days (10)"
    assert told.excluded


def test_everything_is_listed_again_now_and_then(github: CiWorld) -> None:
    first = night(github.build())
    before = {**first.cursors}
    for name, cursor in before.items():
        first.cursors[name] = {**cursor, "listed": "2020-01-01T00:00:00+00:00"}
    second = night(github.build(), first)
    assert second.documents == {}
    assert second.unchanged == len(first.documents)


def test_new_rules_read_everything_again(github: CiWorld) -> None:
    first = night(github.build())
    second = night(github.build(), Night(cursors=first.cursors))
    assert set(second.documents) == set(first.documents)
