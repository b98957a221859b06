"""The few requests to an S3 server that a crawl makes, with boto3 behind them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from unsprawl.crawlers.s3.faults import faults
from unsprawl.errors import AuthError, SourceError, UnreadableError
from unsprawl.records import Audience
from unsprawl.secret import Secret

if TYPE_CHECKING:
    from unsprawl.crawlers.ranges import Connection

__all__ = ["Access", "Answer", "Item", "Page", "Store"]

#: Pages in a row that may bring nothing while the server says there is more.
_EMPTY_PAGES: Final = 100
_EVERYONE: Final = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server is and who asks. Without keys the usual chain of AWS decides."""

    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    keys: tuple[Secret, Secret] | None = None
    session_token: Secret | None = None
    anonymous: bool = False
    requester_pays: bool = False
    attempts: int = 6
    connections: int = 10


@dataclass(frozen=True, slots=True)
class Item:
    """One object as a listing shows it. ``restored`` is None when the server does not say."""

    key: str
    size: int
    etag: str
    modified: datetime | None
    storage: str
    restored: bool | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing. ``last`` is its greatest name, "" when it is empty."""

    items: tuple[Item, ...]
    prefixes: tuple[str, ...]
    last: str
    more: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that began to arrive. ``length`` is that of the body, ``etag`` with its quotes."""

    body: Connection
    length: int
    etag: str
    media_type: str
    version_id: str


class Store:
    """Requests raise ``SourceError`` only. Safe to share between threads; not between processes."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._made: Any = None
        self._payer: dict[str, Any] = {"RequestPayer": "requester"} if access.requester_pays else {}

    def buckets(self) -> Iterator[str]:
        """The names of all buckets of the account."""
        with faults("s3:ListAllMyBuckets"):
            for page in self._client.get_paginator("list_buckets").paginate():
                for bucket in _told(page, "Buckets"):
                    yield str(bucket["Name"])

    def pages(
        self, bucket: str, prefix: str, *, after: str = "", delimiter: str = "", size: int = 1000
    ) -> Iterator[Page]:
        """The listing of ``prefix`` behind the key ``after``, page by page."""
        place: dict[str, Any] = {"StartAfter": after} if after else {}
        last, empty = after, 0
        while True:
            with faults("s3:ListBucket", bucket):
                answer = self._client.list_objects_v2(
                    Bucket=bucket,
                    Prefix=prefix,
                    Delimiter=delimiter,
                    MaxKeys=size,
                    OptionalObjectAttributes=["RestoreStatus"],
                    **place,
                    **self._payer,
                )
                page = _page(answer)
            yield page
            if not page.more:
                return
            token = answer.get("NextContinuationToken", "")
            empty = 0 if page.last else empty + 1
            # A server that goes in circles would be listed for ever.
            if not token or empty > _EMPTY_PAGES or (page.last and page.last <= last):
                raise UnreadableError(
                    "the listing does not advance", hint="the server breaks the S3 protocol"
                )
            last = page.last or last
            place = {"ContinuationToken": token}

    def get(
        self,
        bucket: str,
        key: str,
        start: int = 0,
        end: int | None = None,
        etag: str = "",
        version: str = "",
    ) -> Answer:
        """The bytes from ``start`` to before ``end`` of the object, as long as its ETag is ``etag``.

        ``version`` names an older one.
        """
        asked: dict[str, Any] = {"IfMatch": etag} if etag else {}
        if version:
            asked["VersionId"] = version
        if start or end is not None:
            asked["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with faults("s3:GetObject", bucket, key):
            answer = cast(
                "dict[str, Any]", self._client.get_object(Bucket=bucket, Key=key, **asked, **self._payer)
            )
        body = cast("Connection", answer["Body"])
        if start and not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
            body.close()
            raise UnreadableError("the server gave another range than was asked for")
        return Answer(
            body,
            int(answer.get("ContentLength", 0)),
            str(answer.get("ETag", "")),
            str(answer.get("ContentType", "")),
            str(answer.get("VersionId", "")),
        )

    def head(self, bucket: str, key: str, version: str = "") -> Item:
        """One object, or an older version of it, as a listing would show it."""
        asked = {"VersionId": version} if version else {}
        with faults("s3:GetObject", bucket, key):
            answer = cast(
                "dict[str, Any]", self._client.head_object(Bucket=bucket, Key=key, **asked, **self._payer)
            )
        return _item({**answer, "Key": key, "Size": answer.get("ContentLength", 0)})

    def delete(self, bucket: str, key: str, version: str = "") -> None:
        """Delete an object, or one version of it for good."""
        asked = {"VersionId": version} if version else {}
        with faults("s3:DeleteObjectVersion" if version else "s3:DeleteObject", bucket, key):
            self._client.delete_object(Bucket=bucket, Key=key, **asked, **self._payer)

    def audience(self, bucket: str) -> Audience:
        """Who can read the bucket, as far as its policy, its list and its public access block tell us."""
        blocked = self._ask("get_public_access_block", bucket, "NoSuchPublicAccessBlockConfiguration")
        block = (blocked or {}).get("PublicAccessBlockConfiguration", {})
        policy = self._ask("get_bucket_policy_status", bucket, "NoSuchBucketPolicy")
        acl = self._ask("get_bucket_acl", bucket, "")
        by_policy = bool((policy or {}).get("PolicyStatus", {}).get("IsPublic"))
        grantees = {grant.get("Grantee", {}).get("URI") for grant in (acl or {}).get("Grants", [])}
        by_acl = not grantees.isdisjoint(_EVERYONE)
        if (by_policy and not block.get("RestrictPublicBuckets")) or (
            by_acl and not block.get("IgnorePublicAcls")
        ):
            return Audience.PUBLIC
        if blocked is None or policy is None or acl is None:
            return Audience.UNKNOWN
        return Audience.RESTRICTED

    def _ask(self, operation: str, bucket: str, absent: str) -> dict[str, Any] | None:
        """An answer about the bucket; ``{}`` when it has none (``absent``), None when we may not know."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return cast("dict[str, Any]", getattr(self._client, operation)(Bucket=bucket))
        except ClientError as error:
            return {} if absent and error.response.get("Error", {}).get("Code") == absent else None
        except (BotoCoreError, SourceError):
            return None

    @property
    def _client(self) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = _client(self._access)
        return self._made


def _client(access: Access) -> Any:
    import logging

    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    # At DEBUG these write session tokens and object keys, which may be secrets themselves.
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "adaptive", "total_max_attempts": access.attempts},
        max_pool_connections=access.connections,
        s3={"addressing_style": "path" if access.endpoint_url else "auto"},
        tcp_keepalive=True,
        # Servers that are not AWS know nothing of the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=UNSIGNED if access.anonymous else None,
        user_agent_extra="unsprawl",
    )
    given: dict[str, Any] = {}
    if access.keys is not None:
        given = {"aws_access_key_id": access.keys[0].text(), "aws_secret_access_key": access.keys[1].text()}
        if access.session_token is not None:
            given["aws_session_token"] = access.session_token.text()
    try:
        session = boto3.Session(profile_name=access.profile or None, region_name=access.region or None)
        region = session.region_name or "us-east-1"
        return session.client(
            "s3", endpoint_url=access.endpoint_url or None, region_name=region, config=config, **given
        )
    except ProfileNotFound:
        raise AuthError(f"there is no profile {access.profile}", hint="aws configure list-profiles") from None


def _page(answer: dict[str, Any]) -> Page:
    items = tuple(_item(content) for content in answer.get("Contents", []))
    prefixes = tuple(str(common["Prefix"]) for common in answer.get("CommonPrefixes", []))
    last = max((items[-1].key if items else "", prefixes[-1] if prefixes else ""))
    return Page(items, prefixes, last, bool(_told(answer, "IsTruncated")))


def _told(answer: dict[str, Any], name: str) -> Any:
    """What every S3 server says. A login page answers 200 as well, and would pass for an empty bucket."""
    if name not in answer:
        raise UnreadableError("the answer is not one of an S3 server", hint="is endpoint_url right?")
    return answer[name]


def _item(content: dict[str, Any]) -> Item:
    modified = content.get("LastModified")
    status = content.get("RestoreStatus")
    return Item(
        key=str(content["Key"]),
        size=int(content.get("Size", 0)),
        etag=str(content.get("ETag", "")).strip('"'),
        modified=modified.astimezone(UTC) if isinstance(modified, datetime) else None,
        storage=str(content.get("StorageClass") or "STANDARD"),
        restored=None if status is None else bool(status.get("RestoreExpiryDate")),
    )
