"""One request to a channel: no redirects, a deadline, and errors that hold no address beyond its host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from unsprawl.errors import AuthError, ConfigError, RetryableError, UnreadableError
from unsprawl.wire.client import Response, user_agent
from unsprawl.wire.patience import RETRIED_STATUS, retry_after

__all__ = ["send"]

#: Seconds for all of it: whoever takes longer is told again later, under the same name.
_TIMEOUT: Final = 15.0
_LARGEST: Final = 1 << 20


def send(method: str, url: str, *, headers: Mapping[str, str], content: bytes | None = None) -> Response:
    """The answer, which is a success. ``url`` may be a credential itself: no error shows more than its host.

    ``RetryableError`` for what a later attempt may mend, ``AuthError`` and ``UnreadableError`` for what it
    will not, ``ConfigError`` for something that is no address.
    """
    import httpx2

    host = _host(url)
    try:
        with (
            httpx2.Client(timeout=_TIMEOUT, follow_redirects=False) as client,
            client.stream(
                method, url, headers={"user-agent": user_agent(), **headers}, content=content
            ) as answer,
        ):
            body = bytearray()
            for block in answer.iter_bytes():
                body += block
                if len(body) > _LARGEST:
                    break
            status = answer.status_code
            found = {name.lower(): value for name, value in answer.headers.items()}
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise RetryableError(f"{host} cannot be reached ({type(error).__name__})") from None
    if status in RETRIED_STATUS:
        asked = retry_after(found.get("retry-after", ""))
        raise RetryableError(f"{host} answered {status}", retry_after=asked)
    if status in (401, 403):
        raise AuthError(f"{host} refused ({status})", hint="check the address or token of the channel")
    if 300 <= status < 400:
        raise UnreadableError(f"{host} sends elsewhere ({status})", hint="give the address it leads to")
    if not 200 <= status < 300:
        raise UnreadableError(f"{host} answered {status}")
    return Response(f"https://{host}", status, found, bytes(body))


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname, parts.scheme
    except ValueError:
        host, scheme = None, ""
    if not host or scheme not in ("http", "https"):
        raise ConfigError("the address of a channel is no http or https address")
    return host
