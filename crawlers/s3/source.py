"""Objects in S3 and in what speaks its protocol.

    s3://BUCKET/KEY                 the key percent-encoded, so that it survives any terminal and any parser
    s3://BUCKET/KEY?versionId=ID    a version that another one replaced, or a delete marker hides
    s3://BUCKET/KEY#metadata        metadata and tags, as text

A bucket is a row of the ledger, its prefixes are the units. Listings are walked from start to end at
every run; an object whose ETag, size and time are known costs nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Final, Literal, cast
from urllib.parse import unquote
from uuid import uuid4

import msgspec

from unsprawl.config import Reference, SourceConfig, resolve
from unsprawl.crawlers.ahead import ahead
from unsprawl.crawlers.s3 import cleanup
from unsprawl.crawlers.s3.access import Access
from unsprawl.crawlers.s3.client import Store
from unsprawl.crawlers.s3.faults import archived
from unsprawl.crawlers.s3.inventory import Inventory, newest, rows
from unsprawl.crawlers.s3.items import Item, Page, uri_of
from unsprawl.crawlers.s3.objects import METADATA, WHOLE_BYTES, Reading, version_of, weight_of
from unsprawl.crawlers.s3.survey import EXCLUDED, Survey
from unsprawl.errors import AuthError, ConfigError, GoneError, RetryableError, SourceError
from unsprawl.globs import matches
from unsprawl.records import (
    Audience,
    Checkpoint,
    Cleanup,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Seen,
    Skipped,
    Unchanged,
    Unit,
)
from unsprawl.wire import usage

__all__ = ["S3Source"]

_READERS: Final = 8
_AHEAD_OBJECTS: Final = 32
_AHEAD_BYTES: Final = 16 << 20
#: This many objects in a row that could not be had mean that the server is gone, not the objects.
_PATIENCE: Final = 8
#: A walk that rested longer belongs to an earlier run that broke off.
_IDLE_SECONDS: Final = 12 * 3600
_ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Role = Annotated[str, msgspec.Meta(pattern=r"^arn:[^\s:]+:iam::\d{12}:role/\S+$")]
_Inventory = Annotated[str, msgspec.Meta(pattern=r"^s3://[^\s/]+/\S+$")]


class S3Source:
    """``s3 {endpoint_url, buckets, prefix, region, profile}``: buckets of an account, or those named."""

    type = "s3"
    needs: ClassVar[tuple[str, ...]] = ("boto3", "botocore.config", "botocore.parsers")
    reads_in: Literal["worker"] = "worker"

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Without ``buckets`` all that the credentials list, without keys the usual chain of AWS.

        ``roles`` are assumed one after the other, each for the buckets of its account; ``versions: false``
        reads current versions alone; ``inventories`` are S3 Inventories that are read instead of listings.
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
        roles: tuple[_Role, ...] = ()
        external_id: str = ""
        sts_url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s/?#]+.*)?$")] = ""
        versions: bool = True
        inventories: tuple[_Inventory, ...] = ()
        max_object_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
        attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 6

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config = config
        access = _access(name, config)
        self._stores = {role: Store(access.of_role(role)) for role in dict.fromkeys(config.roles or ("",))}
        self._survey = Survey(self._stores, config)

    # --- what there is ---------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002
        """Bucket by bucket: its objects at the top, then its prefixes, the large ones in pieces."""
        yield from self._survey.units(uuid4().hex)

    # --- reading ---------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """The objects of a unit in the order of their keys, with a checkpoint behind each page.

        The next run starts over and knows the objects by their version, so the last checkpoint ends
        this walk only. A cursor that lay idle is void as well: what stands before it may have changed.
        """
        data = unit.data
        place = since or {}
        if place.get("ended") == data["walk"]:
            return
        idle = time.time() - place.get("at", 0) > _IDLE_SECONDS
        store, bucket = self._stores[data["role"]], data["bucket"]
        reading = Reading(
            store,
            bucket,
            Audience(data["audience"]),
            self._config.max_object_bytes,
            self._config.endpoint_url,
        )
        pool = ThreadPoolExecutor(_READERS, "unsprawl-s3", usage.joining())
        patience = _Patience(bucket)
        try:
            for page, cursor in self._pages(store, unit, {} if idle else place):
                wanted: list[Item] = []
                yield from self._sifted(bucket, page, data.get("stop", ""), seen, wanted)
                bodies = ahead(
                    pool,
                    wanted,
                    reading.documents,
                    partial(weight_of, cap=self._config.max_object_bytes),
                    largest=WHOLE_BYTES,
                    most=_AHEAD_OBJECTS,
                    budget=_AHEAD_BYTES,
                )
                for item, result in bodies:
                    yield from patience.events(item, result)
                if cursor and page.more:
                    yield Checkpoint({**cursor, "at": int(time.time())})
            yield Checkpoint({"ended": data["walk"]})
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _pages(self, store: Store, unit: Unit, place: Cursor) -> Iterator[tuple[Page, Cursor]]:
        """The pages of a unit from ``place`` on, each with where to go on behind it."""
        data = unit.data
        if "inventory" in data:
            inventory = cast("Inventory", data["inventory"])
            for count, page in rows(store, inventory, data["file"], int(place.get("line", 0))):
                items = tuple(item for item in page.items if item.key.startswith(self._config.prefix))
                items = items if self._config.versions else tuple(one for one in items if not one.version_id)
                yield replace(page, items=items), {"line": count}
            return
        listing = store.pages(
            data["bucket"],
            data["prefix"],
            after=place.get("after") or data["start"],
            delimiter=data["delimiter"],
            versions=data["versions"],
        )
        for page in listing:
            yield page, {"after": page.resume} if page.resume else {}
            if data["stop"] and page.last > data["stop"]:
                return

    def _sifted(self, bucket: str, page: Page, stop: str, seen: Seen, wanted: list[Item]) -> Iterator[Event]:
        """Fill ``wanted`` with what has to be read; the rest is left out, archived or known."""
        unchanged = page.repeated
        for item in page.items:
            if stop and item.key > stop:
                break
            uri = uri_of(bucket, item.key, item.version_id)
            version = version_of(item, self._config.max_object_bytes)
            if matches(self._config.exclude, f"{bucket}/{item.key}"):
                yield Skipped(uri, EXCLUDED, excluded=True)
            elif item.storage in _ARCHIVES and not item.restored and self._tells_restores:
                refusal = archived(item.storage)
                yield Skipped(uri, refusal.message, refusal.hint)
            elif seen(uri) == version:
                unchanged += 1 + (seen(uri + METADATA) == version)
            else:
                wanted.append(item)
        if unchanged:
            yield Unchanged(unchanged)

    @property
    def _tells_restores(self) -> bool:
        """AWS lists whether an archived object was restored; with other servers one has to try."""
        return not self._config.endpoint_url

    # --- cleaned one by one ----------------------------------------------------------------------

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:
        """To delete the object, or the version of it that was read."""
        return cleanup.cleanups(self._stores.values(), uri, attrs)

    def clean(
        self,
        uri: str,
        attrs: Mapping[str, Any],
        action: str,
        redact: Callable[[str], str],  # noqa: ARG002
    ) -> str:
        """Delete it."""
        return cleanup.clean(self._stores.values(), uri, attrs, action)

    # --- asked for one by one --------------------------------------------------------------------

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one object again: as it is now, or the version named by ``?versionId=``."""
        bucket, _, name = uri.removeprefix("s3://").partition("/")
        name, _, fragment = name.partition("#")
        name, _, query = name.partition("?")
        key, version = unquote(name), unquote(query.removeprefix("versionId="))
        listed = bucket in self._config.buckets or not self._config.buckets
        if not uri.startswith("s3://") or not key or not listed or not key.startswith(self._config.prefix):
            return Skipped(uri, "not within the buckets and the prefix of this source")
        failure: Skipped | None = None
        for store in self._stores.values():
            try:
                asked = Item(
                    key, 0, "", None, "", version_id=version, state="noncurrent" if version else "current"
                )
                item, _ = store.head(bucket, asked)
                item = replace(item, state=asked.state)
                reading = Reading(
                    store, bucket, Audience.UNKNOWN, self._config.max_object_bytes, self._config.endpoint_url
                )
                for document in reading.documents(item):
                    same = document.uri.partition("#")[2] == fragment
                    if isinstance(document, Document) and same:
                        return document
            except AuthError:
                raise
            except SourceError as error:
                gone = isinstance(error, GoneError)
                # It is gone when nobody who may look finds it.
                if failure is None or not gone:
                    failure = Skipped(uri, error.message, error.hint, gone=gone)
        return Skipped(uri, "no longer there", gone=True) if failure is None or failure.gone else failure

    def diagnose(self) -> Iterator[Diagnosis]:
        """What can be listed and read, bucket by bucket."""
        for address in self._config.inventories:
            try:
                made = newest(next(iter(self._stores.values())), address).made
                yield Diagnosis(f"{address}: the inventory of {made}", True)
            except SourceError as error:
                yield Diagnosis(f"{address}: {error.message}", False, error.hint)
        try:
            buckets = list(self._survey.buckets())
        except SourceError as error:
            yield Diagnosis(f"list the buckets: {error.message}", False, error.hint)
            return
        for role, bucket in buckets:
            yield from self._diagnosed(self._stores[role], bucket)

    def _diagnosed(self, store: Store, bucket: str) -> Iterator[Diagnosis]:
        try:
            page = next(store.pages(bucket, self._config.prefix, size=1))
            yield Diagnosis(f"{bucket}: its objects can be listed", True)
            for item in page.items:
                if item.size:
                    body = store.get(bucket, item, 0, 1).body
                    assert body is not None
                    body.close()
                else:
                    store.head(bucket, item)
                yield Diagnosis(f"{bucket}: its objects can be read", True)
        except SourceError as error:
            yield Diagnosis(f"{bucket}: {error.message}", False, error.hint)
            return
        if self._config.versions:
            try:
                if store.keeps_versions(bucket):
                    next(store.pages(bucket, self._config.prefix, size=1, versions=True))
                    yield Diagnosis(f"{bucket}: its older versions can be listed", True)
            except SourceError as error:
                yield Diagnosis(f"{bucket}: its older versions: {error.message}", False, error.hint)
        if store.audience(bucket) is Audience.UNKNOWN:
            hint = "allow s3:GetBucketPolicyStatus, s3:GetBucketAcl and s3:GetBucketPublicAccessBlock"
            yield Diagnosis(f"{bucket}: who can read it stays unknown", True, hint)


class _Patience:
    """Refusals of single objects become ``Skipped``, until the server itself must be gone."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._failed = 0

    def events(self, item: Item, result: Callable[[], Sequence[Event]]) -> Sequence[Event]:
        try:
            events = result()
        except AuthError:
            raise
        except SourceError as error:
            self._failed = self._failed + 1 if isinstance(error, RetryableError) else 0
            if self._failed >= _PATIENCE:
                raise
            return (Skipped(uri_of(self._bucket, item.key, item.version_id), error.message, error.hint),)
        self._failed = 0
        return events


def _access(name: str, config: S3Source.Config) -> Access:
    place = f"sources.{name}"
    if (config.access_key is None) != (config.secret_key is None):
        raise ConfigError(f"{place}: access_key and secret_key belong together")
    if config.anonymous and (config.access_key or config.profile or config.roles):
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
        external_id=config.external_id,
        sts_url=config.sts_url,
        anonymous=config.anonymous,
        requester_pays=config.requester_pays,
        attempts=config.attempts,
        connections=_READERS + 2,
    )
