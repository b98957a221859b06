"""The few requests to an S3 server that a crawl makes, with boto3 behind them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from unsprawl.crawlers.s3.access import Access
from unsprawl.crawlers.s3.access import client as client_of
from unsprawl.crawlers.s3.audience import audience_of
from unsprawl.crawlers.s3.faults import NotOfferedError, faults
from unsprawl.crawlers.s3.items import Item, Page, Succession, item_of, page_of, said, versions_of
from unsprawl.errors import UnreadableError
from unsprawl.records import Audience

if TYPE_CHECKING:
    from unsprawl.crawlers.ranges import Connection

__all__ = ["PAGE", "Answer", "Store", "Upload"]

#: Entries of a page of a listing: as many as S3 gives.
PAGE: Final = 1000
#: Pages in a row that may bring nothing while the server says there is more.
_EMPTY_PAGES: Final = 100
_TOLD: Final = {
    "ContentDisposition": "content-disposition",
    "WebsiteRedirectLocation": "website-redirect-location",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that began to arrive. ``length`` is that of the body, ``etag`` with its quotes.

    ``metadata`` is what its writer noted beside it, ``tagged`` says whether there are tags too.
    """

    body: Connection | None
    length: int
    etag: str
    media_type: str
    version_id: str
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    tagged: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that was never completed."""

    key: str
    identity: str
    begun: datetime | None


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
                for bucket in said(page, "Buckets"):
                    yield str(bucket["Name"])

    def keeps_versions(self, bucket: str) -> bool:
        """Whether the bucket holds, or once held, more than the current version of an object."""
        try:
            with faults("s3:GetBucketVersioning", bucket):
                answer = self._client.get_bucket_versioning(Bucket=bucket)
        except NotOfferedError:
            return False  # a server without versions has no such question
        return bool(answer.get("Status"))

    def pages(
        self,
        bucket: str,
        prefix: str,
        *,
        after: str = "",
        delimiter: str = "",
        size: int = 0,
        versions: bool = False,
    ) -> Iterator[Page]:
        """The listing of ``prefix`` behind the key ``after``, page by page; of all versions on demand."""
        return self._listed(
            bucket,
            {"Prefix": prefix, "Delimiter": delimiter, "MaxKeys": size or PAGE},
            after,
            Succession() if versions else None,
        )

    def _listed(
        self, bucket: str, asked: Mapping[str, Any], after: str, succession: Succession | None
    ) -> Iterator[Page]:
        name = "StartAfter" if succession is None else "KeyMarker"
        place: dict[str, Any] = {name: after} if after else {}
        last, empty = after, 0
        while True:
            with faults("s3:ListBucket" if succession is None else "s3:ListBucketVersions", bucket):
                list_ = (
                    self._client.list_objects_v2 if succession is None else self._client.list_object_versions
                )
                answer = list_(
                    Bucket=bucket,
                    OptionalObjectAttributes=["RestoreStatus"],
                    **asked,
                    **place,
                    **self._payer,
                )
                page = page_of(answer) if succession is None else versions_of(answer, succession)
            yield page
            if not page.more:
                return
            following = _following(answer)
            empty = 0 if page.last else empty + 1
            stuck = page.last < last if succession is not None else page.last <= last
            # A server that goes in circles would be listed for ever.
            if not following or following == place or empty > _EMPTY_PAGES or (page.last and stuck):
                raise UnreadableError(
                    "the listing does not advance", hint="the server breaks the S3 protocol"
                )
            last = page.last or last
            place = following

    def uploads(self, bucket: str, prefix: str) -> Iterator[Upload]:
        """The uploads in parts that were begun and not completed."""
        with faults("s3:ListBucketMultipartUploads", bucket):
            pages = self._client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                for upload in page.get("Uploads", []):
                    begun = upload.get("Initiated")
                    yield Upload(
                        str(upload["Key"]),
                        str(upload["UploadId"]),
                        begun.astimezone(UTC) if isinstance(begun, datetime) else None,
                    )

    def get(self, bucket: str, item: Item, start: int = 0, end: int | None = None, etag: str = "") -> Answer:
        """The object's bytes from ``start`` to before ``end``, as long as its ETag is ``etag``."""
        asked = _which(item)
        if etag:
            asked["IfMatch"] = etag
        if start or end is not None:
            asked["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with faults(_permission(item), bucket, item.key):
            answer = cast(
                "dict[str, Any]",
                self._client.get_object(Bucket=bucket, Key=item.key, **asked, **self._payer),
            )
        body = cast("Connection", answer["Body"])
        if start and not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
            body.close()
            raise UnreadableError("the server gave another range than was asked for")
        return _answer(answer, body)

    def head(self, bucket: str, item: Item) -> tuple[Item, Answer]:
        """One object as a listing would show it, and what stands beside its content."""
        with faults(_permission(item), bucket, item.key):
            answer = cast(
                "dict[str, Any]",
                self._client.head_object(Bucket=bucket, Key=item.key, **_which(item), **self._payer),
            )
        length = answer.get("ContentLength", 0)
        known = item_of({**answer, "Key": item.key, "Size": length, "VersionId": item.version_id})
        return known, _answer(answer, None)

    def tags(self, bucket: str, item: Item) -> Mapping[str, str]:
        """The tags of an object."""
        permission = "s3:GetObjectVersionTagging" if item.version_id else "s3:GetObjectTagging"
        with faults(permission, bucket, item.key):
            answer = self._client.get_object_tagging(
                Bucket=bucket, Key=item.key, **_which(item), **self._payer
            )
            return {str(tag["Key"]): str(tag["Value"]) for tag in answer.get("TagSet", [])}

    def delete(self, bucket: str, key: str, version: str = "") -> None:
        """Delete an object, or one version of it for good."""
        asked = {"VersionId": version} if version else {}
        with faults("s3:DeleteObjectVersion" if version else "s3:DeleteObject", bucket, key):
            self._client.delete_object(Bucket=bucket, Key=key, **asked, **self._payer)

    def audience(self, bucket: str) -> Audience:
        """Who can read the bucket, as far as it is told."""
        return audience_of(self._client, bucket)

    @property
    def _client(self) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = client_of(self._access)
        return self._made


def _following(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Where the next page begins, empty when the server does not say."""
    if token := answer.get("NextContinuationToken"):
        return {"ContinuationToken": token}
    if key := answer.get("NextKeyMarker"):
        version = answer.get("NextVersionIdMarker")
        return {"KeyMarker": key, **({"VersionIdMarker": version} if version else {})}
    return {}


def _which(item: Item) -> dict[str, Any]:
    return {"VersionId": item.version_id} if item.version_id else {}


def _permission(item: Item) -> str:
    return "s3:GetObjectVersion" if item.version_id else "s3:GetObject"


def _answer(answer: Mapping[str, Any], body: Connection | None) -> Answer:
    noted = {str(name): str(value) for name, value in (answer.get("Metadata") or {}).items()}
    told = {name: str(answer[key]) for key, name in _TOLD.items() if answer.get(key)}
    return Answer(
        body,
        int(answer.get("ContentLength", 0)),
        str(answer.get("ETag", "")),
        str(answer.get("ContentType", "")),
        str(answer.get("VersionId", "")),
        {**told, **noted},
        bool(answer.get("TagCount")),
    )
