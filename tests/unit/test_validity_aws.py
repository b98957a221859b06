"""AWS keys against a server that checks signatures: what works, what does not, what proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from checking import credential, engine, loopback

from unsprawl.estate.aws_server import AccessKey, AwsServer
from unsprawl.estate.loopback import Fault
from unsprawl.placeholders import fill
from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Credential

IDS = {name: fill("<aws-key-id:482915736042>", name) for name in ("good", "dead", "denied", "root", "none")}
SESSION = fill("<aws-key-id:ASIA:482915736042>", "session")
SECRET = fill("<base64:40>", "the secret")
OTHER = fill("<base64:40>", "another secret")
TOKEN = "IQoJ" + fill("<base64:200>", "token")


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    with AwsServer() as server:
        server.add(AccessKey(IDS["good"], SECRET, policies=("ReadOnlyAccess",)))
        server.add(AccessKey(IDS["dead"], SECRET, active=False))
        server.add(AccessKey(IDS["denied"], SECRET, denied=frozenset({"GetCallerIdentity"})))
        server.add(AccessKey(IDS["root"], SECRET, user="root"))
        server.add(AccessKey(SESSION, SECRET, session=TOKEN))
        yield server


def pair(key_id: str, secret: str = SECRET, **more: str) -> Credential:
    return credential("aws.credentials", secret, id=key_id, **more)


def ask(server: AwsServer, one: Credential, **settings: object) -> Check:
    endpoints = {"sts.us-east-1.amazonaws.com": server.url, "iam.amazonaws.com": server.url}
    return engine(loopback(endpoints=endpoints, **settings)).check(one).check


def test_active_inactive_unknown_and_denied_keys_are_told_apart(aws: AwsServer) -> None:
    active, dead, denied = (ask(aws, pair(IDS[name])) for name in ("good", "dead", "denied"))
    wrong, never = ask(aws, pair(IDS["good"], OTHER)), ask(aws, pair(IDS["none"]))
    assert (active.validity, active.privilege) == (Validity.ACTIVE, "")
    assert "account 482915736042" in active.evidence
    assert "user deploy" in active.evidence
    assert dead.validity is Validity.INACTIVE
    assert "InvalidClientTokenId" in dead.evidence
    assert (denied.validity, denied.privilege) == (Validity.ACTIVE, "none: denied by a policy")
    assert wrong.validity is Validity.UNKNOWN
    assert "this is not its secret" in wrong.evidence
    assert never.validity is Validity.INACTIVE


def test_the_root_of_an_account_is_an_administrator(aws: AwsServer) -> None:
    assert ask(aws, pair(IDS["root"])).privilege == "admin: root of the account"


def test_what_a_user_may_do_is_asked_only_where_the_owner_wants_it(aws: AwsServer) -> None:
    seen = len(aws.asked())
    assert ask(aws, pair(IDS["good"]), privileges=True).privilege == "read: ReadOnlyAccess"
    assert len(aws.asked()) == seen + 2
    aws.keys[IDS["good"]].policies = ("AdministratorAccess",)
    assert ask(aws, pair(IDS["good"]), privileges=True).privilege == "admin: AdministratorAccess"
    aws.keys[IDS["good"]].denied = frozenset({"ListAttachedUserPolicies"})
    assert ask(aws, pair(IDS["good"]), privileges=True).privilege == "none: may not read its own policies"
    aws.keys[IDS["good"]].denied = frozenset()


def test_a_session_needs_its_token_and_ends(aws: AwsServer) -> None:
    assert ask(aws, pair(SESSION)).evidence.startswith("a temporary key works only with its session token")
    assert ask(aws, pair(SESSION, token=TOKEN)).validity is Validity.ACTIVE
    aws.keys[SESSION].expired = True
    expired = ask(aws, pair(SESSION, token=TOKEN))
    assert (expired.validity, "ExpiredToken" in expired.evidence) == (Validity.INACTIVE, True)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(".", status=500, body=b"<ErrorResponse><Code>InternalFailure</Code></ErrorResponse>"),
        Fault(".", status=429, body=b""),
        Fault(".", status=200, body=b"<html>please log in</html>"),
        Fault(".", status=403, body=b"<html><Code>InvalidClientTokenId</Code></html>"),
        Fault(".", status=302, headers={"location": "http://127.0.0.1:9/"}),
        Fault(".", spoil=lambda body: body[:40]),
        Fault(".", reset=True),
    ],
)
def test_only_what_sts_says_is_a_proof(aws: AwsServer, fault: Fault) -> None:
    aws.faults[:] = [fault]
    try:
        assert ask(aws, pair(IDS["good"])).validity is Validity.UNKNOWN
        assert ask(aws, pair(IDS["dead"])).validity is Validity.UNKNOWN
    finally:
        aws.faults.clear()


def test_canary_tokens_and_keys_without_their_id_are_not_touched(aws: AwsServer) -> None:
    seen = len(aws.asked())
    canary = ask(aws, pair(fill("<aws-key-id:052310077262>")))
    own = ask(aws, pair(IDS["good"]), canaries=("482915736042",))
    alone = ask(aws, credential("aws.secret-access-key", SECRET))
    assert "canary" in canary.evidence
    assert "canary of yours" in own.evidence
    assert alone.evidence == "its access key id was not found beside it"
    assert {canary.validity, own.validity, alone.validity} == {Validity.UNKNOWN}
    assert len(aws.asked()) == seen
