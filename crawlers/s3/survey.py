"""What there is to read: the buckets of one account or of several, each in pieces, and what is left out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Final, Protocol
from urllib.parse import quote

from unsprawl.crawlers.s3.client import Store
from unsprawl.crawlers.s3.faults import DeniedError, NotOfferedError
from unsprawl.crawlers.s3.inventory import newest
from unsprawl.crawlers.s3.items import uri_of
from unsprawl.crawlers.s3.split import pieces
from unsprawl.errors import AuthError, RetryableError, SourceError
from unsprawl.globs import matches
from unsprawl.records import Audience, Skipped, Unit

__all__ = ["EXCLUDED", "Survey"]

EXCLUDED: Final = "left out by exclude"
#: Unfinished uploads that are named one by one.
_MOST_UPLOADS: Final = 100
_UPLOAD_HINT: Final = "aws s3api abort-multipart-upload, or a lifecycle rule that aborts such uploads"


class Selection(Protocol):
    """What the owner wants to have read."""

    @property
    def buckets(self) -> tuple[str, ...]: ...
    @property
    def prefix(self) -> str: ...
    @property
    def exclude(self) -> tuple[str, ...]: ...
    @property
    def versions(self) -> bool: ...
    @property
    def inventories(self) -> tuple[str, ...]: ...


class Survey:
    """Enumerates with one store for each role ("" where none is assumed)."""

    def __init__(self, stores: Mapping[str, Store], selection: Selection) -> None:
        self._stores = stores
        self._selection = selection

    def units(self, walk: str) -> Iterator[Unit | Skipped]:
        """Bucket by bucket. ``walk`` is the name of this one: cursors that end it end no other."""
        listed = yield from self._inventories(walk)
        reached = bool(listed)
        for role, bucket in self.buckets():
            if bucket in listed:
                continue
            if matches(self._selection.exclude, bucket):
                yield Skipped(f"s3://{bucket}/", EXCLUDED, excluded=True, parents=(bucket,))
                continue
            try:
                yield from self._bucket(role, bucket, walk)
                reached = True
            except AuthError:
                raise
            except SourceError as error:
                if isinstance(error, RetryableError) and not reached:
                    raise  # nothing answers: the other buckets would only wait as long
                yield Skipped(f"s3://{bucket}/", error.message, error.hint, parents=(bucket,))

    def buckets(self) -> Iterator[tuple[str, str]]:
        """Each bucket once, with the role that reaches it. What no role lists is tried by the first."""
        named = dict.fromkeys(self._selection.buckets)
        if len(self._stores) == 1:
            role = next(iter(self._stores))
            for bucket in named or dict.fromkeys(self._stores[role].buckets()):
                yield role, bucket
            return
        found: set[str] = set()
        for role, store in self._stores.items():
            for bucket in store.buckets():
                if bucket not in found and (not named or bucket in named):
                    found.add(bucket)
                    yield role, bucket
        for bucket in named:
            if bucket not in found:
                yield next(iter(self._stores)), bucket

    def _bucket(self, role: str, bucket: str, walk: str) -> Iterator[Unit | Skipped]:
        store, top = self._stores[role], self._selection.prefix
        versions = False
        if self._selection.versions:
            try:
                versions = store.keeps_versions(bucket)
                if versions:
                    next(store.pages(bucket, top, size=1, versions=True))
            except (DeniedError, NotOfferedError) as error:
                versions = False
                reason = f"only the current versions of its objects are read: {error.message}"
                hint = "allow s3:GetBucketVersioning and s3:ListBucketVersions, or set versions: false"
                yield Skipped(f"s3://{bucket}/?versions", reason, hint, parents=(bucket,))
        audience: Audience | None = None
        for piece in pieces(store, bucket, top, versions=versions):
            audience = store.audience(bucket) if audience is None else audience
            if piece.prefix != top and matches(
                self._selection.exclude, f"{bucket}/{piece.prefix}".rstrip("/")
            ):
                yield Skipped(uri_of(bucket, piece.prefix), EXCLUDED, excluded=True, parents=(bucket,))
                continue
            data = {
                "bucket": bucket,
                "role": role,
                "prefix": piece.prefix,
                "delimiter": piece.delimiter,
                "start": piece.start,
                "stop": piece.stop,
                "versions": versions,
                "audience": audience.value,
                "walk": walk,
            }
            yield Unit(piece.identity(bucket, top), f"{bucket}/{piece.prefix}", (bucket,), data)
        yield from self._uploads(store, bucket)

    def _uploads(self, store: Store, bucket: str) -> Iterator[Skipped]:
        """What was begun and never completed: it is paid for, and nobody can read it."""
        if not self._selection.versions:
            return
        try:
            for number, upload in enumerate(store.uploads(bucket, self._selection.prefix)):
                if number == _MOST_UPLOADS:
                    uri, reason = f"s3://{bucket}/?uploads", f"more than {_MOST_UPLOADS} unfinished uploads"
                    yield Skipped(uri, reason, _UPLOAD_HINT, excluded=True, parents=(bucket,))
                    return
                since = f" of {upload.begun:%Y-%m-%d}" if upload.begun else ""
                uri = f"{uri_of(bucket, upload.key)}?uploadId={quote(upload.identity, safe='')}"
                reason = f"an unfinished upload{since}, which nobody can read before it is completed"
                yield Skipped(uri, reason, _UPLOAD_HINT, excluded=True, parents=(bucket,))
        except NotOfferedError:
            return
        except DeniedError as error:
            reason = f"unfinished uploads are not listed: {error.message}"
            yield Skipped(f"s3://{bucket}/?uploads", reason, error.hint, excluded=True, parents=(bucket,))

    def _inventories(self, walk: str) -> Generator[Unit | Skipped, None, set[str]]:
        """The buckets whose listing somebody has written down already. Answers which these are."""
        listed: set[str] = set()
        for address in self._selection.inventories:
            role, store = next(iter(self._stores.items()))
            try:
                inventory = newest(store, address)
            except AuthError:
                raise
            except SourceError as error:
                yield Skipped(address, error.message, error.hint, parents=(address,))
                continue
            bucket = inventory.bucket
            if bucket in listed or (self._selection.buckets and bucket not in self._selection.buckets):
                continue
            listed.add(bucket)
            reason = f"what changed after the inventory of {inventory.made} is not in it"
            yield Skipped(f"s3://{bucket}/?inventory", reason, excluded=True, parents=(bucket,))
            audience = store.audience(bucket).value
            for key in inventory.files:
                known = {"bucket": bucket, "role": role, "audience": audience, "walk": walk}
                data = {**known, "inventory": inventory, "file": key}
                name = uri_of(inventory.home, key)
                yield Unit(name, f"{bucket} by its inventory", (bucket,), data)
        return listed
