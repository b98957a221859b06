"""Private keys for templates: well formed, drawn from a number, and of no use to anybody."""

from __future__ import annotations

import base64
import random
import struct
import textwrap
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

__all__ = ["make"]

_SMALL_PRIMES: Final = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]
_RSA_BITS: Final = 1024  # small on purpose: quick to draw, refused by every server


@lru_cache(maxsize=64)
def make(kind: str, number: int) -> str:
    """A key in PEM armour without a final line end. ``ValueError`` for an unknown kind."""
    draw = random.Random(number)  # noqa: S311  # the same number must give the same key
    if kind == "rsa":
        return _pem(_rsa(draw), serialization.PrivateFormat.TraditionalOpenSSL)
    if kind == "ec":
        return _pem(_ec(draw), serialization.PrivateFormat.TraditionalOpenSSL)
    if kind == "pkcs8":
        return _pem(_rsa(draw), serialization.PrivateFormat.PKCS8)
    if kind == "openssh":
        return _openssh(draw)
    if kind == "encrypted":
        # PKCS#8: SEQUENCE { SEQUENCE { OID PBES2, parameters }, OCTET STRING }
        algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d\x05\x00"
        content = algorithm + b"\x04\x82\x02\x60" + draw.randbytes(0x260)
        return _armour("ENCRYPTED PRIVATE KEY", b"\x30\x82" + struct.pack(">H", len(content)) + content, 64)
    if kind == "pgp":
        packet = b"\x95\x02\x58\x04" + draw.randbytes(0x257)
        check = base64.b64encode(_crc24(packet).to_bytes(3, "big")).decode()
        lines = _armour("PGP PRIVATE KEY BLOCK", packet, 64).split("\n")
        return "\n".join([lines[0], "", *lines[1:-1], f"={check}", lines[-1]])
    raise ValueError(f"unknown kind of key: {kind}")


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> str:
    raw = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return raw.decode().strip()


def _rsa(draw: random.Random) -> rsa.RSAPrivateKey:
    exponent = 65537
    while True:
        p, q = _prime(draw, _RSA_BITS // 2), _prime(draw, _RSA_BITS // 2)
        if p != q and (p - 1) % exponent and (q - 1) % exponent:
            break
    private = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=private,
        dmp1=private % (p - 1),
        dmq1=private % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(exponent, p * q),
    )
    return numbers.private_key()


def _prime(draw: random.Random, bits: int) -> int:
    while True:
        number = draw.getrandbits(bits) | (3 << (bits - 2)) | 1
        if all(number % prime for prime in _SMALL_PRIMES) and _is_probable_prime(draw, number):
            return number


def _is_probable_prime(draw: random.Random, number: int) -> bool:
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(16):
        power = pow(draw.randrange(2, number - 1), odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def _ec(draw: random.Random) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(draw.getrandbits(255) | 1, ec.SECP256R1())


def _openssh(draw: random.Random) -> str:
    """The openssh-key-v1 format written by hand: the library draws its check number at random."""
    seed = draw.randbytes(32)
    public = (
        ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        .public_key()
        .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    )
    blob = _string(b"ssh-ed25519") + _string(public)
    check = draw.randbytes(4)
    private = check * 2 + blob + _string(seed + public) + _string(b"deploy@acme.test")
    private += bytes(range(1, 1 + -len(private) % 8))
    raw = b"openssh-key-v1\0" + _string(b"none") * 2 + _string(b"") + struct.pack(">I", 1)
    return _armour("OPENSSH PRIVATE KEY", raw + _string(blob) + _string(private), 70)


def _string(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


def _armour(label: str, raw: bytes, width: int) -> str:
    body = textwrap.wrap(base64.b64encode(raw).decode(), width)
    return "\n".join([f"-----BEGIN {label}-----", *body, f"-----END {label}-----"])


def _crc24(raw: bytes) -> int:
    """The checksum of RFC 4880 section 6.1."""
    crc = 0xB704CE
    for byte in raw:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF
