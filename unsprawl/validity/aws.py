"""AWS access keys: GetCallerIdentity, signed with the key (Signature Version 4).

It needs no permission and changes nothing. https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest
from typing import Final
from urllib.parse import urlencode

from unsprawl.config import Checks
from unsprawl.records import Check, Validity
from unsprawl.structs import replace
from unsprawl.validity.credential import Credential, Refused, unknown
from unsprawl.validity.line import Answer, Call, Line
from unsprawl.validity.probe import Probe
from unsprawl.validity.verdict import why_not

__all__ = ["plan", "signed"]

_STS: Final = "sts.us-east-1.amazonaws.com"
_IAM: Final = "iam.amazonaws.com"
_REGION: Final = "us-east-1"
_KEY_ID: Final = re.compile(r"A[KS]IA[A-Z2-7]{16}")
_LARGEST: Final = 64 << 10
#: Errors by what they prove: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
_DEAD: Final = {
    "InvalidClientTokenId": "no such key, or it was deactivated",
    "UnrecognizedClientException": "no such key, or it was deactivated",
    "ExpiredToken": "the session has expired",
    "ExpiredTokenException": "the session has expired",
}
_MISMATCH: Final = "SignatureDoesNotMatch"
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_ADMIN: Final = ("AdministratorAccess", "IAMFullAccess", "PowerUserAccess")


def plan(credential: Credential, checks: Checks) -> Probe:
    key_id = credential.need("id", "access key id")
    if not _KEY_ID.fullmatch(key_id):
        raise Refused("what stands beside it is no access key id")
    token = credential.text("token") or credential.text("session_token")
    if key_id.startswith("ASIA") and not token:
        raise Refused("a temporary key works only with its session token, which was not found beside it")
    shown = [f"POST https://{_STS}/ GetCallerIdentity"]
    hosts = {_STS}
    if checks.privileges:
        shown.append(f"POST https://{_IAM}/ ListAttachedUserPolicies")
        hosts.add(_IAM)

    def ask(line: Line) -> Check:
        secret = credential.secret.text()
        body = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
        verdict = _identity(line.call(signed(line, "sts", _STS, body, key_id, secret, token, shown[0])))
        user = re.search(r"user ([\w+=,.@/-]+)", verdict.evidence)
        if verdict.validity is not Validity.ACTIVE or verdict.privilege or not user or not checks.privileges:
            return verdict
        body = {"Action": "ListAttachedUserPolicies", "Version": "2010-05-08"}
        body["UserName"] = user[1].rpartition("/")[2]
        answer = line.call(signed(line, "iam", _IAM, body, key_id, secret, token, shown[1]))
        return replace(verdict, privilege=_policies(answer))

    return Probe("aws", frozenset(hosts), tuple(shown), ask)


def _identity(answer: Answer) -> Check:
    text = _text(answer)
    code = _element(text, "Code")
    arn = _element(text, "Arn")
    if answer.status == 200 and arn.startswith("arn:") and _element(text, "Account").isdigit():
        who = arn.split(":", 5)[5]
        evidence = f"STS accepts it: account {_element(text, 'Account')}, {who.replace('/', ' ', 1)}"
        return Check(Validity.ACTIVE, evidence, "admin: root of the account" if who == "root" else "")
    if answer.status in (400, 403) and "<ErrorResponse" in text:
        if code in _DEAD:
            return Check(Validity.INACTIVE, f"STS refuses it: {_DEAD[code]} ({code})")
        if code == _MISMATCH:
            return unknown(
                f"STS knows the key id, and this is not its secret ({code}): another pair may work"
            )
        if code in _DENIED:
            evidence = f"STS knows it, and a policy denies it this question ({code})"
            return Check(Validity.ACTIVE, evidence, "none: denied by a policy")
    reason = why_not(answer) or f"it answered {answer.status}{f' {code}' if code.isalpha() else ''}"
    return unknown(f"STS proves nothing: {reason}")


def _policies(answer: Answer) -> str:
    """What the policies attached to a user let it do; what groups and inline policies add is not asked."""
    text = _text(answer)
    if answer.status == 200 and "<ListAttachedUserPoliciesResponse" in text:
        names = re.findall(r"<PolicyName>([\w+=,.@-]{1,128})</PolicyName>", text)
        level = "admin" if any(name in _ADMIN for name in names) else "read"
        return f"{level}: {', '.join(names[:8])}" if names else ""
    if _element(text, "Code") in _DENIED:
        return "none: may not read its own policies"
    return ""


def _text(answer: Answer) -> str:
    return answer.body[:_LARGEST].decode("utf-8", "replace") if answer.whole else ""


def _element(text: str, name: str) -> str:
    """The content of the first element of this name, if it is plain: no parser meets a stranger's XML."""
    match = re.search(rf"<{name}>([\w:/+=,.@-]{{1,300}})</{name}>", text)
    return match[1] if match else ""


def signed(
    line: Line,
    service: str,
    host: str,
    body: dict[str, str],
    key_id: str,
    secret: str,
    token: str,
    shown: str,
    now: datetime | None = None,
) -> Call:
    """A POST of form fields, signed as Signature Version 4 has it, for the host that will be spoken to."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    day = moment[:8]
    content = urlencode(body).encode()
    origin = line.origin(host)
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": origin.authority,
        "x-amz-date": moment,
    }
    if token:
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            "POST",
            f"{origin.prefix}/",
            "",
            *(f"{name}:{headers[name].strip()}" for name in sorted(headers)),
            "",
            names,
            sha256(content).hexdigest(),
        ]
    )
    scope = f"{day}/{_REGION}/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (day, _REGION, service, "aws4_request"):
        key = digest(key, part.encode(), "sha256")
    signature = digest(key, to_sign.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return Call("POST", host, "/", shown, {**headers, "authorization": credential}, content)
