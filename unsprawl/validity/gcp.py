"""Google Cloud service account keys: a signed assertion is offered for a token, which is thrown away.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import json
import re
import time
from base64 import urlsafe_b64encode
from typing import Final
from urllib.parse import urlencode

from unsprawl.config import Checks
from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Credential, Refused, unknown
from unsprawl.validity.keys import private_key
from unsprawl.validity.line import Call, Line
from unsprawl.validity.probe import Probe
from unsprawl.validity.verdict import at, read, why_not

__all__ = ["plan"]

_HOST: Final = "oauth2.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform.read-only"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ACCOUNT: Final = re.compile(r"[a-z0-9.-]{1,100}@[a-z0-9.-]{1,100}")
#: What the answer says of a key that is none any more.
_DEAD: Final = ("Invalid JWT Signature", "account not found", "account is disabled", "has been disabled")


def plan(credential: Credential, _checks: Checks) -> Probe:
    account = credential.need("account", "client_email")
    if not _ACCOUNT.fullmatch(account):
        raise Refused("what stands beside it is no service account")
    shown = f"POST https://{_HOST}/token as {account}"

    def ask(line: Line) -> Check:
        form = {"grant_type": _GRANT, "assertion": _assertion(credential, account)}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = line.call(Call("POST", _HOST, "/token", shown, headers, urlencode(form).encode()))
        reason = why_not(answer)
        kind, value = read(answer)
        if not reason and kind == "json":
            if answer.status == 200 and isinstance(at(value, "access_token"), str):
                return Check(Validity.ACTIVE, f"Google gives {account} a token for it")
            told = str(at(value, "error_description") or "")
            if answer.status in (400, 401) and at(value, "error") == "invalid_grant":
                dead = next((words for words in _DEAD if words.lower() in told.lower()), "")
                if dead:
                    return Check(Validity.INACTIVE, f"Google refuses it: {dead.lower()}")
        return unknown(f"Google proves nothing: {reason or f'it answered {answer.status}'}")

    return Probe("gcp", frozenset({_HOST}), (shown,), ask)


def _assertion(credential: Credential, account: str) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = private_key(credential.secret.reveal())
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Refused("it is no RSA key")
    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": credential.text("id")}
    claims = {"iss": account, "scope": _SCOPE, "aud": f"https://{_HOST}/token", "iat": now, "exp": now + 300}
    text = ".".join(_part(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{_part(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _part(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
