"""Private keys: compared with the public keys that their owner knows. Nobody is asked.

A key that belongs to a known host, a known user or a certificate that is still good is in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from unsprawl.config import Checks
from unsprawl.errors import ConfigError
from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Credential, Refused, unknown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

__all__ = ["plan", "private_key"]

_KINDS: Final = rb"ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+"
_SSH: Final = re.compile(rb"(?:^|\s)((?:%s) [A-Za-z0-9+/]{40,}={0,2})" % _KINDS)
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----")
_LARGEST: Final = 16 << 20


def plan(credential: Credential, checks: Checks) -> Check:
    if not checks.public_keys:
        raise Refused("checks.public_keys names no public keys to compare it with")
    known = _known(checks.public_keys)
    found = known.get(_point(private_key(credential.secret.reveal()).public_key()))
    if found is None:
        return unknown(f"it belongs to none of the {len(known):,} public keys in checks.public_keys")
    where, expired = found
    if expired:
        return unknown(f"it is the key of {where}, whose certificate has expired")
    return Check(Validity.ACTIVE, f"it is the key of {where}")


def private_key(value: bytes) -> PrivateKeyTypes:
    """The key of a PEM block as texts have it: escaped, indented, quoted. Raises :class:`Refused`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    text = value.replace(b"\\r", b"").replace(b"\\n", b"\n")
    match = re.search(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----(.*?)-----END", text, re.DOTALL)
    if match is None:
        raise Refused("it is no whole key")
    if b"ENCRYPTED" in match[0]:
        raise Refused("it is encrypted: whether it is in use cannot be told")
    body = re.sub(rb"[^A-Za-z0-9+/=]", b"", match[2])
    lines = b"\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    pem = b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (match[1], lines, match[1])
    try:
        if b"OPENSSH" in match[1]:
            return load_ssh_private_key(pem, None)
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Refused("it does not open: it is encrypted, or of a kind nobody here knows") from None


@lru_cache(maxsize=4)
def _known(files: tuple[str, ...]) -> dict[bytes, tuple[str, bool]]:
    """Public keys to where they were found, and whether they are out of date."""
    found: dict[bytes, tuple[str, bool]] = {}
    for file in files:
        try:
            text = Path(file).read_bytes()[:_LARGEST]
        except OSError as error:
            raise ConfigError(f"checks.public_keys: cannot read {file}: {error.strerror}") from None
        before = len(found)
        for point, where, expired in _in_file(text, Path(file).name):
            if point not in found or found[point][1]:
                found[point] = where, expired
        if len(found) == before and not found:
            raise ConfigError(
                f"checks.public_keys: {file} holds no public key",
                hint="give known_hosts, authorized_keys, certificates or public keys in PEM",
            )
    return found


def _in_file(text: bytes, name: str) -> Iterator[tuple[bytes, str, bool]]:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

    for line in text.splitlines():
        match = _SSH.search(line)
        if match:
            try:
                key: Any = load_ssh_public_key(match[1])
            except (ValueError, UnsupportedAlgorithm):
                continue
            whose = _whose(line, match, hosts="known_hosts" in name) or "an unnamed key"
            yield _point(key), f"{whose} ({name})", False
    for block in _PEM.finditer(text):
        try:
            if block[1] == b"CERTIFICATE":
                certificate = x509.load_pem_x509_certificate(block[0])
                subject = certificate.subject.rfc4514_string()[:100]
                over = certificate.not_valid_after_utc < datetime.now(UTC)
                yield _point(certificate.public_key()), f"{subject} ({name})", over
            elif block[1].endswith(b"PUBLIC KEY"):
                yield _point(load_pem_public_key(block[0])), f"a public key ({name})", False
        except (ValueError, UnsupportedAlgorithm):
            continue


def _whose(line: bytes, match: re.Match[bytes], *, hosts: bool) -> str:
    """The host before a key in known_hosts, else the comment behind it: what stands before are options."""
    words = line[: match.start(1)].split() if hosts else line[match.end(1) :].split()
    shown = words[0].decode("utf-8", "replace") if words and not words[0].startswith(b"|") else ""
    return re.sub(r"[^\w.@:,*\[\]-]", "", shown)[:100]


def _point(key: Any) -> bytes:
    """A public key in the one form in which keys are compared."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
