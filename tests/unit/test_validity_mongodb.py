"""MongoDB's greeting against a server that speaks OP_MSG and the server's side of SCRAM (RFC 5802)."""

from __future__ import annotations

import hmac
import re
import socket
import struct
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5, new, pbkdf2_hmac
from typing import Any

import pytest
from checking import credential, engine, loopback

from unsprawl.placeholders import fill
from unsprawl.records import Check, Validity
from unsprawl.validity.mongodb import decode, encode

RIGHT, SALT = fill("<alnum:20>", "mongo"), bytes(range(16))


class Mongo:
    """One user, ``app``. ``lies``: it lets everybody in and cannot prove that it knows the password."""

    def __init__(self, mechanism: str = "SCRAM-SHA-256", *, rounds: int = 4096, lies: bool = False) -> None:
        self.mechanism, self.rounds, self.lies = mechanism, rounds, lies
        self.digest = "sha256" if mechanism.endswith("256") else "sha1"
        raw = RIGHT if self.digest == "sha256" else md5(f"app:mongo:{RIGHT}".encode()).hexdigest()
        self.salted = pbkdf2_hmac(self.digest, raw.encode(), SALT, rounds)
        self.commands: list[str] = []

    def serve(self, connection: socket.socket) -> None:
        first = challenge = ""
        while head := connection.recv(16, socket.MSG_WAITALL):
            size = struct.unpack("<i", head[:4])[0]
            command = decode(connection.recv(size - 16, socket.MSG_WAITALL)[5:])
            self.commands.append(next(iter(command)))
            answer: dict[str, Any] = {"ok": 1}
            if "hello" in command and command["saslSupportedMechs"] == "admin.app":
                answer["saslSupportedMechs"] = {"0": self.mechanism}
            elif "saslStart" in command:
                first = command["payload"].decode().removeprefix("n,,")
                nonce = first.partition("r=")[2] + "server"
                challenge = f"r={nonce},s={b64encode(SALT).decode()},i={self.rounds}"
                answer |= {"conversationId": 7, "payload": challenge.encode()}
            elif "saslContinue" in command:
                assert command["conversationId"] == 7
                answer |= self._verdict(first, challenge, command["payload"].decode())
            body = struct.pack("<I", 0) + b"\0" + encode(answer)
            connection.sendall(struct.pack("<iiii", len(body) + 16, 1, 1, 2013) + body)

    def _verdict(self, first: str, challenge: str, final: str) -> dict[str, Any]:
        without, _, proof = final.partition(",p=")
        message = f"{first},{challenge},{without}".encode()
        stored = new(self.digest, hmac.digest(self.salted, b"Client Key", self.digest)).digest()
        mask = hmac.digest(stored, message, self.digest)
        shown = bytes(a ^ b for a, b in zip(b64decode(proof), mask, strict=True))
        if new(self.digest, shown).digest() != stored and not self.lies:
            return {"ok": 0, "code": 18, "codeName": "AuthenticationFailed"}
        key = b"nothing" if self.lies else hmac.digest(self.salted, b"Server Key", self.digest)
        signature = b64encode(hmac.digest(key, message, self.digest)).decode()
        return {"payload": f"v={signature}".encode(), "done": 1}


@contextmanager
def served(mongo: Mongo) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    mongo.serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def ask(port: int, user: str, password: str) -> Check:
    checks = loopback(hosts=("localhost",), unencrypted=("localhost",))
    one = credential("database.url", password, scheme="mongodb", account=user, host=f"localhost:{port}")
    return engine(checks, resolve=lambda *_: ["127.0.0.1"]).check(one).check


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_right_and_wrong_passwords_are_told_apart(mechanism: str) -> None:
    with served(Mongo(mechanism)) as port:
        assert ask(port, "app", RIGHT).validity is Validity.ACTIVE
        wrong = ask(port, "app", "wrong")
    assert (wrong.validity, wrong.evidence) == (
        Validity.INACTIVE,
        "localhost refuses the password of app (18)",
    )


def test_a_user_that_the_database_does_not_know_is_not_tried() -> None:
    mongo = Mongo()
    with served(mongo) as port:
        check = ask(port, "other", RIGHT)
    assert (check.validity, mongo.commands) == (Validity.UNKNOWN, ["hello"])
    assert check.evidence == "localhost knows no other in the database admin: nothing was tried"


def test_a_server_that_cannot_prove_itself_proves_nothing() -> None:
    with served(Mongo(lies=True)) as port:
        assert ask(port, "app", RIGHT).evidence == "localhost does not prove that it knows the password"


@pytest.mark.parametrize("rounds", [1, 100])
def test_a_challenge_that_would_make_the_password_easy_to_guess_is_not_answered(rounds: int) -> None:
    mongo = Mongo(rounds=rounds)
    with served(mongo) as port:
        assert "none that should be answered" in ask(port, "app", RIGHT).evidence
    assert mongo.commands == ["hello", "saslStart"]


def test_documents_survive_and_garbage_is_refused() -> None:
    document = {"a": 1, "b": "text", "c": b"raw", "d": {"e": "f"}}
    assert decode(encode(document)) == document
    for raw in (
        b"",
        b"\x05\0\0\0",
        b"\xff\xff\xff\x7f\0",
        b"\x0c\0\0\0\x02a\0\xff\xff\xff\xff\0",
        encode(document)[:-4],
    ):
        with pytest.raises((ValueError, struct.error)):
            decode(raw)
    assert re.fullmatch(r"[0-9a-f]+", encode({"x": 1}).hex())
