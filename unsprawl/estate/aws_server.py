"""STS and IAM as far as keys are concerned: signatures are checked, and errors are those that AWS documents.

It has users with keys that are active or not, sessions that expire, and policies that deny. Requests are
form posts with Signature Version 4:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

from unsprawl.estate.loopback import Answer, LoopbackServer, Request

__all__ = ["AccessKey", "AwsServer"]

_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>\w+)/(?P<day>\d{8})/(?P<region>[\w-]+)/(?P<service>\w+)/aws4_request"
    r", ?SignedHeaders=(?P<headers>[\w;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_NEEDED: Final = frozenset({"host", "x-amz-date"})
_SKEW: Final = timedelta(minutes=15)
_MESSAGES: Final = {
    "InvalidClientTokenId": "The security token included in the request is invalid.",
    "ExpiredToken": "The security token included in the request is expired",
    "SignatureDoesNotMatch": "The request signature we calculated does not match the signature you provided.",
    "MissingAuthenticationToken": "Request is missing Authentication Token",
    "IncompleteSignature": "The request signature does not conform to AWS standards.",
    "InvalidAction": "The action or operation requested is invalid.",
    "NoSuchEntity": "The user with that name cannot be found.",
}


@dataclass(slots=True)
class AccessKey:
    """``denied`` are the actions that a policy denies; ``session`` is the token that has to come with it."""

    id: str
    secret: str = field(repr=False)
    account: str = "482915736042"
    user: str = "deploy"
    active: bool = True
    session: str = field(default="", repr=False)
    expired: bool = False
    denied: frozenset[str] = frozenset()
    policies: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        if self.user == "root":
            return f"arn:aws:iam::{self.account}:root"
        return f"arn:aws:iam::{self.account}:user/{self.user}"


class AwsServer(LoopbackServer):
    """``keys`` may be changed at any time: deactivating one is how a case is closed."""

    def __init__(self, keys: Mapping[str, AccessKey] | None = None, port: int = 0) -> None:
        super().__init__(port)
        self.keys: dict[str, AccessKey] = dict(keys or {})

    def add(self, key: AccessKey) -> AccessKey:
        self.keys[key.id] = key
        return key

    def answer(self, request: Request) -> Answer:
        fields = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        action = fields.get("Action", "")
        key = self._signer(request)
        if isinstance(key, Answer):
            return key
        if action in key.denied:
            text = f"User: {key.arn} is not authorized to perform: {action} with an explicit deny"
            return _error(403, "AccessDenied", text)
        if action == "GetCallerIdentity":
            return _answer(action, _fields(Arn=key.arn, UserId="AIDAEXAMPLE", Account=key.account))
        if action == "GetUser":
            return _answer(action, f"<User>{_fields(UserName=key.user, Arn=key.arn)}</User>")
        if action == "ListAttachedUserPolicies":
            if fields.get("UserName") != key.user:
                return _error(404, "NoSuchEntity")
            members = "".join(
                f"<member>{_fields(PolicyName=name, PolicyArn=f'arn:aws:iam::aws:policy/{name}')}</member>"
                for name in key.policies
            )
            return _answer(
                action, f"<IsTruncated>false</IsTruncated><AttachedPolicies>{members}</AttachedPolicies>"
            )
        if action == "UpdateAccessKey":
            return self._update(action, fields)
        return _error(400, "InvalidAction")

    def _update(self, action: str, fields: Mapping[str, str]) -> Answer:
        other = self.keys.get(fields.get("AccessKeyId", ""))
        if other is None or fields.get("Status") not in ("Active", "Inactive"):
            return _error(404, "NoSuchEntity")
        other.active = fields["Status"] == "Active"
        return _answer(action, "")

    def _signer(self, request: Request) -> AccessKey | Answer:
        """The key whose signature the request bears, or the error that AWS answers."""
        header = request.headers.get("authorization", "")
        if not header:
            return _error(403, "MissingAuthenticationToken")
        match = _AUTHORIZATION.fullmatch(header)
        names = match["headers"].split(";") if match else []
        if match is None or names != sorted(names) or not _NEEDED.issubset(names):
            return _error(400, "IncompleteSignature")
        key = self.keys.get(match["id"])
        # A key that was deactivated is to AWS what a key that never was is: it looks at no signature.
        if key is None or not key.active:
            return _error(403, "InvalidClientTokenId")
        if key.session != request.headers.get("x-amz-security-token", ""):
            return _error(403, "InvalidClientTokenId")
        moment = request.headers["x-amz-date"]
        if not _is_now(moment) or not moment.startswith(match["day"]):
            return _error(403, "SignatureDoesNotMatch", f"Signature expired: {moment}")
        if not hmac.compare_digest(_signature(request, match, names, key.secret), match["signature"]):
            return _error(403, "SignatureDoesNotMatch")
        return _error(403, "ExpiredToken") if key.expired else key


def _is_now(moment: str) -> bool:
    try:
        at = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(datetime.now(UTC) - at) < _SKEW


def _signature(request: Request, match: re.Match[str], names: list[str], secret: str) -> str:
    url = urlsplit(request.raw)
    query = parse_qs(url.query, keep_blank_values=True)
    pairs = sorted(
        (quote(name, safe="-._~"), quote(value, safe="-._~")) for name in query for value in query[name]
    )
    canonical = [request.method, quote(url.path or "/", safe="/-._~%"), "&".join(map("=".join, pairs))]
    canonical += [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names]
    canonical += ["", ";".join(names), sha256(request.body).hexdigest()]
    scope = f"{match['day']}/{match['region']}/{match['service']}/aws4_request"
    hashed = sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashed])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _fields(**values: str) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def _answer(action: str, content: str) -> Answer:
    body = (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<{action}Result>{content}</{action}Result>"
        f"<ResponseMetadata><RequestId>5f0a</RequestId></ResponseMetadata></{action}Response>"
    )
    return Answer(200, body.encode(), {"content-type": "text/xml"})


def _error(status: int, code: str, message: str = "") -> Answer:
    body = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"{_fields(Code=code, Message=message or _MESSAGES[code])}</Error>"
        "<RequestId>5f0a</RequestId></ErrorResponse>"
    )
    return Answer(status, body.encode(), {"content-type": "text/xml"})
