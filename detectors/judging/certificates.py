"""The certificate beside a private key: whose it is, until when, and whether the two belong together."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["describe"]

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*?)-----(.*?)-----END", re.DOTALL)


def describe(key: bytes, certificate: bytes) -> str:
    """``belongs to the certificate of CN=www.acme.test, which expired on 2024-05-01``, or nothing."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        parsed = x509.load_pem_x509_certificate(_plain(certificate))
        subject = re.sub(r"[^\w.=, @*-]", "", parsed.subject.rfc4514_string())[:80]
        ends = parsed.not_valid_after_utc
        theirs = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return ""
    when = "which expired on" if ends < datetime.now(UTC) else "which is valid until"
    told = f"the certificate of {subject or 'nobody'}, {when} {ends.date().isoformat()}"
    try:
        ours = load_pem_private_key(_plain(key), None).public_key()
        fits = ours.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == theirs
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return f"beside {told}"  # encrypted, or of a kind that is not spoken here
    return f"belongs to {told}" if fits else f"does not belong to {told}"


def _plain(value: bytes) -> bytes:
    """The block in PEM again, however a text has escaped, quoted or indented it."""
    block = _BLOCK.search(value.replace(b"\\r", b"").replace(b"\\n", b"\n"))
    if block is None:
        return b""
    body = re.sub(rb"[^A-Za-z0-9+/=]", b"", block[2])
    lines = b"\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (block[1], lines, block[1])
