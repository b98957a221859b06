"""The one way out: a connection to an allowed host at a pinned address, and one HTTP exchange over it.

No redirects, no proxies, no retries, no cookies; everything is bounded in size and in time.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from unsprawl.config import Checks
from unsprawl.errors import ConfigError
from unsprawl.validity.addresses import Pins, allowed, place_of
from unsprawl.validity.credential import Refused
from unsprawl.wire.patience import retry_after

__all__ = ["Answer", "Call", "Dial", "Line", "NoAnswer", "Origin", "Ways", "dial"]

#: Connects to one address; tests put their own in its place.
Dial: TypeAlias = Callable[[str, int, float], socket.socket]

_LARGEST: Final = 1 << 20
_BLOCK: Final = 16 << 10
#: Seconds that a provider is left alone when it says "later" and not when.
_PATIENCE: Final = 5.0
_HEADER: Final = frozenset(map(chr, range(0x20, 0x7F)))


class NoAnswer(Refused):
    """The far side did not answer as it should: that counts against it, and proves nothing."""


def dial(address: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((address, port), timeout=seconds)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a host's requests go: itself, or what the owner's ``endpoints`` name instead."""

    host: str
    port: int
    encrypted: bool = True
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The ``Host`` header: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.encrypted else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``target`` is path and query as they are sent; only ``shown`` may be told to anyone."""

    method: str
    host: str
    target: str = field(repr=False)
    shown: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in small letters. ``whole`` is False when the body was too large to be read."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    whole: bool = True
    reason: str = ""
    """The words behind the status. Some services say there what they mean."""


class Ways:
    """What all lines of one run share: pinned addresses, trusted authorities, other endpoints."""

    def __init__(self, checks: Checks, pins: Pins, connect: Dial = dial) -> None:
        self.checks = checks
        self.pins = pins
        self.dial = connect
        self._origins = {host.lower(): _origin(host, url) for host, url in checks.endpoints.items()}

    def origin(self, host: str) -> Origin:
        return self._origins.get(host, Origin(host, 443))

    def plain(self, host: str) -> bool:
        """Whether this host may be spoken to without encryption."""
        return allowed(host, self.checks.unencrypted)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for file in self.checks.authorities:
            try:
                context.load_verify_locations(cafile=file)
            except (OSError, ssl.SSLError):
                raise ConfigError(
                    f"checks.authorities: {Path(file)} holds no certificate", hint="give PEM files"
                ) from None
        return context


def _origin(host: str, url: str) -> Origin:
    try:
        parts = urlsplit(url)
        port = parts.port
        name, _ = place_of(parts.netloc, 443)
    except (ValueError, Refused):
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise ConfigError(
            f"checks.endpoints: what stands for {host} is no address",
            hint="write https://host[:port][/path], without user and query",
        )
    encrypted = parts.scheme == "https"
    return Origin(name, port or (443 if encrypted else 80), encrypted, parts.path.rstrip("/"))


class Line:
    """Speaks to ``hosts`` (logical names) and to nobody else, within one deadline.

    ``told`` is called with what is about to be done before every connection.
    """

    def __init__(self, ways: Ways, hosts: Collection[str], told: Callable[[str], None]) -> None:
        self._ways = ways
        self._hosts = frozenset(hosts)
        self._told = told
        self._deadline = time.monotonic() + ways.checks.timeout
        #: Seconds that the far side asked to be left alone; None when it did not.
        self.busy: float | None = None
        self._late = False
        self._open: socket.socket

    @property
    def checks(self) -> Checks:
        return self._ways.checks

    def origin(self, host: str) -> Origin:
        """Where requests to ``host`` go, for whoever has to sign them."""
        return self._ways.origin(host)

    def plain(self, host: str) -> bool:
        return self._ways.plain(host)

    @contextmanager
    def connection(self, host: str, port: int, shown: str) -> Iterator[socket.socket]:
        """A connection without encryption (yet) to an allowed host. Raises :class:`Refused`."""
        if host not in self._hosts:
            raise Refused(f"{host} is on no list of hosts that may be called")
        with self._dialled(host, port, shown) as connection:
            yield connection

    @contextmanager
    def _dialled(self, host: str, port: int, shown: str) -> Iterator[socket.socket]:
        addresses = self._ways.pins.addresses(host, port)
        self._told(shown)
        failure, self._late = "", False
        for address in addresses:
            try:
                self._open = self._ways.dial(address, port, self._left())
            except OSError as error:
                failure = failure or _words(error)
                continue
            try:
                with self._watched():
                    yield self._open
            finally:
                self._open.close()
            return
        raise NoAnswer(f"{host} cannot be reached: {failure}")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Ends the connection when its time is over, however steadily something drips from it."""

        def end() -> None:
            self._late = True
            with suppress(OSError):
                # The socket's own: that of TLS would take its state away under the reader.
                socket.socket.shutdown(self._open, socket.SHUT_RDWR)

        timer = threading.Timer(self._left(), end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def secure(self, connection: socket.socket, host: str) -> ssl.SSLSocket:
        """The connection encrypted, with the certificate of ``host`` checked."""
        try:
            connection.settimeout(self._left())
            # From here on the connection is this one, and the bare socket an empty shell.
            self._open = secured = self._ways.tls.wrap_socket(connection, server_hostname=host)
            return secured
        except ssl.SSLCertVerificationError:
            raise NoAnswer(f"the certificate of {host} is not trusted") from None
        except (OSError, ValueError) as error:
            raise NoAnswer(f"{host} does not speak TLS: {_words(error)}") from None

    def call(self, call: Call) -> Answer:
        """One exchange. Raises :class:`Refused` before anything is sent, :class:`NoAnswer` after."""
        if call.host not in self._hosts:
            raise Refused(f"{call.host} is on no list of hosts that may be called")
        for value in (call.target, *call.headers, *call.headers.values()):
            if not _HEADER.issuperset(value) or " " in call.target:
                raise Refused("it cannot be put into a request as it stands")
        origin = self._ways.origin(call.host)
        with self._dialled(origin.host, origin.port, call.shown) as plain:
            try:
                connection = self.secure(plain, origin.host) if origin.encrypted else plain
                answer = _exchanged(connection, origin, call, self._left())
                if self._late:
                    raise TimeoutError
            except (OSError, http.client.HTTPException, ValueError) as error:
                seconds = self._ways.checks.timeout
                if self._late or isinstance(error, TimeoutError):
                    raise NoAnswer(f"{call.host} did not answer within {seconds:g} s") from None
                raise NoAnswer(f"{call.host} broke off: {_words(error)}") from None
        if answer.status in (429, 503):
            self.busy = retry_after(answer.headers.get("retry-after")) or _PATIENCE
        elif answer.status >= 500:
            self.busy = _PATIENCE
        return answer

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise NoAnswer(f"there was no answer within {self._ways.checks.timeout:g} s")
        return left


class _Ready(http.client.HTTPConnection):
    """An HTTP connection over a socket that is there already; it never makes one itself."""

    def __init__(self, connection: socket.socket, origin: Origin) -> None:
        super().__init__(origin.host, origin.port)
        self.sock = connection
        self.auto_open = 0


def _exchanged(connection: socket.socket, origin: Origin, call: Call, seconds: float) -> Answer:
    connection.settimeout(seconds)
    speaker = _Ready(connection, origin)
    speaker.putrequest(call.method, origin.prefix + call.target, skip_host=True, skip_accept_encoding=True)
    headers: dict[str, Any] = {"host": origin.authority, "user-agent": "unsprawl", "accept": "*/*"}
    headers |= {name.lower(): value for name, value in call.headers.items()}
    if call.body or call.method == "POST":
        headers["content-length"] = str(len(call.body))
    headers |= {"connection": "close", "accept-encoding": "identity"}
    for name, value in headers.items():
        speaker.putheader(name, value)
    speaker.endheaders(call.body or None)
    with speaker.getresponse() as response:
        got = {name.lower(): value for name, value in response.getheaders()}
        expected, body = response.length, bytearray()
        while len(body) <= _LARGEST and (block := response.read(_BLOCK)):
            body += block
        whole = len(body) <= _LARGEST and got.get("content-encoding", "identity") == "identity"
        if whole and expected is not None and len(body) != expected:
            raise http.client.IncompleteRead(b"")
        if expected is None and not response.chunked:
            # It ends where the connection does: only JSON tells whether that was its end.
            whole = whole and body.startswith((b"{", b"["))
        return Answer(response.status, got, bytes(body[:_LARGEST]), whole, response.reason[:200])


def _words(error: Exception) -> str:
    """What went wrong, without what was sent: the system's words for a number, else the kind of error."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no handshake").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return {"RemoteDisconnected": "the connection ended"}.get(type(error).__name__, type(error).__name__)
