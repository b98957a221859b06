"""S3 bodies and refusals, against a server that streams, breaks, refuses and lies on request."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import psutil
import pytest
from object_crawls import content, crawl, never, source
from objects import Blob, Cut, ObjectServer, Refuse

from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.records import Checkpoint, Document, Stream, Unchanged, Unit

pytestmark = pytest.mark.usefixtures("object_credentials")


# --- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 70_000, 4 << 20, (4 << 20) + 1, 9_000_000])
def test_connections_that_drop_anywhere_give_identical_bytes(server: ObjectServer, size: int) -> None:
    blob = Blob(size, planted={size // 2: b"planted"[: size - size // 2]})
    server.buckets = {"b": {"k": blob}}
    chance = random.Random(size)
    server.faults["b", "k"].extend(Cut(chance.randrange(size)) for _ in range(5))
    documents, skipped = crawl(source(server.url))
    assert content(documents["s3://b/k"]) == blob.span(0, size)
    assert not skipped
    # What was read once is not read again, but for what a broken connection held in its buffers.
    assert server.sent < size + 6 * (300 << 10)


def test_a_stream_opens_at_any_offset_and_more_than_once(server: ObjectServer) -> None:
    blob = Blob(7 << 20)
    server.buckets = {"b": {"k": blob}}
    (document,) = crawl(source(server.url))[0].values()
    assert isinstance(document.body, Stream)
    assert document.body.size == 7 << 20
    for offset in (3 << 20, 0, 0, (7 << 20) - 1, 7 << 20):
        assert content(document, offset) == blob.span(offset, 7 << 20)


def test_an_object_that_always_breaks_is_one_gap_and_the_rest_is_read(server: ObjectServer) -> None:
    server.buckets = {"b": {"a": Blob(10), "k": Blob(1000), "z": Blob(10)}}
    server.always["b", "k"] = Cut(0)
    documents, skipped = crawl(source(server.url))
    assert set(documents) == {"s3://b/a", "s3://b/z"}
    assert "broke" in skipped["s3://b/k"].reason


def test_an_object_that_changes_while_it_streams_is_not_mixed(server: ObjectServer) -> None:
    server.buckets = {"b": {"k": Blob(6 << 20)}}
    server.faults["b", "k"].append(Cut(5 << 20))
    (document,) = crawl(source(server.url))[0].values()
    assert isinstance(document.body, Stream)
    server.buckets["b"]["k"] = Blob(6 << 20, etag="other")
    with document.body.open(0) as file, pytest.raises(UnreadableError, match="changed while it was read"):
        file.read()


def test_an_object_that_changed_since_the_listing_is_read_and_read_again(server: ObjectServer) -> None:
    server.buckets = {"b": {"k": Blob(text=b"old")}}
    crawled = source(server.url)
    (unit,) = crawled.units(never)
    assert isinstance(unit, Unit)
    reading = crawled.read(unit, None, never)
    listed = source(server.url)
    server.buckets["b"]["k"] = Blob(text=b"newer")
    (document, _) = reading
    assert isinstance(document, Document)
    assert content(document) == b"newer"
    assert [type(event) for event in listed.read(unit, None, {document.key: document.version}.get)] == [
        Unchanged,
        Checkpoint,
    ]


@pytest.mark.parametrize("megabytes", [300])
def test_a_huge_object_streams_in_flat_memory(server: ObjectServer, megabytes: int) -> None:
    size = megabytes << 20
    server.buckets = {"b": {"k": Blob(size, planted={size - 40: b"needle"})}}
    server.faults["b", "k"].extend([Cut(size // 3), Cut(size // 4)])
    (document,) = crawl(source(server.url))[0].values()
    assert isinstance(document.body, Stream)
    process = psutil.Process()
    before = most = process.memory_info().rss
    received, last = 0, b""
    with document.body.open(0) as file:
        while piece := file.read(1 << 20):
            received += len(piece)
            last = piece
            most = max(most, process.memory_info().rss)
    assert received == size
    assert b"needle" in last
    assert most - before < 48 << 20


def test_a_cap_says_which_share_was_read(server: ObjectServer) -> None:
    blob = Blob(1000)
    server.buckets = {"b": {"k": blob, "small": Blob(10)}}
    documents, skipped = crawl(source(server.url, max_object_bytes=250))
    assert content(documents["s3://b/k"]) == blob.span(0, 250)
    assert server.sent == 260
    gap = skipped["s3://b/k"]
    assert "25.0%" in gap.reason
    assert gap.excluded
    versions = {document.key: document.version for document in documents.values()}
    assert set(crawl(source(server.url), versions.get)[0]) == {"s3://b/k"}


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "reason", "hint"),
    [
        (Refuse(404, "NoSuchKey"), "deleted between listing and reading", ""),
        (Refuse(403, "AccessDenied"), "access denied", "s3:GetObject on arn:aws:s3:::b/*"),
        (Refuse(403, "AccessDenied", "not authorized to perform: kms:Decrypt on"), "KMS key", "kms:Decrypt"),
        (Refuse(400, "KMS.DisabledException"), "KMS key", "kms:Decrypt"),
        (
            Refuse(400, "InvalidRequest", "The object was stored using a form of Server Side Encryption."),
            "SSE-C",
            "customer",
        ),
        (
            Refuse(403, "InvalidObjectState", extra="<AccessTier>ARCHIVE_ACCESS</AccessTier>"),
            "archived in ARCHIVE_ACCESS, not readable",
            "restore",
        ),
        (Refuse(503, "SlowDown"), "less speed", ""),
        (Refuse(500, "InternalError"), "the server failed", ""),
        (Refuse(418, "<b>\x1b[31m"), "refused (418)", ""),
    ],
)
def test_one_refused_object_is_one_gap(server: ObjectServer, refusal: Refuse, reason: str, hint: str) -> None:
    server.buckets = {"b": {"a": Blob(1), "k": Blob(1), "z": Blob(1)}}
    refusal = replace(refusal, code=refusal.code.replace("<", "&lt;").replace("\x1b", ""))
    server.always["b", "k"] = refusal
    documents, skipped = crawl(source(server.url))
    assert set(documents) == {"s3://b/a", "s3://b/z"}
    (gap,) = skipped.values()
    assert gap.uri == "s3://b/k"
    assert reason in gap.reason
    assert hint in gap.hint
    assert not gap.excluded


def test_a_server_that_asks_for_patience_gets_it(server: ObjectServer) -> None:
    server.buckets = {"b": {"k": Blob(5)}}
    server.faults["b", "k"].extend([Refuse(503, "SlowDown"), Refuse(500, "InternalError")])
    server.faults["b", ""].append(Refuse(503, "SlowDown"))
    documents, skipped = crawl(source(server.url, attempts=4))
    assert len(documents) == 1
    assert not skipped


def test_a_server_that_is_gone_ends_the_unit_not_each_object(server: ObjectServer) -> None:
    server.buckets = {"b": {f"{index:03}": Blob(1) for index in range(100)}}
    server.always = {("b", f"{index:03}"): Refuse(500, "InternalError") for index in range(20, 100)}
    crawled = source(server.url)
    (unit,) = crawled.units(never)
    assert isinstance(unit, Unit)
    with pytest.raises(RetryableError, match="the server failed"):
        list(crawled.read(unit, None, never))
    assert server.requests["get"] < 20 + 8 + 32 + 1


def test_archived_objects_are_gaps_with_a_way_out(server: ObjectServer) -> None:
    server.buckets = {
        "b": {"g": Blob(5, storage="GLACIER"), "d": Blob(5, storage="DEEP_ARCHIVE"), "s": Blob(5)}
    }
    documents, skipped = crawl(source(server.url))
    assert set(documents) == {"s3://b/s"}
    assert skipped["s3://b/g"].reason == "archived in GLACIER, not readable"
    assert skipped["s3://b/d"].reason == "archived in DEEP_ARCHIVE, not readable"
    assert "accept" in skipped["s3://b/g"].hint


def test_a_closed_and_a_missing_bucket_are_gaps_of_their_own_rows(server: ObjectServer) -> None:
    server.buckets = {"open": {"k": Blob(1)}, "shut": {"k": Blob(1)}}
    server.always["shut", ""] = Refuse(403, "AccessDenied")
    documents, skipped = crawl(source(server.url, buckets=("shut", "none", "open")))
    assert set(documents) == {"s3://open/k"}
    assert skipped["s3://shut/"].parents == ("shut",)
    assert "allow s3:ListBucket on arn:aws:s3:::shut" in skipped["s3://shut/"].hint
    assert "no such bucket" in skipped["s3://none/"].reason


def test_a_listing_refused_halfway_fails_the_unit(server: ObjectServer) -> None:
    server.buckets = {"b": {f"p/{index:04}": Blob(0) for index in range(1500)}}
    crawled = source(server.url)
    unit = list(crawled.units(never))[1]
    assert isinstance(unit, Unit)
    server.faults["b", ""].extend([None, Refuse(403, "AccessDenied")])
    reading = crawled.read(unit, None, never)
    events = list(islice(reading, 1001))
    with pytest.raises(UnreadableError, match="access denied"):
        next(reading)
    assert isinstance(events[-1], Checkpoint)
    assert events[-1].cursor["after"] == "p/0999"
    assert len(list(crawled.read(unit, events[-1].cursor, never))) == 501


def test_an_endpoint_that_does_not_answer_fails_the_source() -> None:
    with pytest.raises(RetryableError, match="does not answer") as failure:
        list(source("http://127.0.0.1:9", buckets=("a", "b")).units(never))
    assert "endpoint_url" in failure.value.hint


@pytest.mark.parametrize("buckets", [("b",), ()])
def test_a_login_page_does_not_pass_for_an_empty_bucket(
    server: ObjectServer, buckets: tuple[str, ...]
) -> None:
    server.page = "<html><body>Please sign in</body></html>"
    try:
        _, skipped = crawl(source(server.url, buckets=buckets))
        reasons = [gap.reason for gap in skipped.values()]
    except UnreadableError as error:
        reasons = [error.message]
    assert reasons == ["the answer is not one of an S3 server"]


def test_a_listing_that_goes_in_circles_ends(server: ObjectServer) -> None:
    server.buckets = {"b": {f"p/{index:04}": Blob(0) for index in range(1200)}}
    crawled = source(server.url)
    unit = list(crawled.units(never))[1]
    assert isinstance(unit, Unit)
    server.circular = True
    assert "does not advance" in crawl(source(server.url))[1]["s3://b/"].reason
    with pytest.raises(UnreadableError, match="does not advance"):
        list(crawled.read(unit, None, never))
