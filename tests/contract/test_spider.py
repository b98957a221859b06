"""The HTTP process and what is asked through it: paced, patient, capped, and discreet."""

from __future__ import annotations

import gzip
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from unsprawl.crawlers.spider.process import Engine, engine
from unsprawl.crawlers.spider.session import Spider
from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.estate.loopback import Answer, Fault, LoopbackServer, Request, data
from unsprawl.wire.patience import Patience

SECRET = "not-to-be-told"


class Echo(LoopbackServer):
    """Answers what was asked, a file with ranges below ``/file``, and a robots.txt."""

    def __init__(self) -> None:
        super().__init__()
        self.file = os.urandom(3 << 20)

    def answer(self, request: Request) -> Answer:
        if request.path == "/robots.txt":
            return Answer(200, b"User-agent: *\nDisallow: /closed\n", {"content-type": "text/plain"})
        if request.path == "/file":
            return Answer(200, self.file, ranges=True)
        return data({"path": request.path, "query": {name: list(own) for name, own in request.query.items()}})


@pytest.fixture
def server() -> Iterator[Echo]:
    with Echo() as one:
        yield one


@pytest.fixture
def elsewhere() -> Iterator[Echo]:
    with Echo() as one:
        yield one


def spider(server: LoopbackServer, **given: Any) -> Spider:
    settings: dict[str, Any] = {
        "patience": Patience(total=3, first=0.01),
        "secret": {"private-token": SECRET},
    }
    return Spider("test", server.url, **{**settings, **given})


# --- answers -------------------------------------------------------------------------------------


def test_a_request_is_answered_and_carries_the_credential(server: Echo) -> None:
    with spider(server) as one:
        answer = one.get("/a/b", params={"q": "x y"}, headers={"accept": "application/json"})
    assert answer.json() == {"path": "/a/b", "query": {"q": ["x y"]}}
    (asked,) = server.asked("/a/b")
    assert asked.headers["private-token"] == SECRET
    assert asked.headers["accept"] == "application/json"
    assert asked.headers["user-agent"].startswith("unsprawl")
    assert not {"cookie", "referer", "accept-language"} & asked.headers.keys()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_an_answer(server: Echo, status: int) -> None:
    server.faults = [Fault("/x", status, {"x-kind": "no"}, b"because")]
    answer = spider(server).get("/x")
    assert (answer.status, answer.body, answer.header("X-Kind")) == (status, b"because", "no")
    assert len(server.requests) == 1


def test_a_stream_takes_up_where_it_was_cut(server: Echo) -> None:
    server.faults = [Fault("/file", cut=1 << 20, times=1)]
    with spider(server) as one:
        body = one.stream("/file", size=len(server.file))
        with body.open(0) as file:
            assert file.read() == server.file
        with body.open(7) as file:
            assert file.read(100) == server.file[7:107]
        assert one.received > len(server.file)
    assert server.requests[0].headers["private-token"] == SECRET


# --- redirects and credentials -------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_credential_follows_to_another_host(server: Echo, elsewhere: Echo, status: int) -> None:
    server.faults = [Fault("/log", status, {"location": f"{elsewhere.url}/store?sig=1"})]
    secret = {"private-token": SECRET, "authorization": f"Bearer {SECRET}", "circle-token": SECRET}
    answer = spider(server, secret=secret).get("/log", headers={"accept": "text/plain"})
    assert answer.json()["path"] == "/store"
    (there,) = elsewhere.requests
    assert SECRET not in str(there.headers)
    assert there.headers["accept"] == "text/plain"
    assert server.requests[0].headers["circle-token"] == SECRET


def test_the_way_back_is_without_credentials_too(server: Echo, elsewhere: Echo) -> None:
    server.faults = [Fault("/log", 302, {"location": f"{elsewhere.url}/detour"})]
    elsewhere.faults = [Fault("/detour", 302, {"location": f"{server.url}/home"})]
    assert spider(server).get("/log").json()["path"] == "/home"
    assert "private-token" not in server.requests[-1].headers


def test_a_redirect_at_home_keeps_the_credential(server: Echo) -> None:
    server.faults = [Fault("/old", 301, {"location": "/new"})]
    assert spider(server).get("/old").json()["path"] == "/new"
    assert server.requests[-1].headers["private-token"] == SECRET


def test_an_address_elsewhere_gets_no_credential(server: Echo, elsewhere: Echo) -> None:
    assert spider(server).get(f"{elsewhere.url}/output").status == 200
    assert SECRET not in str(elsewhere.requests[0].headers)


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://example.test/x", "http://169.254.169.254/latest", "http://[bad"]
)
def test_some_ways_are_not_gone(server: Echo, location: str) -> None:
    server.faults = [Fault("/log", 302, {"location": location})]
    with pytest.raises(UnreadableError, match="redirects to"):
        spider(server).get("/log")


def test_redirects_come_to_an_end(server: Echo) -> None:
    server.faults = [Fault("/log", 302, {"location": "/log"})]
    with pytest.raises(UnreadableError, match="more than 5 redirects"):
        spider(server).get("/log")
    assert len(server.requests) == 6


# --- patience ------------------------------------------------------------------------------------


def in_half_a_second() -> str:
    return str((datetime.now(UTC) + timedelta(seconds=0.5)).timestamp())


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, lambda: {"retry-after": "1"}),
        (403, lambda: {"x-ratelimit-remaining": "0", "x-ratelimit-reset": in_half_a_second()}),
        (429, lambda: {"ratelimit-remaining": "0", "ratelimit-reset": "0.5"}),
    ],
    ids=["standard", "github", "buildkite"],
)
def test_a_host_that_asks_for_patience_is_left_alone_by_everyone(
    server: Echo, status: int, headers: Callable[[], dict[str, str]]
) -> None:
    one = spider(server)
    one.get("/first")
    server.faults = [Fault("/busy", status, headers(), times=1)]
    started = time.monotonic()
    waiting = threading.Thread(target=one.get, args=("/busy",))
    waiting.start()
    while len(server.requests) < 2:
        time.sleep(0.005)
    time.sleep(0.05)  # until the answer has come back
    one.get("/another")
    assert time.monotonic() - started > 0.4
    waiting.join()
    assert {request.status for request in server.asked("/busy")} == {200, status}


def test_a_success_may_ask_for_patience_too(server: Echo) -> None:
    server.faults = [Fault("/slow", 200, {"retry-after": "1"}, b"{}")]
    one = spider(server)
    one.get("/slow")
    started = time.monotonic()
    one.get("/next")
    assert time.monotonic() - started > 0.9


def test_a_wait_beyond_patience_ends_the_matter_at_once(server: Echo) -> None:
    server.faults = [Fault("/", 429, {"retry-after": "3600"})]
    started = time.monotonic()
    with pytest.raises(RetryableError, match=r"429 and asked to wait 3600 s") as spent:
        spider(server).get("/x")
    assert spent.value.retry_after == 3600
    assert time.monotonic() - started < 1
    server.faults = []
    assert spider(server).get("/y").status == 200


def test_what_fails_is_tried_again_a_few_times(server: Echo) -> None:
    server.faults = [Fault("/x", 503, times=2)]
    assert spider(server).get("/x").status == 200
    server.faults = [Fault("/x", 503)]
    with pytest.raises(RetryableError, match="answered 503"):
        spider(server).get("/x")
    assert len(server.asked("/x")) == 3 + 6


def test_requests_keep_their_distance(server: Echo) -> None:
    one = spider(server, interval=0.2)
    one.get("/0")
    started = time.monotonic()
    for number in range(3):
        one.get(f"/{number}")
    assert time.monotonic() - started > 0.5


def test_a_slow_host_is_asked_less_often(server: Echo) -> None:
    one = spider(server, concurrency=2)
    one.get("/0")
    started = time.monotonic()
    one.get("/1")
    assert time.monotonic() - started < 0.1
    server.faults = [Fault("/slow", wait=0.4, times=2)]
    one.get("/slow")
    one.get("/slow")
    started = time.monotonic()
    one.get("/2")
    one.get("/3")
    # The throttle keeps to what the host was able to bear, and comes back to speed by halves.
    assert time.monotonic() - started > 0.08


# --- what breaks ---------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    with pytest.raises(RetryableError, match=r"127\.0\.0\.1:9 refused the connection"):
        Spider("test", "http://127.0.0.1:9", patience=Patience(total=0.1)).get("/")


def test_a_name_that_is_none() -> None:
    with pytest.raises(RetryableError, match="cannot be resolved"):
        Spider("test", "http://nowhere.invalid", patience=Patience(total=0.1)).get("/")


@pytest.mark.parametrize(
    "fault", [Fault("/x", reset=True), Fault("/x", 200, {}, b"x" * 1000, cut=10)], ids=["reset", "cut"]
)
def test_a_lost_connection_is_tried_again(server: Echo, fault: Fault) -> None:
    fault.times = 2
    server.faults = [fault]
    assert spider(server).get("/x").status == 200


def test_a_host_that_falls_silent(server: Echo) -> None:
    server.faults = [Fault("/x", wait=0.8, times=1)]
    assert spider(server, seconds=0.3).get("/x").status == 200
    assert len(server.asked("/x")) == 2


@pytest.mark.parametrize("packed", [False, True])
def test_too_much_is_refused_also_when_it_comes_packed(server: Echo, packed: bool) -> None:
    body = bytes(2_000_000)
    headers = {"content-encoding": "gzip"} if packed else {}
    server.faults = [Fault("/x", 200, headers, gzip.compress(body) if packed else body)]
    with pytest.raises(UnreadableError, match="larger than 100000 bytes"):
        spider(server).get("/x?sig=secret", limit=100_000)
    with pytest.raises(UnreadableError) as refused:
        spider(server).get("/x?sig=secret", limit=100_000)
    assert "sig" not in str(refused.value)


def test_robots_are_obeyed_where_asked(server: Echo) -> None:
    polite = spider(server, robots=True)
    assert polite.get("/open").status == 200
    with pytest.raises(UnreadableError, match=r"closed to robots"):
        polite.get("/closed/page")
    assert not server.asked("/closed")
    assert spider(server).get("/closed/page").status == 200


# --- the process ---------------------------------------------------------------------------------


def test_one_process_serves_all_and_listens_nowhere(server: Echo) -> None:
    first, second = Spider("a", server.url), Spider("b", server.url)
    first.get("/a")
    pid = engine().pid
    assert second.get("/b").status == 200
    assert engine().pid == pid
    child = psutil.Process(pid)
    assert [one for one in child.net_connections() if one.status == psutil.CONN_LISTEN] == []
    environment = child.environ()
    assert SECRET not in " ".join((*environment.values(), *child.cmdline()))
    assert "HOME" not in environment


def test_killed_it_is_started_again_and_the_request_answered(server: Echo) -> None:
    own = Engine()
    try:
        one = spider(server, process=own)
        one.get("/before")
        server.faults = [Fault("/x", wait=0.5, times=1, before=lambda: os.kill(own.pid or 0, signal.SIGKILL))]
        assert one.get("/x").status == 200
        assert own.starts == 2
    finally:
        own.close()


def test_one_that_always_dies_is_given_up(server: Echo) -> None:
    own = Engine()
    try:
        one = spider(server, process=own)
        one.get("/before")
        server.faults = [Fault("/x", before=lambda: os.kill(own.pid or 0, signal.SIGKILL))]
        with pytest.raises(RetryableError, match="the process that asks"):
            one.get("/x")
    finally:
        own.close()


def test_closed_it_is_gone(server: Echo) -> None:
    own = Engine()
    spider(server, process=own).get("/x")
    pid = own.pid
    own.close()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert own.pid is None


PARENT = """
import sys
from unsprawl.crawlers.spider.process import engine
from unsprawl.crawlers.spider.session import Spider
Spider("test", sys.argv[1]).get("/x")
print(engine().pid, flush=True)
sys.stdin.read()
"""


def test_it_dies_with_its_parent(server: Echo) -> None:
    command = [sys.executable, "-c", PARENT, server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        child.wait(5)


# --- certificates --------------------------------------------------------------------------------


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server whose certificate nobody has signed, and that certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + pem)
    (tmp_path / "trusted.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"https://localhost:{server.server_port}", tmp_path / "trusted.pem"
        server.shutdown()


def test_a_certificate_that_nobody_vouches_for_is_refused(encrypted: tuple[str, Path]) -> None:
    with pytest.raises(RetryableError, match=r"certificate of localhost:\d+ is not trusted"):
        Spider("test", encrypted[0], patience=Patience(total=0.5)).get("/")


def test_an_authority_can_be_named(encrypted: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted[1]))
    own = Engine()
    try:
        assert Spider("test", encrypted[0], process=own).get("/").body == b"ok"
    finally:
        own.close()
