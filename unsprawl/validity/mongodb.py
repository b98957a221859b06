"""MongoDB: ``hello`` and one SCRAM conversation over OP_MSG.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/

The greeting tells first whether the user is known in the database ``admin``, and by which mechanisms: a user
of another database would be refused there whatever the password, so nothing is tried.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from hashlib import md5
from typing import Any, Final

from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Refused, unknown
from unsprawl.validity.line import Line
from unsprawl.validity.scram import Scram
from unsprawl.validity.stream import Stream

__all__ = ["ask", "decode", "encode"]

_OP_MSG: Final = 2013
_AUTHENTICATION_FAILED: Final = 18
_DEEPEST: Final = 8
_MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-1")


def ask(line: Line, host: str, port: int, user: str, password: str) -> Check:
    with line.connection(host, port, f"mongodb greeting at {host}:{port} as {user}") as plain:
        stream = Stream(plain if line.plain(host) else line.secure(plain, host))
        known = _talk(stream, {"hello": 1, "saslSupportedMechs": f"admin.{user}", "$db": "admin"})
        offered = known.get("saslSupportedMechs") or {}
        names = offered.values() if isinstance(offered, Mapping) else ()
        mechanism = next((name for name in _MECHANISMS if name in names), "")
        if not mechanism:
            return unknown(f"{host} knows no {user} in the database admin: nothing was tried")
        if mechanism == "SCRAM-SHA-1":
            digest = md5(f"{user}:mongo:{password}".encode(), usedforsecurity=False).hexdigest()
            scram = Scram(user, digest.encode(), "sha1")
        else:
            scram = Scram(user, password.encode())
        return _conversation(stream, host, user, password, mechanism, scram)


def _conversation(stream: Stream, host: str, user: str, password: str, mechanism: str, scram: Scram) -> Check:
    start = {"saslStart": 1, "mechanism": mechanism, "payload": scram.first(), "$db": "admin"}
    answer = _talk(stream, start)
    if answer.get("ok") == 1:
        number = answer.get("conversationId", 1)
        payload = scram.final(bytes(answer.get("payload", b"")))
        answer = _talk(
            stream, {"saslContinue": 1, "conversationId": number, "payload": payload, "$db": "admin"}
        )
    if answer.get("ok") == 1:
        if not scram.proven(bytes(answer.get("payload", b""))):
            return unknown(f"{host} does not prove that it knows the password")
        return Check(Validity.ACTIVE, f"{host} accepts the password of {user}")
    code = answer.get("code")
    if code == _AUTHENTICATION_FAILED and password.isascii():
        return Check(Validity.INACTIVE, f"{host} refuses the password of {user} ({code})")
    return unknown(f"{host} lets {user} not come so far ({code if isinstance(code, int) else 'no code'})")


def _talk(stream: Stream, command: Mapping[str, Any]) -> dict[str, Any]:
    body = struct.pack("<I", 0) + b"\0" + encode(command)
    stream.send(struct.pack("<iiii", len(body) + 16, 1, 0, _OP_MSG) + body)
    size, _, _, code = struct.unpack("<iiii", stream.take(16))
    answer = stream.take(size - 16)
    if code != _OP_MSG or len(answer) < 10 or answer[4:5] != b"\0":
        raise Refused("the server does not speak MongoDB")
    return decode(answer[5:])


# --- as much of BSON as a greeting needs -------------------------------------------------------------


def encode(document: Mapping[str, Any]) -> bytes:
    """Texts, whole numbers and bytes."""
    parts = bytearray()
    for name, value in document.items():
        key = name.encode() + b"\0"
        if isinstance(value, bytes):
            parts += b"\x05" + key + struct.pack("<i", len(value)) + b"\0" + value
        elif isinstance(value, str):
            raw = value.encode() + b"\0"
            parts += b"\x02" + key + struct.pack("<i", len(raw)) + raw
        elif isinstance(value, Mapping):
            parts += b"\x03" + key + encode(value)
        else:
            parts += b"\x10" + key + struct.pack("<i", value)
    return struct.pack("<i", len(parts) + 5) + bytes(parts) + b"\0"


#: Sizes of the types that have a fixed one, and of which nothing is needed.
_FIXED: Final = {0x07: 12, 0x09: 8, 0x0A: 0, 0x11: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}


def decode(raw: bytes, depth: int = 0) -> dict[str, Any]:
    """A document; arrays become mappings by position. ``ValueError`` and its like for what is none."""
    (size,) = struct.unpack_from("<i", raw)
    if size > len(raw) or size < 5 or depth > _DEEPEST:
        raise ValueError("not BSON")
    found: dict[str, Any] = {}
    at, end = 4, size - 1
    while at < end:
        kind = raw[at]
        stop = raw.index(b"\0", at + 1, end)
        name = raw[at + 1 : stop].decode("utf-8", "replace")
        at = stop + 1
        if kind == 0x01:
            found[name], at = struct.unpack_from("<d", raw, at)[0], at + 8
        elif kind in (0x02, 0x05):
            length = struct.unpack_from("<i", raw, at)[0]
            start = at + 4 + (kind == 0x05)
            if length < 0 or start + length > end:
                raise ValueError("not BSON")
            value = raw[start : start + length]
            found[name] = value if kind == 0x05 else value[:-1].decode("utf-8", "replace")
            at = start + length
        elif kind in (0x03, 0x04):
            length = struct.unpack_from("<i", raw, at)[0]
            found[name], at = decode(raw[at:end], depth + 1), at + max(5, length)
        elif kind == 0x08:
            found[name], at = raw[at] == 1, at + 1
        elif kind == 0x10:
            found[name], at = struct.unpack_from("<i", raw, at)[0], at + 4
        elif kind == 0x12:
            found[name], at = struct.unpack_from("<q", raw, at)[0], at + 8
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError("not BSON")
    return found
