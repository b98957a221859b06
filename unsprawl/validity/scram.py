"""SCRAM (RFC 5802, RFC 7677), the client's side: no password is sent, and the server proves itself too."""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from hashlib import new, pbkdf2_hmac
from typing import Final

from unsprawl.validity.credential import Refused

__all__ = ["Scram"]

_FIRST: Final = re.compile(r"r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=(\d{1,7})")
#: Fewer rounds would hand out a hash that is quick to guess, more would keep this machine busy.
_ROUNDS: Final = range(4096, 1_000_001)


class Scram:
    """One exchange. ``password`` as the mechanism wants it; ``digest`` is ``sha256`` or ``sha1``."""

    def __init__(self, user: str, password: bytes, digest: str = "sha256") -> None:
        self._password = password
        self._digest = digest
        self._nonce = b64encode(secrets.token_bytes(18)).decode()
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._expected = b""

    def first(self) -> bytes:
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's first message. :class:`Refused` when that is none."""
        text = challenge.decode("ascii", "replace")
        match = _FIRST.match(text)
        if match is None or not match[1].startswith(self._nonce) or int(match[3]) not in _ROUNDS:
            raise Refused("the server's challenge is none that should be answered")
        salted = pbkdf2_hmac(self._digest, self._password, b64decode(match[2]), int(match[3]))
        without = f"c=biws,r={match[1]}"
        message = f"{self._bare},{text},{without}".encode()
        client = hmac.digest(salted, b"Client Key", self._digest)
        signature = hmac.digest(new(self._digest, client).digest(), message, self._digest)
        proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        self._expected = hmac.digest(hmac.digest(salted, b"Server Key", self._digest), message, self._digest)
        return f"{without},p={b64encode(proof).decode()}".encode()

    def proven(self, answer: bytes) -> bool:
        """Whether the server's last message shows that it knows the password."""
        match = re.match(r"v=([A-Za-z0-9+/=]+)", answer.decode("ascii", "replace"))
        return bool(match and self._expected and hmac.compare_digest(b64decode(match[1]), self._expected))
