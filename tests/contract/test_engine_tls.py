"""An engine behind TLS with client certificates, as ``dockerd --tlsverify`` serves it."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from unsprawl.crawlers.engine.source import EngineSource
from unsprawl.errors import ConfigError, SourceError
from unsprawl.estate.engine_server import EngineServer
from unsprawl.estate.imagery import Step, build, layer
from unsprawl.records import Unit


class Authority:
    """Signs certificates for the loopback address, and for clients."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
        self._write("ca", self.key, self._certificate(self.name, self.key, authority=True))

    def issue(self, name: str) -> tuple[str, str]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(name, key, self._certificate(subject, key, authority=False))

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool):
        now = datetime.now(UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate) -> tuple[str, str]:
        pem = serialization.Encoding.PEM
        plain = serialization.NoEncryption()
        paths = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        paths[0].write_bytes(certificate.public_bytes(pem))
        paths[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        return str(paths[0]), str(paths[1])


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture
def engine(authority: Authority) -> Iterator[EngineServer]:
    server = EngineServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(authority.folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    # The handshake is the handler's, so that a stranger cannot hold the listener.
    server._server.socket = context.wrap_socket(
        server._server.socket, server_side=True, do_handshake_on_connect=False
    )
    server._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # strangers are refused
    server.url = server.url.replace("http://", "https://")
    server.images = {"acme/shop:1": build([Step("COPY", layer({"a": "b"}))])}
    with server:
        yield server


def source(server: EngineServer, **options: Any) -> EngineSource:
    return EngineSource("far", EngineSource.Config(base_url=server.url, max_wait=5.0, **options))


@pytest.mark.parametrize("scheme", ["https", "tcp"])
def test_an_engine_is_read_with_our_certificate(authority: Authority, engine, scheme: str) -> None:
    cert, key = authority.issue("auditor")
    engine.url = engine.url.replace("https", scheme)
    ca = str(authority.folder / "ca.pem")
    crawled = source(engine, tls_ca=ca, tls_cert=cert, tls_key=key)
    (unit,) = crawled.units(lambda _: None)
    assert isinstance(unit, Unit)
    assert len([event for event in crawled.read(unit, None, lambda _: None) if hasattr(event, "body")]) == 2
    crawled.close()


def test_who_shows_no_certificate_or_trusts_none_is_told(
    authority: Authority, engine, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    cert, key = authority.issue("auditor")
    for options in (
        {"tls_ca": str(authority.folder / "ca.pem")},
        {"tls_ca": str(other.folder / "ca.pem"), "tls_cert": cert, "tls_key": key},
    ):
        crawled = source(engine, **options)
        with pytest.raises(SourceError) as failure:
            list(crawled.units(lambda _: None))
        assert failure.value.hint
        (line,) = crawled.diagnose()
        assert not line.ok


def test_files_that_are_no_certificates_are_a_configuration_error(engine, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="cannot be used"):
        list(source(engine, tls_ca=missing, tls_cert=missing, tls_key=missing).units(lambda _: None))
    with pytest.raises(ConfigError, match="belong together"):
        list(source(engine, tls_cert=missing).units(lambda _: None))
