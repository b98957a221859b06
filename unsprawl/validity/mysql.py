"""MySQL and MariaDB: the connection phase, as far as the server says whether the password is right.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Final

from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Refused, unknown
from unsprawl.validity.line import Line
from unsprawl.validity.stream import Stream

__all__ = ["ask"]

_LONG_PASSWORD, _PROTOCOL_41, _TLS, _SECURE, _PLUGIN = 0x1, 0x200, 0x800, 0x8000, 0x80000
_LARGEST_PACKET: Final = 1 << 20
_UTF8MB4: Final = 45
_NATIVE: Final = "mysql_native_password"
_CACHING: Final = "caching_sha2_password"
_DENIED: Final = 1045
#: The password is right, and has to be changed: whoever has it can do that.
_EXPIRED: Final = frozenset({1820, 1862})
#: The account is locked, by its owner or by too many wrong passwords.
_LOCKED: Final = frozenset({3118, 3955, 4150, 4151})


@dataclass(slots=True)
class _Packets:
    """Packets with their numbers. One exchange has few."""

    stream: Stream
    number: int = 0

    def take(self) -> bytes:
        head = self.stream.take(4)
        self.number = head[3] + 1
        return self.stream.take(int.from_bytes(head[:3], "little"))

    def send(self, body: bytes) -> None:
        self.stream.send(len(body).to_bytes(3, "little") + bytes([self.number & 0xFF]) + body)
        self.number += 1


def ask(line: Line, host: str, port: int, user: str, password: str) -> Check:
    """Log in as ``user`` without choosing a database, and log out."""
    with line.connection(host, port, f"mysql greeting at {host}:{port} as {user}") as plain:
        packets = _Packets(Stream(plain))
        hello = packets.take()
        if hello[:1] == b"\xff":
            return unknown(f"{host} does not speak with us ({_code(hello)})")
        capabilities, nonce, plugin = _hello(hello)
        wanted = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE | _PLUGIN
        encrypted = bool(capabilities & _TLS)
        if encrypted:
            wanted |= _TLS
            packets.send(_head(wanted))
            packets.stream = Stream(line.secure(plain, host))
        elif not line.plain(host):
            return unknown(f"{host} offers no encryption: nothing was sent (checks.unencrypted allows it)")
        if plugin not in (_NATIVE, _CACHING):
            plugin = _NATIVE
        proof = _proof(plugin, password, nonce)
        packets.send(
            _head(wanted) + user.encode() + b"\0" + bytes([len(proof)]) + proof + plugin.encode() + b"\0"
        )
        return _answered(packets, host, user, password, encrypted=encrypted)


def _answered(packets: _Packets, host: str, user: str, password: str, *, encrypted: bool) -> Check:
    plugin = ""
    for _ in range(6):
        body = packets.take()
        if body[:1] == b"\0":
            packets.number = 0
            packets.send(b"\x01")
            return Check(Validity.ACTIVE, f"{host} accepts the password of {user}")
        if body[:1] == b"\xff":
            return _refused(host, user, password, _code(body))
        if body[:1] == b"\xfe" and len(body) > 1:
            name, _, nonce = body[1:].partition(b"\0")
            plugin = name.decode("ascii", "replace")
            if plugin not in (_NATIVE, _CACHING):
                return unknown(f"{host} asks {user} for a login of another kind ({_word(plugin)})")
            packets.send(_proof(plugin, password, nonce.removesuffix(b"\0")))
        elif body == b"\x01\x04":
            if not encrypted:
                return unknown(f"{host} wants the password in clear, without encryption: not sent")
            packets.send(password.encode() + b"\0")
        elif body != b"\x01\x03":
            break
    raise Refused("the server does not speak MySQL")


def _refused(host: str, user: str, password: str, code: int) -> Check:
    if code == _DENIED:
        if not password.isascii():
            return unknown(f"{host} refuses the password as it was written here ({code})")
        return Check(Validity.INACTIVE, f"{host} refuses the password of {user} from here ({code})")
    if code in _LOCKED:
        return unknown(f"locked: {host} lets {user} not log in ({code})")
    if code in _EXPIRED:
        return Check(
            Validity.ACTIVE, f"{host} accepts the password of {user}, which has to be changed ({code})"
        )
    return unknown(f"{host} lets {user} not come so far ({code})")


def _hello(body: bytes) -> tuple[int, bytes, str]:
    """Capabilities, nonce and plug-in of a handshake of version 10."""
    version, _, rest = body[1:].partition(b"\0")
    if body[:1] != b"\x0a" or not version or len(rest) < 31:
        raise Refused("the server does not speak MySQL")
    lower, _, _, upper, size = struct.unpack_from("<HBHHB", rest, 13)
    second = rest[31 : 31 + max(13, size - 8)]
    plugin = rest[31 + max(13, size - 8) :].partition(b"\0")[0].decode("ascii", "replace")
    return lower | upper << 16, rest[4:12] + second[:12], plugin


def _head(capabilities: int) -> bytes:
    return struct.pack("<IIB", capabilities, _LARGEST_PACKET, _UTF8MB4) + bytes(23)


def _proof(plugin: str, password: str, nonce: bytes) -> bytes:
    raw = password.encode()
    if plugin == _CACHING:
        once = sha256(raw).digest()
        mask = sha256(sha256(once).digest() + nonce).digest()
    else:
        once = sha1(raw, usedforsecurity=False).digest()
        twice = sha1(once, usedforsecurity=False).digest()
        mask = sha1(nonce + twice, usedforsecurity=False).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def _code(body: bytes) -> int:
    return int.from_bytes(body[1:3], "little")


def _word(text: str) -> str:
    return text if text.replace("_", "").isalnum() and len(text) < 40 else "unnamed"
