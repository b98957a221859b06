"""The client against a server that misbehaves in every way the protocol allows."""

from __future__ import annotations

import hashlib
import socket
import threading
import time

import pytest

from unsprawl.errors import AuthError, RetryableError, UnreadableError
from unsprawl.estate.imagery import Blob, Image, build
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Fault, RegistryServer
from unsprawl.wire.client import Client, Fixed
from unsprawl.wire.patience import Patience
from unsprawl.wire.stream import open_stream

BODY = bytes(range(256)) * 8192
IMPATIENT = Patience(attempts=3, total=2.0, first=0.01, longest=0.02)


@pytest.fixture
def server():
    with RegistryServer() as registry:
        yield registry


@pytest.fixture
def client(server):
    with Client(server.url, patience=IMPATIENT, credentials=Fixed({"private-token": "s3cret"})) as one:
        yield one


@pytest.fixture
def blob(server):
    """Path of a blob of two megabytes."""
    content = Blob("application/octet-stream", BODY)
    image = build([])
    push(server.url, "big", Image(image.manifest, (*image.blobs, content)), "v1")
    return f"/v2/big/blobs/{content.digest}"


# --- answers read whole --------------------------------------------------------------------------


def test_an_answer_is_read_and_says_who_asked(client, server):
    assert client.get("/v2/").json() == {}
    (asked,) = server.asked("GET", "/v2/$")
    assert asked.headers["user-agent"].startswith("unsprawl")
    assert asked.headers["private-token"] == "s3cret"


def test_a_busy_host_is_asked_again(client, server):
    server.faults.append(Fault("/v2/$", 503, times=2))
    assert client.get("/v2/").status == 200
    assert len(server.asked("GET", "/v2/$")) == 3


def test_retry_after_pauses_everyone_who_talks_to_the_host(client, server):
    server.faults.append(Fault("/v2/$", 429, {"Retry-After": "1"}, times=1))
    began = client.pace._clock()
    first = threading.Thread(target=client.get, args=("/v2/",))
    first.start()
    while client.pace._next <= began:
        time.sleep(0.005)
    client.get("/v2/_catalog")
    first.join()
    assert client.pace._clock() - began >= 0.9


def test_patience_that_is_spent_is_a_retryable_error_with_the_hosts_wish(client, server):
    server.faults.append(Fault("/v2/$", 429, {"Retry-After": "3600"}))
    with pytest.raises(RetryableError, match="429 and asked to wait 3600 s") as spent:
        client.get("/v2/")
    assert spent.value.retry_after == 3600
    assert len(server.requests) == 1


def test_a_refusal_is_not_repeated(client, server):
    server.faults.append(Fault("/v2/$", 403))
    with pytest.raises(UnreadableError, match=r"refused access to the door \(403\)"):
        client.get("/v2/").expect("the door")
    assert len(server.requests) == 1


def test_wrong_credentials_are_an_auth_error_without_the_credentials(client, server):
    server.faults.append(Fault("/v2/$", 401))
    with pytest.raises(AuthError) as refused:
        client.get("/v2/").expect("the door")
    assert "s3cret" not in repr(refused.value) + refused.value.hint


def test_an_answer_above_its_limit_is_not_read(client, blob):
    with pytest.raises(UnreadableError, match="larger than 1000 bytes"):
        client.get(blob, limit=1000)


def test_what_is_not_json_is_told(client, blob):
    with pytest.raises(UnreadableError, match="not JSON"):
        client.get(blob).json()


def test_nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", patience=IMPATIENT) as one,
        pytest.raises(RetryableError) as failed,
    ):
        one.get("/x?token=s3cret")
    assert failed.value.message == f"127.0.0.1:{port} refused the connection"
    assert failed.value.hint


def test_a_host_that_never_answers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        one = Client(url, patience=Patience(attempts=1), read_timeout=0.2)
        with one, pytest.raises(RetryableError, match="stopped answering"):
            one.get("/")


# --- redirects -----------------------------------------------------------------------------------


def test_a_redirect_within_the_host_keeps_the_credentials(client, server):
    server.faults.append(Fault("/v2/old", 302, {"Location": "/v2/"}))
    assert client.get("/v2/old").status == 200
    assert server.asked("GET", "/v2/$")[0].headers["private-token"] == "s3cret"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redirect_to_another_origin_drops_them_for_good(client, server, host):
    with RegistryServer() as other:
        port = other.url.rpartition(":")[2]
        server.faults.append(Fault("/v2/old", 307, {"Location": f"http://{host}:{port}/v2/away"}))
        other.faults.append(Fault("/v2/away", 307, {"Location": f"{server.url}/v2/"}))
        assert client.get("/v2/old").status == 200
        assert "private-token" not in other.requests[0].headers
    assert "private-token" not in server.asked("GET", "/v2/$")[0].headers


def test_redirects_in_a_circle_end(client, server):
    server.faults.append(Fault("/v2/round", 302, {"Location": "/v2/round"}))
    with pytest.raises(UnreadableError, match="more than 5 redirects"):
        client.get("/v2/round")


def test_a_redirect_to_the_metadata_service_is_refused(client, server):
    server.faults.append(Fault("/v2/x", 302, {"Location": "http://169.254.169.254/latest/meta-data/"}))
    with pytest.raises(UnreadableError, match="link-local"):
        client.get("/v2/x")


# --- proxies -------------------------------------------------------------------------------------


def test_loopback_is_never_asked_for_at_a_proxy(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with Client(server.url, patience=Patience(attempts=1)) as one:
        assert one.get("/v2/").status == 200


def test_other_hosts_are_asked_for_at_the_proxy(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with Client("http://registry.test", patience=Patience(attempts=1)) as one:
        assert one.get("/v2/").url == "http://registry.test/v2/"
    assert len(server.requests) == 1


# --- streams -------------------------------------------------------------------------------------


def digest(file):
    with file:
        return hashlib.sha256(file.read()).hexdigest()


WHOLE = hashlib.sha256(BODY).hexdigest()


def test_a_body_is_read_from_an_offset(client, blob):
    with open_stream(client, blob, 1000) as file:
        assert file.read() == BODY[1000:]


def test_an_offset_behind_the_end_is_told(client, blob):
    with pytest.raises(UnreadableError, match="shorter than"):
        open_stream(client, blob, len(BODY) + 1)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_line_is_mended_at_its_position(client, server, blob, ranges):
    server.ranges = ranges
    server.faults.append(Fault("/blobs/", cut=700_000, times=2))
    assert digest(open_stream(client, blob)) == WHOLE
    asked = [one.headers.get("range", "") for one in server.asked("GET", "/blobs/")]
    assert len(asked) == 3
    assert asked[0] == ""
    assert all(one.startswith("bytes=") for one in asked[1:])


def test_a_line_that_breaks_every_time_ends_as_retryable(client, server, blob):
    server.faults.append(Fault("/blobs/", cut=0))
    with open_stream(client, blob) as file, pytest.raises(RetryableError):
        file.read()
    assert len(server.asked("GET", "/blobs/")) <= 1 + IMPATIENT.attempts


def drain(file, into):
    while chunk := file.read1(65536):
        into += chunk


def test_bytes_before_the_break_were_delivered(client, server, blob):
    server.faults += [Fault("/blobs/", cut=500_000, times=1), Fault("/blobs/", 404)]
    got = bytearray()
    with open_stream(client, blob) as file, pytest.raises(UnreadableError, match=r"not there \(404\)"):
        drain(file, got)
    assert bytes(got) == BODY[: len(got)]
    assert len(got) > 400_000


def test_a_body_that_changed_meanwhile_is_not_pieced_together(client, server, blob):
    server.faults += [
        Fault("/blobs/", cut=500_000, times=1),
        Fault("/blobs/", 206, {"ETag": '"other"', "Content-Range": f"bytes 500000-/{len(BODY)}"}),
    ]
    with open_stream(client, blob) as file, pytest.raises(UnreadableError, match="changed while"):
        file.read()


def test_a_range_that_was_not_asked_for_is_refused(client, server, blob):
    headers = {"Content-Range": f"bytes 0-9/{len(BODY)}"}
    server.faults += [Fault("/blobs/", cut=500_000, times=1), Fault("/blobs/", 206, headers)]
    with open_stream(client, blob) as file, pytest.raises(UnreadableError, match="another range"):
        file.read()


def test_closing_in_the_middle_leaves_nothing_open(client, blob):
    file = open_stream(client, blob)
    file.read(10)
    file.close()
    assert client.get("/v2/").status == 200
