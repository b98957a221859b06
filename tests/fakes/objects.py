"""An S3 server for tests: objects of any size made while they are sent, and faults on request.

It follows the documented REST API (ListBuckets, ListObjectsV2, GetObject and HeadObject with ranges
and preconditions), holds no content, and does to one request after the other what ``faults`` says.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

__all__ = ["Blob", "Cut", "ObjectServer", "Refuse", "Retag", "serving"]

_BLOCK = 1 << 20
_PATTERN = b"".join(sha256(bytes([n % 251, n // 251])).digest() for n in range(_BLOCK // 32))


@dataclass(frozen=True)
class Blob:
    """An object. Its bytes follow from ``size`` and ``planted`` (offset → bytes), or are ``text``."""

    size: int = 0
    text: bytes | None = None
    planted: Mapping[int, bytes] = field(default_factory=dict)
    storage: str = "STANDARD"
    etag: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    tags: int = 0
    modified: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    @property
    def length(self) -> int:
        return self.size if self.text is None else len(self.text)

    @property
    def tag(self) -> str:
        return self.etag or md5(self.text or str((self.size, self.planted)).encode()).hexdigest()

    def span(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to ``end``: every MiB begins with its number, so that no two are alike."""
        if self.text is not None:
            return self.text[start:end]
        first = start // _BLOCK
        made = b"".join(
            number.to_bytes(8, "big") + _PATTERN[8:] for number in range(first, (end - 1) // _BLOCK + 1)
        )
        data = bytearray(made[start - first * _BLOCK : end - first * _BLOCK])
        for offset, value in self.planted.items():
            for index in range(max(offset, start), min(offset + len(value), end)):
                data[index - start] = value[index - offset]
        return bytes(data)


@dataclass(frozen=True)
class Refuse:
    """Answer with this status and error code."""

    status: int
    code: str
    message: str = "refused by the test"
    extra: str = ""


@dataclass(frozen=True)
class Cut:
    """Announce the whole body, close the connection behind ``after`` bytes of it."""

    after: int


@dataclass(frozen=True)
class Retag:
    """Send the object with another ETag than the listing has."""

    etag: str


Fault: TypeAlias = Refuse | Cut | Retag


class ObjectServer:
    """A store of objects that are not there.

    ``buckets``: bucket → key → blob. ``faults``: (bucket, key) → what happens to the next requests, key
    "" is the listing; ``always`` is the same for every request. ``requests`` counts them, ``signed``
    those with a signature, ``sent`` the bytes of bodies. A ``circular`` server lists its first page
    for ever, one with a ``page`` answers everything with it.
    """

    def __init__(self, access_key: str = "") -> None:
        self.access_key = access_key
        self.buckets: dict[str, dict[str, Blob]] = {}
        self.faults: defaultdict[tuple[str, str], deque[Fault | None]] = defaultdict(deque)
        self.always: dict[tuple[str, str], Fault] = {}
        self.requests: defaultdict[str, int] = defaultdict(int)
        self.lock = threading.Lock()
        self.sent = 0
        self.signed = 0
        self.circular = False
        self.page = ""
        self.url = ""
        self._sorted: dict[str, list[str]] = {}

    def sorted(self, bucket: str) -> list[str]:
        """The keys in the order of listings, sorted again only when there are more or fewer."""
        objects = self.buckets[bucket]
        with self.lock:
            known = self._sorted.get(bucket)
            if known is None or len(known) != len(objects) or any(key not in objects for key in known[:10]):
                known = self._sorted[bucket] = sorted(objects)
            return known

    def fault(self, bucket: str, key: str) -> Fault | None:
        with self.lock:
            waiting = self.faults.get((bucket, key))
            return waiting.popleft() if waiting else self.always.get((bucket, key))


@contextmanager
def serving(server: ObjectServer) -> Iterator[ObjectServer]:
    """``server`` on a port of its own until the block ends."""
    handler = type("_Bound", (_Handler,), {"store": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    store: ObjectServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        bucket, _, key = unquote(place.path[1:]).partition("/")
        query = {name: values[0] for name, values in parse_qs(place.query, keep_blank_values=True).items()}
        kind = "list" if bucket and not key else self.command.lower() if key else "buckets"
        with self.store.lock:
            self.store.requests[kind] += 1
            self.store.signed += "Authorization" in self.headers
        if (
            self.store.access_key
            and f"Credential={self.store.access_key}/" not in self.headers["Authorization"]
        ):
            self._refuse(Refuse(403, "InvalidAccessKeyId"))
        elif self.store.page:
            self._xml(200, self.store.page)
        elif not bucket:
            self._buckets()
        elif bucket not in self.store.buckets:
            self._refuse(Refuse(404, "NoSuchBucket"))
        elif (question := next((name for name in ("versioning", "tagging") if name in query), "")) and (
            refusal := self.store.fault(bucket, f"?{question}")
        ):
            self._refuse(cast("Refuse", refusal))
        elif not key and "list-type" not in query:
            self._refuse(Refuse(501, "NotImplemented"))
        else:
            fault = self.store.fault(bucket, key)
            if isinstance(fault, Refuse):
                self._refuse(fault)
            elif key:
                self._object(bucket, key, fault)
            else:
                self._list(bucket, query)

    do_HEAD = do_GET  # noqa: N815

    def _buckets(self) -> None:
        named = "".join(
            f"<Bucket><Name>{name}</Name><CreationDate>2026-01-02T03:04:05.000Z</CreationDate></Bucket>"
            for name in sorted(self.store.buckets)
        )
        self._xml(200, f"<ListAllMyBucketsResult><Buckets>{named}</Buckets></ListAllMyBucketsResult>")

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        objects = self.store.buckets[bucket]
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = (
            ""
            if self.store.circular
            else unquote(query.get("continuation-token", "")) or query.get("start-after", "")
        )
        most = int(query.get("max-keys", "1000"))
        keys = self.store.sorted(bucket)
        contents: list[str] = []
        prefixes: list[str] = []
        last = ""
        position = bisect_right(keys, after)
        while position < len(keys) and len(contents) + len(prefixes) < most:
            key = last = keys[position]
            position += 1
            if not key.startswith(prefix):
                continue
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                prefixes.append(prefix + head + delimiter)
                last = prefixes[-1] + "\U0010ffff"
                position = bisect_right(keys, last)
            else:
                contents.append(self._content(key, objects[key]))
        more = any(key.startswith(prefix) for key in keys[position : position + 1])
        token = f"<NextContinuationToken>{quote(last)}</NextContinuationToken>" if more else ""
        common = "".join(
            f"<CommonPrefixes><Prefix>{quote(name)}</Prefix></CommonPrefixes>" for name in prefixes
        )
        self._xml(
            200,
            f"<ListBucketResult><Name>{bucket}</Name><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(contents)}{common}</ListBucketResult>",
        )

    @staticmethod
    def _content(key: str, blob: Blob) -> str:
        stamp = blob.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{quote(key)}</Key><LastModified>{stamp}</LastModified>"
            f"<ETag>&quot;{blob.tag}&quot;</ETag><Size>{blob.length}</Size>"
            f"<StorageClass>{blob.storage}</StorageClass></Contents>"
        )

    def _object(self, bucket: str, key: str, fault: Cut | Retag | None) -> None:
        cut = fault if isinstance(fault, Cut) else None
        blob = self.store.buckets[bucket].get(key)
        if blob is None:
            return self._refuse(Refuse(404, "NoSuchKey"))
        if blob.storage in ("GLACIER", "DEEP_ARCHIVE"):
            return self._refuse(
                Refuse(403, "InvalidObjectState", extra=f"<StorageClass>{blob.storage}</StorageClass>")
            )
        if self.headers.get("If-Match", f'"{blob.tag}"') != f'"{blob.tag}"':
            return self._refuse(Refuse(412, "PreconditionFailed"))
        start, end = 0, blob.length
        if asked := self.headers.get("Range", ""):
            low, _, high = asked.removeprefix("bytes=").partition("-")
            start, end = int(low), min(int(high) + 1, blob.length) if high else blob.length
            if start >= blob.length:
                return self._refuse(Refuse(416, "InvalidRange"))
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{blob.length}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Type", "text/plain")
        tag = fault.etag if isinstance(fault, Retag) else blob.tag
        self.send_header("ETag", f'"{tag}"')
        for name, value in blob.notes.items():
            self.send_header(f"x-amz-meta-{name}", value)
        if blob.tags:
            self.send_header("x-amz-tagging-count", str(blob.tags))
        self.send_header("Last-Modified", blob.modified.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        self.end_headers()
        if self.command == "HEAD":
            return None
        stop = min(end, start + cut.after) if cut else end
        try:
            for position in range(start, stop, _BLOCK):
                piece = blob.span(position, min(position + _BLOCK, stop))
                with self.store.lock:
                    self.store.sent += len(piece)
                self.wfile.write(piece)
        except ConnectionError:
            self.close_connection = True
        if cut:
            self.close_connection = True
        return None

    def _refuse(self, refusal: Refuse) -> None:
        self._xml(
            refusal.status,
            f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message>{refusal.extra}</Error>",
        )

    def _xml(self, status: int, text: str) -> None:
        body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
