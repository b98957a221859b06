"""Paste feeds: limits and refusals as their sites have them, hostile feeds, what went by unseen."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unsprawl.crawlers.paste.folder import parts
from unsprawl.crawlers.paste.items import Item, Listing, State, unseen
from unsprawl.crawlers.paste.source import PasteSource
from unsprawl.crawlers.paste.syndication import parse
from unsprawl.errors import AuthError, ConfigError, RetryableError, SourceError, UnreadableError
from unsprawl.estate.loopback import Answer, Fault, LoopbackServer, Request
from unsprawl.estate.paste_server import PasteServer
from unsprawl.records import Checkpoint, Cursor, Document, Event, Skipped, Unit

NOON = 1_767_690_000.0


@pytest.fixture
def site() -> Iterator[PasteServer]:
    with PasteServer() as server:
        for number in range(8):
            server.post(f"note {number}\n", NOON + 10 * number, title=f"note {number}")
        yield server


def source_of(feed: Any, url: str, **settings: Any) -> PasteSource:
    settings = {"request_interval": 0, "max_wait": 0.5, **settings}
    return PasteSource("pastes", msgspec.convert({"feed": feed, "url": url, **settings}, PasteSource.Config))


def look(source: PasteSource, since: Cursor | None = None) -> list[Event]:
    events: list[Event] = []
    for unit in source.units(lambda _: None):
        assert isinstance(unit, Unit)
        events += source.read(unit, since, lambda _: None)
    return events


def documents(events: list[Event]) -> list[Document]:
    return [event for event in events if isinstance(event, Document)]


def cursor_of(events: list[Event]) -> Cursor:
    return [event.cursor for event in events if isinstance(event, Checkpoint)][-1]


# --- Pastebin ------------------------------------------------------------------------------------


def test_an_address_that_pastebin_does_not_know_stops_the_source(site: PasteServer) -> None:
    site.admitted = False
    with pytest.raises(AuthError, match="does not know this machine") as refused:
        look(source_of("pastebin", site.url))
    assert "doc_scraping_api" in refused.value.hint


def test_what_is_read_once_is_not_asked_for_again(site: PasteServer) -> None:
    source = source_of("pastebin", site.url)
    first = look(source)
    assert len(documents(first)) == 8
    asked = len(site.requests)
    assert documents(look(source, cursor_of(first))) == []
    assert len(site.requests) == asked + 1  # the listing


def test_a_limit_is_obeyed_and_nothing_is_lost(site: PasteServer) -> None:
    site.faults = [Fault("scrape_item", 429, {"retry-after": "3600"}, after=3)]
    source = source_of("pastebin", site.url)
    events: list[Event] = []
    (unit,) = source.units(lambda _: None)
    assert isinstance(unit, Unit)
    with pytest.raises(RetryableError) as later:
        events.extend(source.read(unit, None, lambda _: None))
    assert later.value.retry_after == pytest.approx(3600, abs=5)
    site.faults = []
    # By now the site shows none of them any more.
    site.shown = 0
    again = documents(look(source_of("pastebin", site.url, limit=250), cursor_of(events)))
    assert {one.uri for one in again} | {one.uri for one in documents(events)} == {
        f"paste://{site.url[7:]}/{paste.id}" for paste in site.pastes
    }


# --- gists ---------------------------------------------------------------------------------------


def test_the_token_goes_to_the_api_alone(
    site: PasteServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PASTE_TOKEN", "the-token-of-a-test")
    site.token = "the-token-of-a-test"

    class Elsewhere(LoopbackServer):
        def answer(self, request: Request) -> Answer:
            return Answer(200, b"from elsewhere")

    with Elsewhere() as other:
        site.faults = [Fault("^/raw/", 302, {"location": f"{other.url}/blob"})]
        events = look(source_of("gist", site.url, token="${PASTE_TOKEN}"))
        assert {bytes(one.body) for one in documents(events)} == {b"from elsewhere"}  # type: ignore[arg-type]
        assert other.requests
        assert all("authorization" not in request.headers for request in other.requests)
    assert "the-token-of-a-test" not in caplog.text


def test_a_listing_that_did_not_change_is_free(site: PasteServer) -> None:
    source = source_of("gist", site.url)
    first = look(source)
    second = look(source, cursor_of(first))
    third = look(source, cursor_of(second))
    assert len(documents(first)) == 8
    assert documents(second) == documents(third) == []
    assert site.requests[-1].status == 304
    site.pastes[0].text, site.pastes[0].at = "edited\n", NOON + 900
    (edited,) = documents(look(source, cursor_of(third)))
    assert edited.body == b"edited\n"


def test_a_spent_limit_of_github_waits_for_its_reset(site: PasteServer) -> None:
    reset = str(int(time.time()) + 1800)
    site.faults = [Fault("/gists", 403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})]
    with pytest.raises(RetryableError) as later:
        look(source_of("gist", site.url))
    assert 1700 < (later.value.retry_after or 0) <= 1801


def test_gists_of_accounts_are_a_unit_each(site: PasteServer) -> None:
    for paste in site.pastes[:3]:
        paste.author = "anna"
    source = source_of("gist", site.url, users=["anna", "bo"])
    units = [unit.id for unit in source.units(lambda _: None) if isinstance(unit, Unit)]
    assert [unit.rpartition("/")[2] for unit in units] == ["anna", "bo"]
    assert len(documents(look(source))) == 3


# --- feeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rss", "atom", "feed.json"])
@pytest.mark.parametrize("inline", [True, False])
def test_every_kind_of_feed_gives_the_same(site: PasteServer, kind: str, inline: bool) -> None:
    site.inline = inline
    found = documents(look(source_of("rss", f"{site.url}/{kind}")))
    assert [bytes(one.body).strip() for one in found] == [b"note %d" % n for n in range(8)]  # type: ignore[arg-type]
    assert [one.modified_at.timestamp() for one in found if one.modified_at] == [
        NOON + 10 * n for n in range(8)
    ]


def test_pages_are_read_as_far_as_robots_may(site: PasteServer) -> None:
    site.inline = False
    site.robots = "User-agent: *\nDisallow: /p/\n"
    events = look(source_of("rss", f"{site.url}/rss"))
    assert documents(events) == []
    skipped = [event for event in events if isinstance(event, Skipped)]
    assert len(skipped) == 8
    assert all("robots" in one.reason for one in skipped)


def test_a_feed_cannot_send_us_elsewhere(site: PasteServer) -> None:
    for raw in ("http://169.254.169.254/latest/{id}", "file:///etc/passwd?{id}", "http://user@h.test/{id}"):
        events = look(source_of("rss", f"{site.url}/rss", raw=raw))
        assert documents(events) == []
        assert [type(event) for event in events if not isinstance(event, Checkpoint)] == [Skipped] * 8


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in</body></html>",
        b"{",
        b'{"items": 3}',
        b"\x00\xff" * 100,
        b"[" * 100_000,
    ],
)
def test_what_is_no_feed_is_said(body: bytes) -> None:
    with pytest.raises(UnreadableError, match="no RSS, Atom or JSON feed"):
        parse(body)


def test_a_hostile_feed_costs_nothing() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 20}">' for n in range(1, 20))
    bomb = f'<!DOCTYPE rss [<!ENTITY e0 "lol">{entities}<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    body = f"{bomb}<rss><channel><item><guid>1</guid><title>&e19;&x;</title></item></channel></rss>"
    begun = time.process_time()
    try:
        entries = parse(body.encode())
    except UnreadableError:
        entries = []
    assert time.process_time() - begun < 2
    assert all("root:" not in entry.title and len(entry.title) < 1000 for entry in entries)


# --- what went by unseen -------------------------------------------------------------------------


def listing(*times: float, full: bool = True) -> Listing:
    return Listing([Item(id=str(at), version="1", at=at) for at in times], full)


def state_after(seen: Listing) -> State:
    state = State()
    state.take(seen)
    for item in list(state.pending):
        state.done(item)
    state.pending.clear()
    return state


def test_a_gap_between_two_looks_is_estimated() -> None:
    state = state_after(listing(*(NOON + n for n in range(100))))
    gap = unseen(state, listing(*(NOON + 400 + n for n in range(100))), "paste://s/", 600.0)
    assert gap is not None
    assert "about 301 pastes went by unseen" in gap.reason
    assert "look every 50 s" in gap.hint
    assert "unseen=" in gap.uri


@pytest.mark.parametrize(
    "now",
    [
        listing(*(NOON + 50 + n for n in range(100))),
        listing(NOON + 400, NOON + 401, full=False),
        listing(),
    ],
)
def test_there_is_no_gap_where_looks_overlap(now: Listing) -> None:
    assert unseen(state_after(listing(*(NOON + n for n in range(100)))), now, "paste://s/", 60.0) is None


def test_the_first_look_has_no_gap() -> None:
    assert unseen(State(), listing(NOON, NOON + 1), "paste://s/", 60.0) is None


def test_a_gap_stands_in_the_ledger(site: PasteServer) -> None:
    source = source_of("pastebin", site.url, limit=8)
    first = look(source)
    for number in range(40):
        site.post(f"later {number}", NOON + 1000 + 10 * number)
    gaps = [event for event in look(source, cursor_of(first)) if isinstance(event, Skipped)]
    assert len(gaps) == 1
    assert "went by unseen" in gaps[0].reason


# --- folders and standard input ------------------------------------------------------------------


def test_files_come_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    for name in ("z", "m", "a"):
        (tmp_path / name).write_text(name)
        time.sleep(0.01)
    source = PasteSource("dumps", PasteSource.Config(feed="folder", path=str(tmp_path)))
    first = look(source)
    assert [one.body for one in documents(first)] == [b"z", b"m", b"a"]
    (tmp_path / "m").write_text("more")
    assert [one.body for one in documents(look(source, cursor_of(first)))] == [b"more"]


def test_more_files_than_are_listed_at_once_are_all_read(tmp_path: Path) -> None:
    for number in range(2_300):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    source = PasteSource("dumps", PasteSource.Config(feed="folder", path=str(tmp_path)))
    events = look(source)
    assert len(documents(events)) == 2_300
    assert documents(look(source, cursor_of(events))) == []


def test_standard_input_is_read_in_parts_that_end_with_a_line() -> None:
    lines = b"".join(b"line %07d of a dump\n" % number for number in range(500_000))
    found = list(parts(io.BytesIO(lines)))
    assert len(found) == 3
    assert b"".join(bytes(one.body) for one in found) == lines  # type: ignore[arg-type]
    assert all(bytes(one.body).endswith(b"\n") for one in found)  # type: ignore[arg-type]
    second = found[1]
    assert isinstance(second.body, bytes)
    assert second.body.splitlines()[0] == b"line %07d of a dump" % (int(str(second.attrs["first_line"])) - 1)
    assert list(parts(io.BytesIO(b""))) == []
    (one,) = parts(io.BytesIO(b"x" * 100))
    assert one.uri == "stdin:"


# --- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"feed": "folder"}, "needs `path`"),
        ({"feed": "rss"}, "needs `url`"),
        ({"feed": "pinnwand"}, "`listed` or `database`"),
        ({"feed": "pinnwand", "listed": "/a", "database": "/b"}, "`listed` or `database`"),
        ({"feed": "gist", "path": "/a"}, "'path' is no key of feed 'gist'"),
        ({"feed": "pastebin", "token": "${A}"}, "'token' is no key of feed 'pastebin'"),
        ({"feed": "rss", "url": "https://h.test", "raw": "https://h.test/raw"}, "one address for all"),
    ],
)
def test_keys_that_do_not_fit_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("{", r"\{")):
        PasteSource("pastes", msgspec.convert(settings, PasteSource.Config))


def test_public_feeds_leave_strangers_alone() -> None:
    def strangers(**settings: Any) -> bool:
        return PasteSource("pastes", PasteSource.Config(**settings)).strangers

    assert not strangers(feed="gist")
    assert not strangers(feed="pinnwand", listed="/l")
    assert strangers(feed="pinnwand", listed="/l", url="https://paste.acme.test")
    assert strangers(feed="folder", path="/dumps")
    assert strangers(feed="gist", strangers=True)


def test_doctor_says_what_one_look_covers(site: PasteServer, tmp_path: Path) -> None:
    said: Callable[[PasteSource], list[bool]] = lambda source: [one.ok for one in source.diagnose()]  # noqa: E731
    assert said(source_of("pastebin", site.url)) == [True]
    assert said(source_of("gist", site.url)) == [True]
    assert said(source_of("rss", f"{site.url}/rss")) == [True]
    assert said(PasteSource("d", PasteSource.Config(feed="folder", path=str(tmp_path)))) == [True]
    assert said(PasteSource("d", PasteSource.Config(feed="folder", path=str(tmp_path / "no")))) == [False]
    site.admitted = False
    assert said(source_of("pastebin", site.url)) == [False]


def test_a_dead_host_is_an_error_not_an_empty_feed() -> None:
    for feed in ("pastebin", "gist", "rss"):
        with pytest.raises(SourceError):
            look(source_of(feed, "http://127.0.0.1:9"))


def test_who_reads_slowly_still_looks_often(site: PasteServer) -> None:
    looks: list[int] = []

    def grow() -> None:
        looks.append(len(site.pastes))
        if len(looks) == 2:
            site.post("posted meanwhile\n", NOON + 500)

    site.grow = grow
    found = documents(look(source_of("pastebin", site.url, request_interval=0.2, every="1s")))
    assert len(looks) > 1
    assert b"posted meanwhile\n" in [one.body for one in found]
    assert len({one.uri for one in found}) == len(found) == 9


def test_more_than_can_wait_is_given_up_and_told() -> None:
    state = State()
    state.take(listing(*(NOON + n for n in range(3_100))))
    gap = state.overflow("paste://s/")
    assert gap is not None
    assert gap.reason.startswith("100 pastes were listed and not read")
    assert [item.at for item in state.pending[:1]] == [NOON + 100]
    assert state.overflow("paste://s/") is None
