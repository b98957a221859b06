"""HasMySecretLeaked and Pwned Passwords as they are documented: buckets and ranges of hashes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.leaklists import hmsl_hash, hmsl_hint


class LeakServer(LoopbackServer):
    """Both services: the buckets of one, the ranges of the other."""

    def __init__(self, leaked: dict[str, dict[str, Any]], breached: dict[str, int]) -> None:
        super().__init__()
        self._hashes = {hmsl_hash(value.encode()): payload for value, payload in leaked.items()}
        self._digests = {hashlib.sha1(value.encode()).hexdigest().upper(): n for value, n in breached.items()}

    def answer(self, request: Request) -> Answer:
        if request.path == "/v1/prefixes":
            return self._bucket(json.loads(request.body)["prefixes"])
        prefix = request.path.rpartition("/")[2]
        lines = [f"{digest[5:]}:{n}" for digest, n in self._digests.items() if digest.startswith(prefix)]
        if request.headers.get("add-padding") == "true":
            lines += [f"{os.urandom(18).hex()[:35].upper()}:0" for _ in range(800)]
        return Answer(200, "\r\n".join(lines).encode(), {"content-type": "text/plain"})

    def _bucket(self, prefixes: list[str]) -> Answer:
        if len(prefixes) > 10:
            return data({"detail": "too many prefixes"}, 422)
        matches = [{"hint": os.urandom(32).hex(), "payload": base64.b64encode(os.urandom(60)).decode()}]
        for hashed, payload in self._hashes.items():
            if hashed.hex()[:5] in prefixes:
                nonce = os.urandom(12)
                sealed = nonce + AESGCM(hashed).encrypt(nonce, json.dumps(payload).encode(), None)
                matches.append({"hint": hmsl_hint(hashed), "payload": base64.b64encode(sealed).decode()})
        return data({"matches": matches})
