"""Which validator checks what: the rule's own ``check``, or one that has to be programmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from unsprawl.config import Checks
from unsprawl.detectors.rules import Rule
from unsprawl.validity import atlassian, aws, azure, databases, gcp, jwt, keys, registries
from unsprawl.validity.credential import Credential, Refused
from unsprawl.validity.probe import Plan, Planner, of_rule

__all__ = ["NAMED", "checkable", "plan"]

#: By rule id. A named validator wins over the rule's ``check``.
NAMED: Final[Mapping[str, Planner]] = {
    "atlassian.api-token": atlassian.plan,
    "aws.credentials": aws.plan,
    "aws.secret-access-key": aws.plan,
    "azure.client-secret": azure.client_secret,
    "azure.sas-token": azure.shared_access,
    "azure.storage-account-key": azure.storage_key,
    "database.driver-address": databases.driver_address,
    "database.pgpass": databases.pgpass,
    "database.url": databases.url,
    "docker.config-auth": registries.docker,
    "docker.hub-token": registries.docker,
    "gcp.service-account-key": gcp.plan,
    "jwt.token": jwt.plan,
    "privatekey.pem": keys.plan,
    "pypi.api-token": registries.pypi,
}


def checkable(rule: Rule) -> bool:
    """Whether anything can be asked about credentials of this rule."""
    return rule.id in NAMED or rule.check is not None


def plan(rule: Rule, credential: Credential, checks: Checks) -> Plan:
    """What to do to check ``credential``. Raises :class:`Refused` where nothing can be done."""
    named = NAMED.get(rule.id)
    if named is not None:
        return named(credential, checks)
    if rule.check is None:
        raise Refused("there is no harmless question to ask about it")
    return of_rule(rule.provider, rule.check, credential, checks)
