"""Deleting an object, or the one version of it that holds a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from unsprawl.errors import UnreadableError
from unsprawl.records import Cleanup

if TYPE_CHECKING:
    from unsprawl.crawlers.s3.client import Store

__all__ = ["clean", "cleanups"]


def cleanups(store: Store, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:
    """The version that was read is deleted for good; without versions, the object as it was read."""
    bucket, key = _place(uri)
    if not key:
        return ()
    version = _version(attrs)
    item = store.head(bucket, key, version)
    if version:
        title = f"delete version {version} of s3://{bucket}/{key} for good"
        undo = "none: copy what else is needed of it first"
        return (Cleanup("delete-version", title, undo, f"{item.etag}:{item.size}"),)
    title = f"delete s3://{bucket}/{key}"
    undo = "none in a bucket without versions: copy what else is needed of it first"
    return (Cleanup("delete-object", title, undo, f"{item.etag}:{item.size}"),)


def clean(store: Store, uri: str, attrs: Mapping[str, Any], action: str) -> str:
    """Delete it."""
    bucket, key = _place(uri)
    version = _version(attrs)
    if not key or (action == "delete-version") != bool(version) or not action.startswith("delete-"):
        raise UnreadableError(f"{action} cannot be done here")
    store.delete(bucket, key, version)
    return f"version {version} is deleted" if version else "the object is deleted"


def _place(uri: str) -> tuple[str, str]:
    bucket, _, name = uri.removeprefix("s3://").partition("/")
    return bucket, unquote(name.partition("?versionId=")[0])


def _version(attrs: Mapping[str, Any]) -> str:
    version = attrs.get("version_id")
    return version if isinstance(version, str) and version != "null" else ""
