"""Alerts: what is told to whom, once, and what the words of strangers can do there."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from batches import DETECTION, KEYS, batch, occurrence

from unsprawl.alert_settings import SETTINGS, Email, Webhook
from unsprawl.alerts import messages
from unsprawl.alerts.channels import SIGNATURE, signature
from unsprawl.alerts.delivery import deliver, tell, telling, wanted
from unsprawl.alerts.delivery import test as try_channel
from unsprawl.config import ConfiguredChannel
from unsprawl.records import Check, Gap, Severity, Validity
from unsprawl.store.findings import Store
from unsprawl.store.outbox import Waiting

ONE = "000000000001"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 5, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class Receiver:
    """A webhook that answers what it is told to, and keeps what it took."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.issues: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, content))
                status = outer.answers.pop(0) if outer.answers else 200
                if status == 200:
                    outer.taken.append((self.path, headers, content))
                    if self.path == "/rest/api/2/issue":
                        outer.issues.append(json.loads(content)["fields"])
                self.answer(status, b"{}")

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers, b""))
                found = [
                    {"key": f"SEC-{number}"}
                    for number, issue in enumerate(outer.issues, 1)
                    if any(f"%22{label}%22" in self.path for label in issue["labels"][1:])
                ]
                self.answer(200, json.dumps({"issues": found}).encode())

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                if status == 302:
                    self.send_header("location", "http://127.0.0.1:9/elsewhere")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(content) for _, _, content in self.taken]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()
    monkeypatch.setenv("HOOK", f"{receiver.url}/path-of-the-hook?q=1")
    monkeypatch.setenv("HOOK_SECRET", "the signing word")
    yield receiver
    receiver.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    with Store.open(tmp_path / "s.db", KEYS, clock=clock) as store:
        yield store


def channel(type: str = "webhook", **keys: Any) -> ConfiguredChannel:
    settings = SETTINGS[type](**({"url": "${HOOK}"} | keys))
    return ConfiguredChannel(settings.name or type, type, settings)


def crawl(store: Store, *numbers: int, severity: Severity = Severity.HIGH, failure: Gap | None = None) -> str:
    run = store.begin("crawl", "nightly", DETECTION)
    found = {f"doc {number}": [occurrence(number, f"doc {number}", severity=severity)] for number in numbers}
    run.commit(batch("u", found, failure=failure))
    run.finish(complete=failure is None)
    return run.id


def test_each_event_is_told_once_and_later_what_failed(store: Store, hook: Receiver, clock: Clock) -> None:
    channels = [channel(secret="${HOOK_SECRET}")]
    hook.answers = [200, 500]
    told = tell(store, channels, crawl(store, 1, 2, 3))
    assert (told[0].events, told[0].waiting) == (1, 2)
    assert told[0].failure == "127.0.0.1 answered 500"
    assert deliver(store, channels)[0].events == 0, "a failed channel is left alone for a while"
    clock.now += timedelta(minutes=2)
    assert deliver(store, channels)[0].events == 2
    # Found again, told to nobody again; a restart changes nothing.
    tell(store, channels, crawl(store, 1, 2, 3, 4))
    with Store.open(store.path, KEYS, clock=clock) as again:
        tell(again, channels)
    said = hook.bodies()
    assert sorted(one["id"] for one in said) == [f"new:00000000000{n}" for n in (1, 2, 3, 4)]
    assert {one["event"] for one in said} == {"new"}
    assert said[0]["version"] == 1
    assert said[0]["severity"] == "high"


def test_a_receiver_can_tell_us_from_others(store: Store, hook: Receiver) -> None:
    tell(store, [channel(secret="${HOOK_SECRET}")], crawl(store, 1))
    path, headers, content = hook.taken[0]
    assert path == "/path-of-the-hook?q=1"
    moment = int(headers[SIGNATURE].partition("t=")[2].partition(",")[0])
    assert headers[SIGNATURE] == signature(b"the signing word", moment, content)
    assert headers["idempotency-key"] == "new:000000000001"
    assert "signing word" not in content.decode()


def test_a_new_channel_is_told_of_this_job_alone(store: Store, hook: Receiver) -> None:
    crawl(store, 1, 2, 3)
    tell(store, [channel()], crawl(store, 1, 2, 3, 4))
    assert [one["id"] for one in hook.bodies()] == ["new:000000000004"]


def test_a_job_that_died_before_it_told_is_told_by_the_next(store: Store, hook: Receiver) -> None:
    tell(store, [channel()], crawl(store, 1))
    crawl(store, 1, 2)
    tell(store, [channel()], crawl(store, 1, 2, 3))
    assert [one["id"][-1] for one in hook.bodies()] == ["1", "2", "3"]


def test_what_lives_comes_back_and_ends_is_told(store: Store, hook: Receiver) -> None:
    channels = [channel(on=("new", "active", "reopened", "closed", "incomplete"))]
    tell(store, channels, crawl(store, 1))
    alive = Check(Validity.ACTIVE, "answers as deploy-bot")
    it = store.checkable([ONE])[0]
    for check in (alive, alive, Check(Validity.INACTIVE, "revoked")):
        store.note_answer(it, check, asked=True, account="", again=timedelta(days=1))
    tell(store, channels, crawl(store))
    store.look([ONE], [(place.id, "gone") for place in store.places(ONE)], "ada")
    store.settle("ada", [ONE])
    tell(store, channels)
    tell(store, channels, crawl(store, 1, failure=Gap("u", "refused", "", excluded=False)))
    said = hook.bodies()
    assert [one["event"] for one in said] == ["new", "active", "closed", "reopened", "incomplete"]
    assert said[1]["why"] == "answers as deploy-bot"
    assert said[2]["why"]
    assert said[-1]["units"][0]["why"] == "refused"


def test_a_leak_is_told_where_it_leaked(store: Store, hook: Receiver) -> None:
    crawl(store, 1)
    place = {"uri": "paste://bin.test/x", "url": "https://bin.test/x", "names": ["acme.test"], "seen": []}
    for number, (kind, finding) in enumerate((("ours", ONE), ("mention", "")), 1):
        store._connection.execute(
            "INSERT INTO events (name, kind, finding, source, document, ordinal, about, at, copies, last_at)"
            " VALUES (?, ?, ?, 'pastes', x'00', 0, ?, '2030-05-01T13', 1, '2030-05-01T13')",
            (bytes([number]), kind, finding, json.dumps(place)),
        )
    tell(store, [channel(on=("leak",), min_severity="low"), channel("webhook", name="b", on=("leak",))])
    said = hook.bodies()
    assert [one["id"] for one in said] == ["leak:01", "leak:02", "leak:01"], "a mention is of low severity"
    assert said[0]["url"] == "https://bin.test/x"
    assert said[0]["severity"] == "high"
    assert said[1]["name"] == "A paste names you"
    text = messages.text([Waiting(1, "leak:01", "leak", said[0])])
    assert "a secret of yours, names acme.test, posted 2 times" in text


def test_what_is_not_asked_for_is_not_told(store: Store, hook: Receiver) -> None:
    tell(store, [channel(on=("reopened",))], crawl(store, 1))
    tell(store, [channel(min_severity="critical", name="b")], crawl(store, 2))
    assert hook.taken == []
    assert wanted(Webhook(url="${X}", min_severity="high")).severity == 3


def test_many_events_are_no_flood(store: Store, hook: Receiver) -> None:
    tell(store, [channel(limit=3)], crawl(store, *range(1, 10)))
    said = hook.bodies()
    assert [one["event"] for one in said] == ["new", "new", "new", "digest"]
    assert len(said[-1]["events"]) == 6
    tell(store, [channel("slack", name="chat")], crawl(store, 11, 12))
    assert len(hook.taken) == 5


def test_a_digest_is_one_message_a_night_and_a_quiet_night_sends_none(store: Store, hook: Receiver) -> None:
    channels = [channel(send="digest")]
    spent = Gap("chat", "budget spent: 2h", "the next run goes on there")
    tell(store, channels, crawl(store, 1, 2, failure=spent))
    (said,) = hook.bodies()
    assert said["event"] == "digest"
    assert sorted(one["event"] for one in said["events"]) == ["incomplete", "new", "new"]
    (missing,) = (one for one in said["events"] if one["event"] == "incomplete")
    assert missing["units"][0]["why"] == "budget spent: 2h"
    tell(store, channels, crawl(store, 1, 2))
    assert len(hook.taken) == 1


def test_no_error_shows_the_address_of_a_hook(store: Store, hook: Receiver, monkeypatch: Any) -> None:
    for answer in (302, 403, 404, 503):
        hook.answers = [answer]
        failure = try_channel(channel()).failure
        assert str(answer) in failure
        assert "path-of-the-hook" not in failure
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{port}/path-of-the-hook")
    told = try_channel(channel())
    assert told.failure.startswith("127.0.0.1 cannot be reached")
    monkeypatch.setenv("HOOK", "no address")
    assert "no address" not in try_channel(channel()).failure
    assert len([one for one in hook.asked if one[1].startswith("/elsewhere")]) == 0


def test_an_issue_a_finding_and_comments_for_what_follows(
    store: Store, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JIRA", "token of the tracker")
    for user in ("bot@acme.test", None):
        hook.issues.clear()
        hook.taken.clear()
        one = channel("jira", url=hook.url, project="SEC", token="${JIRA}", user=user, name=f"j{bool(user)}")
        event = Waiting(1, "new:1", "new", {"finding": "abc1", "name": "Key", "secret": "AKIA…"})
        from unsprawl.alerts.channels import sender

        tell_jira = sender(one)
        tell_jira([event])
        tell_jira([event])
        tell_jira([Waiting(2, "reopened:1", "reopened", event.payload)])
        assert len(hook.issues) == 1
        assert hook.issues[0]["labels"] == ["unsprawl", "unsprawl-abc1"]
        assert [path for path, _, _ in hook.taken] == [
            "/rest/api/2/issue",
            "/rest/api/2/issue/SEC-1/comment",
        ]
        assert all("authorization" in headers for _, headers, _ in hook.taken)


def test_words_of_strangers_do_nothing(store: Store) -> None:
    event = Waiting(
        1, "new:1", "new",
        {"finding": "abc1", "name": "x\r\nBcc: all@acme.test", "uri": "<!channel> *b* `c` {noformat}",
         "author": "\x1b[31m<@U1>", "severity": "high", "source": "chat"},
    )  # fmt: skip
    chat = messages.slack_text([event])
    assert "<" not in chat
    assert "\x1b" not in chat
    assert "\n" not in messages.subject([event])
    assert "\r" not in messages.subject([event])
    assert "\x1b" not in messages.text([event])


def test_mail_is_sent_whole_and_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as peer, peer.makefile("rwb") as line:

            def say(text: str) -> None:
                line.write(text.encode() + b"\r\n")
                line.flush()

            say("220 ready")
            while command := line.readline():
                if command.upper().startswith(b"EHLO"):
                    say("250 here")
                elif command.upper().startswith(b"DATA"):
                    say("354 go on")
                    while (read := line.readline()) != b".\r\n":
                        got.append(read)
                    say("250 taken")
                elif command.upper().startswith(b"QUIT"):
                    say("221 bye")
                    return
                else:
                    say("250 ok")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    settings = Email(
        host="127.0.0.1", port=server.getsockname()[1], encryption="none", sender="unsprawl@acme.test",
        to=("ops@acme.test",),
    )  # fmt: skip
    told = tell(store, [ConfiguredChannel("mail", "email", settings)], crawl(store, 1, 2))
    thread.join(5)
    assert (told[0].events, told[0].messages, told[0].failure) == (2, 1, "")
    text = b"".join(got).decode()
    assert "Subject: unsprawl: 2 new" in text
    assert "unsprawl playbook 000000000001" in text
    far = Email(host="mail.acme.test", encryption="none", sender="a@b.c", to=("d@e.f",))
    assert "without encryption" in try_channel(ConfiguredChannel("mail", "email", far)).failure


def test_a_watch_tells_while_it_goes_on(store: Store, hook: Receiver) -> None:
    with telling(store, [channel()]):
        crawl(store, 1)
    assert [one["id"] for one in hook.bodies()] == ["new:000000000001"]
