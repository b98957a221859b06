"""Traps that must not be sprung: who uses a canary token tells its owner where he looks from."""

from __future__ import annotations

import re
from typing import Final

from unsprawl.config import Checks
from unsprawl.detectors.judging.offline import aws_account
from unsprawl.validity.credential import Credential

__all__ = ["trap"]

#: AWS accounts in which services that hand out canary tokens make their keys; a key's id tells its account.
_ACCOUNTS: Final = frozenset(
    {
        "052310077262",
        "171436882533",
        "534261010715",
        "595918472158",
        "717712589309",
        "819147034852",
        "992382622183",
        "730335385048",
        "266735846894",
    }
)
#: Domains under which traps wait to be called.
_DOMAINS: Final = re.compile(
    r"(?:^|\.)(?:canarytokens\.(?:com|org|net)|canarytokens\.[a-z]+|canary\.tools|o3n\.io|whiteclouddrive\.com"
    r"|interact\.sh|oast\.[a-z]+|burpcollaborator\.net|oastify\.com|requestbin\.[a-z]+|webhook\.site)$"
)
_KEY_ID: Final = re.compile(rb"A[KS]IA[A-Z2-7]{16}")


def trap(credential: Credential, checks: Checks) -> str:
    """Why this credential is taken for a trap, "" when it is not."""
    for value in (credential.secret, *credential.companions.values()):
        raw = value.reveal()
        account = aws_account(raw) if _KEY_ID.fullmatch(raw) else None
        if account in _ACCOUNTS:
            return f"a canary token: its account {account} hands out keys that call for help when used"
        if account in checks.canaries:
            return f"a canary of yours: account {account} is named in checks.canaries"
    for name in ("host", "domain", "url", "site", "endpoint"):
        host = credential.text(name).lower().partition(":")[0].rstrip(".")
        if host and _DOMAINS.search(host):
            return "a canary token: its host belongs to a service of traps"
    return ""
