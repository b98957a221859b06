"""S3 Inventory: the listing of a bucket as AWS wrote it into another, instead of asking for it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import unquote_plus

from isal import igzip

from unsprawl.crawlers.ranges import Connection, ResumingFile
from unsprawl.crawlers.s3.client import Store
from unsprawl.crawlers.s3.faults import broken_body
from unsprawl.crawlers.s3.items import Item, Page
from unsprawl.errors import SourceError, UnreadableError

__all__ = ["Inventory", "newest", "rows"]

_DATED: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\dZ/\Z")
_LARGEST_MANIFEST: Final = 64 << 20
_PAGE: Final = 1000
_LONGEST_LINE: Final = 1 << 20
_NEEDED: Final = ("Bucket", "Key")


@dataclass(frozen=True, slots=True)
class Inventory:
    """One inventory. ``files`` are keys in ``home``; ``columns`` name the fields of their lines."""

    home: str
    bucket: str
    made: str
    columns: tuple[str, ...]
    files: tuple[str, ...]


def newest(store: Store, address: str) -> Inventory:
    """The last complete inventory below ``s3://bucket/prefix``. Raises ``SourceError``."""
    home, _, prefix = address.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    dated = [
        name
        for page in store.pages(home, prefix, delimiter="/")
        for name in page.prefixes
        if _DATED.search(name)
    ]
    for folder in sorted(dated, reverse=True):
        try:
            body = _small(store, home, f"{folder}manifest.json")
            checksum = _small(store, home, f"{folder}manifest.checksum").decode("ascii", "replace").strip()
        except UnreadableError:
            continue  # it is still being written
        if hashlib.md5(body, usedforsecurity=False).hexdigest() != checksum:
            raise UnreadableError(f"the inventory {folder} does not have its checksum")
        return _parsed(home, folder.removeprefix(prefix).rstrip("/"), body)
    hint = "give the folder with the dated folders in it: s3://DESTINATION/PREFIX/BUCKET/CONFIGURATION"
    raise UnreadableError(f"there is no inventory below {address}", hint=hint)


def rows(store: Store, inventory: Inventory, key: str, after: int) -> Iterator[tuple[int, Page]]:
    """The lines of one file behind the first ``after``, in pages, each with the number of lines so far."""
    count = 0
    items: list[Item] = []
    for row in _lines(store, inventory, key):
        count += 1
        if count <= after:
            continue
        item = _item(dict(zip(inventory.columns, row, strict=False)))
        if item is not None:
            items.append(item)
        if count % _PAGE == 0:
            yield count, Page(tuple(items), (), "", more=True)
            items = []
    yield count, Page(tuple(items), (), "", more=False)


def _small(store: Store, bucket: str, key: str) -> bytes:
    item, _ = store.head(bucket, Item(key, 0, "", None, ""))
    if item.size > _LARGEST_MANIFEST:
        raise UnreadableError(f"{key} is too large for what it should be")
    if not item.size:
        return b""
    return _file(store, bucket, item).read()


def _file(store: Store, bucket: str, item: Item) -> io.BufferedReader:
    def connect(position: int) -> Connection:
        body = store.get(bucket, item, position, item.size, f'"{item.etag}"').body
        assert body is not None
        return body

    return io.BufferedReader(ResumingFile(connect, 0, item.size, dropped=broken_body()), 1 << 18)


def _parsed(home: str, made: str, body: bytes) -> Inventory:
    try:
        content: Any = json.loads(body)
        form = content["fileFormat"]
        columns = tuple(name.strip() for name in content["fileSchema"].split(","))
        files = tuple(str(file["key"]) for file in content["files"])
        bucket = str(content["sourceBucket"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableError("the inventory's manifest could not be understood") from None
    if form != "CSV":
        hint = "let the inventory be written as CSV"
        raise UnreadableError(f"an inventory as {str(form)[:20]}, which is not read", hint=hint)
    if not set(_NEEDED) <= set(columns):
        raise UnreadableError("the inventory does not name its objects")
    return Inventory(home, bucket, made, columns, files)


def _lines(store: Store, inventory: Inventory, key: str) -> Iterator[list[str]]:
    item, _ = store.head(inventory.home, Item(key, 0, "", None, ""))
    if not item.size:
        return
    packed = igzip.GzipFile(fileobj=_file(store, inventory.home, item), mode="rb")  # type: ignore[no-untyped-call]
    text = io.TextIOWrapper(cast("io.BufferedReader", packed), "utf-8", "replace", newline="")
    csv.field_size_limit(_LONGEST_LINE)
    try:
        yield from csv.reader(text)
    except SourceError:
        raise
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise UnreadableError(f"the inventory's file {key} is damaged ({type(error).__name__})") from None


def _item(row: Mapping[str, str]) -> Item | None:
    """What a line says, None for a delete marker. Keys are written as in addresses."""
    if row.get("IsDeleteMarker") == "true" or not row.get("Key"):
        return None
    size = row.get("Size", "")
    current = row.get("IsLatest", "true") != "false"
    return Item(
        key=unquote_plus(row["Key"]),
        size=int(size) if size.isascii() and size.isdigit() else 0,
        etag=row.get("ETag", ""),
        modified=_time(row.get("LastModifiedDate", "")),
        storage=row.get("StorageClass") or "STANDARD",
        version_id="" if current else row.get("VersionId", ""),
        state="current" if current else "noncurrent",
    )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None
