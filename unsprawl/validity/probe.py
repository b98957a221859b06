"""What a check would do, before it is done: the plan that a dry run prints and the engine carries out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from unsprawl.config import Checks
from unsprawl.records import Check
from unsprawl.validity.credential import Credential
from unsprawl.validity.line import Line
from unsprawl.validity.request import request
from unsprawl.validity.verdict import judge

__all__ = ["Plan", "Planner", "Probe", "of_rule"]


@dataclass(frozen=True, slots=True)
class Probe:
    """``ask`` speaks to ``hosts`` alone. ``shown`` says what it would do, without any value.

    ``provider`` is who is asked, for pacing. ``account`` names what a wrong password counts against; ""
    where nothing is locked by asking. ``elsewhere``: it may belong to another deployment, so that a refusal
    proves something only where it was accepted before.
    """

    provider: str
    hosts: frozenset[str]
    shown: tuple[str, ...]
    ask: Callable[[Line], Check] = field(repr=False)
    account: str = ""
    elsewhere: bool = False


#: A probe, or a verdict that needs nobody to be asked.
Plan: TypeAlias = Probe | Check
#: Raises ``Refused`` where nothing can be asked.
Planner: TypeAlias = Callable[[Credential, Checks], Plan]


def of_rule(provider: str, check: Mapping[str, Any], credential: Credential, checks: Checks) -> Probe:
    """The probe of a rule's ``check``: one request."""
    call = request(check, credential, checks.hosts)

    def ask(line: Line) -> Check:
        return judge(check, line.call(call), call.host)

    # Where a user name goes with the secret, wrong ones may lock the user.
    pair = check["request"].get("basic", ())
    login = [part.strip("{}") for part in pair if part.startswith("{") and part != "{secret}"]
    account = f"{call.host}/{credential.text(login[0])}" if login else ""
    return Probe(provider, frozenset({call.host}), (call.shown,), ask, account, check.get("elsewhere", False))
