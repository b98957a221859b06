"""What a listing shows: objects, their versions, and which of these are hidden by what came later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import quote

from unsprawl.errors import UnreadableError

__all__ = ["Item", "Page", "Succession", "Version", "item_of", "page_of", "said", "uri_of", "versions_of"]

_KEPT_IN_URI: Final = "/!$&'()*+,;=:@~"

State = Literal["current", "noncurrent", "deleted"]


@dataclass(frozen=True, slots=True)
class Item:
    """One object, or one version of it. ``restored`` is None when the server does not say.

    ``version_id`` is "" where it is the current one, which needs none to be read. A ``deleted`` version is
    the one that a delete marker of ``hidden_at`` took out of sight.
    """

    key: str
    size: int
    etag: str
    modified: datetime | None
    storage: str
    restored: bool | None = None
    version_id: str = ""
    state: State = "current"
    hidden_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing. ``last`` is its greatest name, "" when it is empty.

    ``resume`` is the key behind which a later walk goes on: all before and with it was listed to its end.
    """

    items: tuple[Item, ...]
    prefixes: tuple[str, ...]
    last: str
    more: bool
    resume: str = ""
    repeated: int = 0
    """Versions that hold what a newer one of the same key holds, and need not be read."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version as it is listed: the newest of its key comes first. A marker says that it is deleted."""

    item: Item
    latest: bool
    marker: bool


@dataclass(slots=True)
class Succession:
    """Goes through the versions of one key after the other, across pages."""

    key: str = ""
    marker: datetime | None = None
    marked: bool = False
    contents: set[tuple[str, int]] = field(default_factory=set)

    def enter(self, versions: Iterable[Version]) -> tuple[list[Item], int]:
        """The versions to be read, and how many others repeat the content of a newer one."""
        items: list[Item] = []
        repeated = 0
        for version in versions:
            item = version.item
            if item.key != self.key:
                self.key, self.marker, self.marked, self.contents = item.key, None, False, set()
            if version.marker:
                self.marker, self.marked = item.modified, True
                continue
            hidden, self.marked = self.marked, False
            content = (item.etag, item.size)
            if item.etag and content in self.contents:
                repeated += 1
                continue
            self.contents.add(content)
            if version.latest:
                items.append(replace(item, version_id=""))
            elif hidden:
                items.append(replace(item, state="deleted", hidden_at=self.marker))
            else:
                items.append(replace(item, state="noncurrent"))
        return items, repeated


def page_of(answer: dict[str, Any]) -> Page:
    """A page of current objects."""
    items = tuple(item_of(content) for content in answer.get("Contents", []))
    prefixes = _prefixes(answer)
    last = max((items[-1].key if items else "", prefixes[-1] if prefixes else ""))
    return Page(items, prefixes, last, bool(said(answer, "IsTruncated")), resume=last)


def versions_of(answer: dict[str, Any], succession: Succession) -> Page:
    """A page of versions. Servers list versions and markers apart: here they stand in one order."""
    listed = [
        Version(
            item_of(content),
            bool(content.get("IsLatest")),
            marker,
        )
        for name, marker in (("Versions", False), ("DeleteMarkers", True))
        for content in answer.get(name, [])
    ]
    oldest = datetime.min.replace(tzinfo=UTC)
    listed.sort(key=lambda one: (one.latest, one.item.modified or oldest, one.marker), reverse=True)
    listed.sort(key=lambda one: one.item.key)
    keys = list(dict.fromkeys(one.item.key for one in listed))
    items, repeated = succession.enter(listed)
    prefixes = _prefixes(answer)
    last = max((keys[-1] if keys else "", prefixes[-1] if prefixes else ""))
    more = bool(said(answer, "IsTruncated"))
    # The versions of the last key may go on behind the page, so a later walk begins with it again.
    whole = keys[-2] if len(keys) > 1 else ""
    return Page(tuple(items), prefixes, last, more, resume=whole if more else last, repeated=repeated)


def _prefixes(answer: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(common["Prefix"]) for common in answer.get("CommonPrefixes", []))


def item_of(content: dict[str, Any]) -> Item:
    modified = content.get("LastModified")
    status = content.get("RestoreStatus")
    return Item(
        key=str(content["Key"]),
        size=int(content.get("Size", 0)),
        etag=str(content.get("ETag", "")).strip('"'),
        modified=modified.astimezone(UTC) if isinstance(modified, datetime) else None,
        storage=str(content.get("StorageClass") or "STANDARD"),
        restored=None if status is None else bool(status.get("RestoreExpiryDate")),
        version_id=str(content.get("VersionId") or ""),
    )


def said(answer: dict[str, Any], name: str) -> Any:
    """What every S3 server says. A login page answers 200 as well, and would pass for an empty bucket."""
    if name not in answer:
        raise UnreadableError("the answer is not one of an S3 server", hint="is endpoint_url right?")
    return answer[name]


def uri_of(bucket: str, key: str, version: str = "") -> str:
    """``s3://bucket/key``, and ``?versionId=`` for what is not the current version."""
    uri = f"s3://{bucket}/{quote(key, safe=_KEPT_IN_URI)}"
    return f"{uri}?versionId={quote(version, safe='')}" if version else uri
