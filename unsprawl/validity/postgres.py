"""PostgreSQL: the greeting of protocol 3, as far as the server says whether the password is right.

https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import struct
from hashlib import md5
from typing import Final

from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Refused, unknown
from unsprawl.validity.line import Line
from unsprawl.validity.scram import Scram
from unsprawl.validity.stream import Stream

__all__ = ["ask"]

_ENCRYPT: Final = struct.pack("!ii", 8, 80877103)
_VERSION: Final = 196608
#: Of a role that may not log in, after its password was found right.
_NO_LOGIN: Final = "28000"
_WRONG: Final = "28P01"
_OK, _CLEAR, _MD5, _SASL, _CONTINUE, _FINAL = 0, 3, 5, 10, 11, 12


def ask(line: Line, host: str, port: int, user: str, password: str) -> Check:
    """Say hello as ``user``, and goodbye. The database ``postgres`` is asked for, and need not be there."""
    shown = f"postgres greeting at {host}:{port} as {user}"
    with line.connection(host, port, shown) as plain:
        stream = Stream(plain)
        stream.send(_ENCRYPT)
        answer = stream.take(1)
        encrypted = answer == b"S"
        if encrypted:
            stream = Stream(line.secure(plain, host))
        elif not line.plain(host):
            return unknown(f"{host} offers no encryption: nothing was sent (checks.unencrypted allows it)")
        elif answer != b"N":
            return unknown(f"{host} does not speak PostgreSQL")
        fields = ("user", user, "database", "postgres", "application_name", "unsprawl", "")
        body = struct.pack("!i", _VERSION) + b"\0".join(field.encode() for field in fields) + b"\0"
        stream.send(struct.pack("!i", len(body) + 4) + body)
        return _greeted(stream, host, user, password, encrypted=encrypted)


def _greeted(stream: Stream, host: str, user: str, password: str, *, encrypted: bool) -> Check:
    scram = Scram(user, password.encode())
    sent = accepted = False
    superuser = ""
    while True:
        kind, body = _message(stream)
        if kind == b"R":
            (code,) = struct.unpack_from("!i", body)
            if code == _OK:
                if not sent:
                    return unknown(f"{host} asks {user} for no password")
                accepted = True
            elif code == _SASL and b"SCRAM-SHA-256\0" in body:
                first = scram.first()
                _send(stream, b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
                sent = True
            elif code == _CONTINUE:
                _send(stream, b"p", scram.final(body[4:]))
            elif code == _FINAL:
                if not scram.proven(body[4:]):
                    return unknown(f"{host} does not prove that it knows the password")
            elif code == _MD5:
                inner = md5(password.encode() + user.encode(), usedforsecurity=False).hexdigest()
                outer = md5(inner.encode() + body[4:8], usedforsecurity=False).hexdigest()
                _send(stream, b"p", f"md5{outer}".encode() + b"\0")
                sent = True
            elif code == _CLEAR and encrypted:
                _send(stream, b"p", password.encode() + b"\0")
                sent = True
            else:
                return unknown(f"{host} asks for a login of another kind")
        elif kind == b"E":
            return _error(host, user, password, _state(body), accepted=accepted, sent=sent)
        elif kind == b"S" and body.startswith(b"is_superuser\0on\0"):
            superuser = "admin: superuser"
        elif kind == b"Z":
            _send(stream, b"X", b"")
            return Check(Validity.ACTIVE, f"{host} accepts the password of {user}", superuser)


def _error(host: str, user: str, password: str, state: str, *, accepted: bool, sent: bool) -> Check:
    if accepted and state == _NO_LOGIN:
        return unknown(f"locked: {host} knows the password of {user}, who may not log in ({state})")
    if accepted:
        return Check(Validity.ACTIVE, f"{host} accepts the password of {user}, and ends there ({state})")
    if sent and state == _WRONG:
        if not password.isascii():
            return unknown(f"{host} refuses the password as it was written here ({state})")
        return Check(Validity.INACTIVE, f"{host} refuses the password of {user} ({state})")
    return unknown(f"{host} lets {user} not come so far ({state})")


def _state(body: bytes) -> str:
    for field in body.split(b"\0"):
        if field[:1] == b"C" and len(field) == 6 and field[1:].isalnum():
            return field[1:].decode("ascii")
    return "no code"


def _message(stream: Stream) -> tuple[bytes, bytes]:
    kind = stream.take(1)
    (size,) = struct.unpack("!i", stream.take(4))
    if not kind.isalpha() or size < 4:
        raise Refused("the server does not speak PostgreSQL")
    return kind, stream.take(size - 4)


def _send(stream: Stream, kind: bytes, body: bytes) -> None:
    stream.send(kind + struct.pack("!i", len(body) + 4) + body)
