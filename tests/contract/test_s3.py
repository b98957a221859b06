"""S3 against moto's real server, and against one that streams, breaks, refuses and lies on request."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any
from uuid import uuid4

import psutil
import pytest
from objects import Blob, Cut, ObjectServer, Refuse, serving

from unsprawl.crawlers import ranges
from unsprawl.crawlers.s3 import S3Source
from unsprawl.errors import AuthError, ConfigError, RetryableError, UnreadableError
from unsprawl.records import Audience, Checkpoint, Document, Skipped, Stream, Unchanged, Unit


def never(_key: str) -> None:
    return None


def source(url: str, **options: Any) -> S3Source:
    keys = {"access_key": "${OBJECTS_ACCESS}", "secret_key": "${OBJECTS_SECRET}"}
    if options.get("anonymous"):
        keys = {}
    return S3Source("store", S3Source.Config(endpoint_url=url, **{"attempts": 1, **keys, **options}))


def crawl(crawled: S3Source, seen: Any = never) -> tuple[dict[str, Document], dict[str, Skipped]]:
    documents: dict[str, Document] = {}
    skipped: dict[str, Skipped] = {}
    for item in crawled.units(seen):
        for event in [item] if isinstance(item, Skipped) else crawled.read(item, None, seen):
            if isinstance(event, Document):
                assert event.uri not in documents
                documents[event.uri] = event
            elif isinstance(event, Skipped):
                skipped[event.uri] = event
    return documents, skipped


def content(document: Document, offset: int = 0) -> bytes:
    if isinstance(document.body, bytes):
        return document.body[offset:]
    with document.body.open(offset) as file:
        return file.read()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECTS_ACCESS", uuid4().hex)
    monkeypatch.setenv("OBJECTS_SECRET", uuid4().hex)
    monkeypatch.setattr(ranges, "PAUSE", 0.001)


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with serving(ObjectServer()) as running:
        yield running


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
    server.circular = True
    crawled = source(server.url)
    unit = list(crawled.units(never))[1]
    assert isinstance(unit, Unit)
    with pytest.raises(UnreadableError, match="does not advance"):
        list(crawled.read(unit, None, never))


# --- listings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "top/"])
def test_a_wide_first_level_is_cut_once_and_nothing_is_lost_or_read_twice(
    server: ObjectServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsprawl.crawlers.s3._FIRST_LEVEL_PAGES", 1)
    keys = [f"{prefix}{index:05}" for index in range(800)]
    keys += [f"{prefix}{index:05}/{part}" for index in range(600, 1300) for part in "ab"]
    server.buckets = {"b": {key: Blob(0) for key in [*keys, "other"]}}
    crawled = source(server.url, prefix=prefix)
    documents, _ = crawl(crawled)
    wanted = {f"s3://b/{key}" for key in keys} | (set() if prefix else {"s3://b/other"})
    assert set(documents) == wanted
    units = [unit.id for unit in crawled.units(never) if isinstance(unit, Unit)]
    assert len(units) == len(set(units)) <= 1002
    assert units[-1].startswith(f"s3://b/{prefix}?after=")


def test_resuming_from_each_checkpoint_gives_exactly_the_rest(server: ObjectServer) -> None:
    server.buckets = {"b": {f"p/{index:05}": Blob(0) for index in range(3100)}}
    crawled = source(server.url)
    unit = list(crawled.units(never))[1]
    assert isinstance(unit, Unit)
    events = list(crawled.read(unit, None, never))
    cursors = [(index, event.cursor) for index, event in enumerate(events) if isinstance(event, Checkpoint)]
    assert [cursor.get("after") for _, cursor in cursors] == ["p/00999", "p/01999", "p/02999", None]
    for index, cursor in cursors[:-1]:
        rest = [event.uri for event in events[index + 1 :] if isinstance(event, Document)]
        resumed = [event.uri for event in crawled.read(unit, cursor, never) if isinstance(event, Document)]
        assert resumed == rest
    # A step that ends with the unit is followed by one that finds nothing; the next run starts over.
    last = cursors[-1][1]
    assert list(crawled.read(unit, last, never)) == []
    tomorrow = list(source(server.url).units(never))[1]
    assert isinstance(tomorrow, Unit)
    again = crawled.read(tomorrow, last, never)
    assert len([event for event in again if isinstance(event, Document)]) == 3100
    # A cursor of yesterday's broken run must not hide what changed before it.
    idle = {"after": "p/02999", "at": time.time() - 24 * 3600}
    assert len([event for event in crawled.read(unit, idle, never) if isinstance(event, Document)]) == 3100


def test_the_smallest_steps_read_everything_once(server: ObjectServer) -> None:
    # A step may end at any checkpoint, also at the last one of a unit, and knows nothing of its own run.
    server.buckets = {"b": {f"p/{index:05}": Blob(0) for index in range(2100)} | {"top": Blob(5 << 20)}}
    crawled = source(server.url)
    read: list[str] = []
    steps = 0
    for unit in crawled.units(never):
        assert isinstance(unit, Unit)
        cursor, ended = None, False
        while not ended:
            steps += 1
            assert steps < 20
            ended = True
            for event in crawled.read(unit, cursor, never):
                if isinstance(event, Document):
                    read.append(event.uri)
                elif isinstance(event, Checkpoint):
                    cursor, ended = event.cursor, False
                    break
    assert len(read) == len(set(read)) == 2101


def test_hostile_keys_are_read_and_safe_to_print(server: ObjectServer) -> None:
    keys = ["a\nb", "\x1b[2J", "100%", "%41", "?x=1&y", "#", "../../etc", "/", "//", "é ü", "\u202egpj.exe"]
    server.buckets = {"b": {key: Blob(text=key.encode()) for key in keys}}
    documents, skipped = crawl(source(server.url))
    assert {content(document).decode() for document in documents.values()} == set(keys)
    assert all(uri.isascii() and uri.isprintable() and " " not in uri for uri in documents)
    assert not skipped
    for uri, document in documents.items():
        fetched = source(server.url).fetch(uri)
        assert isinstance(fetched, Document)
        assert content(fetched) == content(document)


def test_what_the_owner_excludes_is_not_listed_nor_read(server: ObjectServer) -> None:
    server.buckets = {
        "b": {"a.parquet": Blob(1), "raw/x": Blob(1), "keep/x": Blob(1), "keep/y.parquet": Blob(1)},
        "logs": {"x": Blob(1)},
    }
    documents, skipped = crawl(source(server.url, exclude=("*.parquet", "b/raw", "logs")))
    assert set(documents) == {"s3://b/keep/x"}
    assert set(skipped) == {"s3://b/a.parquet", "s3://b/raw/", "s3://b/keep/y.parquet", "s3://logs/"}
    assert all(gap.excluded for gap in skipped.values())
    assert server.requests["get"] == 1


def test_an_unchanged_object_costs_nothing_and_a_changed_one_is_read(server: ObjectServer) -> None:
    server.buckets = {"b": {"k": Blob(text=b"one"), "l": Blob(text=b"two"), "big": Blob(5 << 20)}}
    documents, _ = crawl(source(server.url))
    versions = {document.key: document.version for document in documents.values()}
    asked = server.requests["get"]
    server.buckets["b"]["l"] = Blob(text=b"TWO")
    again, _ = crawl(source(server.url), versions.get)
    assert set(again) == {"s3://b/l"}
    assert server.requests["get"] == asked + 1


# --- credentials and configuration ---------------------------------------------------------------


def test_wrong_credentials_stop_the_source() -> None:
    with (
        serving(ObjectServer(access_key="another")) as server,
        pytest.raises(AuthError, match="unknown") as failure,
    ):
        list(source(server.url).units(never))
    assert failure.value.hint


def test_anonymous_requests_are_not_signed() -> None:
    with serving(ObjectServer(access_key="another")) as server:
        server.buckets = {"b": {"k": Blob(3)}}
        server.access_key = ""
        documents, _ = crawl(source(server.url, anonymous=True, buckets=("b",)))
        assert len(documents) == 1
        assert server.signed == 0


@pytest.mark.parametrize(
    "options",
    [
        {"access_key": None},
        {"secret_key": None},
        {"anonymous": True, "profile": "default"},
        {"access_key": "${NOT_SET_ANYWHERE}"},
    ],
)
def test_contradictions_are_configuration_errors(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        source("http://127.0.0.1:9", **options)


def test_an_unknown_profile_is_told() -> None:
    with pytest.raises(AuthError, match="no profile nobody"):
        list(source("http://127.0.0.1:9", access_key=None, secret_key=None, profile="nobody").units(never))


def test_diagnosis_names_what_is_missing(server: ObjectServer) -> None:
    server.buckets = {"open": {"k": Blob(1)}, "shut": {}}
    server.always["shut", ""] = Refuse(403, "AccessDenied")
    told = list(source(server.url).diagnose())
    assert [(line.what.partition(":")[0], line.ok) for line in told] == [
        ("open", True),
        ("open", True),
        ("open", True),
        ("shut", False),
    ]
    assert "s3:GetBucketPolicyStatus" in told[2].hint
    assert "s3:ListBucket" in told[3].hint
    assert [line.ok for line in source("http://127.0.0.1:9").diagnose()] == [False]


# --- a real server -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def admin(url: str, service: str = "s3", access: str = "a", secret: str = "b") -> Any:
    import boto3
    from botocore.config import Config

    client: Any = boto3.client
    return client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )


def test_moto_is_crawled(moto_url: str) -> None:
    s3 = admin(moto_url)
    s3.create_bucket(Bucket="plain")
    for key, body in {"top": b"t", "a/b": b"ab", "a/c/d": b"", "ü/ö x": b"u"}.items():
        s3.put_object(Bucket="plain", Key=key, Body=body, ContentType="text/x-test")
    s3.put_object(Bucket="plain", Key="cold", Body=b"x", StorageClass="GLACIER")
    s3.put_object(Bucket="plain", Key="big", Body=b"0123456789" * 600_000)
    documents, skipped = crawl(source(moto_url, buckets=("plain",)))
    assert {document.path: len(content(document)) for document in documents.values()} == {
        "plain/top": 1,
        "plain/a/b": 2,
        "plain/a/c/d": 0,
        "plain/ü/ö x": 1,
        "plain/big": 6_000_000,
    }
    assert skipped["s3://plain/cold"].reason == "archived in GLACIER, not readable"
    top = documents["s3://plain/top"]
    assert top.media_type == "text/x-test"
    assert top.audience is Audience.RESTRICTED
    assert top.attrs["bucket"] == "plain"
    assert top.attrs["storage_class"] == "STANDARD"
    assert top.modified_at is not None
    s3.restore_object(Bucket="plain", Key="cold", RestoreRequest={"Days": 1})
    documents, skipped = crawl(source(moto_url, buckets=("plain",)))
    assert content(documents["s3://plain/cold"]) == b"x"
    assert not skipped


def test_moto_names_the_version_of_what_was_read(moto_url: str) -> None:
    s3 = admin(moto_url)
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="versions", Key="k", Body=b"1")["VersionId"]
    (document,) = crawl(source(moto_url, buckets=("versions",)))[0].values()
    assert document.attrs["version_id"] == version


def test_moto_tells_who_can_read(moto_url: str) -> None:
    s3 = admin(moto_url)
    public = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}],
    }
    block = {"IgnorePublicAcls": True, "RestrictPublicBuckets": True}
    for name in ("by-acl", "by-policy", "blocked"):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="k", Body=b"1")
    s3.put_bucket_acl(Bucket="by-acl", ACL="public-read")
    s3.put_bucket_policy(Bucket="by-policy", Policy=json.dumps(public))
    s3.put_bucket_acl(Bucket="blocked", ACL="public-read")
    s3.put_public_access_block(Bucket="blocked", PublicAccessBlockConfiguration=block)
    documents, _ = crawl(source(moto_url, buckets=("by-acl", "by-policy", "blocked")))
    assert {uri: document.audience for uri, document in documents.items()} == {
        "s3://by-acl/k": Audience.PUBLIC,
        "s3://by-policy/k": Audience.PUBLIC,
        "s3://blocked/k": Audience.RESTRICTED,
    }


def test_moto_with_its_own_identities(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.core import set_initial_no_auth_action_count

    iam = admin(moto_url, "iam")
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    allowed = {"Effect": "Allow", "Action": ["s3:ListAllMyBuckets", "s3:ListBucket"], "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_user_policy(UserName="reader", PolicyName="list", PolicyDocument=json.dumps(policy))
    s3 = admin(moto_url)
    s3.create_bucket(Bucket="guarded")
    s3.put_object(Bucket="guarded", Key="k", Body=b"1")

    @set_initial_no_auth_action_count(0)  # from here on moto checks signatures and policies
    def guarded() -> None:
        with pytest.raises(AuthError, match="access key is unknown"):
            list(source(moto_url).units(never))
        monkeypatch.setenv("OBJECTS_ACCESS", key["AccessKeyId"])
        with pytest.raises(AuthError, match="does not fit"):
            list(source(moto_url).units(never))
        monkeypatch.setenv("OBJECTS_SECRET", key["SecretAccessKey"])
        documents, skipped = crawl(source(moto_url, buckets=("guarded",)))
        assert not documents
        assert "allow s3:GetObject on arn:aws:s3:::guarded/*" in skipped["s3://guarded/k"].hint

    guarded()
