"""A Confluence that is slow, broken, crooked or refuses: all else is read, once, and the gap is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import wikis
from wikis import Memory, Run, crawl, quick, read, small_wiki, source

from unsprawl.crawlers.confluence.source import ConfluenceSource
from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.estate.confluence_center_server import ConfluenceCenterServer
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.loopback import Fault
from unsprawl.estate.wiki_model import Wiki
from unsprawl.records import Checkpoint, Skipped, Unit


@pytest.fixture
def wiki() -> Wiki:
    wiki = small_wiki()
    for number in range(120):
        wiki.write("DEV", f"Page {number}", f"<p>{number}</p>")
    return wiki


@pytest.fixture
def server(wiki: Wiki) -> Iterator[ConfluenceServer]:
    with ConfluenceServer(wiki, wikis.USER, wikis.TOKEN) as server:
        server.largest = 25
        yield server


@pytest.fixture
def whole(wiki: Wiki, server: ConfluenceServer) -> set[str]:
    return set(wikis.uris(wiki, top(server)))


def top(server: ConfluenceServer) -> str:
    return "confluence://" + server.site.removeprefix("http://")


def spoilt(body: bytes) -> bytes:
    return body[: len(body) // 2]


STORMS: dict[str, list[Fault]] = {
    "429 storm": [Fault("", 429, {"retry-after": "0"}, after=2, times=5), Fault("v2/pages", 429, times=4)],
    "5xx": [Fault("pages", 503, times=3), Fault("comments", 502, times=2), Fault("download", 500, times=2)],
    "resets": [Fault("pages", reset=True, times=3), Fault("versions", reset=True, times=2)],
    "truncated": [Fault("v2", cut=40, after=3, times=3), Fault("download", cut=1, times=2)],
    "half a body": [Fault("v2/pages", spoil=spoilt, times=2)],
    "slow": [Fault("pages", drip=0.01, times=2), Fault("comments", wait=0.1, times=1)],
}


@pytest.mark.parametrize("storm", STORMS)
def test_what_mends_costs_retries_and_nothing_else(
    server: ConfluenceServer, whole: set[str], storm: str
) -> None:
    calm = crawl(source(server))
    least = len(server.requests)
    server.requests.clear()
    server.faults = [Fault(**{name: getattr(one, name) for name in one.__slots__}) for one in STORMS[storm]]
    run = crawl(source(server))
    assert set(run.documents) == set(calm.documents) == whole
    assert (run.skipped, run.failed, run.twice) == ({}, {}, [])
    faults = sum(one.times for one in STORMS[storm])
    assert least <= len(server.requests) <= least + faults


def test_cursors_that_expire_begin_the_listing_anew(
    wiki: Wiki, server: ConfluenceServer, whole: set[str]
) -> None:
    server.faults = [Fault("v2/pages.*cursor", before=server.expire, after=2, times=1)]
    run = crawl(source(server))
    assert set(run.documents) == whole
    assert (run.skipped, run.failed, run.twice) == ({}, {}, [])


def test_cursors_that_always_expire_end_the_listing(server: ConfluenceServer) -> None:
    server.faults = [Fault("v2/pages.*cursor", before=server.expire)]
    run = crawl(source(server))
    assert f"{top(server)}/spaces/DEV#pages" in run.skipped
    assert any("News" in document.path for document in run.documents.values()), "all else of the space"
    assert len(server.asked("v2/pages.*cursor")) < 12


def test_entries_that_come_shuffled_and_twice_are_read_once(
    server: ConfluenceServer, whole: set[str]
) -> None:
    server.disorder = {"pages", "blogposts", "footer-comments", "inline-comments", "attachments", "spaces"}
    memory = Memory()
    run = crawl(source(server), memory)
    assert set(run.documents) == whole
    assert (run.skipped, run.failed, run.twice) == ({}, {}, [])
    again = crawl(source(server), memory)
    assert not again.documents


def test_comments_without_end_are_read_once_and_told(server: ConfluenceServer, whole: set[str]) -> None:
    server.endless = {"footer-comments"}
    run = crawl(source(server))
    assert set(run.documents) == whole, "inline comments too"
    gap = run.skipped[f"{top(server)}/~comments#footer-comments"]
    assert "goes in circles" in gap.reason
    assert len(server.asked("footer-comments")) < 10


def test_comments_without_end_on_one_page_cost_no_other_page(wiki: Wiki) -> None:
    busy = wiki.write("DEV", "Busy", "<p>busy</p>")
    for number in range(40):
        wiki.comment(busy, f"<p>c{number}</p>")
    wiki.write("DEV", "Last", "<p>last</p>")
    with ConfluenceCenterServer(wiki, wikis.TOKEN) as center:
        center.endless = {"comment"}
        memory = Memory()
        run = crawl(source(center, user=""), memory)
        paths = {document.path for document in run.documents.values()}
        assert "DEV/Last" in paths
        assert len([path for path in paths if path.startswith("DEV/Busy/comment")]) == 40
        (gap,) = run.skipped
        assert gap.endswith(f"pages/{busy.id}#comments")
        assert "goes in circles" in run.skipped[gap].reason
        assert not run.failed
        again = crawl(source(center, user=""), memory)
        assert set(again.skipped) == {gap}, "asked for again, and told again"
        center.endless = set()
        after = crawl(source(center, user=""), memory)
        assert (after.skipped, after.documents) == ({}, {})


def test_a_live_document_that_is_refused_is_one_gap(
    wiki: Wiki, server: ConfluenceServer, whole: set[str]
) -> None:
    server.faults = [Fault("atlas_doc_format", 403)]
    memory = Memory()
    run = crawl(source(server), memory)
    (gap,) = run.skipped
    assert whole - set(run.documents) == {gap}
    server.faults = []
    assert set(crawl(source(server), memory).documents) == {gap}


def test_versions_without_end_cost_that_history(
    wiki: Wiki, server: ConfluenceServer, whole: set[str]
) -> None:
    server.endless = {"versions"}
    run = crawl(source(server))
    assert not run.failed
    assert whole - set(run.documents) < set(run.skipped)
    assert len(server.requests) < 150


def test_a_closed_space_fails_alone(wiki: Wiki, server: ConfluenceServer) -> None:
    wiki.rooms["DEV"].closed = True
    run = crawl(source(server))
    (failed,) = run.failed
    assert failed == f"{top(server)}/spaces/DEV"
    assert isinstance(run.failed[failed], UnreadableError)
    assert "refused access" in str(run.failed[failed])
    assert {document.path.partition("/")[0] for document in run.documents.values()} >= {"OPEN", "~anna"}


def test_a_page_instead_of_a_file_is_a_gap(wiki: Wiki, server: ConfluenceServer, whole: set[str]) -> None:
    page = b"<!DOCTYPE html><html><body>Log in"
    server.faults = [Fault(r"app.env\?version=2", spoil=lambda _body: page)]
    run = crawl(source(server))
    (file,) = wiki.of("attachment")
    uri = f"{top(server)}/attachments/{file.id}"
    assert whole - set(run.documents) == {uri}
    assert "a page instead of the file" in run.skipped[uri].reason


def test_a_page_instead_of_data_is_a_gap(server: ConfluenceServer) -> None:
    login = Fault("v2/attachments", 200, {"content-type": "text/html"}, b"<html>Log in")
    server.faults = [login]
    run = crawl(source(server))
    assert "a page instead of" in str(run.failed[f"{top(server)}/~attachments"])


def test_a_site_that_dies_is_given_up_soon(server: ConfluenceServer) -> None:
    made = source(server)
    units = [unit for unit in made.units(wikis.never) if isinstance(unit, Unit)]
    server.faults = [Fault("", 500)]
    before = len(server.requests)
    with pytest.raises(RetryableError):
        list(made.read(units[0], None, wikis.never))
    assert len(server.requests) - before <= 2 * 6


def test_many_files_that_never_come_end_the_unit(wiki: Wiki, server: ConfluenceServer) -> None:
    page = wiki.of("page")[0]
    for number in range(30):
        wiki.attach(page, f"{number}.bin", b"x")
    server.faults = [Fault(r"/\d+.bin", 500)]
    run = crawl(source(server))
    assert isinstance(run.failed[f"{top(server)}/~attachments"], RetryableError)
    assert len(server.asked(r"/\d+.bin")) <= 6 * 8


@pytest.mark.parametrize("flavour", ["cloud", "data center"])
def test_answers_that_are_too_large_are_asked_for_in_smaller_portions(
    wiki: Wiki, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = wiki.of("page")[0]
    for number in range(40):
        wiki.write("DEV", f"Large {number}", "<p>" + f"large {number} " * 400 + "</p>")
        wiki.edit(page, "<p>" + f"edit {number} " * 400 + "</p>")
    monkeypatch.setattr("unsprawl.crawlers.atlassian.transport.MAX_ANSWER", 90_000)
    with (
        ConfluenceServer(wiki, wikis.USER, wikis.TOKEN) as cloud,
        ConfluenceCenterServer(wiki, wikis.TOKEN) as center,
    ):
        server: Any = cloud if flavour == "cloud" else center
        run = crawl(source(server, **({} if flavour == "cloud" else {"user": ""})))
        assert (run.skipped, run.failed) == ({}, {})
        assert len([one for one in run.documents.values() if one.path.startswith("DEV/Large")]) == 40
        history = next(one for one in run.documents.values() if one.uri.endswith(f"{page.id}#history"))
        assert len(history.parts) == len(page.revisions) - 1


def test_an_id_that_is_none_does_not_reach_an_address(server: ConfluenceServer) -> None:
    server.faults = [Fault("v2/pages.*body", spoil=lambda body: body.replace(b'"id": "1', b'"id": "../x?'))]
    run = crawl(source(server))
    assert all("an id that is none" in gap.reason for gap in run.skipped.values())
    assert not server.asked(r"\.\./x")


def test_links_lead_nowhere_else(wiki: Wiki, server: ConfluenceServer, whole: set[str]) -> None:
    with ConfluenceServer(wiki) as other:
        lie = other.url.encode()

        def spoil(body: bytes) -> bytes:
            return body.replace(b'"next": "/wiki', b'"next": "' + lie + b"/wiki").replace(
                b'"downloadLink": "/', b'"downloadLink": "' + lie + b"/"
            )

        server.faults = [Fault("v2/", spoil=spoil)]
        run = crawl(source(server))
        assert other.requests == []
    assert len(whole - set(run.documents)) == 2, "the two versions of the file"


# --- killed and continued ------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["cloud", "data center"])
def test_killed_at_any_event_and_continued_the_same_is_read(wiki: Wiki, flavour: str) -> None:
    def build(server: Any) -> ConfluenceSource:
        return source(server, **({} if flavour == "cloud" else {"user": ""}))

    with (
        ConfluenceServer(wiki, wikis.USER, wikis.TOKEN) as cloud,
        ConfluenceCenterServer(wiki, wikis.TOKEN) as center,
    ):
        server: Any = cloud if flavour == "cloud" else center
        server.largest = 25
        calm = crawl(build(server))
        memory, run = Memory(), Run()
        deaths = 0
        for unit in build(server).units(wikis.never):
            assert isinstance(unit, Unit)
            # It dies after 1, 8, 15, … events more than it lived the last time.
            for life in range(1, 400, 7):
                deaths += 1
                made = build(server)
                before = memory.cursors.get(unit.id)
                died = [False]

                def stop(count: int, life: int = life, died: list[bool] = died) -> bool:
                    died[0] = count >= life
                    return died[0]

                read(made, unit, memory, run, stop)
                made.close()
                if not died[0]:
                    break
                assert before is None or memory.cursors[unit.id]
        assert deaths > 12
        assert set(run.documents) == set(calm.documents)
        assert not run.failed
        after = crawl(build(server), memory)
        assert not after.documents


def test_checkpoints_come_often_enough(server: ConfluenceServer) -> None:
    made = source(server)
    for unit in made.units(wikis.never):
        assert not isinstance(unit, Skipped)
        run = 0
        for event in made.read(unit, None, wikis.never):
            run = 0 if isinstance(event, Checkpoint) else run + 1
            assert run < 60


def test_connections_are_given_back(server: ConfluenceServer) -> None:
    made = quick(ConfluenceSource("w", ConfluenceSource.Config(url=server.site)))
    made.close()
    made.close()
