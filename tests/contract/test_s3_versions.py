"""What a bucket holds besides its current objects: versions, notes, uploads, inventories, other accounts."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from object_crawls import content, crawl, never, source
from objects import Blob, ObjectServer, Refuse

from unsprawl.crawlers.s3 import items, split
from unsprawl.crawlers.s3.items import Succession
from unsprawl.detectors.detector import build as build_detector
from unsprawl.errors import AuthError
from unsprawl.estate.imagery import Step, build, layer
from unsprawl.estate.s3_server import S3Server, s3_server
from unsprawl.estate.saving import save
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Checkpoint, Document, Unchanged, Unit

pytestmark = pytest.mark.usefixtures("object_credentials")

TOKENS = {name: fill("<github-token:ghp_>", f"s3 {name}") for name in "old deleted note tag log".split()}
detector = cache(build_detector)


@pytest.fixture
def storage() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(storage: S3Server) -> Iterator[Any]:
    client = storage.client()
    yield client
    client.close()


def versioned(s3: Any, bucket: str = "main") -> None:
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def env(name: str) -> bytes:
    return f"GITHUB_TOKEN={TOKENS[name]}\n".encode()


def test_what_was_planted_anywhere_is_found_where_it_is(storage: S3Server, s3: Any) -> None:
    versioned(s3)
    old = s3.put_object(Bucket="main", Key="app/.env", Body=env("old"))["VersionId"]
    s3.put_object(Bucket="main", Key="app/.env", Body=b"GITHUB_TOKEN=\n")
    gone = s3.put_object(Bucket="main", Key="gone/.env", Body=env("deleted"))["VersionId"]
    s3.delete_object(Bucket="main", Key="gone/.env")
    s3.put_object(Bucket="main", Key="noted", Body=b"", Metadata={"github-token": TOKENS["note"]})
    s3.put_object(Bucket="main", Key="tagged", Body=b"x", Tagging=f"token={TOKENS['tag']}")
    s3.put_object(Bucket="main", Key="ci/build.log.gz", Body=gzip.compress(env("log")))
    documents, skipped = crawl(source(storage.url))
    assert skipped == {}
    found = {}
    for document in documents.values():
        for one in detector().scan(document):
            assert isinstance(one, Candidate)
            found[one.secret.text()] = document
    uris = {name: found[token].uri for name, token in TOKENS.items()}
    assert uris == {
        "old": f"s3://main/app/.env?versionId={old}",
        "deleted": f"s3://main/gone/.env?versionId={gone}",
        "note": "s3://main/noted#metadata",
        "tag": "s3://main/tagged#metadata",
        "log": "s3://main/ci/build.log.gz",
    }
    assert found[TOKENS["old"]].attrs["state"] == "noncurrent"
    assert found[TOKENS["old"]].attrs["version_id"] == old
    deleted = found[TOKENS["deleted"]].attrs
    assert deleted["state"] == "deleted"
    assert "delete marker" in str(deleted["hidden"])
    assert deleted["hidden_since"]
    for uri, document in documents.items():
        fetched = source(storage.url).fetch(uri)
        assert isinstance(fetched, Document)
        assert content(fetched) == content(document)


def test_versions_cost_nothing_once_they_are_known(storage: S3Server, s3: Any) -> None:
    versioned(s3)
    for number in range(5):
        s3.put_object(Bucket="main", Key="k", Body=b"%d" % (number // 2), Metadata={"n": str(number)})
    first = crawl(source(storage.url))[0]
    assert sorted(content(one) for uri, one in first.items() if "#" not in uri) == [b"0", b"1", b"2"]
    known = {document.key: document.version for document in first.values()}
    assert second_run(storage, known) == ({}, len(first) + 2)
    # One more version: the one that was current is met as another thing, the others are known.
    s3.put_object(Bucket="main", Key="k", Body=b"new")
    documents, _ = second_run(storage, known)
    assert sorted(content(one) for uri, one in documents.items() if "#" not in uri) == [b"2", b"new"]
    s3.delete_object(Bucket="main", Key="k")
    documents, _ = second_run(storage, known)
    assert [one.attrs["state"] for one in documents.values() if content(one) == b"new"] == ["deleted"]


def second_run(storage: S3Server, known: dict[str, str | None]) -> tuple[dict[str, Document], int]:
    crawled = source(storage.url)
    documents, unchanged = {}, 0
    for unit in crawled.units(known.get):
        assert isinstance(unit, Unit)
        for event in crawled.read(unit, None, known.get):
            if isinstance(event, Document):
                documents[event.uri] = event
            elif isinstance(event, Unchanged):
                unchanged += event.count
    return documents, unchanged


def test_walks_through_versions_go_on_from_any_checkpoint(
    storage: S3Server, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    versioned(s3)
    for key in "abcdefgh":
        for number in range(3):
            s3.put_object(Bucket="main", Key=f"p/{key}", Body=f"{key}{number}".encode())
        if key in "ceg":
            s3.delete_object(Bucket="main", Key=f"p/{key}")
    crawled = source(storage.url)
    unit = list(crawled.units(never))[1]
    assert isinstance(unit, Unit)
    monkeypatch.setattr("unsprawl.crawlers.s3.client.PAGE", 5)
    events = list(crawled.read(unit, None, never))
    uris = [event.uri for event in events if isinstance(event, Document)]
    assert len(set(uris)) == len(uris) == 24
    states = {event.uri: event.attrs.get("state") for event in events if isinstance(event, Document)}
    assert sum(state == "deleted" for state in states.values()) == 3
    checkpoints = [index for index, event in enumerate(events) if isinstance(event, Checkpoint)]
    assert len(checkpoints) > 3
    for index in checkpoints[:-1]:
        rest = [event.uri for event in events[index + 1 :] if isinstance(event, Document)]
        cursor = events[index].cursor  # type: ignore[union-attr]
        again = [one.uri for one in crawled.read(unit, cursor, never) if isinstance(one, Document)]
        assert again[len(again) - len(rest) :] == rest
        assert set(again) <= set(uris)


def test_the_current_version_alone_on_demand(storage: S3Server, s3: Any) -> None:
    versioned(s3)
    s3.put_object(Bucket="main", Key="k", Body=b"1")
    s3.put_object(Bucket="main", Key="k", Body=b"2")
    assert [content(one) for one in crawl(source(storage.url, versions=False))[0].values()] == [b"2"]


def test_unfinished_uploads_are_told(storage: S3Server, s3: Any) -> None:
    s3.create_bucket(Bucket="main")
    upload = s3.create_multipart_upload(Bucket="main", Key="big/backup")["UploadId"]
    _, skipped = crawl(source(storage.url))
    ((uri, gap),) = skipped.items()
    assert uri.startswith("s3://main/big/backup?uploadId=")
    assert upload[:8] in uri
    assert gap.excluded
    assert "unfinished upload" in gap.reason


def test_succession_across_pages() -> None:
    def one(key: str, number: int, marker: bool = False, latest: bool = False) -> items.Version:
        item = items.Item(key, 1, f"e{number}", None, "STANDARD", version_id=f"v{number}")
        return items.Version(item, latest, marker)

    walk = Succession()
    first, _ = walk.enter([one("a", 9, latest=True), one("b", 5, marker=True, latest=True)])
    second, repeated = walk.enter([one("b", 4), one("b", 4), one("b", 3), one("c", 3)])
    assert [item.state for item in first] == ["current"]
    assert [(item.key, item.state) for item in second] == [
        ("b", "deleted"),
        ("b", "noncurrent"),
        ("c", "noncurrent"),
    ]
    assert repeated == 1


# --- large buckets -------------------------------------------------------------------------------


def test_large_prefixes_are_cut_and_nothing_is_lost_or_read_twice(
    storage: S3Server, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsprawl.crawlers.s3.client.PAGE", 7)
    monkeypatch.setattr(split, "_LEVEL_PAGES", 2)
    s3.create_bucket(Bucket="main")
    keys = [f"logs/2026/{month:02}/{day:02}.log" for month in range(1, 4) for day in range(1, 12)]
    keys += [f"flat/{letter}{number:03}" for letter in "adkz" for number in range(12)]
    keys += [f"flat/same{number:03}" for number in range(12)] + ["top", "small/one"]
    for key in keys:
        s3.put_object(Bucket="main", Key=key, Body=key.encode())
    crawled = source(storage.url)
    documents, skipped = crawl(crawled)
    assert skipped == {}
    assert sorted(content(one).decode() for one in documents.values()) == sorted(keys)
    units = [unit.id for unit in crawled.units(never) if isinstance(unit, Unit)]
    assert {f"s3://main/logs/2026/{month:02}/" for month in (1, 2, 3)} <= {u.partition("?")[0] for u in units}
    assert len([unit for unit in units if "flat/?after=" in unit]) >= 3
    assert "s3://main/small/" in units


# --- inventories ---------------------------------------------------------------------------------


def inventory(s3: Any, lines: list[str], *, form: str = "CSV", checksum: str = "") -> str:
    body = gzip.compress("".join(lines).encode())
    s3.put_object(Bucket="lists", Key="inv/b/daily/data/1.csv.gz", Body=body)
    schema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
    manifest = {
        "sourceBucket": "main",
        "fileFormat": form,
        "fileSchema": schema,
        "files": [{"key": "inv/b/daily/data/1.csv.gz", "size": len(body), "MD5checksum": "x"}],
    }
    text = json.dumps(manifest).encode()
    checksum = checksum or hashlib.md5(text).hexdigest()
    for day in ("2026-01-01T01-00Z", "2026-01-02T01-00Z"):
        s3.put_object(Bucket="lists", Key=f"inv/b/daily/{day}/manifest.json", Body=text)
        s3.put_object(Bucket="lists", Key=f"inv/b/daily/{day}/manifest.checksum", Body=f"{checksum}\n")
    s3.put_object(Bucket="lists", Key="inv/b/daily/2026-01-03T01-00Z/data", Body=b"still being written")
    return "s3://lists/inv/b/daily"


def test_an_inventory_is_read_instead_of_the_listing(storage: S3Server, s3: Any) -> None:
    versioned(s3)
    s3.create_bucket(Bucket="lists")
    old = s3.put_object(Bucket="main", Key="a b/ü", Body=b"old")["VersionId"]
    s3.put_object(Bucket="main", Key="a b/ü", Body=b"new")
    s3.put_object(Bucket="main", Key="unlisted", Body=b"later")
    time = "2026-01-01T00:00:00.000Z"
    name = "a+b/%C3%BC"
    address = inventory(
        s3,
        [
            f'"main","{name}","x","true","false","3","{time}","{hashlib.md5(b"new").hexdigest()}","STANDARD"\n',
            f'"main","{name}","{old}","false","false","3","{time}","{hashlib.md5(b"old").hexdigest()}",""\n',
            f'"main","gone","y","true","true","","{time}","",""\n',
        ],
    )
    crawled = source(storage.url, inventories=(address,), exclude=("lists",))
    documents, skipped = crawl(crawled)
    assert {uri: content(one) for uri, one in documents.items()} == {
        "s3://main/a%20b/%C3%BC": b"new",
        f"s3://main/a%20b/%C3%BC?versionId={old}": b"old",
    }
    assert "2026-01-02T01-00Z is not in it" in skipped["s3://main/?inventory"].reason
    known = {document.key: document.version for document in documents.values()}
    assert crawl(crawled, known.get)[0] == {}
    assert any(line.ok and "the inventory of 2026-01-02" in line.what for line in crawled.diagnose())


@pytest.mark.parametrize(
    ("how", "reason"),
    [({"form": "Parquet"}, "as Parquet"), ({"checksum": "0" * 32}, "checksum")],
    ids=["form", "checksum"],
)
def test_an_inventory_that_cannot_be_read_is_a_gap_and_the_bucket_is_listed(
    storage: S3Server, s3: Any, how: dict[str, str], reason: str
) -> None:
    for bucket in ("main", "lists"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="main", Key="k", Body=b"x")
    address = inventory(s3, [], **how)
    documents, skipped = crawl(source(storage.url, inventories=(address,), exclude=("lists",)))
    assert reason in skipped[address].reason
    assert set(documents) == {"s3://main/k"}


# --- other accounts ------------------------------------------------------------------------------


def test_roles_of_other_accounts_are_assumed(storage: S3Server) -> None:
    import boto3

    roles = tuple(f"arn:aws:iam::{number * 12}:role/audit" for number in "12")
    for role in roles:
        sts = boto3.client(
            "sts",
            endpoint_url=storage.url,
            region_name="us-east-1",
            aws_access_key_id="demo",
            aws_secret_access_key="demo",
        )
        given = sts.assume_role(RoleArn=role, RoleSessionName="seed")["Credentials"]
        s3 = boto3.client(
            "s3",
            endpoint_url=storage.url,
            region_name="us-east-1",
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )
        bucket = f"of-{role[13]}"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="k", Body=role.encode())
    crawled = source(storage.url, roles=roles, sts_url=storage.url, external_id="acme")
    documents, skipped = crawl(crawled)
    assert skipped == {}
    assert {document.path: content(document).decode() for document in documents.values()} == {
        "of-1/k": roles[0],
        "of-2/k": roles[1],
    }


def test_a_role_that_refuses_stops_the_source(storage: S3Server) -> None:
    storage.closed.add("")  # what is asked of no bucket
    role = "arn:aws:iam::111111111111:role/audit"
    with pytest.raises(AuthError, match="may not be assumed"):
        crawl(source(storage.url, roles=(role,), sts_url=storage.url))


# --- refusals ------------------------------------------------------------------------------------


def test_a_bucket_that_hides_its_versions_is_told_and_read(server: ObjectServer) -> None:
    server.buckets = {"b": {"k": Blob(text=b"x")}}
    server.always["b", "?versioning"] = Refuse(403, "AccessDenied")
    documents, skipped = crawl(source(server.url))
    assert set(documents) == {"s3://b/k"}
    gap = skipped["s3://b/?versions"]
    assert "only the current versions" in gap.reason
    assert "versions: false" in gap.hint
    assert not gap.excluded
    assert crawl(source(server.url, versions=False))[1] == {}
    (line,) = [line for line in source(server.url).diagnose() if not line.ok]
    assert "older versions" in line.what


def test_tags_that_are_refused_cost_themselves_alone(server: ObjectServer) -> None:
    server.buckets = {"b": {"k": Blob(text=b"x", notes={"note": "n"}, tags=1)}}
    server.always["b", "?tagging"] = Refuse(403, "AccessDenied")
    documents, skipped = crawl(source(server.url))
    assert {uri: content(one) for uri, one in documents.items()} == {
        "s3://b/k": b"x",
        "s3://b/k#metadata": b"note: n\n",
    }
    assert "s3:GetObjectTagging" in skipped["s3://b/k#metadata"].hint


def test_notes_that_are_no_ascii_are_read_as_they_were_meant(server: ObjectServer) -> None:
    server.buckets = {"b": {"k": Blob(text=b"", notes={"who": "=?UTF-8?B?w4RkYQ==?=", "odd": "=?x?="})}}
    documents, _ = crawl(source(server.url))
    assert content(documents["s3://b/k#metadata"]).decode() == "odd: =?x?=\nwho: Äda\n"


def test_a_large_log_under_a_cap_is_read_at_both_ends(server: ObjectServer) -> None:
    size, cap = 40 << 20, 8 << 20
    server.buckets = {"b": {"log": Blob(size), "packed": Blob(size, planted={0: b"\x1f\x8b\x08"})}}
    documents, skipped = crawl(source(server.url, max_object_bytes=cap))
    log = server.buckets["b"]["log"]
    start = size - cap // 4
    assert content(documents["s3://b/log"]) == log.span(0, cap - cap // 4)
    assert content(documents[f"s3://b/log#bytes={start}-"]) == log.span(start, size)
    assert documents[f"s3://b/log#bytes={start}-"].attrs["offset"] == start
    assert "20.0%" in skipped["s3://b/log"].reason
    assert len(content(documents["s3://b/packed"])) == cap
    assert len(documents) == 3
    versions = {document.key: document.version for document in documents.values()}
    assert crawl(source(server.url, max_object_bytes=cap), versions.get)[0] == {}


def test_an_image_archive_in_a_bucket_tells_its_layers(server: ObjectServer) -> None:
    code = layer({"app/.env": env("old")})
    image = build([Step("COPY . /app", code), Step("RUN rm", layer({}, deletes=["app/.env"]))])
    body = gzip.compress(save({"acme/shop:1": image}, "folders"))
    server.buckets = {"b": {"backup.tar.gz": Blob(text=body)}}
    (document,) = crawl(source(server.url))[0].values()
    (one,) = detector().scan(document)
    assert isinstance(one, Candidate)
    assert document.member_attrs is not None
    attrs = document.member_attrs(one.member)
    assert attrs["diff_id"] == code.diff_id
    assert attrs["deleted_by"] == "RUN rm"
