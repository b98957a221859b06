"""Revoking a credential at its provider, where that takes one documented call.

AWS keys are deactivated with the caller's own rights (the usual chain of AWS; ``AWS_ENDPOINT_URL_IAM`` names
another endpoint), which can be undone. Slack and GitLab let a token revoke itself, which cannot: GitLab's is
sent to ``GITLAB_URL`` alone, for nothing else says which instance a token belongs to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from unsprawl.errors import GoneError, UnreadableError
from unsprawl.records import Cleanup
from unsprawl.wire.client import Client, Fixed

__all__ = ["revocations", "revoke"]

_SLACK: Final = "https://slack.com/api"
_UNDO_NONE: Final = "none: a revoked token does not come back, make a new one"
_SEAL_HINT: Final = "crawl with `seal: open`, or do it by the playbook"

Values = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Way:
    """For the credentials of some rules: what could be done now, and doing it."""

    action: str
    rules: tuple[str, ...]
    look: Callable[[Values], Cleanup]
    act: Callable[[Values], str]


def revocations(rule: str, values: Values) -> Sequence[Cleanup]:
    """What can be done about a credential that ``rule`` found, by its sealed ``values``. ``SourceError``."""
    return [way.look(values) for way in _WAYS if _fits(way, rule)]


def revoke(rule: str, action: str, values: Values) -> str:
    """Do it, and answer what was done. ``SourceError`` when it is refused."""
    for way in _WAYS:
        if way.action == action and _fits(way, rule):
            return way.act(values)
    raise UnreadableError(f"{action} is no revocation of {rule}")


def _fits(way: _Way, rule: str) -> bool:
    return any(fnmatchcase(rule, pattern) for pattern in way.rules)


def _value(values: Values, *names: str) -> str:
    for name in names:
        if values.get(name):
            return values[name].decode("utf-8", "replace")
    raise UnreadableError("the store does not keep its value", hint=_SEAL_HINT)


# --- AWS ---------------------------------------------------------------------------------------------


def _look_aws(values: Values) -> Cleanup:
    id_ = _value(values, "companion.id", "companion.id2")
    user, status = _key(id_)
    whose = f" of {user}" if user else ""
    undo = f"aws iam update-access-key --access-key-id {_shown(id_)} --status Active"
    return Cleanup("aws-deactivate-key", f"deactivate the access key {_shown(id_)}{whose}", undo, status)


def _aws_deactivate(values: Values) -> str:
    id_ = _value(values, "companion.id", "companion.id2")
    user, _ = _key(id_)
    _iam("update_access_key", AccessKeyId=id_, Status="Inactive", **({"UserName": user} if user else {}))
    return f"the access key {_shown(id_)} is inactive"


def _key(id_: str) -> tuple[str, str]:
    """Whose key it is, and whether it is active, as far as the caller may know."""
    try:
        told = _iam("get_access_key_last_used", AccessKeyId=id_)
        user = str(told.get("UserName") or "")
        for key in _iam("list_access_keys", UserName=user).get("AccessKeyMetadata", []) if user else ():
            if key.get("AccessKeyId") == id_:
                return user, str(key.get("Status"))
    except GoneError:
        raise
    except UnreadableError:
        return "", ""  # who may only deactivate keys may do that without knowing whose they are
    return user, ""


def _iam(operation: str, **asked: str) -> dict[str, Any]:
    import logging

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)  # at DEBUG they write what they send
    try:
        client = boto3.Session().client("iam")
        answer: dict[str, Any] = getattr(client, operation)(**asked)
        return answer
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))[:64]
        if code == "NoSuchEntity":
            raise GoneError("there is no such access key in this account", hint=_ACCOUNT_HINT) from None
        raise UnreadableError(f"IAM refuses ({code})", hint=f"allow iam:{_words(operation)}") from None
    except BotoCoreError as error:
        raise UnreadableError(f"IAM cannot be asked ({type(error).__name__})", hint=_ACCOUNT_HINT) from None


_ACCOUNT_HINT: Final = "are these the credentials of the account that the key belongs to?"


def _words(operation: str) -> str:
    return "".join(word.title() for word in operation.split("_"))


def _shown(id_: str) -> str:
    return f"{id_[:4]}…{id_[-4:]}"


# --- tokens that revoke themselves -------------------------------------------------------------------


def _look_slack(values: Values) -> Cleanup:
    told = _slack(values, "auth.test")
    if told.get("ok") is not True:
        raise GoneError(f"the token is dead already ({str(told.get('error'))[:64]})")
    state = f"{told.get('team_id')}:{told.get('user_id')}"
    return Cleanup("slack-revoke-token", f"revoke the Slack token of {state}", _UNDO_NONE, state)


def _slack_revoke(values: Values) -> str:
    told = _slack(values, "auth.revoke")
    if told.get("ok") is not True:
        raise UnreadableError(f"Slack refuses to revoke it ({str(told.get('error'))[:64]})")
    return "the Slack token is revoked"


def _slack(values: Values, method: str) -> dict[str, Any]:
    base = os.environ.get("SLACK_API_URL", _SLACK)
    headers = Fixed({"authorization": f"Bearer {_value(values, 'secret')}"})
    with Client(base, credentials=headers) as client:
        told = client.request("POST", f"/{method}", content=b"").expect(method).json()
    return told if isinstance(told, dict) else {}


def _look_gitlab(values: Values) -> Cleanup:
    told = _gitlab(values, "GET")
    state = f"{told.get('id')}:{told.get('active')}"
    title = f"revoke the GitLab token {told.get('id')}"
    return Cleanup("gitlab-revoke-token", title, _UNDO_NONE, state)


def _gitlab_revoke(values: Values) -> str:
    _gitlab(values, "DELETE")
    return "the GitLab token is revoked"


def _gitlab(values: Values, method: str) -> dict[str, Any]:
    base = os.environ.get("GITLAB_URL", "")
    if not base:
        raise UnreadableError(
            "which GitLab a token belongs to is not known", hint="set GITLAB_URL, or do it by the playbook"
        )
    headers = Fixed({"private-token": _value(values, "secret")})
    with Client(base, credentials=headers) as client:
        answer = client.request(method, "/api/v4/personal_access_tokens/self")
        if answer.status == 401:
            raise GoneError("the token is dead already")
        answer.expect("the token")
        told = answer.json() if answer.body.strip() else {}
    return told if isinstance(told, dict) else {}


_WAYS: Final = (
    _Way("aws-deactivate-key", ("aws.credentials", "aws.secret-access-key"), _look_aws, _aws_deactivate),
    _Way("slack-revoke-token", ("slack.bot-token", "slack.user-token"), _look_slack, _slack_revoke),
    _Way("gitlab-revoke-token", ("gitlab.personal-token",), _look_gitlab, _gitlab_revoke),
)
