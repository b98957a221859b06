"""A rule's ``check`` and a credential made into one request, every value in its place and escaped for it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from unsprawl.validity.addresses import allowed, host_of
from unsprawl.validity.credential import Credential, Refused
from unsprawl.validity.line import Call

__all__ = ["request"]

_HOLE: Final = re.compile(r"\{(\w+)\}")
#: What may stand in a path or query as it is; tokens are made of such characters.
_SAFE: Final = "-._~:"
_HIDDEN: Final = "…"


def request(check: Mapping[str, Any], credential: Credential, own_hosts: tuple[str, ...] = ()) -> Call:
    """The call that ``check`` describes, for ``credential``.

    A host that is made of found text must fit the rule's ``hosts``, or be one of the owner's. Raises
    :class:`Refused` when a companion is missing or the host is none that may be called.
    """
    wanted = check["request"]
    values = {"secret": credential.secret.text()}
    values |= {name: value.text() for name, value in credential.companions.items()}

    for name, pattern in wanted.get("derive", {}).items():
        if part := re.search(pattern, values["secret"]):
            values[name] = part[1]

    def fill(template: str, escape: Callable[[str], str] = str) -> str:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name not in values:
                raise Refused(f"its {name} was not found beside it")
            return escape(values[name])

        return _HOLE.sub(value, template)

    url = urlsplit(wanted["url"])
    host = _host(url.netloc, fill, tuple(wanted.get("hosts", ())), own_hosts)
    target = url.path or "/"
    target += f"?{url.query}" if url.query else ""
    headers = {name: fill(text) for name, text in wanted.get("headers", {}).items()}
    body = b""
    if wanted.get("bearer"):
        headers["authorization"] = f"Bearer {values['secret']}"
    if "basic" in wanted:
        pair = ":".join(fill(part) for part in wanted["basic"]).encode()
        headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    if "form" in wanted:
        headers["content-type"] = "application/x-www-form-urlencoded"
        body = urlencode({name: fill(text) for name, text in wanted["form"].items()}).encode()
    if "json" in wanted:
        headers["content-type"] = "application/json"
        body = json.dumps(_filled(wanted["json"], fill)).encode()
    headers.setdefault("accept", "application/json")
    method = wanted.get("method", "GET")
    return Call(
        method=method,
        host=host,
        target=fill(target, lambda text: quote(text, safe=_SAFE)),
        shown=f"{method} https://{host}{_HOLE.sub(_HIDDEN, target)}",
        headers=headers,
        body=body,
    )


def _host(netloc: str, fill: Callable[..., str], of_rule: tuple[str, ...], own: tuple[str, ...]) -> str:
    """The host to call. One that found text has a part in is compared after it was put together."""
    if "{" not in netloc:
        return host_of(netloc)
    host = host_of(fill(netloc))
    if not allowed(host, of_rule) and not allowed(host, own):
        raise Refused(f"it belongs to {host[:80]}, a host that may not be called")
    return host


def _filled(value: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        # Only a whole text is a hole here: GraphQL has braces of its own.
        return fill(value) if _HOLE.fullmatch(value) else value
    if isinstance(value, Mapping):
        return {name: _filled(inner, fill) for name, inner in value.items()}
    return [_filled(inner, fill) for inner in value] if isinstance(value, list) else value
