"""How the session of atlassian-python-api behaves towards a slow, broken or hostile site.

The library reads every answer whole, without a limit, and follows redirects with whatever they lead
to. The adapter below reads for it, under a cap and a deadline; :func:`session` switches off the rest:
cookies, ``.netrc``, retries and log lines that hold bodies.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.wire import hosts, usage
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import Again

if TYPE_CHECKING:
    from requests import RequestException, Session

__all__ = ["TooLargeError", "explain", "session"]

_TIMEOUTS: Final = (10.0, 60.0)
_BLOCK: Final = 64 << 10
_HINT: Final = "is the address right, and does a firewall or proxy stand between?"


class TooLargeError(UnreadableError):
    """An answer beyond the cap: less has to be asked for at once."""


def session(url: str, pace: Pace, count: Callable[[int], None], limit: int, seconds: float) -> Session:
    """A session for ``url``: answers of ``limit`` bytes and ``seconds`` at most; ``count`` gets sizes."""
    from http.cookiejar import DefaultCookiePolicy

    import requests
    from requests.adapters import HTTPAdapter
    from requests.utils import get_environ_proxies

    class Guarded(HTTPAdapter):
        def send(self, request: Any, *_: Any, **given: Any) -> requests.Response:
            pace.wait()
            usage.count()
            given |= {"stream": True, "timeout": _TIMEOUTS}
            response = super().send(request, **given)
            try:
                body = _read(response, limit, seconds)
            finally:
                response.close()
            count(len(body))
            response.raw = io.BytesIO(body)
            response.headers.pop("content-encoding", None)
            response._content, response._content_consumed = body, True  # noqa: SLF001 - what reading it sets
            return response

    # At DEBUG these write whole answers, and the secrets in them.
    for name in ("atlassian", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)
    made = requests.Session()
    # The environment decides on proxies and authorities, but .netrc would add somebody's password.
    made.trust_env = False
    made.proxies.update(get_environ_proxies(url))
    made.verify = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    made.headers["accept-encoding"] = "gzip, identity"
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = Guarded(pool_connections=2, pool_maxsize=16, max_retries=0)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


def _read(response: Any, limit: int, seconds: float) -> bytes:
    body, deadline, shown = bytearray(), time.monotonic() + seconds, hosts.shown(response.url)
    for chunk in response.iter_content(_BLOCK):
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"{shown} answered more than {limit} bytes", hint="ask for less at once")
        if time.monotonic() > deadline:
            raise Again(RetryableError(f"{shown} took longer than {seconds:.0f} s"), soon=True)
    return bytes(body)


def explain(error: RequestException, url: str) -> Again | RetryableError:
    """What went wrong on the line: :class:`Again` for what may mend, else what a person has to mend."""
    from requests import exceptions as broken

    _, host, port = hosts.origin(url)
    where, text = f"{host}:{port}", str(error).lower()
    if isinstance(error, broken.SSLError):
        if "certificate" in text:
            hint = "name the authority's file in SSL_CERT_FILE"
            return RetryableError(f"the certificate of {where} is not trusted", hint=hint)
        return RetryableError(f"{where} does not speak TLS as expected", hint="is it an http:// address?")
    if isinstance(error, broken.ProxyError):
        hint = "see HTTPS_PROXY and NO_PROXY"
        return Again(RetryableError(f"the proxy refused the way to {where}", hint=hint))
    if isinstance(error, broken.ConnectTimeout):
        return Again(RetryableError(f"{where} cannot be reached: no connection in time", hint=_HINT))
    if isinstance(error, broken.Timeout) or "read timed out" in text:
        return Again(RetryableError(f"{where} stopped answering"))
    if isinstance(error, broken.ContentDecodingError):
        return Again(RetryableError(f"{where} sent what cannot be unpacked"))
    if isinstance(error, broken.ChunkedEncodingError):
        return Again(RetryableError(f"{where} broke the connection"))
    if isinstance(error, broken.ConnectionError):
        if "resolve" in text or "name or service" in text:
            known_not = "temporary" not in text
            return Again(RetryableError(f"the name {where} cannot be resolved", hint=_HINT), soon=known_not)
        if "refused" in text:
            return Again(RetryableError(f"{where} refused the connection", hint=_HINT), soon=True)
        return Again(RetryableError(f"{where} broke the connection", hint=_HINT))
    return RetryableError(f"{where} could not be asked ({type(error).__name__})", hint=_HINT)
