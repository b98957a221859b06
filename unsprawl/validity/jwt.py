"""JSON Web Tokens: checked with the key of their issuer, where the owner gives it. Nobody is asked."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final

from unsprawl.config import Checks, resolve
from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Credential, Refused, unknown
from unsprawl.validity.verdict import level_of

__all__ = ["plan"]

_HMAC: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_CURVES: Final = {"P-256": "SECP256R1", "P-384": "SECP384R1", "P-521": "SECP521R1"}


def plan(credential: Credential, checks: Checks) -> Check:
    head, body, signature = credential.secret.text().split(".")
    header, claims = _object(head), _object(body)
    issuer = str(claims.get("iss", ""))
    reference = checks.jwt_keys.get(issuer)
    if reference is None:
        raise Refused("checks.jwt_keys has no key of its issuer")
    expiry, start = claims.get("exp"), claims.get("nbf", 0)
    if isinstance(expiry, int | float) and expiry < time.time():
        return Check(Validity.INACTIVE, "it has expired")
    algorithm = str(header.get("alg", ""))
    key = _key(
        resolve(reference, f"checks.jwt_keys.{issuer}").reveal(), str(header.get("kid", "")), algorithm
    )
    if not _signed(key, algorithm, f"{head}.{body}".encode(), _decoded(signature)):
        return Check(Validity.INACTIVE, f"it is not signed with the key of {_plain(issuer)}")
    if isinstance(start, int | float) and start > time.time():
        return unknown(f"signed by {_plain(issuer)}, and not valid yet")
    scopes = claims.get("scope") or claims.get("scp") or claims.get("roles") or ""
    level = level_of(scopes.split() if isinstance(scopes, str) else map(str, scopes))
    ends = "never expires" if expiry is None else "has not expired"
    return Check(Validity.ACTIVE, f"it is signed with the key of {_plain(issuer)} and {ends}", level)


def _key(raw: bytes, kid: str, algorithm: str) -> Any:
    """The key for this token: of a set (JWKS), a public key or certificate in PEM, or a shared secret."""
    if raw.lstrip().startswith(b"{"):
        found = json.loads(raw)
        keys = found.get("keys", [found])
        named = [one for one in keys if not kid or one.get("kid", kid) == kid]
        if len(named) != 1:
            raise Refused("the keys of its issuer in checks.jwt_keys do not name the one it is signed with")
        return _from_jwk(named[0])
    if raw.startswith(b"-----BEGIN"):
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        if b"CERTIFICATE" in raw[:40]:
            return x509.load_pem_x509_certificate(raw).public_key()
        return load_pem_public_key(raw)
    if algorithm not in _HMAC:
        raise Refused("checks.jwt_keys has a shared secret of its issuer, and it is signed otherwise")
    return raw


def _from_jwk(jwk: Mapping[str, Any]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    def number(name: str) -> int:
        return int.from_bytes(_decoded(str(jwk[name])), "big")

    if jwk.get("kty") == "RSA":
        return rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
    if jwk.get("kty") == "EC":
        curve = getattr(ec, _CURVES[str(jwk["crv"])])()
        return ec.EllipticCurvePublicNumbers(number("x"), number("y"), curve).public_key()
    if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(_decoded(str(jwk["x"])))
    if jwk.get("kty") == "oct":
        return _decoded(str(jwk["k"]))
    raise Refused("the key of its issuer is of a kind nobody here knows")


def _signed(key: Any, algorithm: str, text: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is of ``key``. The kind of key decides, never the token's word alone."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if isinstance(key, bytes):
        if algorithm not in _HMAC:
            raise Refused("it is signed otherwise than with a shared secret")
        return hmac.compare_digest(hmac.digest(key, text, _HMAC[algorithm]), signature)
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(algorithm[2:])
    try:
        if isinstance(key, rsa.RSAPublicKey) and digest and algorithm.startswith("RS"):
            key.verify(signature, text, padding.PKCS1v15(), digest)
        elif isinstance(key, rsa.RSAPublicKey) and digest and algorithm.startswith("PS"):
            key.verify(signature, text, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and digest and algorithm.startswith("ES"):
            half = len(signature) // 2
            pair = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
            key.verify(encode_dss_signature(*pair), text, ec.ECDSA(digest))
        elif isinstance(key, ed25519.Ed25519PublicKey) and algorithm in ("EdDSA", "Ed25519"):
            key.verify(signature, text)
        else:
            raise Refused("it is signed otherwise than its issuer's key can sign")
    except InvalidSignature:
        return False
    return True


def _object(part: str) -> dict[str, Any]:
    value = json.loads(_decoded(part))
    if not isinstance(value, dict):
        raise Refused("it is no JSON Web Token")
    return value


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isalnum() or c in ".:/@_-")[:80]
