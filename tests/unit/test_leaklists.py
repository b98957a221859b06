"""Lists of leaked values are asked with five digits of a hash, and answer as their documentation says."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

import pytest
from leak_lists import LeakServer

from unsprawl.errors import SourceError, UnreadableError
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.leaklists import hmsl_hash, hmsl_open, in_breaches, in_public
from unsprawl.secret import Secret


def test_the_hash_is_that_of_the_published_vector() -> None:
    expected = "743d9fde380b7064cc6a8d3071184fc47905cf7440e5615cd46c7b6cbfb46d47"
    assert hmsl_hash(b"password").hex() == expected


def test_what_leaked_is_told_with_its_place() -> None:
    leaked: dict[str, dict[str, Any]] = {
        "correct-horse-1": {"c": 3, "l": {"u": "https://code.test/x"}},
        "other-value-2": {"c": 1, "l": None},
    }
    values = [Secret(one) for one in ("never-seen-0", "correct-horse-1", "other-value-2", "short")]
    with LeakServer(leaked, {}) as server:
        found = in_public(values, server.url)
        assert [(one.number, one.count, one.url) for one in found] == [
            (1, 3, "https://code.test/x"),
            (2, 1, ""),
        ]
        sent = [json.loads(request.body) for request in server.requests]
    assert all(len(prefix) == 5 for one in sent for prefix in one["prefixes"])
    assert str(found[0]) == "HasMySecretLeaked: 3 times, https://code.test/x"


def test_many_values_are_asked_for_ten_at_a_time() -> None:
    with LeakServer({"value-number-17": {"c": 2, "l": None}}, {}) as server:
        found = in_public([Secret(f"value-number-{number}") for number in range(35)], server.url)
        assert [one.number for one in found] == [17]
        assert len(server.requests) == 4


def test_passwords_of_breaches_are_counted_and_padding_is_not() -> None:
    with LeakServer({}, {"Tr0ub4dor&3": 42}) as server:
        found = in_breaches([Secret("Tr0ub4dor&3"), Secret("never-seen"), Secret("Tr0ub4dor&3")], server.url)
        assert [(one.number, one.count) for one in found] == [(0, 42), (2, 42)]
        paths = [request.path for request in server.requests]
        agents = {request.headers.get("user-agent", "") for request in server.requests}
    digest = hashlib.sha1(b"Tr0ub4dor&3").hexdigest().upper()
    assert paths[0] == f"/range/{digest[:5]}"
    assert len(paths) == 2
    assert all(agent.startswith("unsprawl") for agent in agents)


def test_an_answer_that_was_made_up_is_refused() -> None:
    with pytest.raises(UnreadableError, match="cannot be opened"):
        hmsl_open(hmsl_hash(b"password"), base64.b64encode(os.urandom(60)).decode())


def test_a_list_that_refuses_says_so() -> None:
    class Refusing(LoopbackServer):
        def answer(self, request: Request) -> Answer:
            return data({"detail": "no credits left"}, 403)

    with Refusing() as server, pytest.raises(SourceError) as refused:
        in_public([Secret("correct-horse")], server.url)
    assert "correct" not in str(refused.value)
