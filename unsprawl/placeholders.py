"""Templates such as ``ghp_<alnum:36>`` that are filled at run time.

No token-shaped string stands in the repository: rules' examples, tests and the demo organisation
say what a value looks like, and :func:`fill` draws one. The draw depends on the template and the
seed alone, so that a test fails today as it failed yesterday.

    <alnum:36> <digits:12> <hex:32> <upper:8> <lower:8> <base32:16> <base64:40> <base64url:43>
    <alnum:20-40>             a length drawn from the range
    <uuid> <word> <password>  a version 4 UUID, a lower-case word, a password as people invent them
    <github-token:ghp_>       30 characters and their CRC-32, as GitHub and npm append it
    <aws-key-id:123456789012> an access key id that holds this account (``ASIA:…`` for the prefix)
    <age-key>                 an age identity whose checksum fits
    <jwt:valid> <jwt:expired> signed by nobody, expiring in 2099 and 2020
    <pem:rsa> <pem:ec> <pem:pkcs8> <pem:openssh> <pem:encrypted> <pem:pgp>; ``:escaped`` writes
                              line ends as backslash and n, as JSON does

Anything else in angle brackets is left alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import string
import uuid
import zlib
from collections.abc import Callable
from typing import Final

__all__ = ["base62_crc32", "fill"]

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ALPHABETS: Final = {
    "alnum": string.ascii_letters + string.digits,
    "digits": string.digits,
    "hex": "0123456789abcdef",
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "upperdigits": string.ascii_uppercase + string.digits,
    "lowerdigits": string.ascii_lowercase + string.digits,
    "base32": string.ascii_uppercase + "234567",
    "base58": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
    "base64": string.ascii_letters + string.digits + "+/",
    "base64url": string.ascii_letters + string.digits + "-_",
}
_CLASSES: Final = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_WORDS: Final = (
    "amber anchor autumn beacon birch cedar cobalt comet copper coral cricket delta ember falcon fjord "
    "garnet glacier harbor hazel indigo island jasper juniper kestrel lantern lagoon maple marble "
    "meadow nectar nimbus ocean onyx orchid osprey pebble pepper quartz raven river saffron sierra "
    "sparrow summit thistle timber tundra velvet violet walnut willow winter zephyr "
).split()
_PLACE: Final = re.compile(r"<([a-z0-9-]+)(?::([A-Za-z0-9_:-]+))?>")


def fill(template: str, seed: str = "") -> str:
    """Replace every placeholder of ``template``; the same template and seed give the same text."""
    digest = hashlib.sha256(f"{seed}\0{template}".encode()).digest()
    draw = random.Random(digest)  # noqa: S311  # nothing drawn here protects anything

    def replace(place: re.Match[str]) -> str:
        name, argument = place.group(1), place.group(2) or ""
        if name in _ALPHABETS:
            return _characters(draw, name, argument) or place.group(0)
        maker = _MAKERS.get(name)
        return maker(draw, argument) if maker else place.group(0)

    return _PLACE.sub(replace, template)


def base62_crc32(payload: bytes) -> str:
    """The six characters that GitHub and npm append to the random part of a token."""
    number, digits = zlib.crc32(payload), ""
    while number:
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    return digits.rjust(6, "0")


def _characters(draw: random.Random, name: str, argument: str) -> str:
    low, _, high = argument.partition("-")
    if not low.isdigit() or (high and not high.isdigit()):
        return ""
    size = draw.randint(int(low), int(high)) if high else int(low)
    letters = _ALPHABETS[name]
    wanted = [c for c in _CLASSES if set(c) & set(letters)] if size >= 8 else []
    while True:
        text = "".join(draw.choice(letters) for _ in range(size))
        # A short draw may by chance lack a digit or a capital that every real value of this kind has,
        # and one that ends in punctuation could not be told from the sentence around it.
        complete = all(set(c) & set(text) for c in wanted)
        if complete and (size == 0 or (text[0].isalnum() and text[-1].isalnum())):
            return text


def _uuid(draw: random.Random, _: str) -> str:
    return str(uuid.UUID(int=draw.getrandbits(128), version=4))


def _word(draw: random.Random, _: str) -> str:
    return draw.choice(_WORDS)


def _password(draw: random.Random, _: str) -> str:
    first, second = draw.sample(_WORDS, 2)
    return f"{first.title()}{draw.choice('!#%*+-')}{second}{draw.randint(10, 9999)}"


def _github_token(draw: random.Random, prefix: str) -> str:
    body = _characters(draw, "alnum", "30")
    return prefix + body + base62_crc32(body.encode())


def _aws_key_id(draw: random.Random, argument: str) -> str:
    prefix, _, account = argument.rpartition(":")
    # The upper bit marks ids of the present scheme, which hold the account in the next 40 bits.
    number = (1 << 47) | (int(account) << 7) | draw.getrandbits(7)
    raw = number.to_bytes(6, "big") + draw.randbytes(4)
    return (prefix or "AKIA") + base64.b32encode(raw).decode()


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _age_key(draw: random.Random, _: str) -> str:
    """Bech32 (BIP 173) of 32 random bytes."""
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    part = "age-secret-key-"
    data = [draw.randrange(32) for _ in range(51)] + [draw.randrange(2) << 4]
    check = 1
    for number in [ord(c) >> 5 for c in part] + [0] + [ord(c) & 31 for c in part] + data + [0] * 6:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ number
        for bit, generator in enumerate(generators):
            check ^= generator if top >> bit & 1 else 0
    data += [(check ^ 1) >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{part}1{''.join(letters[number] for number in data)}".upper()


def _jwt(draw: random.Random, argument: str) -> str:
    expiry = {"expired": 1577836800, "valid": 4070908800}.get(argument)
    claims: dict[str, object] = {"sub": _uuid(draw, ""), "iss": "https://login.acme.test", "iat": 1546300800}
    if expiry is not None:
        claims["exp"] = expiry
    header = {"alg": "none" if argument == "none" else "HS256", "typ": "JWT"}
    parts = [_unpadded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    return ".".join([*parts, "" if argument == "none" else _unpadded(draw.randbytes(32))])


def _pem(draw: random.Random, argument: str) -> str:
    from unsprawl import pemsamples  # pulls in cryptography, which no command but a demo needs

    kind, _, style = argument.partition(":")
    text = pemsamples.make(kind, draw.getrandbits(256))
    return text.replace("\n", "\\n") if style == "escaped" else text


_MAKERS: Final[dict[str, Callable[[random.Random, str], str]]] = {
    "uuid": _uuid,
    "word": _word,
    "password": _password,
    "github-token": _github_token,
    "aws-key-id": _aws_key_id,
    "age-key": _age_key,
    "jwt": _jwt,
    "pem": _pem,
}
