"""A body that survives the loss of its connection: it reconnects at its position by ``Range``."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Final

from unsprawl.errors import AuthError, RetryableError, UnreadableError
from unsprawl.wire import hosts
from unsprawl.wire.client import Client
from unsprawl.wire.faults import explain
from unsprawl.wire.patience import Again

if TYPE_CHECKING:
    import httpx2

__all__ = ["RemoteFile", "open_stream"]

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_BLOCK: Final = 256 * 1024
#: A connection that breaks this often in one body is not worth the night, even if each brings a little.
_MAX_BREAKS: Final = 100
#: Slower than this over a whole window (seconds spent waiting alone) is treated as hostile.
_WINDOW: Final = 120.0
_LEAST: Final = 64 * 1024
_REASONS: Final = {
    403: "access is refused",
    404: "it is not there",
    410: "it is gone",
    416: "it became shorter",
}


def open_stream(
    client: Client,
    path: str,
    offset: int = 0,
    *,
    scope: str = "",
    headers: Mapping[str, str] | None = None,
    what: str = "",
) -> io.BufferedReader:
    """GET ``path`` as a binary file that starts at ``offset``. The first connection is made here.

    Reading raises :class:`RetryableError` when patience is spent, :class:`UnreadableError` when the
    body changed or is refused. ``what`` names it in messages.
    """
    raw = RemoteFile(client, hosts.join(client.base, path), offset, scope, headers or {}, what)
    return io.BufferedReader(raw, _BLOCK)


class RemoteFile(io.RawIOBase):
    """Raw, read-only, forward-only. ``size`` is the whole body's, as far as the host told it."""

    def __init__(
        self, client: Client, url: str, offset: int, scope: str, headers: Mapping[str, str], what: str
    ) -> None:
        super().__init__()
        self._client = client
        self._url = url
        self._scope = scope
        self._headers = headers
        self._what = what or hosts.shown(url)
        self._position = offset
        self._etag = ""
        self._breaks = 0
        self._response: httpx2.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")
        self._waited = 0.0
        self._arrived = 0
        self.size: int | None = None
        try:
            client.patience.run(self._connect)
        except BaseException:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._rest:
            chunk = self._more()
            if not chunk:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        self._client.received += count
        return count

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
        super().close()

    # --- connections -------------------------------------------------------------------------

    def _more(self) -> bytes:
        """The next bytes of the body, b"" at its end; reconnects when the line breaks before."""
        started = time.monotonic()
        try:
            chunk = self._next()
        except Again as broken:
            self._break(broken)
            chunk = self._client.patience.run(self._reconnect)
        self._watch(time.monotonic() - started, len(chunk))
        return chunk

    def _next(self) -> bytes:
        import httpx2

        try:
            chunk = next(self._chunks, b"")
        except httpx2.HTTPError as error:
            raise explain(error, self._url) from None
        if not chunk and self.size is not None and self._position < self.size:
            raise Again(RetryableError(f"{self._what} ended {self.size - self._position} bytes early"))
        return chunk

    def _reconnect(self) -> bytes:
        self._connect()
        return self._next()

    def _break(self, broken: Again) -> None:
        self._breaks += 1
        if self._breaks > _MAX_BREAKS:
            raise broken.error

    def _connect(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
        headers = {**self._headers, "accept-encoding": "identity"}
        if self._position:
            headers["range"] = f"bytes={self._position}-"
        response = self._client.send("GET", self._url, headers, self._scope)
        try:
            skip = self._check(response)
        except BaseException:
            response.close()
            raise
        self._response = response
        self._chunks = response.iter_raw()
        self._skip(skip)

    def _check(self, response: httpx2.Response) -> int:
        """Compare the answer with what was asked for; how many bytes of it were read before."""
        status = response.status_code
        if status == 416 and self.size is None:
            raise UnreadableError(f"{self._what} is shorter than {self._position} bytes")
        if status not in (200, 206):
            if status == 401:
                raise AuthError(f"{self._what}: the credentials were refused (401)")
            reason = _REASONS.get(status, "the host refused it")
            raise UnreadableError(f"{self._what}: {reason} ({status})")
        if response.headers.get("content-encoding", "identity") not in ("identity", ""):
            raise UnreadableError(f"{self._what}: the host packs it though it was asked not to")
        etag = response.headers.get("etag", "")
        if self._etag and etag and etag != self._etag:
            raise UnreadableError(f"{self._what} changed while it was read")
        self._etag = self._etag or etag
        if status == 200:
            self._expect_size(response.headers.get("content-length", ""))
            return self._position
        span = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
        if span is None or int(span[1]) != self._position:
            raise UnreadableError(f"{self._what}: the host gave another range than was asked for")
        self._expect_size(span[3])
        return 0

    def _expect_size(self, text: str) -> None:
        if not (text.isascii() and text.isdigit()):
            return
        size = int(text)
        if self.size is not None and size != self.size:
            raise UnreadableError(f"{self._what} changed its size while it was read")
        self.size = size

    def _skip(self, count: int) -> None:
        """The host knows no ranges and began anew: pass over what we have."""
        held = b""
        while count > 0:
            started = time.monotonic()
            held = self._chunk_or_again()
            self._watch(time.monotonic() - started, len(held))
            count -= len(held)
        if count < 0:
            self._chunks = chain((held[count:],), self._chunks)

    def _chunk_or_again(self) -> bytes:
        import httpx2

        try:
            chunk = next(self._chunks, b"")
        except httpx2.HTTPError as error:
            raise explain(error, self._url) from None
        if not chunk:
            raise Again(RetryableError(f"{self._what}: the connection ended early"))
        return chunk

    def _watch(self, seconds: float, count: int) -> None:
        """Time is counted while waiting for the host only: a slow reader is not its fault."""
        self._waited += seconds
        self._arrived += count
        if self._waited < _WINDOW:
            return
        if self._arrived < _LEAST:
            speed = f"{self._arrived} bytes in {self._waited:.0f} s"
            raise UnreadableError(f"{self._what} comes too slowly to be read: {speed}")
        self._waited, self._arrived = 0.0, 0
