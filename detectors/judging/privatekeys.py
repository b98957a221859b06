"""What a private key block is, told from its outer structure alone: no cryptography, microseconds."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

__all__ = ["describe", "remains"]

_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]*?)PRIVATE KEY(?: BLOCK)?-----(.*?)(?:-----END|\Z)", re.DOTALL
)
_HEADER: Final = re.compile(rb"^[ \t]*[A-Za-z0-9-]+: .*$", re.MULTILINE)
_CIPHER: Final = re.compile(rb"DEK-Info: *([A-Z0-9-]+)")
_CHECKSUM: Final = re.compile(rb"^[ \t]*=([A-Za-z0-9+/]{4})[ \t]*$", re.MULTILINE)
_OPENSSH: Final = b"openssh-key-v1\0"
_ALGORITHMS: Final = {
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": "RSA",
    b"\x2a\x86\x48\xce\x3d\x02\x01": "EC",
    b"\x2a\x86\x48\xce\x38\x04\x01": "DSA",
    b"\x2b\x65\x70": "Ed25519",
    b"\x2b\x65\x71": "Ed448",
    b"\x2b\x65\x6e": "X25519",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d": "encrypted (PBES2)",
}


def describe(value: bytes) -> str:
    """Evidence such as ``RSA key, 2048 bits``; "" when the block does not hold a key."""
    block = _BLOCK.search(value)
    if block is None:
        return ""
    kind = block[1].strip()
    text = block[2].replace(b"\\r", b"").replace(b"\\n", b"\n").replace(b"\r", b"")
    if kind == b"PGP":
        return _pgp(text)
    cipher = _CIPHER.search(text)
    raw = _body(_HEADER.sub(b"", text))
    if cipher and len(raw) >= 32:
        return f"{kind.decode()} key, encrypted with {cipher[1].decode()}"
    if raw.startswith(_OPENSSH):
        return _openssh(raw[len(_OPENSSH) :])
    return _der(raw)


def remains(value: bytes) -> str:
    """Evidence for a block without an end, which a log or a limit cut off; "" when it cannot hold a key."""
    text = (
        value.replace(b"\\r", b"").replace(b"\\n", b"\n").partition(b"PRIVATE KEY")[2].partition(b"-----")[2]
    )
    text = re.sub(rb"\s", b"", _HEADER.sub(b"", text))
    raw = _body(text[: len(text) // 4 * 4])
    if b"DEK-Info" in value[:400] or raw.startswith(_OPENSSH) or b"PGP PRIVATE" in value[:40]:
        return "cut off"
    if raw[:1] != b"\x30":
        return ""
    width = raw[1] & 0x7F if raw[1] & 0x80 else 0
    size = int.from_bytes(raw[2 : 2 + width], "big") if width else raw[1]
    return f"cut off after {len(raw)} of {size} bytes" if width <= 2 and size > len(raw) - 8 else ""


def _body(text: bytes) -> bytes:
    text = re.sub(rb"[^A-Za-z0-9+/]", b"", text)
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _element(raw: bytes, at: int) -> tuple[int, int, int] | None:
    """Tag, start and end of the content of the DER element at ``at``; None when it does not fit."""
    if at + 2 > len(raw):
        return None
    tag, size, start = raw[at], raw[at + 1], at + 2
    if size >= 0x80:
        width = size & 0x7F
        if not 1 <= width <= 4 or start + width > len(raw):
            return None
        size, start = int.from_bytes(raw[start : start + width], "big"), start + width
    return (tag, start, start + size) if start + size <= len(raw) else None


def _der(raw: bytes) -> str:
    """RFC 8017 (RSA), RFC 5915 (EC), RFC 5208 (PKCS#8), told apart by their first two elements."""
    outer = _element(raw, 0)
    if outer is None or outer[0] != 0x30 or len(raw) - outer[2] > 2:
        return ""
    first = _element(raw, outer[1])
    second = _element(raw, first[2]) if first else None
    if first is None or second is None:
        return ""
    if first[0] == 0x30 and second[0] == 0x04:
        return _named(raw, first[1])
    if first[0] != 0x02:
        return ""
    if second[0] == 0x30:
        return _named(raw, second[1])
    if second[0] == 0x02:
        bits = int.from_bytes(raw[second[1] : second[2]], "big").bit_length()
        # DSA (version, p, q, …) and RSA (version, n, e, …) differ in the size of the third number.
        third = _element(raw, second[2])
        if third is None or bits < 256:
            return ""
        return f"{'RSA' if third[2] - third[1] <= 8 else 'DSA'} key, {bits} bits"
    return "EC key" if second[0] == 0x04 else ""


def _named(raw: bytes, at: int) -> str:
    oid = _element(raw, at)
    if oid is None or oid[0] != 0x06:
        return ""
    return f"{_ALGORITHMS.get(raw[oid[1] : oid[2]], 'PKCS#8')} key"


def _openssh(raw: bytes) -> str:
    size = int.from_bytes(raw[:4], "big")
    cipher = raw[4 : 4 + size]
    if size > 40 or len(raw) < 80 or not cipher:
        return ""
    if cipher == b"none":
        return "OpenSSH key"
    return f"OpenSSH key, encrypted with {cipher.decode('ascii', 'replace')}"


def _pgp(text: bytes) -> str:
    found = _CHECKSUM.search(text)
    raw = _body(_HEADER.sub(b"", text[: found.start()] if found else text))
    if not raw or not raw[0] & 0x80:
        return ""
    if found and base64.b64decode(found[1]) != _crc24(raw).to_bytes(3, "big"):
        return ""
    return "PGP key, checksum fits" if found else "PGP key"


def _crc24(raw: bytes) -> int:
    """RFC 4880 section 6.1, one byte at a time."""
    crc = 0xB704CE
    for byte in raw:
        crc = crc << 8 & 0xFFFFFF ^ _CRC24[(crc >> 16 ^ byte) & 0xFF]
    return crc


def _crc24_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 16
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
        table.append(crc & 0xFFFFFF)
    return tuple(table)


_CRC24: Final = _crc24_table()
