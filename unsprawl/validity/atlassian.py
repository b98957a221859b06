"""Atlassian Cloud API tokens: Jira and Confluence are asked who the token's owner is.

A token with scopes is refused by the site's own address though it works, so a refusal proves nothing unless
the token was accepted before.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final

from unsprawl.config import Checks
from unsprawl.records import Check, Validity
from unsprawl.validity.addresses import host_of
from unsprawl.validity.credential import Credential, Refused, unknown
from unsprawl.validity.line import Call, Line
from unsprawl.validity.probe import Probe
from unsprawl.validity.verdict import at, read, why_not

__all__ = ["plan"]

_SITE: Final = re.compile(r"[a-z0-9-]{2,60}\.atlassian\.net")


def plan(credential: Credential, _checks: Checks) -> Probe:
    user = credential.need("account", "e-mail address")
    host = host_of(credential.need("host", "site"))
    if not _SITE.fullmatch(host):
        raise Refused("what stands beside it is no site of Atlassian")
    shown = f"GET https://{host}/rest/api/3/myself?expand=groups"

    def ask(line: Line) -> Check:
        pair = b64encode(f"{user}:{credential.secret.text()}".encode()).decode()
        headers = {"authorization": f"Basic {pair}", "accept": "application/json"}
        answer = line.call(Call("GET", host, "/rest/api/3/myself?expand=groups", shown, headers))
        reason = why_not(answer)
        kind, value = read(answer)
        # A wrong pair may be let in as nobody: only an answer that knows who asks is one.
        if answer.status == 200 and kind == "json" and isinstance(at(value, "accountId"), str):
            groups = [str(at(one, "name")) for one in at(value, "groups.items") or ()]
            admin = any(re.search(r"(?:^|[-_])(?:site-)?admin", group) for group in groups)
            return Check(
                Validity.ACTIVE, f"{host} accepts it as {user[:80]}", "admin: of the site" if admin else ""
            )
        if answer.status == 401 and kind in ("json", "text", "empty"):
            return Check(Validity.INACTIVE, f"{host} refuses it as {user[:80]} (401)")
        return unknown(f"{host} proves nothing: {reason or f'it answered {answer.status}'}")

    return Probe("atlassian", frozenset({host}), (shown,), ask, f"{host}/{user}", elsewhere=True)
