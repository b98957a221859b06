"""Lists of leaked values, asked without telling the value: some digits of its hash go out, many come back.

HasMySecretLeaked (GitGuardian) knows values that stood in public repositories; of the slow hash of a value
five hexadecimal digits are sent, and what comes back can be opened with the rest of the hash alone. Pwned
Passwords knows passwords of breaches; of the SHA-1 five digits are sent, and a padded list of the others
comes back. Both are asked only when somebody says so.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from unsprawl.errors import UnreadableError
from unsprawl.secret import Secret
from unsprawl.wire.client import Client, Fixed
from unsprawl.wire.patience import Patience

__all__ = [
    "HIBP_URL",
    "HMSL_URL",
    "Leak",
    "ask",
    "hmsl_hash",
    "hmsl_hint",
    "hmsl_open",
    "in_breaches",
    "in_public",
]

HMSL_URL: Final = "https://api.hasmysecretleaked.com"
HIBP_URL: Final = "https://api.pwnedpasswords.com"

#: The parameters of HasMySecretLeaked's hash, and digits of it that are sent.
_SALT: Final = hashlib.sha256(b"GitGuardian").digest()
_PREFIX: Final = 5
#: Prefixes that one request may hold.
_TOGETHER: Final = 10
_NONCE: Final = 12
#: Shorter values are on every list.
_SHORTEST: Final = 6
_RANGE_LINE: Final = re.compile(r"([0-9A-F]{35}):(\d{1,10})")
_PATIENCE: Final = Patience(attempts=4, total=60.0)


def ask(name: str, values: Sequence[Secret]) -> list[Leak]:
    """What the list called ``hmsl`` or ``hibp`` knows of ``values``. Raises ``SourceError``.

    ``HMSL_TOKEN`` is sent if it is set; ``UNSPRAWL_HMSL_URL`` and ``UNSPRAWL_HIBP_URL`` name a proxy.
    """
    if name == "hmsl":
        token = os.environ.get("HMSL_TOKEN")
        url = os.environ.get("UNSPRAWL_HMSL_URL") or HMSL_URL
        return in_public(values, url, Secret(token) if token else None)
    return in_breaches(values, os.environ.get("UNSPRAWL_HIBP_URL") or HIBP_URL)


@dataclass(frozen=True, slots=True)
class Leak:
    """What a list says of a value: how often it stands there, and where, if it tells."""

    number: int
    source: str
    count: int
    url: str = field(default="")

    def __str__(self) -> str:
        where = f", {self.url}" if self.url else ""
        return f"{self.source}: {self.count:,} times{where}"


def hmsl_hash(value: bytes) -> bytes:
    """The slow hash of a value, 32 bytes."""
    return hashlib.scrypt(value, salt=_SALT, n=2048, r=8, p=1, dklen=32)


def hmsl_hint(hashed: bytes) -> str:
    """What tells one answer from the others of its bucket."""
    return hashlib.sha256(hashed).hexdigest()


def hmsl_open(hashed: bytes, payload: str) -> dict[str, Any]:
    """The answer that only the holder of the hash can read. ``UnreadableError`` for anything else."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        sealed = base64.b64decode(payload, validate=True)
        opened = json.loads(AESGCM(hashed).decrypt(sealed[:_NONCE], sealed[_NONCE:], None))
    except (InvalidTag, ValueError, binascii.Error, RecursionError):
        raise UnreadableError("HasMySecretLeaked gave an answer that cannot be opened") from None
    if not isinstance(opened, dict):
        raise UnreadableError("HasMySecretLeaked gave an answer of another form")
    return opened


def in_public(values: Sequence[Secret], url: str = HMSL_URL, token: Secret | None = None) -> list[Leak]:
    """Which of ``values`` HasMySecretLeaked knows. Raises ``SourceError``.

    ``number`` of a leak is the place of its value. With a ``token`` more questions are answered.
    """
    hashes: dict[int, bytes] = {
        number: hmsl_hash(value.reveal())
        for number, value in enumerate(values)
        if len(value.reveal()) >= _SHORTEST
    }
    prefixes = sorted({hashed.hex()[:_PREFIX] for hashed in hashes.values()})
    answers: dict[str, str] = {}
    headers = {"authorization": f"Bearer {token.text()}"} if token else {}
    with Client(url, credentials=Fixed(headers), patience=_PATIENCE) as client:
        for at in range(0, len(prefixes), _TOGETHER):
            content = json.dumps({"prefixes": prefixes[at : at + _TOGETHER]}).encode()
            response = client.request(
                "POST", "/v1/prefixes", headers={"content-type": "application/json"}, content=content
            )
            hint = "without a token few questions a day are answered"
            for match in _matches(response.expect("its list of hashes", hint).json()):
                answers[match["hint"]] = match["payload"]
    found = []
    for number, hashed in hashes.items():
        payload = answers.get(hmsl_hint(hashed))
        if payload is not None:
            opened = hmsl_open(hashed, payload)
            place = opened.get("l")
            where = str(place.get("u") or "") if isinstance(place, dict) else ""
            count = opened.get("c")
            found.append(Leak(number, "HasMySecretLeaked", count if isinstance(count, int) else 1, where))
    return found


def _matches(answer: Any) -> list[Mapping[str, str]]:
    matches = answer.get("matches") if isinstance(answer, dict) else None
    if not isinstance(matches, list):
        raise UnreadableError("HasMySecretLeaked gave an answer of another form")
    return [
        match
        for match in matches
        if isinstance(match, dict)
        and isinstance(match.get("hint"), str)
        and isinstance(match.get("payload"), str)
    ]


def in_breaches(values: Sequence[Secret], url: str = HIBP_URL) -> list[Leak]:
    """Which of ``values`` Pwned Passwords knows. Raises ``SourceError``."""
    found: list[Leak] = []
    ranges: dict[str, dict[str, int]] = {}
    with Client(url, patience=_PATIENCE) as client:
        for number, value in enumerate(values):
            digest = hashlib.sha1(value.reveal(), usedforsecurity=False).hexdigest().upper()
            prefix, rest = digest[:_PREFIX], digest[_PREFIX:]
            if prefix not in ranges:
                response = client.get(f"/range/{prefix}", headers={"add-padding": "true"})
                text = response.expect("its list of hashes").body.decode("ascii", "replace")
                ranges[prefix] = {line[1]: int(line[2]) for line in _RANGE_LINE.finditer(text.upper())}
            count = ranges[prefix].get(rest, 0)  # what only pads the answer counts zero
            if count:
                found.append(Leak(number, "Pwned Passwords", count))
    return found
