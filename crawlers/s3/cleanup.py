"""Deleting an object, or the one version of it that holds a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from unsprawl.crawlers.s3.items import Item
from unsprawl.errors import SourceError, UnreadableError
from unsprawl.records import Cleanup

if TYPE_CHECKING:
    from unsprawl.crawlers.s3.client import Store

__all__ = ["clean", "cleanups"]


def cleanups(stores: Iterable[Store], uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:
    """The version that was read is deleted for good; without versions, the object as it was read."""
    bucket, key = _place(uri)
    if not key:
        return ()
    version = _version(attrs)
    _, item = _holder(stores, bucket, key, version)
    if version:
        title = f"delete version {version} of s3://{bucket}/{key} for good"
        undo = "none: copy what else is needed of it first"
        return (Cleanup("delete-version", title, undo, f"{item.etag}:{item.size}"),)
    title = f"delete s3://{bucket}/{key}"
    undo = "none in a bucket without versions: copy what else is needed of it first"
    return (Cleanup("delete-object", title, undo, f"{item.etag}:{item.size}"),)


def clean(stores: Iterable[Store], uri: str, attrs: Mapping[str, Any], action: str) -> str:
    """Delete it."""
    bucket, key = _place(uri)
    version = _version(attrs)
    if not key or (action == "delete-version") != bool(version) or not action.startswith("delete-"):
        raise UnreadableError(f"{action} cannot be done here")
    store, _ = _holder(stores, bucket, key, version)
    store.delete(bucket, key, version)
    return f"version {version} is deleted" if version else "the object is deleted"


def _holder(stores: Iterable[Store], bucket: str, key: str, version: str) -> tuple[Store, Item]:
    """Whose account shows the object, and the object as it is. ``SourceError`` when nobody's does."""
    refused: SourceError | None = None
    for store in stores:
        try:
            item, _ = store.head(bucket, Item(key, 0, "", None, "", version_id=version))
        except SourceError as error:
            refused = error
        else:
            return store, item
    raise refused or UnreadableError(f"nobody reads s3://{bucket}")


def _place(uri: str) -> tuple[str, str]:
    bucket, _, name = uri.removeprefix("s3://").partition("/")
    return bucket, unquote(name.partition("#")[0].partition("?versionId=")[0])


def _version(attrs: Mapping[str, Any]) -> str:
    version = attrs.get("version_id")
    return version if isinstance(version, str) and version != "null" else ""
