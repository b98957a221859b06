"""What the tests of live checks share: an engine that reaches this machine alone and never waits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from unsprawl.config import Checks
from unsprawl.detectors.rules import Rule, load
from unsprawl.secret import Secret
from unsprawl.validity.budgets import Budgets
from unsprawl.validity.credential import Credential
from unsprawl.validity.engine import Engine

LOOPBACK = ("127.0.0.0/8",)


def loopback(**settings: Any) -> Checks:
    """Settings with this machine allowed; ``endpoints`` and the like as given."""
    return Checks(**{"networks": LOOPBACK, "timeout": 2.0, "interval": 0.0, **settings})


def engine(checks: Checks, rules: Mapping[str, Rule] | None = None, **ways: Any) -> Engine:
    """An engine with ``checks``, whose pacing takes no time."""
    ways.setdefault("budgets", Budgets(checks.interval, checks.attempts, sleep=lambda _: None))
    return Engine(rules if rules is not None else load().by_id, checks, **ways)


def credential(rule: str, secret: str | bytes, **companions: str) -> Credential:
    return Credential(
        finding=os.urandom(8).hex(),
        fingerprint=os.urandom(32).hex(),
        rule=rule,
        secret=Secret(secret),
        companions={name: Secret(value) for name, value in companions.items()},
    )


def at(checks: Checks, **changes: Any) -> Checks:
    return msgspec.structs.replace(checks, **changes)
