"""For every rule with a check: the documented answers give the verdict, and nothing else gives any."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest
from checking import credential, engine, loopback
from provider import LATE, Provider

from unsprawl.detectors.rules import Rule, load
from unsprawl.estate.loopback import Answer, LoopbackServer, Request
from unsprawl.records import Validity
from unsprawl.validity.credential import Credential
from unsprawl.validity.engine import Result
from unsprawl.validity.named import NAMED

RULES: Mapping[str, Rule] = {rule.id: rule for rule in load().rules if rule.check and rule.id not in NAMED}
#: Ends as keys of Mailchimp do, whose host stands in the key.
SECRET = "value-of-the-secret-us21"
FAULTS = "429 500 503 301 late moved html refused-html broken refused-broken packed".split()


class Nowhere(LoopbackServer):
    def answer(self, request: Request) -> Answer:
        return Answer(200, b'{"ok": true}')


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Nowhere]:
    with Nowhere() as server:
        yield server


@pytest.fixture(scope="module")
def provider(elsewhere: Nowhere) -> Iterator[Provider]:
    with Provider(RULES, elsewhere.url) as server:
        yield server


def found(rule: Rule) -> Credential:
    """A credential with all that the rule's request needs."""
    request = {name: value for name, value in (rule.check or {})["request"].items() if name != "json"}
    holes = set(re.findall(r"\{(\w+)\}", json.dumps(request))) - {"secret"} - set(request.get("derive", ()))
    host = urlsplit(str((rule.check or {})["request"]["url"])).netloc
    values = dict.fromkeys(holes, "acme")
    for name in re.findall(r"\{(\w+)\}", host):
        if host == f"{{{name}}}":
            values[name] = (rule.check or {})["request"]["hosts"][0].replace("*", "acme")
    return credential(rule.id, SECRET, **values)


def host_of(rule: Rule, one: Credential) -> str:
    netloc = urlsplit(str((rule.check or {})["request"]["url"])).netloc
    return re.sub(r"\{(\w+)\}", lambda match: one.text(match[1]) or "us21", netloc)


def asked(provider: Provider, rule: Rule, scenario: str, *, accepted: bool = False) -> Result:
    one = found(rule)
    endpoints = {host_of(rule, one): f"{provider.url}/{rule.id}/{scenario}"}
    patience = LATE / 4 if scenario == "late" else 5.0
    checks = loopback(endpoints=endpoints, timeout=patience)
    return engine(checks, RULES, accepted=lambda _: accepted).check(one)


def verdicts(provider: Provider, scenario: str, *, accepted: bool = False) -> dict[str, Result]:
    rules = [rule for rule in RULES.values() if scenario not in ("active", "limited", "inactive")
             or scenario in (rule.check or {})]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda rule: asked(provider, rule, scenario, accepted=accepted), rules)
        return {rule.id: result for rule, result in zip(rules, results, strict=True)}


def test_there_are_three_hundred_rules_with_a_check() -> None:
    assert len(RULES) + len(NAMED) >= 300


@pytest.mark.parametrize(
    ("scenario", "validity"),
    [("active", Validity.ACTIVE), ("limited", Validity.ACTIVE), ("inactive", Validity.INACTIVE)],
)
def test_the_documented_answers_give_the_verdict(
    provider: Provider, scenario: str, validity: Validity
) -> None:
    results = verdicts(provider, scenario, accepted=True)
    wrong = {id_: one.check for id_, one in results.items() if one.check.validity is not validity}
    assert wrong == {}
    assert all(one.asked for one in results.values())
    if scenario == "limited":
        assert all(one.check.privilege.startswith("none") for one in results.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_else_gives_one(provider: Provider, elsewhere: Nowhere, fault: str) -> None:
    results = verdicts(provider, fault, accepted=True)
    wrong = {id_: one.check for id_, one in results.items() if one.check.validity is not Validity.UNKNOWN}
    assert wrong == {}
    assert all(one.check.evidence and one.asked for one in results.values())
    assert elsewhere.requests == []


def test_a_success_that_speaks_of_an_error_is_none(provider: Provider) -> None:
    wrong = [id_ for id_, one in verdicts(provider, "error").items() if one.check.validity is Validity.ACTIVE]
    assert wrong == []


def test_a_refusal_where_it_may_not_belong_counts_only_after_it_was_accepted(provider: Provider) -> None:
    for id_, one in verdicts(provider, "inactive", accepted=False).items():
        elsewhere = (RULES[id_].check or {}).get("elsewhere", False)
        assert one.check.validity is (Validity.UNKNOWN if elsewhere else Validity.INACTIVE), id_


def test_each_request_bears_the_secret_in_its_place_and_no_one_is_told_it(provider: Provider) -> None:
    for rule in RULES.values():
        result = asked(provider, rule, "active")
        request = provider.requests[-1]
        sent = [request.raw, request.body.decode(), *request.headers.values(), *result.shown]
        pair = request.headers.get("authorization", "").removeprefix("Basic ")
        if "basic" in (rule.check or {})["request"]:
            sent.append(base64.b64decode(pair).decode())
        assert any(SECRET in text or quote(SECRET) in text for text in sent), rule.id
        assert "acme" in "".join(sent) or not result.credential.companions, rule.id
        assert SECRET not in repr(result), rule.id
        assert request.method == (rule.check or {})["request"].get("method", "GET")
