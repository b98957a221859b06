"""Azure: client secrets, storage account keys and shared access signatures.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
https://learn.microsoft.com/rest/api/storageservices/authorize-requests-to-azure-storage
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode, urlsafe_b64decode
from datetime import UTC, datetime
from email.utils import format_datetime
from hmac import digest
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from unsprawl.config import Checks
from unsprawl.records import Check, Validity
from unsprawl.validity.credential import Credential, Refused, unknown
from unsprawl.validity.line import Answer, Call, Line
from unsprawl.validity.probe import Probe
from unsprawl.validity.verdict import at, level_of, read, why_not

__all__ = ["client_secret", "shared_access", "storage_key"]

_LOGIN: Final = "login.microsoftonline.com"
_VERSION: Final = "2021-12-02"
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
#: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_DEAD: Final = {7000215: "it is no secret of this application", 7000222: "it has expired"}
_STORAGE: Final = re.compile(r"[a-z0-9]{3,24}\.(?:blob|queue|table|file|dfs)\.core\.windows\.net")
#: Storage lets in who is answered one of these.
_KNOWN: Final = frozenset(
    {
        "AuthorizationPermissionMismatch",
        "AuthorizationResourceTypeMismatch",
        "AuthorizationServiceMismatch",
        "BlobNotFound",
        "ContainerNotFound",
        "ResourceNotFound",
    }
)


def client_secret(credential: Credential, _checks: Checks) -> Probe:
    """The grant of client credentials; the token is looked at for its roles, and thrown away."""
    tenant = credential.need("tenant", "tenant id").lower()
    client = credential.need("id", "client id").lower()
    if not _UUID.fullmatch(tenant) or not _UUID.fullmatch(client):
        raise Refused("what stands beside it is no tenant and client")
    target = f"/{tenant}/oauth2/v2.0/token"
    shown = f"POST https://{_LOGIN}{target} as {client}"

    def ask(line: Line) -> Check:
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": credential.secret.text(),
            "scope": "https://graph.microsoft.com/.default",
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = line.call(Call("POST", _LOGIN, target, shown, headers, urlencode(form).encode()))
        reason = why_not(answer)
        kind, value = read(answer)
        if not reason and kind == "json":
            token = at(value, "access_token")
            if answer.status == 200 and isinstance(token, str):
                return Check(Validity.ACTIVE, f"Entra gives client {client} a token for it", _roles(token))
            for code in at(value, "error_codes") or ():
                if code in _DEAD and answer.status in (400, 401):
                    return Check(Validity.INACTIVE, f"Entra refuses it: {_DEAD[code]} (AADSTS{code})")
        return unknown(f"Entra proves nothing: {reason or f'it answered {answer.status}{_codes(value)}'}")

    return Probe("azure", frozenset({_LOGIN}), (shown,), ask, f"entra/{tenant}/{client}")


def _codes(value: Any) -> str:
    codes = [str(code) for code in at(value, "error_codes") or () if isinstance(code, int)]
    return f" AADSTS{codes[0]}" if codes else ""


def _roles(token: str) -> str:
    """The application's roles as its token names them."""
    part = [*token.split("."), ""][1]
    try:
        roles = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("roles", [])
    except (ValueError, AttributeError):
        return ""
    names = [re.sub(r"[^\w.]", "", str(role)) for role in roles[:12]]
    # Microsoft writes them as words without a border: Directory.ReadWrite.All.
    spaced = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace(".All", "") for name in names]
    level = level_of(spaced)
    return f"{level}: {', '.join(names)}" if level else ""


def storage_key(credential: Credential, _checks: Checks) -> Probe:
    """One page of one container's name, asked for with a shared key. The key may do everything."""
    account = credential.need("account", "storage account").lower()
    host = f"{account}.blob.core.windows.net"
    if not _STORAGE.fullmatch(host):
        raise Refused("what stands beside it is no storage account")
    shown = f"GET https://{host}/?comp=list&maxresults=1"

    def ask(line: Line) -> Check:
        date = format_datetime(datetime.now(UTC), usegmt=True)
        resource = f"/{account}/\ncomp:list\nmaxresults:1"
        headers = f"x-ms-date:{date}\nx-ms-version:{_VERSION}"
        text = f"GET\n{chr(10) * 11}{headers}\n{resource}"
        signature = b64encode(digest(b64decode(credential.secret.text()), text.encode(), "sha256")).decode()
        sent = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "authorization": f"SharedKey {account}:{signature}",
        }
        answer = line.call(Call("GET", host, "/?comp=list&maxresults=1", shown, sent))
        code = _code(answer)
        if answer.status == 200 and b"<EnumerationResults" in answer.body:
            return Check(Validity.ACTIVE, f"{host} accepts it", "admin: everything in this storage account")
        if answer.status == 403 and code == "AuthenticationFailed":
            return Check(Validity.INACTIVE, f"{host} refuses it: it is no key of this account ({code})")
        return _nothing(host, answer, code)

    return Probe("azure storage", frozenset({host}), (shown,), ask)


def shared_access(credential: Credential, _checks: Checks) -> Probe:
    """A signature is tried on the very address that it signs."""
    url = urlsplit(credential.need("url", "address"))
    host = (url.hostname or "").lower()
    if url.scheme != "https" or not _STORAGE.fullmatch(host) or url.netloc.lower() != host:
        raise Refused("its address is none of Azure Storage")
    query = f"{url.query}sig={credential.secret.text()}"
    root = url.path in ("", "/")
    target = f"/?comp=list&maxresults=1&{query}" if root else f"{url.path}?{query}"
    method = "GET" if root else "HEAD"
    shown = f"{method} https://{host}{url.path or '/'}?…"

    def ask(line: Line) -> Check:
        answer = line.call(Call(method, host, target, shown, {"x-ms-version": _VERSION}))
        code = _code(answer)
        served = answer.headers.get("x-ms-version", "") != ""
        level = _permissions(url.query)
        if served and (answer.status in (200, 206) or code in _KNOWN):
            return Check(Validity.ACTIVE, f"{host} accepts it ({code or answer.status})", level)
        if answer.status == 403 and b"Signature not valid in the specified time frame" in answer.body:
            return Check(Validity.INACTIVE, f"{host} refuses it: it has expired ({code})")
        # What stood behind the signature may be missing here, so a refusal proves nothing.
        return _nothing(host, answer, code)

    return Probe("azure storage", frozenset({host}), (shown,), ask)


def _permissions(query: str) -> str:
    match = re.search(r"(?:^|&)sp=([a-z]{1,16})", query)
    if match is None:
        return ""
    return f"{'write' if set(match[1]) & set('wdcaxup') else 'read'}: sp={match[1]}"


def _code(answer: Answer) -> str:
    code = answer.headers.get("x-ms-error-code", "")
    if not code:
        match = re.search(rb"<Code>([A-Za-z]{3,60})</Code>", answer.body)
        code = match[1].decode() if match else ""
    return code if code.isalpha() else ""


def _nothing(host: str, answer: Answer, code: str) -> Check:
    reason = why_not(answer) or f"it answered {answer.status}{f' {code}' if code else ''}"
    return unknown(f"{host} proves nothing: {reason}")
