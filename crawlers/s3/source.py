"""Objects in S3 and in what speaks its protocol.

    s3://BUCKET/KEY      the key percent-encoded, so that it survives any terminal and any parser

A bucket is a row of the ledger, its first level of prefixes are the units. Listings are walked from
start to end at every run; an object whose ETag, size and time are known costs nothing more.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Annotated, Any, ClassVar, Final, Literal, cast
from urllib.parse import quote, unquote
from uuid import uuid4

import msgspec

from unsprawl.config import Reference, SourceConfig, resolve
from unsprawl.crawlers.ahead import ahead
from unsprawl.crawlers.ranges import Connection, ResumingFile
from unsprawl.crawlers.s3 import cleanup
from unsprawl.crawlers.s3.client import Access, Answer, Item, Page, Store
from unsprawl.crawlers.s3.faults import archived, broken_body
from unsprawl.errors import (
    AuthError,
    ConfigError,
    GoneError,
    RetryableError,
    SourceError,
    UnreadableError,
)
from unsprawl.globs import matches
from unsprawl.records import (
    Audience,
    Checkpoint,
    Cleanup,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Json,
    Seen,
    Skipped,
    Stream,
    Unchanged,
    Unit,
)

__all__ = ["S3Source"]

#: Bodies up to this are read whole and ahead of need; larger ones are streamed when their turn comes.
_WHOLE_BYTES: Final = 4 << 20
_READERS: Final = 8
_AHEAD_OBJECTS: Final = 32
_AHEAD_BYTES: Final = 16 << 20
#: Pages of the first level that are turned into units of their own; what follows is one unit more.
_FIRST_LEVEL_PAGES: Final = 4
#: This many objects in a row that could not be had mean that the server is gone, not the objects.
_PATIENCE: Final = 8
_BUFFER: Final = 256 << 10
#: A walk that rested longer belongs to an earlier run that broke off.
_IDLE_SECONDS: Final = 12 * 3600
_EXCLUDED: Final = "left out by exclude"
_ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_LAST_CHARACTER: Final = "\U0010ffff"
_KEPT_IN_URI: Final = "/!$&'()*+,;=:@~"

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class S3Source:
    """``s3 {endpoint_url, buckets, prefix, region, profile}``: buckets of an account, or those named."""

    type = "s3"
    needs: ClassVar[tuple[str, ...]] = ("boto3", "botocore.config", "botocore.parsers")
    reads_in: Literal["worker"] = "worker"

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Without ``buckets`` all that the credentials list, without keys the usual chain of AWS.

        ``max_object_bytes`` reads that much of larger objects and says which share it was.
        ``attempts`` are the tries a request gets, with growing pauses between them.
        """

        endpoint_url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s/?#]+.*)?$")] = ""
        buckets: tuple[_Text, ...] = ()
        prefix: str = ""
        region: str = ""
        profile: str = ""
        access_key: Reference | None = None
        secret_key: Reference | None = None
        session_token: Reference | None = None
        anonymous: bool = False
        requester_pays: bool = False
        max_object_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
        attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 6

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config = config
        self._store = Store(_access(name, config))

    # --- what there is ---------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002
        """Bucket by bucket: its objects at the top, then a unit for each prefix of the first level."""
        reached = False
        walk = uuid4().hex
        for bucket in dict.fromkeys(self._config.buckets or self._store.buckets()):
            if matches(self._config.exclude, bucket):
                yield Skipped(f"s3://{bucket}/", _EXCLUDED, excluded=True, parents=(bucket,))
                continue
            try:
                yield from self._first_level(bucket, walk)
                reached = True
            except AuthError:
                raise
            except SourceError as error:
                if isinstance(error, RetryableError) and not reached:
                    raise  # nothing answers: the other buckets would only wait as long
                yield Skipped(f"s3://{bucket}/", error.message, error.hint, parents=(bucket,))

    def _first_level(self, bucket: str, walk: str) -> Iterator[Unit | Skipped]:
        top = self._config.prefix
        prefixes: list[str] = []
        boundary = ""
        for number, page in enumerate(self._store.pages(bucket, top, delimiter="/"), 1):
            prefixes += page.prefixes
            if number == _FIRST_LEVEL_PAGES and page.more:
                boundary = page.last + (_LAST_CHARACTER if page.last in page.prefixes else "")
                break
        audience = self._store.audience(bucket)

        def unit(prefix: str, **data: str) -> Unit:
            name = _uri(bucket, prefix)
            known = {"bucket": bucket, "prefix": prefix, "audience": audience.value, "walk": walk}
            return Unit(data.pop("id", name), f"{bucket}/{prefix}", (bucket,), {**known, **data})

        yield unit(top, delimiter="/", stop=boundary)
        for prefix in prefixes:
            if matches(self._config.exclude, f"{bucket}/{prefix}".rstrip("/")):
                yield Skipped(_uri(bucket, prefix), _EXCLUDED, excluded=True, parents=(bucket,))
            else:
                yield unit(prefix)
        if boundary:
            # The boundary is in the id: a cursor of an older, wider cut must not hide what moved here.
            yield unit(top, start=boundary, id=f"{_uri(bucket, top)}?after={quote(boundary, safe='')}")

    # --- reading ---------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """The objects of a unit in the order of their keys, with a checkpoint behind each page.

        The next run starts over and knows the objects by their version, so the last checkpoint ends
        this walk only. A cursor that lay idle is void as well: what stands before it may have changed.
        """
        data = unit.data
        bucket, stop, walk = data["bucket"], data.get("stop", ""), data["walk"]
        place = since or {}
        if place.get("ended") == walk:
            return
        idle = time.time() - place.get("at", 0) > _IDLE_SECONDS
        after = data.get("start", "") if idle else place["after"]
        listing = self._store.pages(bucket, data["prefix"], after=after, delimiter=data.get("delimiter", ""))
        fetch = partial(self._documents, bucket, Audience(data["audience"]))
        pool = ThreadPoolExecutor(_READERS, thread_name_prefix="unsprawl-s3")
        patience = _Patience(bucket)
        try:
            for page in listing:
                wanted: list[Item] = []
                yield from self._sifted(bucket, page, stop, seen, wanted)
                bodies = ahead(
                    pool,
                    wanted,
                    fetch,
                    self._weight,
                    largest=_WHOLE_BYTES,
                    most=_AHEAD_OBJECTS,
                    budget=_AHEAD_BYTES,
                )
                for item, result in bodies:
                    yield from patience.events(item, result)
                if stop and page.last > stop:
                    break
                if page.more and page.last:
                    yield Checkpoint({"after": page.last, "at": int(time.time())})
            yield Checkpoint({"ended": walk})
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _sifted(self, bucket: str, page: Page, stop: str, seen: Seen, wanted: list[Item]) -> Iterator[Event]:
        """Fill ``wanted`` with what has to be read; the rest is left out, archived or known."""
        unchanged = 0
        for item in page.items:
            if stop and item.key > stop:
                break
            uri = _uri(bucket, item.key)
            if matches(self._config.exclude, f"{bucket}/{item.key}"):
                yield Skipped(uri, _EXCLUDED, excluded=True)
            elif item.storage in _ARCHIVES and not item.restored and self._tells_restores:
                refusal = archived(item.storage)
                yield Skipped(uri, refusal.message, refusal.hint)
            elif seen(uri) == self._version(item):
                unchanged += 1
            else:
                wanted.append(item)
        if unchanged:
            yield Unchanged(unchanged)

    @property
    def _tells_restores(self) -> bool:
        """AWS lists whether an archived object was restored; with other servers one has to try."""
        return not self._config.endpoint_url

    def _weight(self, item: Item) -> int:
        return min(item.size, self._config.max_object_bytes or item.size)

    def _version(self, item: Item) -> str:
        """Changes with the content, and with how much of it is read."""
        modified = item.modified.isoformat() if item.modified else ""
        cut = f":{self._config.max_object_bytes}" if self._weight(item) < item.size else ""
        return f"{item.etag}:{item.size}:{modified}{cut}"

    def _documents(self, bucket: str, audience: Audience, item: Item) -> tuple[Event, ...]:
        """One object, and what of it is not read. Raises ``SourceError``."""
        uri = _uri(bucket, item.key)
        length = self._weight(item)
        answer = (
            self._store.get(bucket, item.key, 0, length if length < item.size else None) if length else None
        )
        attrs: dict[str, Json] = {
            "bucket": bucket,
            "size": item.size,
            "storage_class": item.storage,
        }
        if answer and answer.version_id:
            attrs["version_id"] = answer.version_id
        document = Document(
            uri=uri,
            body=self._body(bucket, item.key, answer) if answer else b"",
            path=f"{bucket}/{item.key}",
            media_type=answer.media_type if answer else "",
            key=uri,
            version=self._version(item),
            url=self._url(bucket, item.key),
            modified_at=item.modified,
            audience=audience,
            attrs=attrs,
        )
        if length == item.size:
            return (document,)
        share = f"only the first {length / item.size:.1%} were read ({length} of {item.size} bytes)"
        hint = "raise max_object_bytes, or remove it"
        return (document, Skipped(uri, share, hint, excluded=True))

    def _body(self, bucket: str, key: str, answer: Answer) -> bytes | Stream:
        """What arrives now, whole or as a stream.

        The object may have changed since it was listed: size and ETag are those of the answer, and
        the connections that follow insist on that ETag.
        """
        length = answer.length
        first: list[Connection] = [answer.body]

        def connect(position: int) -> Connection:
            return self._store.get(bucket, key, position, length, answer.etag).body

        def opened(offset: int) -> ResumingFile:
            begun = first.pop() if first else None
            if begun is not None and offset:
                begun.close()
                begun = None
            return ResumingFile(connect, offset, length, dropped=broken_body(), first=begun)

        if length > _WHOLE_BYTES:
            return Stream(lambda offset: io.BufferedReader(opened(offset), _BUFFER), length, seekable=True)
        with opened(0) as file:
            return file.readall()

    def _url(self, bucket: str, key: str) -> str:
        if self._config.endpoint_url:
            return f"{self._config.endpoint_url.rstrip('/')}/{bucket}/{quote(key, safe=_KEPT_IN_URI)}"
        return f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={quote(key, safe='')}"

    # --- cleaned one by one ----------------------------------------------------------------------

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:
        """To delete the object, or the version of it that was read."""
        return cleanup.cleanups(self._store, uri, attrs)

    def clean(
        self,
        uri: str,
        attrs: Mapping[str, Any],
        action: str,
        redact: Callable[[str], str],  # noqa: ARG002
    ) -> str:
        """Delete it."""
        return cleanup.clean(self._store, uri, attrs, action)

    # --- asked for one by one --------------------------------------------------------------------

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one object again: as it is now, or the version named by ``?versionId=``."""
        bucket, _, name = uri.removeprefix("s3://").partition("/")
        name, _, version = name.partition("?versionId=")
        key = unquote(name)
        listed = bucket in self._config.buckets or not self._config.buckets
        if not uri.startswith("s3://") or not key or not listed or not key.startswith(self._config.prefix):
            return Skipped(uri, "not within the buckets and the prefix of this source")
        try:
            if version:
                return self._old_version(uri, bucket, key, version)
            item = self._store.head(bucket, key)
            document, *_ = self._documents(bucket, Audience.UNKNOWN, item)
        except AuthError:
            raise
        except SourceError as error:
            if isinstance(error, GoneError):
                return Skipped(uri, "no longer there", gone=True)
            return Skipped(uri, error.message, error.hint)
        return cast("Document", document)

    def _old_version(self, uri: str, bucket: str, key: str, version: str) -> Document:
        """A version of an object, as far as it would be read were it the present one. ``SourceError``."""
        most = self._config.max_object_bytes
        answer = self._store.get(bucket, key, 0, most, version=version)
        try:
            with closing(answer.body) as file:
                body = file.read(min(answer.length, _WHOLE_BYTES) + 1)
        except broken_body():
            raise UnreadableError("the connection broke") from None
        if len(body) < answer.length:
            raise UnreadableError(f"an old version of {answer.length} bytes is not read again")
        return Document(uri=uri, body=body, path=f"{bucket}/{key}", media_type=answer.media_type)

    def diagnose(self) -> Iterator[Diagnosis]:
        """What can be listed and read, bucket by bucket."""
        try:
            buckets = list(dict.fromkeys(self._config.buckets or self._store.buckets()))
        except SourceError as error:
            yield Diagnosis(f"list the buckets: {error.message}", False, error.hint)
            return
        for bucket in buckets:
            try:
                page = next(self._store.pages(bucket, self._config.prefix, size=1))
                yield Diagnosis(f"{bucket}: its objects can be listed", True)
                for item in page.items:
                    self._store.get(bucket, item.key, 0, 1 if item.size else None).body.close()
                    yield Diagnosis(f"{bucket}: its objects can be read", True)
            except SourceError as error:
                yield Diagnosis(f"{bucket}: {error.message}", False, error.hint)
                continue
            if self._store.audience(bucket) is Audience.UNKNOWN:
                hint = "allow s3:GetBucketPolicyStatus, s3:GetBucketAcl and s3:GetBucketPublicAccessBlock"
                yield Diagnosis(f"{bucket}: who can read it stays unknown", True, hint)


class _Patience:
    """Refusals of single objects become ``Skipped``, until the server itself must be gone."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._failed = 0

    def events(self, item: Item, result: Callable[[], tuple[Event, ...]]) -> tuple[Event, ...]:
        try:
            events = result()
        except AuthError:
            raise
        except SourceError as error:
            self._failed = self._failed + 1 if isinstance(error, RetryableError) else 0
            if self._failed >= _PATIENCE:
                raise
            return (Skipped(_uri(self._bucket, item.key), error.message, error.hint),)
        self._failed = 0
        return events


def _access(name: str, config: S3Source.Config) -> Access:
    place = f"sources.{name}"
    if (config.access_key is None) != (config.secret_key is None):
        raise ConfigError(f"{place}: access_key and secret_key belong together")
    if config.anonymous and (config.access_key or config.profile):
        raise ConfigError(f"{place}: anonymous and credentials exclude each other")
    keys = None
    if config.access_key is not None and config.secret_key is not None:
        keys = (
            resolve(config.access_key, f"{place}.access_key"),
            resolve(config.secret_key, f"{place}.secret_key"),
        )
    token = resolve(config.session_token, f"{place}.session_token") if config.session_token else None
    return Access(
        endpoint_url=config.endpoint_url,
        region=config.region,
        profile=config.profile,
        keys=keys,
        session_token=token,
        anonymous=config.anonymous,
        requester_pays=config.requester_pays,
        attempts=config.attempts,
        connections=_READERS + 2,
    )


def _uri(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{quote(key, safe=_KEPT_IN_URI)}"
