"""The documents that one object gives: its content, and what its writer noted beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from functools import partial
from typing import BinaryIO, Final
from urllib.parse import quote

from unsprawl.crawlers.ranges import Connection, ResumingFile
from unsprawl.crawlers.s3.client import Answer, Store
from unsprawl.crawlers.s3.faults import broken_body
from unsprawl.crawlers.s3.items import Item, uri_of
from unsprawl.errors import SourceError
from unsprawl.oci.saved import saved_tar
from unsprawl.records import Audience, Document, Json, Skipped, Stream

__all__ = ["METADATA", "WHOLE_BYTES", "Reading", "version_of", "weight_of"]

#: Bodies up to this are read whole and ahead of need; larger ones are streamed when their turn comes.
WHOLE_BYTES: Final = 4 << 20
#: What the uri of the text beside a content ends with.
METADATA: Final = "#metadata"
_BUFFER: Final = 256 << 10
#: So much at most is asked for to see what a large object is.
_HEAD_BYTES: Final = 512
#: Less than this is read at one end.
_WORTH_A_TAIL: Final = 1 << 20
_PACKED: Final = (b"\x1f\x8b", b"PK", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")


def weight_of(item: Item, cap: int | None) -> int:
    """How many bytes of it are read."""
    return min(item.size, cap or item.size)


def version_of(item: Item, cap: int | None) -> str:
    """Changes with the content, with its place among its versions, and with how much of it is read."""
    modified = item.modified.isoformat() if item.modified else ""
    cut = f":{cap}" if weight_of(item, cap) < item.size else ""
    state = f":{item.state}" if item.version_id else ""
    return f"{item.etag}:{item.size}:{modified}{cut}{state}"


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the objects of one bucket. ``cap`` is how much of each, ``endpoint`` is shown in links."""

    store: Store
    bucket: str
    audience: Audience
    cap: int | None = None
    endpoint: str = ""

    def documents(self, item: Item) -> tuple[Document | Skipped, ...]:
        """One object, and what of it is not read. Raises ``SourceError``."""
        length = weight_of(item, self.cap)
        if length == item.size:
            answer = self._answer(item, length)
            return (self._document(item, answer), *self._noted(item, answer))
        tail = self._tail(item, length)
        head = length - tail
        answer = self.store.get(self.bucket, item, 0, head)
        found: list[Document | Skipped] = [self._document(item, answer), *self._noted(item, answer)]
        where = f"the first {head}"
        if tail:
            found.append(self._last_bytes(item, answer, tail))
            where += f" and the last {tail}"
        share = f"only {length / item.size:.1%} were read: {where} of {item.size} bytes"
        hint = "raise max_object_bytes, or remove it"
        found.append(Skipped(self._uri(item), share, hint, excluded=True))
        return tuple(found)

    def _answer(self, item: Item, length: int) -> Answer:
        # An empty object has nothing to be sent, and may have notes all the same.
        return self.store.get(self.bucket, item) if length else self.store.head(self.bucket, item)[1]

    def _tail(self, item: Item, length: int) -> int:
        """How much of what may be read is read at the end: logs end with what happened last.

        The end of something packed is of no use without what stands before it.
        """
        if length < _WORTH_A_TAIL:
            return 0
        begun = self.store.get(self.bucket, item, 0, _HEAD_BYTES)
        assert begun.body is not None
        try:
            head = begun.body.read(_HEAD_BYTES)
        except broken_body():
            head = b""
        finally:
            begun.body.close()
        packed = not head or head.startswith(_PACKED) or head[257:262] == b"ustar"
        return 0 if packed else length // 4

    def _last_bytes(self, item: Item, head: Answer, tail: int) -> Document:
        start = item.size - tail
        answer = self.store.get(self.bucket, item, start, item.size, head.etag)
        body = self._body(item, answer, start)
        return self._document(item, answer, body=body, part=f"#bytes={start}-", offset=start)

    def _document(
        self,
        item: Item,
        answer: Answer,
        *,
        body: bytes | Stream | None = None,
        part: str = "",
        offset: int | None = None,
    ) -> Document:
        uri = self._uri(item) + part
        attrs = self._attrs(item, answer)
        if body is None:
            body = self._body(item, answer) if answer.body is not None else b""
        return Document(
            uri=uri,
            body=body,
            path=f"{self.bucket}/{item.key}",
            media_type=answer.media_type,
            key=uri,
            version=version_of(item, self.cap),
            url=self._url(item),
            modified_at=item.modified,
            audience=self.audience,
            attrs=attrs if offset is None else {**attrs, "offset": offset},
            # An image archive in a bucket: its members are files of layers.
            member_attrs=saved_tar(_opener(body)).member_attrs,
        )

    def _noted(self, item: Item, answer: Answer) -> Iterator[Document | Skipped]:
        """Metadata and tags as text, where there are any."""
        uri = self._uri(item) + METADATA
        lines = [f"{name}: {_decoded(value)}\n" for name, value in sorted(answer.metadata.items())]
        if answer.tagged:
            try:
                tags = self.store.tags(self.bucket, item)
                lines += [f"{name}: {value}\n" for name, value in sorted(tags.items())]
            except SourceError as error:
                yield Skipped(uri, f"its tags: {error.message}", error.hint)
        if lines:
            yield Document(
                uri=uri,
                body="".join(lines).encode("utf-8", "backslashreplace"),
                path=f"{self.bucket}/{item.key} metadata",
                media_type="text/plain",
                key=uri,
                version=version_of(item, self.cap),
                url=self._url(item),
                modified_at=item.modified,
                audience=self.audience,
                attrs=self._attrs(item, answer),
            )

    def _attrs(self, item: Item, answer: Answer) -> dict[str, Json]:
        attrs: dict[str, Json] = {
            "bucket": self.bucket,
            "size": item.size,
            "storage_class": item.storage,
        }
        if version := answer.version_id or item.version_id:
            attrs["version_id"] = version
        if item.state != "current":
            attrs["state"] = item.state
        if item.state == "deleted":
            since = f" since {item.hidden_at:%Y-%m-%d %H:%M}" if item.hidden_at else ""
            attrs["hidden"] = f"behind a delete marker{since}; still readable by its version"
            if item.hidden_at:
                attrs["hidden_since"] = item.hidden_at.isoformat()
        elif item.state == "noncurrent":
            attrs["hidden"] = "replaced or deleted since; still readable by its version"
        return attrs

    def _body(self, item: Item, answer: Answer, first: int = 0) -> bytes | Stream:
        """What arrives now, whole or as a stream; it begins at the byte ``first`` of the object.

        The object may have changed since it was listed: size and ETag are those of the answer, and
        the connections that follow insist on that ETag.
        """
        length = answer.length
        begun: list[Connection] = [answer.body] if answer.body is not None else []

        def connect(position: int) -> Connection:
            again = self.store.get(self.bucket, item, first + position, first + length, answer.etag)
            assert again.body is not None
            return again.body

        def opened(offset: int) -> ResumingFile:
            connection = begun.pop() if begun else None
            if connection is not None and offset:
                connection.close()
                connection = None
            return ResumingFile(connect, offset, length, dropped=broken_body(), first=connection)

        if length > WHOLE_BYTES:
            return Stream(lambda offset: io.BufferedReader(opened(offset), _BUFFER), length, seekable=True)
        with opened(0) as file:
            return file.readall()

    def _uri(self, item: Item) -> str:
        return uri_of(self.bucket, item.key, item.version_id)

    def _url(self, item: Item) -> str:
        version = quote(item.version_id, safe="")
        if self.endpoint:
            name = uri_of(self.bucket, item.key).removeprefix("s3://")
            return f"{self.endpoint.rstrip('/')}/{name}" + (f"?versionId={version}" if version else "")
        page = f"https://s3.console.aws.amazon.com/s3/object/{self.bucket}?prefix={quote(item.key, safe='')}"
        return page + (f"&versionId={version}" if version else "")


def _opener(body: bytes | Stream) -> Callable[[], BinaryIO]:
    if isinstance(body, bytes):
        return partial(io.BytesIO, body)
    return partial(body.open, 0)


def _decoded(value: str) -> str:
    """Notes that are no ASCII travel as those of a mail."""
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return value
