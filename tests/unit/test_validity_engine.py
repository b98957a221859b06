"""The engine: who is asked, who is not, and who hears of it before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from checking import credential, engine, loopback

from unsprawl.errors import StoreError
from unsprawl.estate.loopback import Answer, Fault, LoopbackServer, Request, data
from unsprawl.placeholders import fill
from unsprawl.records import Check, Validity
from unsprawl.validity.budgets import Budgets
from unsprawl.validity.credential import Credential, Refused
from unsprawl.validity.engine import Engine
from unsprawl.validity.verdict import level_of, said

RULE, HOST = "github.personal-token", "api.github.com"
SECRET = fill("<github-token:ghp_>", "engine")


class GitHub(LoopbackServer):
    """Answers as GET /user does, and remembers how many were asked at once."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once = self.most = 0
        self.count = threading.Lock()

    def fault(self, line: str) -> Fault | None:
        with self.count:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(0.01)
        with self.count:
            self.at_once -= 1
        return super().fault(line)

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return data({"message": "Bad credentials"}, 401)
        login = {"login": "octocat", "site_admin": False, "echo": SECRET}
        return data(login, headers={"x-oauth-scopes": "repo, admin:org, read:user"})


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server


def checker(server: GitHub, **ways: Any) -> Engine:
    return engine(loopback(endpoints={HOST: server.url}, timeout=5), **ways)


def test_identity_and_scopes_are_told_and_the_value_never(github: GitHub) -> None:
    told: list[tuple[str, str, Mapping[str, Any]]] = []
    one = credential(RULE, SECRET)
    result = checker(github, audit=lambda *row: told.append(row)).check(one)
    assert result.check.validity is Validity.ACTIVE
    assert result.check.evidence == f"{HOST} accepts it (200), user octocat"
    assert result.check.privilege == "admin: scopes repo, admin:org, read:user"
    assert result.check.checked_at is not None
    assert [(action, subject) for action, subject, _ in told] == [
        ("check.request", one.finding),
        ("check.verdict", one.finding),
    ]
    assert told[0][2]["request"] == f"GET https://{HOST}/user"
    assert SECRET not in repr(told) + repr(result)


def test_a_request_that_cannot_be_recorded_is_not_made(github: GitHub) -> None:
    def full(*_row: object) -> None:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        checker(github, audit=full).check(credential(RULE, SECRET))
    assert github.asked() == []


def test_what_is_known_is_not_asked(github: GitHub) -> None:
    before = Check(Validity.ACTIVE, "as of yesterday", checked_at=datetime(2026, 1, 1, tzinfo=UTC))
    result = checker(github, known=lambda _: before).check(credential(RULE, SECRET))
    assert (result.check, result.cached, result.asked) == (before, True, False)
    expired = Credential(
        finding="f", fingerprint="f", rule=RULE, secret=credential(RULE, SECRET).secret,
        offline=Check(Validity.INACTIVE, "expired on 2020-01-01"),
    )  # fmt: skip
    assert checker(github).check(expired).check.evidence == "expired on 2020-01-01"
    assert github.asked() == []


def test_a_dry_run_says_what_would_be_asked_and_asks_nobody(github: GitHub) -> None:
    told: list[object] = []
    result = checker(github, audit=lambda *row: told.append(row)).plan(credential(RULE, SECRET))
    assert result.shown == (f"GET https://{HOST}/user",)
    assert (result.check.validity, result.asked) == (Validity.UNKNOWN, False)
    nothing = checker(github).plan(credential("django.secret-key", "x"))
    assert nothing.check.evidence == "there is no harmless question to ask about it"
    assert (told, github.asked()) == ([], [])


def test_a_provider_that_fails_is_left_alone_and_the_others_are_not(github: GitHub) -> None:
    github.faults[:] = [Fault(".", status=503)]
    one = checker(github)
    results = [one.check(credential(RULE, f"{SECRET[:-2]}{n:02}")) for n in range(6)]
    assert [result.asked for result in results] == [True, True, True, False, False, False]
    assert results[-1].check.evidence == "github failed 3 times in a row: left alone in this run"


def test_a_long_wait_that_is_asked_for_is_given(github: GitHub) -> None:
    github.faults[:] = [Fault(".", status=429, headers={"retry-after": "3600"})]
    one = checker(github)
    first, second = (one.check(credential(RULE, SECRET)) for _ in range(2))
    assert "asked too often" in first.check.evidence
    assert (second.asked, second.check.evidence) == (False, "github asked to be left alone for now")


def test_two_at_a_time_at_most(github: GitHub) -> None:
    results = list(checker(github).check_all(credential(RULE, SECRET) for _ in range(30)))
    assert len(results) == 30
    assert {result.check.validity for result in results} == {Validity.ACTIVE}
    assert 1 <= github.most <= 2


def test_turns_are_paced() -> None:
    slept: list[float] = []
    budgets = Budgets(2.0, 1, clock=lambda: 100.0, sleep=slept.append)
    for _ in range(3):
        with budgets.turn("github"):
            pass
    with budgets.turn("stripe"):
        pass
    assert slept == [2.0, 4.0]


def test_attempts_before_this_run_count() -> None:
    budgets = Budgets(0, 3, spent=lambda account: 2 if account == "db/app" else 0)
    budgets.attempt("db/app")
    with pytest.raises(Refused, match="3 passwords of this account"):
        budgets.attempt("db/app")
    for _ in range(3):
        budgets.attempt("db/other")


@pytest.mark.parametrize(
    ("scopes", "level"),
    [
        ([], ""),
        (["read:user", "channels:history"], "read"),
        (["repo", "read:org"], "write"),
        (["chat:write"], "write"),
        (["api", "read_user"], "write"),
        (["admin:org"], "admin"),
        (["*"], "admin"),
        (["read:admin"], "read"),
        (["administrative"], "admin"),
    ],
)
def test_privileges_are_read_from_scopes(scopes: list[str], level: str) -> None:
    assert level_of(scopes) == level


def test_what_an_answer_tells_is_made_plain() -> None:
    value = {"a": {"list": ["x", {"y": 1}, "z"]}, "user": "<b>eve</b>\n" + "x" * 300, "n": 7, "flag": True}
    tells = {"scopes": "a.list", "user": "user", "plan": "n", "account": "nothing.there", "admin": "flag"}
    told = said(tells, Answer(200), value)  # type: ignore[arg-type]
    assert told["scopes"] == "x,z"
    assert told["user"].startswith("beve/b")
    assert len(told["user"]) <= 120
    assert "account" not in told
    assert told["privilege"] == "admin: scopes x,z"
