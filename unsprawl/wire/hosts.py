"""Which host may see a credential, and which redirect may be followed."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from unsprawl.errors import ConfigError, UnreadableError

__all__ = ["base_url", "is_loopback", "join", "origin", "redirect", "same_host", "shown"]

_PORTS: Final = {"http": 80, "https": 443}
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")


def base_url(url: str) -> str:
    """A configured address, checked: http or https, a host, no userinfo. Ends without a slash."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_fits = SplitResult("", "", "", "", ""), False
    if parts.scheme not in _PORTS or not parts.hostname or not port_fits or _UNSAFE.search(url):
        raise ConfigError(
            f"not an http or https address: {shown(url)}", hint="write it as https://host[:port][/path]"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"credentials in the address of {parts.hostname}",
            hint="give them as `user` and `token` references",
        )
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def join(base: str, reference: str) -> str:
    """``reference`` below ``base``. A path with a leading slash is below the base's own path."""
    if "://" in reference:
        return reference
    if reference.startswith("/"):
        return base + reference
    return urljoin(base + "/", reference)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: credentials given for one origin are sent to no other."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)


def same_host(one: str, other: str) -> bool:
    """Whether two urls name one host, whatever the port; all loopback names are one host."""
    a, b = origin(one)[1], origin(other)[1]
    return a == b or (is_loopback(a) and is_loopback(b))


def is_loopback(host: str) -> bool:
    """``localhost`` and the loopback addresses, bracketed or not."""
    host = host.strip("[]")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def redirect(url: str, location: str, base: str) -> str:
    """Where a redirect leads, or :class:`UnreadableError` when it must not be followed.

    Plain http only when the configured base is plain http; link-local addresses (cloud metadata)
    never; loopback only for those who are there already.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UnreadableError(f"{origin(url)[1]} redirects to an address that is none") from None
    reason = ""
    if parts.scheme not in _PORTS or not host or _UNSAFE.search(target):
        reason = "an address that is not http"
    elif parts.scheme == "http" and urlsplit(base).scheme == "https":
        reason = f"unencrypted http on {host}"
    elif _is_link_local(host):
        reason = "a link-local address"
    elif is_loopback(host) and not is_loopback(origin(base)[1]):
        reason = "this machine"
    if reason:
        raise UnreadableError(f"{origin(url)[1]} redirects to {reason}: not followed")
    return target


def shown(url: str) -> str:
    """A url fit for messages: no userinfo, no query (signed urls), no control characters, one short line."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(malformed address)"
    text = f"{parts.scheme}://{host}{port}{parts.path}" if host else parts.path.rpartition("@")[2]
    return re.sub(r"[^\x21-\x7e]", "?", text)[:200]


def _is_link_local(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_link_local
    except ValueError:
        return False
