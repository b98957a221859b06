"""What went wrong on the line, in words: the client library's errors as ours."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from unsprawl.errors import RetryableError
from unsprawl.wire import hosts
from unsprawl.wire.patience import Again

if TYPE_CHECKING:
    import httpx2

__all__ = ["explain"]


def explain(error: httpx2.HTTPError | httpx2.InvalidURL, url: str) -> Again | RetryableError:
    """:class:`Again` for what may mend by itself, :class:`RetryableError` for what a person has to mend."""
    import httpx2

    _, host, port = hosts.origin(url)
    where = f"{host}:{port}"
    if isinstance(error, httpx2.InvalidURL):
        return RetryableError(f"{hosts.shown(url)} is not an address")
    if isinstance(error, httpx2.ConnectTimeout):
        return Again(RetryableError(f"{where} cannot be reached: no connection in time", hint=_HINT))
    if isinstance(error, httpx2.TimeoutException):
        return Again(RetryableError(f"{where} stopped answering"))
    if isinstance(error, httpx2.ProxyError):
        return Again(
            RetryableError(f"the proxy refused the way to {where}", hint="see HTTPS_PROXY and NO_PROXY")
        )
    if isinstance(error, httpx2.ConnectError):
        return _connection(error, where)
    if isinstance(error, (httpx2.UnsupportedProtocol, httpx2.DecodingError)):
        return RetryableError(f"{where} sent what cannot be read ({type(error).__name__})")
    return Again(RetryableError(f"{where} broke the connection"))


_HINT: Final = "is the address right, and does a firewall or proxy stand between?"


def _connection(error: Exception, where: str) -> Again | RetryableError:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(one) for one in causes).lower()
    if (
        any(isinstance(one, ssl.SSLCertVerificationError) for one in causes)
        or "certificate verify failed" in text
    ):
        return RetryableError(
            f"the certificate of {where} is not trusted", hint="name the authority's file in SSL_CERT_FILE"
        )
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return RetryableError(f"{where} does not speak TLS as expected", hint="is it an http:// address?")
    if "refused" in text:
        return Again(RetryableError(f"{where} refused the connection", hint=_HINT), soon=True)
    if any(
        word in text
        for word in ("name or service", "nodename", "getaddrinfo", "name resolution", "no address")
    ):
        # A resolver that cannot be reached says "temporary"; one that knows no such name has spoken.
        known_not = "temporary" not in text
        return Again(RetryableError(f"the name {where} cannot be resolved", hint=_HINT), soon=known_not)
    return Again(RetryableError(f"{where} cannot be reached", hint=_HINT))
