"""S3 against a server that others wrote: moto's, with and without its identities."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from object_crawls import content, crawl, never, source

from unsprawl.errors import AuthError
from unsprawl.records import Audience

pytestmark = pytest.mark.usefixtures("object_credentials")


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
