"""The token server of a real registry: RS256 tokens in the form that distribution documents."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

ISSUER = "acme-tokens"
SERVICE = "acme, registry"


@dataclass
class TokenIssuer:
    """``users`` may do anything that is asked for, strangers may pull from ``public`` alone."""

    url: str
    bundle: Path
    users: Mapping[str, str]
    public: tuple[str, ...]
    scopes: list[str] = field(default_factory=list)

    def auth(self) -> dict[str, Any]:
        """The ``auth`` section of the registry's configuration."""
        token = {"realm": f"{self.url}/token", "service": SERVICE, "issuer": ISSUER}
        return {"token": {**token, "rootcertbundle": str(self.bundle)}}


@contextlib.contextmanager
def token_issuer(
    directory: Path, users: Mapping[str, str], public: tuple[str, ...] = ()
) -> Iterator[TokenIssuer]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _certificate(key)
    bundle = directory / "issuer.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            scopes = [part for value in query.get("scope", []) for part in value.split()]
            issuer.scopes += scopes
            user, password = self._login()
            if user and users.get(user) != password:
                self._answer(401, {"details": "incorrect username or password"})
                return
            access = [granted for scope in scopes if (granted := _granted(scope, bool(user), public))]
            token = _sign(key, chain, user, access)
            self._answer(200, {"token": token, "expires_in": 60})

        def _login(self) -> tuple[str, str]:
            scheme, _, pair = self.headers.get("Authorization", "").partition(" ")
            if scheme != "Basic":
                return "", ""
            user, _, password = base64.b64decode(pair).decode().partition(":")
            return user, password

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = TokenIssuer(f"http://127.0.0.1:{server.server_port}", bundle, users, public)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _granted(scope: str, known: bool, public: tuple[str, ...]) -> dict[str, Any] | None:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    if known:
        return {"type": kind, "name": name, "actions": actions.split(",")}
    if kind == "repository" and name in public:
        return {"type": kind, "name": name, "actions": ["pull"]}
    return None


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )


def _sign(key: rsa.RSAPrivateKey, chain: str, user: str, access: list[dict[str, Any]]) -> str:
    now = int(time.time())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
    claims = {"iss": ISSUER, "sub": user, "aud": SERVICE, "exp": now + 60, "nbf": now - 10, "iat": now}
    claims |= {"jti": str(uuid.uuid4()), "access": access}
    text = ".".join(_part(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{_part(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
