"""Logins of registries: by Docker Hub's interface, by a challenge, by an upload of nothing (PyPI)."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Final

from unsprawl.config import Checks
from unsprawl.records import Check, Validity
from unsprawl.validity.addresses import allowed, place_of
from unsprawl.validity.credential import Credential, Refused, unknown
from unsprawl.validity.line import Call, Line
from unsprawl.validity.probe import Probe
from unsprawl.validity.verdict import at, read, why_not

__all__ = ["docker", "pypi"]

_HUB: Final = "hub.docker.com"
_HUB_NAMES: Final = frozenset({"", "docker.io", "index.docker.io", "registry-1.docker.io", _HUB})
_PYPI: Final = {"pypi-AgEIcHlwaS5vcmc": "upload.pypi.org", "pypi-AgENdGVzdC5weXBpLm9yZw": "test.pypi.org"}
_INVALID: Final = "invalid or non-existent authentication"


def docker(credential: Credential, checks: Checks) -> Probe:
    """``docker login`` in one step. https://docs.docker.com/reference/api/hub/latest/"""
    user = credential.need("account", "user")
    text = credential.text("host")
    host, port = place_of(text, 443) if text else ("", 443)
    if host not in _HUB_NAMES:
        return _registry(credential, checks, host, port, user)
    target = "/v2/auth/token"
    shown = f"POST https://{_HUB}{target} as {user[:80]}"

    def ask(line: Line) -> Check:
        body = json.dumps({"identifier": user, "secret": credential.secret.text()}).encode()
        answer = line.call(Call("POST", _HUB, target, shown, {"content-type": "application/json"}, body))
        reason = why_not(answer)
        kind, value = read(answer)
        if not reason and kind == "json":
            if answer.status == 200 and isinstance(at(value, "access_token"), str):
                return Check(Validity.ACTIVE, f"Docker Hub accepts it as {user[:80]}")
            if answer.status == 401:
                return Check(Validity.INACTIVE, f"Docker Hub refuses it as {user[:80]} (401)")
        return unknown(f"Docker Hub proves nothing: {reason or f'it answered {answer.status}'}")

    return Probe("docker", frozenset({_HUB}), (shown,), ask, f"{_HUB}/{user}")


def _registry(credential: Credential, checks: Checks, host: str, port: int, user: str) -> Probe:
    if not allowed(host, checks.hosts) or port != 443:
        raise Refused(f"{host[:80]} is not listed in checks.hosts")
    shown = f"GET https://{host}/v2/"

    def ask(line: Line) -> Check:
        bare = line.call(Call("GET", host, "/v2/", f"{shown} as nobody"))
        challenge = bare.headers.get("www-authenticate", "").lower()
        if bare.status != 401 or not challenge.startswith("basic"):
            return unknown(f"{host} asks for no password, or for a token ({bare.status})")
        pair = b64encode(f"{user}:{credential.secret.text()}".encode()).decode()
        answer = line.call(
            Call("GET", host, "/v2/", f"{shown} as {user[:80]}", {"authorization": f"Basic {pair}"})
        )
        if answer.status == 200:
            return Check(Validity.ACTIVE, f"{host} accepts it as {user[:80]}")
        if answer.status == 401 and read(answer)[0] != "html":
            return Check(Validity.INACTIVE, f"{host} refuses it as {user[:80]} (401)")
        return unknown(f"{host} proves nothing: {why_not(answer) or f'it answered {answer.status}'}")

    return Probe(f"registry {host}", frozenset({host}), (shown,), ask, f"{host}/{user}")


def pypi(credential: Credential, _checks: Checks) -> Probe:
    """An upload without a file: who may upload is told what is missing, all others that they may not."""
    secret = credential.secret.text()
    host = next((site for start, site in _PYPI.items() if secret.startswith(start)), "")
    if not host:
        raise Refused("it names no site")
    shown = f"POST https://{host}/legacy/ without a file"

    def ask(line: Line) -> Check:
        pair = b64encode(f"__token__:{secret}".encode()).decode()
        headers = {"authorization": f"Basic {pair}", "content-type": "application/x-www-form-urlencoded"}
        body = b":action=file_upload&protocol_version=1"
        answer = line.call(Call("POST", host, "/legacy/", shown, headers, body))
        words = (answer.reason + answer.body[:4096].decode("utf-8", "replace")).lower()
        if answer.status == 403 and _INVALID in words:
            return Check(Validity.INACTIVE, f"{host} refuses it: no such token")
        if answer.status == 400 and ("metadata" in words or "digest" in words or "filetype" in words):
            return Check(Validity.ACTIVE, f"{host} lets it upload", "write: may upload files")
        return unknown(f"{host} proves nothing: {why_not(answer) or f'it answered {answer.status}'}")

    return Probe("pypi", frozenset({host}), (shown,), ask)
