"""One Atlassian site, Cloud or Data Center, as Confluence and Jira are read from it.

atlassian-python-api is the authenticated transport of all requests for data; pacing, patience, caps and
the words for refusals are ours. Files come as streams that reconnect where they broke. Credentials are
sent to the configured address alone, over no redirect.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from unsprawl.config import Reference, SourceConfig, resolve
from unsprawl.crawlers.atlassian.session import explain, session
from unsprawl.errors import AuthError, ConfigError, GoneError, RetryableError, UnreadableError
from unsprawl.records import Stream
from unsprawl.wire import hosts
from unsprawl.wire.client import Client, Fixed
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import RETRIED_STATUS, Again, Patience, retry_after
from unsprawl.wire.stream import open_stream

if TYPE_CHECKING:
    from requests import Response

__all__ = ["NEEDS", "AtlassianConfig", "RefusedError", "Site", "when"]

#: What is loaded before threads share it (``plugins.build_source``).
NEEDS: Final = ("requests", "requests.adapters", "atlassian.rest_client")

MAX_ANSWER: Final = 64 << 20
ANSWER_SECONDS: Final = 300.0
_MAX_REDIRECTS: Final = 5
#: Tries of a request that fails, and of one that is only put off.
_ATTEMPTS: Final = 6
_MOST_ATTEMPTS: Final = 60
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: Files up to this are read whole when their turn comes; larger ones are streamed.
_WHOLE_BYTES: Final = 4 << 20
_GATEWAY: Final = "https://api.atlassian.com"
_PAGE_STARTS: Final = (b"<!doctype html", b"<html")
_REFUSED_LOGINS: Final = {
    "AUTHENTICATED_FAILED": "the site does not know this user and token",
    "AUTHENTICATION_DENIED": "the site asks this user for a captcha: log in once in a browser",
    "AUTHORISATION_FAILED": "this user may not use the product",
}
_LOGIN_HINT: Final = "a new token: id.atlassian.com, Security, API tokens; in Data Center: profile, tokens"


class AtlassianConfig(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What sources of an Atlassian site have in common.

    ``user`` and ``token`` are an e-mail address and its API token (Cloud); a ``token`` alone is a personal
    access token (Data Center); neither reads what everyone may read. ``cloud_id`` sends requests through
    ``gateway``, as tokens with scopes need it. ``max_attachment_bytes`` leaves larger files out,
    ``max_wait`` is the patience with the site in seconds, ``request_interval`` the pause between requests.
    """

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")]
    user: str = ""
    token: Reference | None = None
    deployment: Literal["auto", "cloud", "data-center"] = "auto"
    cloud_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{0,64}$")] = ""
    gateway: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")] = _GATEWAY
    max_attachment_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1 << 30
    max_wait: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 300.0
    request_interval: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0

    @property
    def is_cloud(self) -> bool:
        """As written; else by the address, and by whether a user's name goes with the token."""
        if self.deployment != "auto":
            return self.deployment == "cloud"
        host = hosts.origin(self.url)[1]
        return bool(self.cloud_id or self.user) or host.endswith((".atlassian.net", ".jira.com"))


class _AskedToWait(Again):
    """429: nothing is wrong but the speed."""


class RefusedError(UnreadableError):
    """The site answered, but not what was asked for: ``status`` says how."""

    def __init__(self, message: str, *, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class MissingError(RefusedError, GoneError):
    """It is not there, or not shown to this account: an account that was let in is told the same of both."""


class Site:
    """Speaks to one site. Threads may share it. Raises ``SourceError`` only, and ``ConfigError`` when opened.

    ``product`` and ``root`` say how the gateway names the API: ``("confluence", "/wiki")``, ``("jira", "")``.
    ``base`` is where people see it, ``api`` where requests go. ``requests`` counts what was sent, retries
    too; ``received`` the bytes of answers and files.
    """

    def __init__(self, name: str, config: AtlassianConfig, product: str, root: str = "") -> None:
        place = f"sources.{name}"
        token = resolve(config.token, f"{place}.token") if config.token else None
        if config.user and token is None:
            raise ConfigError(f"{place}: `user` without `token`", hint="give both")
        if config.cloud_id and token is None:
            raise ConfigError(f"{place}: `cloud_id` without `token`", hint="only tokens need the gateway")
        self.cloud = config.is_cloud
        self.anonymous = token is None
        self.base = hosts.base_url(config.url)
        gateway = hosts.base_url(config.gateway)
        self.api = f"{gateway}/ex/{product}/{config.cloud_id}{root}" if config.cloud_id else self.base
        self.through_gateway = bool(config.cloud_id)
        self.requests = 0
        self.received = 0
        self._config = config
        self._token = token
        self._pace = Pace(config.request_interval)
        self._patience = Patience(attempts=_MOST_ATTEMPTS, total=config.max_wait)
        self._lock = Lock()
        self._made: Any = None
        self._files = Client(
            self.api,
            credentials=Fixed(self._secret_headers()),
            patience=Patience(total=config.max_wait),
            pace=self._pace,
        )

    # --- data ----------------------------------------------------------------------------------------

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, what: str, hint: str = "") -> Any:
        """The JSON that ``path`` (below the API's address, no leading slash needed) answers.

        ``what`` is asked for in a person's words, ``hint`` says what to allow when it is refused. A list
        among ``params`` repeats its key. Refusals (400, 403, 404, a missing scope, a page instead of data)
        raise :class:`RefusedError` with its ``status``, refused credentials ``AuthError``, spent patience
        ``RetryableError``.
        """
        return self._patiently(partial(self._attempt, "GET", path, params, None, what, hint))

    def post(self, path: str, body: Any, *, what: str, hint: str = "") -> Any:
        """The same for reading requests that the API wants as POST. It is retried, so it has to be one."""
        return self._patiently(partial(self._attempt, "POST", path, None, body, what, hint))

    def change(
        self, method: Literal["PUT", "DELETE"], path: str, body: Any, *, what: str, hint: str = ""
    ) -> None:
        """Change something. It may be sent twice: what is deleted already raises :class:`MissingError`."""
        self._patiently(partial(self._attempt, method, path, None, body, what, hint))

    def _patiently(self, attempt: Callable[[], Any]) -> Any:
        """A site that asks for less speed gets all of ``max_wait``, one that fails a few attempts only."""
        failures = 0

        def tried() -> Any:
            nonlocal failures
            try:
                return attempt()
            except _AskedToWait:
                raise
            except Again as again:
                failures += 1
                if failures == _ATTEMPTS:
                    raise again.error from None
                raise

        return self._patience.run(tried)

    def _attempt(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: Any, what: str, hint: str
    ) -> Any:
        response = self._follow(method, path, params, body)
        _login_counts(response)
        if response.status_code in RETRIED_STATUS:
            raise (_AskedToWait if response.status_code == 429 else Again)(self._busy(response, what))
        content = response.content
        if not 200 <= response.status_code < 300:
            raise _refusal(response.status_code, content, self._host, what, hint)
        if method in ("PUT", "DELETE") and not content.strip():
            return None
        if "html" in response.headers.get("content-type", "").lower():
            raise RefusedError(f"{self._host} answered a page instead of {what}", hint=_PAGE_HINT, status=200)
        try:
            return _decoded(content)
        except RecursionError:
            line = f"{self._host} answered {what} nested too deeply"
            raise RefusedError(line, hint=hint, status=200) from None
        except ValueError:
            # A cut body is the usual cause: another attempt may bring it whole.
            broken = RetryableError(f"{self._host} answered something that is not JSON for {what}")
            raise Again(broken, soon=True) from None

    def _follow(self, method: str, path: str, params: Mapping[str, Any] | None, body: Any) -> Response:
        import requests

        url = hosts.join(self.api, "/" + path.lstrip("/"))
        for _ in range(_MAX_REDIRECTS + 1):
            self.requests += 1
            try:
                response: Response = self._client.request(
                    method,
                    url,
                    params=params,
                    json=body,
                    absolute=True,
                    advanced_mode=True,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                raise explain(error, url) from None
            location = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not location:
                return response
            target = hosts.redirect(url, location, self.api)
            if hosts.origin(target) != hosts.origin(self.api):
                elsewhere = hosts.origin(target)[1]
                line = f"{self._host} redirects data to {elsewhere}: not followed"
                raise RefusedError(line, hint=_PAGE_HINT, status=response.status_code)
            url, params = target, None
        raise RefusedError(f"{hosts.shown(url)}: more than {_MAX_REDIRECTS} redirects")

    def _busy(self, response: Response, what: str) -> RetryableError:
        status = response.status_code
        seconds = retry_after(response.headers.get("retry-after")) or _until_reset(response.headers)
        if seconds and seconds <= self._patience.total:
            self._pace.pause(seconds)
        asked = f" and asked to wait {seconds:.0f} s" if seconds else ""
        return RetryableError(
            f"{self._host} answered {status}{asked} for {what}",
            hint="the next run continues here" if status == 429 else "",
            retry_after=seconds or None,
        )

    # --- files ---------------------------------------------------------------------------------------

    def body(self, path: str, size: int | None, media_type: str, *, what: str) -> bytes | Stream:
        """A file: its bytes when it is small, else a stream that opens at any offset.

        Raises ``UnreadableError`` when a page comes where none was expected (that is how a login looks) or
        more comes than was listed.
        """
        if size is None or size > _WHOLE_BYTES:
            opened = partial(self.open, path, media_type, what=what)
            return Stream(lambda offset: opened(offset=offset), size, seekable=True)
        with self.open(path, media_type, what=what) as file:
            body = file.read(size + 1)
        if len(body) != size:
            more = "more" if len(body) > size else "less"
            raise UnreadableError(f"{what} has {more} than the {size} bytes that were listed")
        return body

    def open(self, path: str, media_type: str = "", *, offset: int = 0, what: str) -> io.BufferedReader:
        """The file at ``path`` (below the API's address, or a url) from ``offset`` on; it reconnects."""
        file = open_stream(self._files, path, offset, what=what)
        start = file.peek(64)[:64].lstrip(b"\xef\xbb\xbf \r\n\t").lower() if not offset else b""
        if start.startswith(_PAGE_STARTS) and "html" not in media_type.lower():
            file.close()
            raise UnreadableError(f"{what}: the site answered a page instead of the file", hint=_PAGE_HINT)
        return file

    def close(self) -> None:
        """Give the connections back."""
        self._files.close()
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    # --- the library ---------------------------------------------------------------------------------

    @property
    def _host(self) -> str:
        return hosts.origin(self.api)[1]

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                from atlassian.rest_client import AtlassianRestAPI

                given: dict[str, Any] = {}
                if self._token is not None and self._config.user:
                    given = {"username": self._config.user, "password": self._token.text()}
                elif self._token is not None:
                    given = {"token": self._token.text()}
                made = session(self.api, self._pace, self._count, MAX_ANSWER, ANSWER_SECONDS)
                self._made = AtlassianRestAPI(
                    self.api, session=made, cloud=self.cloud, retry_with_header=False, **given
                )
            return self._made

    def _count(self, received: int) -> None:
        self.received += received

    def _secret_headers(self) -> dict[str, str]:
        if self._token is None:
            return {}
        if not self._config.user:
            return {"authorization": f"Bearer {self._token.text().strip()}"}
        pair = f"{self._config.user}:".encode() + self._token.reveal()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}


def when(text: object) -> datetime | None:
    """A time as Atlassian writes it (``2026-01-02T03:04:05.678Z``, ``…+0000``), None when it is none."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _decoded(content: bytes) -> Any:
    """JSON as it is meant to be, else as some write it: with half of a character, or a number too large."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        loose = json.loads(content.decode("utf-8", "replace"))
        return json.loads(json.dumps(loose, ensure_ascii=False).encode("utf-8", "replace"))


_PAGE_HINT: Final = "that is how a login looks: check `url`, and whether single sign-on stands before the API"
_REASONS: Final = {
    400: "did not understand the request for",
    403: "refused access to",
    404: "does not have, or does not show,",
    410: "no longer has",
}


def _refusal(status: int, body: bytes, host: str, what: str, hint: str) -> AuthError | UnreadableError:
    if status == 401:
        if b"scope" in body[:4096].lower():
            return RefusedError(f"the token has no scope for {what} (401)", hint=hint, status=status)
        return AuthError(f"{host} refused the credentials for {what} (401)", hint=_LOGIN_HINT)
    reason = _REASONS.get(status, "could not give")
    kind = MissingError if status in (404, 410) else RefusedError
    return kind(f"{host} {reason} {what} ({status})", hint=hint, status=status)


def _login_counts(response: Response) -> None:
    """Bad credentials are answered as if nobody had asked, with 200 and this header beside it."""
    reason = response.headers.get("x-seraph-loginreason", "").upper()
    for known, words in _REFUSED_LOGINS.items():
        if known in reason:
            raise AuthError(words, hint=_LOGIN_HINT)


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the time in ``X-RateLimit-Reset``, where a site gives that alone."""
    reset = when(headers.get("x-ratelimit-reset", ""))
    return None if reset is None else max(0.0, (reset - datetime.now(UTC)).total_seconds())
