"""Which hosts and addresses may be called: everything that a found text says about a host is hostile."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Lock
from typing import Final, TypeAlias

from unsprawl.errors import ConfigError
from unsprawl.validity.credential import Refused

__all__ = ["Pins", "Resolve", "allowed", "host_of", "lookup", "networks_of", "place_of"]

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network
#: A name to its addresses, in the order in which they are to be tried.
Resolve: TypeAlias = Callable[[str, int], Sequence[str]]

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
#: Where clouds hand out credentials: never called, whatever the owner allows.
_METADATA: Final = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"))
)
_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_MOST_ADDRESSES: Final = 16


def host_of(text: str) -> str:
    """A host in the one form in which it is compared: small letters, no dot at its end, no brackets.

    A name, or an address as it is usually written; what only a lenient parser would take for one
    (``2130706433``, ``0x7f.1``, ``127.1``, a zone, userinfo) is refused.
    """
    host = text.strip().lower().removesuffix(".")
    if host.startswith("[") and host.endswith("]"):
        return str(_address(host[1:-1], version=6))
    if ":" in host:
        return str(_address(host, version=6))
    if len(host) > 253 or not host.isascii():
        raise Refused("the host is no plain name")
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise Refused("the host is no plain name")
    if _NUMERIC.fullmatch(labels[-1]):
        return str(_address(host, version=4))
    return host


def _address(text: str, version: int) -> _Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise Refused("the host is no plain name or address") from None
    if address.version != version or (isinstance(address, IPv6Address) and address.scope_id):
        raise Refused("the host is no plain name or address")
    return address


def place_of(text: str, port: int) -> tuple[str, int]:
    """Host and port of ``db.acme.test:5433``, ``[::1]:6379`` or a host alone."""
    match = re.fullmatch(
        r"(?P<host>\[[^\]]*\]|[^:\[\]]*|[^\[\]]*:[^\[\]]*:[^\[\]]*?)(?::(?P<port>\d{1,5}))?", text
    )
    if match is None:
        raise Refused("the host is no plain name or address")
    number = int(match["port"]) if match["port"] else port
    if not 0 < number < 65536:
        raise Refused("the port is none")
    return host_of(match["host"]), number


def allowed(host: str, globs: Iterable[str]) -> bool:
    """Whether one of ``globs`` (``db.acme.test``, ``*.acme.test``) names this host."""
    return any(fnmatchcase(host, glob.lower().removesuffix(".")) for glob in globs)


def networks_of(texts: Iterable[str]) -> tuple[_Network, ...]:
    """Networks and addresses as the configuration has them. ``ConfigError`` for what is none."""
    found = []
    for text in texts:
        try:
            found.append(ip_network(text))
        except ValueError:
            raise ConfigError(
                f"checks.networks: {text!r} is no network", hint="write 10.0.0.0/8 or 10.1.2.3"
            ) from None
    return tuple(found)


def _inner(address: _Address) -> Iterable[_Address]:
    """The address, and what is packed into it: a mapped, 6to4, Teredo or NAT64 address leads elsewhere."""
    yield address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            yield address.ipv4_mapped
        if address.sixtofour:
            yield address.sixtofour
        if address.teredo:
            yield from address.teredo
        if any(address in network for network in _NAT64):
            yield IPv4Address(int(address) & 0xFFFFFFFF)
        if int(address) >> 32 == 0 and int(address) > 1:
            yield IPv4Address(int(address))  # compatible addresses, long deprecated


def refusal(address: _Address, networks: Sequence[_Network]) -> str:
    """Why this address may not be called, "" when it may."""
    for one in _inner(address):
        if one in _METADATA:
            return "an address of a cloud's metadata service"
        if any(one.version == network.version and one in network for network in networks):
            continue
        if one.is_loopback:
            return "an address of this machine"
        if one.is_link_local:
            return "a link-local address"
        if not one.is_global or one.is_multicast or one.is_reserved or one.is_unspecified:
            return "a private address"
    return ""


def lookup(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused("its name cannot be resolved") from None
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Pins:
    """Hosts to addresses, each asked for once: a name that later leads elsewhere is not followed.

    One address that may not be called condemns the name, for mixed answers are how names are rebound.
    """

    def __init__(self, resolve: Resolve, networks: Sequence[_Network]) -> None:
        self._resolve = resolve
        self._networks = networks
        self._known: dict[str, tuple[str, ...] | str] = {}
        self._lock = Lock()

    def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of ``host`` (as :func:`host_of` writes it), or :class:`Refused`."""
        with self._lock:
            known = self._known.get(host)
        if known is None:
            known = self._judged(host, port)
            with self._lock:
                known = self._known.setdefault(host, known)
        if isinstance(known, str):
            raise Refused(known)
        return known

    def _judged(self, host: str, port: int) -> tuple[str, ...] | str:
        try:
            found: Sequence[str] = [str(ip_address(host))]
        except ValueError:
            try:
                found = self._resolve(host, port)
            except Refused as refused:
                return refused.reason
        addresses = []
        for text in list(found)[:_MOST_ADDRESSES]:
            try:
                address = ip_address(text.partition("%")[0])
            except ValueError:
                return "its name leads to no address"
            reason = refusal(address, self._networks)
            if reason:
                return f"{host} leads to {reason}: not called"
            addresses.append(str(address))
        return tuple(addresses) or "its name leads to no address"
