"""The transport to an Atlassian site: credentials, patience, caps, redirects, files."""

from __future__ import annotations

import base64
import gzip
import logging
import pickle
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import pytest
from plain_site import PlainSite

from unsprawl.crawlers.atlassian import transport as atlassian
from unsprawl.crawlers.atlassian.transport import AtlassianConfig, RefusedError, Site, when
from unsprawl.errors import AuthError, ConfigError, RetryableError, UnreadableError
from unsprawl.estate.loopback import Answer, Fault, data
from unsprawl.records import Stream
from unsprawl.wire.patience import Patience

TOKEN = uuid4().hex
USER = "bot@acme.test"
BASIC = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()


@pytest.fixture
def server() -> Iterator[PlainSite]:
    with PlainSite() as server:
        server.answers["/wiki/rest/thing"] = {"id": 7}
        yield server


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SITE_TOKEN", TOKEN)
    with ExitStack() as stack:

        def build(url: str, **settings: Any) -> Site:
            settings = {"user": USER, "token": "${SITE_TOKEN}", **settings}
            site = Site("wiki", AtlassianConfig(url=url, **settings), "confluence", "/wiki")
            site._patience = site._files.patience = Patience(60, 30.0, first=0.01, longest=0.02)
            stack.callback(site.close)
            return site

        yield build


def read(site: Site, path: str = "rest/thing", **params: Any) -> Any:
    return site.get(path, params, what="the thing", hint="allow things")


def _read_whole(body: bytes | Stream) -> bytes:
    return body if isinstance(body, bytes) else body.open(0).read()


# --- credentials ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({}, BASIC),
        ({"user": ""}, f"Bearer {TOKEN}"),
        ({"user": "", "token": None}, None),
    ],
    ids=["basic", "bearer", "nobody"],
)
def test_who_asks(server: PlainSite, made: Any, settings: dict[str, Any], sent: str | None) -> None:
    site = made(f"{server.url}/wiki/", **settings)
    assert read(site) == {"id": 7}
    with site.open("rest/thing", what="a file") as file:
        assert file.read()
    assert [one.headers.get("authorization") for one in server.requests] == [sent, sent]
    assert site.requests == 1
    assert site.received > 0


def test_tokens_with_scopes_go_through_the_gateway(server: PlainSite, made: Any) -> None:
    server.answers["/ex/confluence/abc-1/wiki/rest/thing"] = {"id": 8}
    site = made("https://acme.atlassian.net/wiki", cloud_id="abc-1", gateway=server.url)
    assert read(site) == {"id": 8}
    assert site.base == "https://acme.atlassian.net/wiki"
    assert site.cloud


@pytest.mark.parametrize(
    ("settings", "cloud"),
    [
        ({"url": "https://acme.atlassian.net"}, True),
        ({"url": "https://wiki.acme.test"}, False),
        ({"url": "https://wiki.acme.test", "user": "me"}, True),
        ({"url": "https://wiki.acme.test", "user": "me", "deployment": "data-center"}, False),
        ({"url": "https://atlassian.net.acme.test"}, False),
    ],
)
def test_cloud_or_data_center(settings: dict[str, Any], cloud: bool) -> None:
    assert AtlassianConfig(**settings).is_cloud is cloud


@pytest.mark.parametrize("settings", [{"user": "me"}, {"cloud_id": "x"}])
def test_half_of_the_credentials_is_told_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="without `token`"):
        Site("wiki", AtlassianConfig(url="https://acme.test", **settings), "confluence")


def test_bad_credentials_are_not_taken_for_an_empty_site(server: PlainSite, made: Any) -> None:
    refused = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
    server.answers["/wiki/rest/thing"] = data({"results": []}, headers=refused)
    with pytest.raises(AuthError, match="does not know this user and token"):
        read(made(f"{server.url}/wiki"))


def test_netrc_adds_no_password(
    server: PlainSite, made: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    read(made(f"{server.url}/wiki", user="", token=None))
    assert "authorization" not in server.requests[0].headers


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 404, 410, 418])
def test_a_refusal_is_one_line_with_a_hint(server: PlainSite, made: Any, status: int) -> None:
    server.faults = [Fault("thing", status, body=b"<script>")]
    with pytest.raises(RefusedError, match=f"the thing.* ?.{status}.$") as refusal:
        read(made(f"{server.url}/wiki"))
    assert refusal.value.status == status
    assert refusal.value.hint == "allow things"
    assert "script" not in str(refusal.value)
    assert len(server.requests) == 1
    again = pickle.loads(pickle.dumps(refusal.value))
    assert (again.status, again.hint, str(again)) == (status, "allow things", str(refusal.value))


def test_a_missing_scope_is_a_gap_and_bad_credentials_are_fatal(server: PlainSite, made: Any) -> None:
    site = made(f"{server.url}/wiki")
    server.faults = [Fault("thing", 401, body=b'{"message":"Unauthorized; scope does not match"}', times=1)]
    with pytest.raises(RefusedError, match="no scope for the thing"):
        read(site)
    server.faults = [Fault("thing", 401)]
    with pytest.raises(AuthError):
        read(site)


def test_a_page_is_not_data(server: PlainSite, made: Any) -> None:
    server.answers["/wiki/rest/thing"] = Answer(body=b"<html>log in", headers={"content-type": "text/html"})
    with pytest.raises(RefusedError, match="a page instead of the thing"):
        read(made(f"{server.url}/wiki"))


def test_data_nested_without_end_is_refused(server: PlainSite, made: Any) -> None:
    server.answers["/wiki/rest/thing"] = Answer(body=b"[" * 200_000)
    with pytest.raises(UnreadableError, match="nested too deeply"):
        read(made(f"{server.url}/wiki"))


def test_answers_have_a_cap_packed_or_not(
    server: PlainSite, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlassian, "MAX_ANSWER", 1 << 20)
    body = b'"' + b"a" * (3 << 20) + b'"'
    server.answers["/wiki/rest/thing"] = Answer(body=body)
    server.answers["/wiki/rest/bomb"] = Answer(body=gzip.compress(body), headers={"content-encoding": "gzip"})
    for path in ("rest/thing", "rest/bomb"):
        with pytest.raises(UnreadableError, match="more than 1048576 bytes"):
            read(made(f"{server.url}/wiki"), path)


def test_packed_data_is_read(server: PlainSite, made: Any) -> None:
    body = gzip.compress(b'{"name": "caf\xc3\xa9"}')
    server.answers["/wiki/rest/thing"] = Answer(body=body, headers={"content-encoding": "gzip"})
    assert read(made(f"{server.url}/wiki")) == {"name": "café"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": "half \\ud83d"}', {"a": "half ?"}),
        (b'{"a": "whole \\ud83d\\ude00"}', {"a": "whole \U0001f600"}),
        (b'{"a": 1e999}', {"a": float("inf")}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
    ],
    ids=["half a character", "a whole one", "number", "bytes"],
)
def test_data_that_is_nearly_json_is_read(server: PlainSite, made: Any, body: bytes, expected: Any) -> None:
    server.answers["/wiki/rest/thing"] = Answer(body=body)
    assert read(made(f"{server.url}/wiki")) == expected


# --- patience ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault("thing", 429, {"retry-after": "0"}, times=3),
        Fault("thing", 429, times=15),
        Fault("thing", 503, times=2),
        Fault("thing", 502, times=1),
        Fault("thing", reset=True, times=2),
        Fault("thing", cut=3, times=2),
        Fault("thing", spoil=lambda body: body[:-2], times=1),
        Fault("thing", drip=0.01, times=1),
    ],
    ids=["429 at once", "429", "503", "502", "reset", "cut", "half", "drip"],
)
def test_what_mends_is_tried_again(server: PlainSite, made: Any, fault: Fault) -> None:
    times = fault.times
    server.faults = [replace(fault)]
    assert read(made(f"{server.url}/wiki")) == {"id": 7}
    assert len(server.requests) == times + (0 if fault.drip else 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "1"},
        {"retry-after": format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)},
        {"x-ratelimit-reset": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
        {"retry-after": "86400"},
    ],
)
def test_a_wait_that_is_asked_for_is_obeyed_or_ends_the_matter(
    server: PlainSite, made: Any, headers: dict[str, str]
) -> None:
    server.faults = [Fault("thing", 429, headers, times=1)]
    site = made(f"{server.url}/wiki")
    begun = datetime.now(UTC)
    if headers.get("retry-after") == "1":
        assert read(site) == {"id": 7}
        assert datetime.now(UTC) - begun >= timedelta(seconds=0.9)
    else:
        with pytest.raises(RetryableError, match="429 and asked to wait") as error:
            read(site)
        assert error.value.retry_after is not None
        assert len(server.requests) == 1


def test_a_site_that_never_mends_is_given_up(server: PlainSite, made: Any) -> None:
    server.faults = [Fault("thing", 500)]
    with pytest.raises(RetryableError, match="answered 500 for the thing"):
        read(made(f"{server.url}/wiki"))
    assert len(server.requests) == 6


def test_a_storm_that_does_not_end_is_given_up(server: PlainSite, made: Any) -> None:
    server.faults = [Fault("thing", 429)]
    with pytest.raises(RetryableError, match="answered 429"):
        read(made(f"{server.url}/wiki"))
    assert len(server.requests) == 60


def test_nobody_listens(made: Any) -> None:
    with pytest.raises(RetryableError, match="refused the connection"):
        read(made("http://127.0.0.1:9/wiki"))


def test_a_name_that_is_none(made: Any) -> None:
    with pytest.raises(RetryableError, match=r"resolved|broke|refused"):
        read(made("http://no-such-name.invalid"))


def test_an_answer_that_drips_for_ever_ends(
    server: PlainSite, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlassian, "ANSWER_SECONDS", 0.1)
    server.answers["/wiki/rest/thing"] = {"text": "x" * 800_000}
    server.faults = [Fault("thing", drip=0.06)]
    with pytest.raises(RetryableError, match="took longer"):
        read(made(f"{server.url}/wiki"))


# --- redirects -----------------------------------------------------------------------------------


def test_data_is_followed_within_the_site_only(server: PlainSite, made: Any) -> None:
    with PlainSite() as other:
        site = made(f"{server.url}/wiki")
        server.faults = [Fault("/old", 301, {"location": "/wiki/rest/thing"})]
        assert read(site, "rest/old") == {"id": 7}
        server.faults = [Fault("/old", 302, {"location": f"{other.url}/wiki/rest/thing"})]
        with pytest.raises(UnreadableError, match="not followed"):
            read(site, "rest/old")
        server.faults = [Fault("/old", 302, {"location": "/wiki/rest/old"})]
        with pytest.raises(UnreadableError, match="more than 5 redirects"):
            read(site, "rest/old")
        assert other.requests == []


def test_files_are_followed_without_credentials(server: PlainSite, made: Any) -> None:
    with PlainSite() as store:
        store.answers["/signed"] = Answer(body=b"content", ranges=True)
        server.faults = [Fault("/download", 302, {"location": f"{store.url}/signed?token=x"})]
        assert made(f"{server.url}/wiki").body("download/1", 7, "", what="a file") == b"content"
        assert server.requests[0].headers["authorization"] == BASIC
        assert "authorization" not in store.requests[0].headers


# --- files ---------------------------------------------------------------------------------------


def test_a_large_file_is_a_stream_that_survives_lost_connections(server: PlainSite, made: Any) -> None:
    content = bytes(range(256)) * (5 << 12)
    server.answers["/wiki/download/1"] = Answer(body=content, ranges=True, headers={"etag": '"1"'})
    server.faults = [Fault("download", cut=700_000, times=3)]
    body = made(f"{server.url}/wiki").body("download/1", len(content), "", what="a file")
    assert isinstance(body, Stream)
    assert body.size == len(content)
    with body.open(0) as file:
        assert file.read() == content
    with body.open(len(content) - 5) as file:
        assert file.read() == content[-5:]


def test_a_page_instead_of_a_file_is_told(server: PlainSite, made: Any) -> None:
    page = Answer(body=b"\n<!DOCTYPE html><html>log in", headers={"content-type": "text/html"})
    server.answers["/wiki/download/1"] = page
    site = made(f"{server.url}/wiki")
    for size in (5, 9 << 20):
        with pytest.raises(UnreadableError, match="a page instead of the file"):
            _read_whole(site.body("download/1", size, "application/pdf", what="a.pdf"))
    assert site.body("download/1", len(page.body), "text/html", what="a.html") == page.body


@pytest.mark.parametrize(("listed", "words"), [(3, "more than the 3"), (2000, "less than the 2000")])
def test_a_file_of_another_size_than_was_listed_is_told(
    server: PlainSite, made: Any, listed: int, words: str
) -> None:
    server.answers["/wiki/download/1"] = Answer(body=b"content")
    with pytest.raises(UnreadableError, match=words):
        made(f"{server.url}/wiki").body("download/1", listed, "", what="a file")


# --- what is said --------------------------------------------------------------------------------


def test_nothing_secret_is_logged(server: PlainSite, made: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    planted = uuid4().hex
    server.answers["/wiki/rest/thing"] = {"body": planted}
    site = made(f"{server.url}/wiki")
    assert read(site, cursor="1") == {"body": planted}
    said = caplog.text + repr(site) + repr(site._files)
    assert planted not in said
    assert TOKEN not in said
    assert BASIC.removeprefix("Basic ") not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05.678Z", datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)),
        ("2026-01-02T03:04:05.678+0200", datetime(2026, 1, 2, 1, 4, 5, 678000, UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, 0, UTC)),
        ("yesterday", None),
        (None, None),
        (7, None),
    ],
)
def test_times(text: object, expected: datetime | None) -> None:
    assert when(text) == expected
