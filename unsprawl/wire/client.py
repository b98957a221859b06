"""An HTTP client for hosts that are slow, strict, broken or hostile.

It retries what deserves it, paces itself, caps what it reads, follows redirects by hand and sends
credentials to the configured origin alone. Errors are those of :mod:`unsprawl.errors`: one clear
line, without token, userinfo or query.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import urlencode

from unsprawl.errors import AuthError, GoneError, RetryableError, UnreadableError
from unsprawl.wire import hosts, usage
from unsprawl.wire.faults import explain
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import RETRIED_STATUS, Again, Patience, retry_after

if TYPE_CHECKING:
    import httpx2

__all__ = ["Client", "Credentials", "Fixed", "Response", "user_agent"]

CONNECT_TIMEOUT: Final = 10.0
READ_TIMEOUT: Final = 60.0
#: An answer that is read whole must have come within this time, however steadily it drips.
ANSWER_TIME: Final = 300.0
MAX_REDIRECTS: Final = 5
MAX_ANSWER: Final = 32 * 1024 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Credentials(Protocol):
    """Who gives a request its secret headers.

    ``scope`` is what the caller wants to do, in the host's words; most kinds of credentials ignore it.
    """

    def headers(self, scope: str) -> Mapping[str, str]: ...

    def renew(self, scope: str, challenge: str) -> bool:
        """The host answered 401 with this ``WWW-Authenticate``. True: there is something new to try."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Secret headers that are always the same, such as ``Authorization`` or ``PRIVATE-TOKEN``."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def headers(self, scope: str) -> Mapping[str, str]:  # noqa: ARG002
        return self.values

    def renew(self, scope: str, challenge: str) -> bool:  # noqa: ARG002
        return False


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole. Header names are in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    def json(self) -> Any:
        """The body as JSON, or :class:`UnreadableError`."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise UnreadableError(f"{hosts.shown(self.url)} answered something that is not JSON") from None

    def expect(self, what: str, hint: str = "") -> Response:
        """Itself when the status is a success; else the error that fits, saying ``what`` was asked for."""
        if 200 <= self.status < 300:
            return self
        host = hosts.origin(self.url)[1]
        if self.status == 401:
            raise AuthError(f"{host} refused the credentials for {what} (401)", hint=hint)
        reason = {403: "refused access to", 404: "does not have", 410: "no longer has"}.get(self.status)
        line = f"{host} {reason} {what}" if reason else f"{host} could not give {what}"
        fault = GoneError if self.status in (404, 410) else UnreadableError
        raise fault(f"{line} ({self.status})", hint=hint)


class Client:
    """Speaks to one configured ``base``. Threads may share it; processes must not.

    ``requests`` counts what was sent, ``received`` the bytes of bodies; ``user_agent`` names us.
    """

    def __init__(
        self,
        base: str,
        *,
        credentials: Credentials | None = None,
        patience: Patience | None = None,
        pace: Pace | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        connections: int = 16,
    ) -> None:
        self.base = hosts.base_url(base)
        self.credentials: Credentials = credentials or Fixed()
        self.patience = patience or Patience()
        self.pace = pace or Pace()
        self.requests = 0
        self.received = 0
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._connections = connections
        self._http: httpx2.Client | None = None

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        scope: str = "",
        limit: int = MAX_ANSWER,
    ) -> Response:
        """GET ``path`` (below the base, or a url) and read the answer whole, ``limit`` bytes at most."""
        return self.request("GET", path, params=params, headers=headers, scope=scope, limit=limit)

    def head(self, path: str, *, headers: Mapping[str, str] | None = None, scope: str = "") -> Response:
        return self.request("HEAD", path, headers=headers, scope=scope)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        scope: str = "",
        limit: int = MAX_ANSWER,
    ) -> Response:
        """Any method. Only failures that may mend are retried, so ``method`` has to be repeatable."""
        url = hosts.join(self.base, path)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params)

        def attempt() -> Response:
            response = self.send(method, url, headers or {}, scope, content)
            try:
                body = self._read(response, limit) if method != "HEAD" else b""
            finally:
                response.close()
            return Response(str(response.url), response.status_code, _lower(response), body)

        return self.patience.run(attempt)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        scope: str = "",
        content: bytes | None = None,
    ) -> httpx2.Response:
        """One attempt with redirects and one renewal of credentials: the answer with its body unread.

        Raises :class:`Again` for what another attempt may mend. The caller closes the response.
        """
        response = self._follow(method, url, headers, scope, content)
        if response.status_code == 401 and hosts.origin(str(response.url)) == hosts.origin(self.base):
            challenge = ", ".join(response.headers.get_list("www-authenticate"))
            if self.credentials.renew(scope, challenge):
                response.close()
                response = self._follow(method, url, headers, scope, content)
        if response.status_code in RETRIED_STATUS:
            response.close()
            raise Again(self._busy(response))
        return response

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one request -------------------------------------------------------------------------

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], scope: str, content: bytes | None
    ) -> httpx2.Response:
        at_home = True
        for _ in range(MAX_REDIRECTS + 1):
            # Once a redirect has left the configured origin, nothing secret is sent again, not even
            # when the next one leads back: the way there was chosen by someone else.
            at_home = at_home and hosts.origin(url) == hosts.origin(self.base)
            secret = self.credentials.headers(scope) if at_home else {}
            response = self._exchange(method, url, {**headers, **secret}, content)
            location = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not location:
                return response
            response.close()
            url = hosts.redirect(url, location, self.base)
        raise UnreadableError(f"{hosts.shown(url)}: more than {MAX_REDIRECTS} redirects")

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> httpx2.Response:
        import httpx2

        http = self._open()
        self.pace.wait()
        self.requests += 1
        usage.count()
        try:
            request = http.build_request(method, url, headers=dict(headers), content=content)
            return http.send(request, stream=True)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise explain(error, url) from None

    def _read(self, response: httpx2.Response, limit: int) -> bytes:
        import httpx2

        url, body, deadline = str(response.url), bytearray(), time.monotonic() + ANSWER_TIME
        try:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > limit:
                    raise UnreadableError(f"{hosts.shown(url)} is larger than {limit} bytes")
                if time.monotonic() > deadline:
                    raise UnreadableError(f"{hosts.shown(url)} took longer than {ANSWER_TIME:.0f} s")
        except httpx2.HTTPError as error:
            raise explain(error, url) from None
        self.received += len(body)
        return bytes(body)

    def _busy(self, response: httpx2.Response) -> RetryableError:
        host, status = hosts.origin(str(response.url))[1], response.status_code
        seconds = retry_after(response.headers.get("retry-after"))
        if seconds is not None and seconds <= self.patience.total:
            self.pace.pause(seconds)
        asked = f" and asked to wait {seconds:.0f} s" if seconds is not None else ""
        return RetryableError(
            f"{host} answered {status}{asked}",
            hint="the next run continues here" if status == 429 else "",
            retry_after=seconds,
        )

    def _open(self) -> httpx2.Client:
        import httpx2

        if self._http is None:
            # An entry of None means "no proxy": what stands on this machine is never asked for elsewhere.
            direct: dict[str, httpx2.BaseTransport | None] = {
                f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")
            }
            self._http = httpx2.Client(
                headers={"user-agent": user_agent(), "accept-encoding": "gzip, identity"},
                timeout=httpx2.Timeout(self._read_timeout, connect=self._connect_timeout),
                limits=httpx2.Limits(
                    max_connections=self._connections, max_keepalive_connections=self._connections
                ),
                follow_redirects=False,
                trust_env=True,
                mounts=direct,
            )
        return self._http


def _lower(response: httpx2.Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for key, value in response.headers.multi_items():
        name = key.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def user_agent() -> str:
    try:
        return f"unsprawl/{metadata.version('unsprawl')}"
    except metadata.PackageNotFoundError:  # run from a tree that was never installed
        return "unsprawl"
