"""The way out: one deadline, one limit, no second thoughts; addresses in all their disguises."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from checking import loopback
from database_servers import certificate

from unsprawl.config import Checks
from unsprawl.errors import ConfigError
from unsprawl.validity.addresses import Pins, allowed, host_of, networks_of, place_of
from unsprawl.validity.credential import Refused
from unsprawl.validity.line import Call, Line, NoAnswer, Ways

HELLO = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Gives each connection to ``serve``, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=quietly, args=(connection,), daemon=True).start()

        def quietly(connection: socket.socket) -> None:
            try:
                serve(connection)
            except OSError:
                pass
            finally:
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def line(port: int, told: Callable[[str], None] = lambda _: None, **settings: object) -> Line:
    scheme = settings.pop("scheme", "http")
    endpoints = {"api.acme.test": f"{scheme}://localhost:{port}/base"}
    checks = loopback(endpoints=endpoints, **settings)
    pins = Pins(lambda *_: ["127.0.0.1"], networks_of(checks.networks))
    return Line(Ways(checks, pins), {"api.acme.test"}, told)


def call(target: str = "/who", **headers: str) -> Call:
    return Call("GET", "api.acme.test", target, "GET https://api.acme.test/who", headers)


def drip(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x-more: of the same\r\n")
        time.sleep(0.02)


def test_one_exchange_with_the_path_of_the_endpoint() -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(HELLO)

    told: list[str] = []
    with server(serve) as port:
        answer = line(port, told.append).call(call(authorization="Bearer x"))
    assert (answer.status, answer.body, told) == (200, b"{}", ["GET https://api.acme.test/who"])
    head = heard[0].decode().split("\r\n")
    assert head[0] == "GET /base/who HTTP/1.1"
    assert f"host: localhost:{port}" in head
    assert "authorization: Bearer x" in head
    assert "connection: close" in head


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_body_that_drips_ends_with_the_deadline(tmp_path: Path, encrypted: bool) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def serve(connection: socket.socket) -> None:
        if encrypted:
            with context.wrap_socket(connection, server_side=True) as secured:
                drip(secured)
        drip(connection)

    began = time.monotonic()
    with server(serve) as port, pytest.raises(NoAnswer, match=r"did not answer within 0\.4 s"):
        line(
            port,
            scheme="https" if encrypted else "http",
            authorities=(str(cert),),
            timeout=0.4,
        ).call(call())
    assert time.monotonic() - began < 2


def test_a_server_that_says_nothing_is_left() -> None:
    with server(lambda connection: time.sleep(1)) as port, pytest.raises(NoAnswer, match="did not answer"):
        line(port, timeout=0.2).call(call())


def test_a_large_or_packed_body_is_not_read_whole() -> None:
    def large(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (4 << 20))

    with server(large) as port:
        answer = line(port).call(call())
    assert not answer.whole
    assert len(answer.body) <= 1 << 20


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 999,
        b"\x16\x03" * 99,
    ],
)
def test_what_is_no_answer_is_none(raw: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(raw)

    with server(serve) as port, pytest.raises(NoAnswer):
        line(port).call(call())


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 401 Unauthorized\r\n",
        b"HTTP/1.1 401 Unauthorized\r\ncontent-le",
        b"HTTP/1.1 401 Unauthorized\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\ncontent-type: text/plain\r\n\r\nUnauth",
    ],
)
def test_half_an_answer_is_not_whole(raw: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(raw)

    with server(serve) as port:
        assert not line(port).call(call()).whole


def test_a_body_that_is_shorter_than_it_says_is_none() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(HELLO[:-1])

    with server(serve) as port, pytest.raises(NoAnswer):
        line(port).call(call())


def test_an_untrusted_certificate_gets_no_request(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(tmp_path))
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            heard.append(secured.recv(4096))

    with server(serve) as port, pytest.raises(NoAnswer, match="certificate of localhost is not trusted"):
        line(port, scheme="https").call(call())
    assert heard == []


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("/who x", "y"),
        ("/who\r\nhost: evil.test", "y"),
        ("/who", "y\r\nhost: evil.test"),
        ("/who", "ü"),
        ("/who", "\0"),
    ],
)
def test_nothing_is_smuggled_into_a_request(target: str, value: str) -> None:
    told: list[str] = []
    with pytest.raises(Refused, match="cannot be put into a request"):
        line(9, told.append).call(call(target, authorization=value))
    assert told == []


def test_only_the_hosts_of_the_probe_are_called() -> None:
    told: list[str] = []
    with pytest.raises(Refused, match="on no list"):
        line(9, told.append).call(Call("GET", "other.acme.test", "/", "GET /"))
    with (
        pytest.raises(Refused, match="on no list"),
        line(9, told.append).connection("other.acme.test", 1, "x"),
    ):
        pass
    assert told == []


def test_no_address_that_answers() -> None:
    with server(lambda _: None) as port:
        pass
    with pytest.raises(NoAnswer, match="cannot be reached"):
        line(port).call(call())


@pytest.mark.parametrize(
    "url", ["ftp://x.test", "https://u:p@x.test", "https://x.test/?a=b", "x", "http://[::1", "https://"]
)
def test_an_endpoint_is_an_address(url: str) -> None:
    with pytest.raises(ConfigError, match=r"what stands for api\.acme\.test is no address"):
        Ways(Checks(endpoints={"api.acme.test": url}), Pins(lambda *_: [], ()))


# --- addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("API.Acme.Test.", "api.acme.test"),
        ("db_1.acme.test", "db_1.acme.test"),
        ("203.0.113.7", "203.0.113.7"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_has_one_form(text: str, host: str) -> None:
    assert host_of(text) == host


@pytest.mark.parametrize(
    "text",
    [
     "", ".", "a..b", "-a.test", "a b", "a/b", "a@b", "a:80", "127.1", "2130706433", "0x7f.1", "1.2.3.4.5",
     "[::1",
     "[1.2.3.4]", "fe80::1%eth0", "é.test", "a" * 64 + ".test", "a%2eb", "1.2.3.04"],
)  # fmt: skip
def test_what_only_a_lenient_parser_takes_for_a_host_is_none(text: str) -> None:
    with pytest.raises(Refused):
        host_of(text)


def test_places_have_ports() -> None:
    assert place_of("db.acme.test", 5432) == ("db.acme.test", 5432)
    assert place_of("db.acme.test:6543", 5432) == ("db.acme.test", 6543)
    assert place_of("[::1]:6543", 5432) == ("::1", 6543)
    assert place_of("2001:db8::1", 5432) == ("2001:db8::1", 5432)
    for wrong in ("db.acme.test:0", "db.acme.test:70000", "db:1:x", "a:b@c:1"):
        with pytest.raises(Refused):
            place_of(wrong, 1)


def test_networks_open_what_is_private_and_never_the_metadata_of_clouds() -> None:
    def may(address: str, *networks: str) -> bool:
        pins = Pins(lambda *_: [address], tuple(map(ip_network, networks)))
        try:
            return bool(pins.addresses("x.acme.test", 1))
        except Refused:
            return False

    assert may("8.8.8.8")
    assert may("2606:4700::1111")
    for private in (
        "10.0.0.1",
        "127.0.0.1",
        "::1",
        "fc00::1",
        "169.254.1.1",
        "fe80::1",
        "0.0.0.0",
        "224.0.0.1",
        "100.64.0.1",
    ):
        assert not may(private)
    assert may("10.0.0.1", "10.0.0.0/8")
    assert may("::ffff:10.0.0.1", "10.0.0.0/8", "::/0")
    assert not may("::ffff:10.0.0.1", "::/0")
    assert not may("169.254.169.254", "0.0.0.0/0")
    assert not may("::ffff:169.254.169.254", "0.0.0.0/0", "::/0")
    assert not may("2002:a9fe:a9fe::1", "0.0.0.0/0", "::/0")
    with pytest.raises(ConfigError, match="is no network"):
        networks_of(["10.0.0.0/99"])


def test_globs_name_whole_hosts() -> None:
    assert allowed("db.acme.test", ["*.acme.test"])
    assert allowed("db.acme.test", ["DB.acme.test."])
    assert not allowed("acme.test", ["*.acme.test"])
    assert not allowed("db.acme.test.evil.test", ["*.acme.test", "db.acme.test"])
