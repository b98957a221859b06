"""S3 listings, what is left out, credentials and configuration, against a small server."""

from __future__ import annotations

import time
from typing import Any

import pytest
from object_crawls import content, crawl, never, source
from objects import Blob, ObjectServer, Refuse, serving

from unsprawl.errors import AuthError, ConfigError
from unsprawl.records import Checkpoint, Document, Unit

pytestmark = pytest.mark.usefixtures("object_credentials")


# --- listings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "top/"])
def test_a_wide_first_level_is_cut_once_and_nothing_is_lost_or_read_twice(
    server: ObjectServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsprawl.crawlers.s3.split._LEVEL_PAGES", 1)
    monkeypatch.setattr("unsprawl.crawlers.s3.client.PAGE", 100)
    keys = [f"{prefix}{index:05}" for index in range(80)]
    keys += [f"{prefix}{index:05}/{part}" for index in range(60, 130) for part in "ab"]
    server.buckets = {"b": {key: Blob(0) for key in [*keys, "other"]}}
    crawled = source(server.url, prefix=prefix)
    documents, _ = crawl(crawled)
    wanted = {f"s3://b/{key}" for key in keys} | (set() if prefix else {"s3://b/other"})
    assert set(documents) == wanted
    units = [unit.id for unit in crawled.units(never) if isinstance(unit, Unit)]
    assert len(units) == len(set(units)) <= 130
    assert any(unit.startswith(f"s3://b/{prefix}?after=") for unit in units)


def test_resuming_from_each_checkpoint_gives_exactly_the_rest(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsprawl.crawlers.s3.client.PAGE", 100)
    server.buckets = {"b": {f"p/{index:05}": Blob(0) for index in range(310)}}
    crawled = source(server.url)
    unit = list(crawled.units(never))[1]
    assert isinstance(unit, Unit)
    events = list(crawled.read(unit, None, never))
    cursors = [(index, event.cursor) for index, event in enumerate(events) if isinstance(event, Checkpoint)]
    assert [cursor.get("after") for _, cursor in cursors] == ["p/00099", "p/00199", "p/00299", None]
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
    assert len([event for event in again if isinstance(event, Document)]) == 310
    # A cursor of yesterday's broken run must not hide what changed before it.
    idle = {"after": "p/00299", "at": time.time() - 24 * 3600}
    assert len([event for event in crawled.read(unit, idle, never) if isinstance(event, Document)]) == 310


def test_the_smallest_steps_read_everything_once(
    server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsprawl.crawlers.s3.client.PAGE", 100)
    # A step may end at any checkpoint, also at the last one of a unit, and knows nothing of its own run.
    server.buckets = {"b": {f"p/{index:05}": Blob(0) for index in range(210)} | {"top": Blob(5 << 20)}}
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
    assert len(read) == len(set(read)) == 211


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
