"""How urgent a sighting is, from 0 to 100.

    risk = ceiling of the severity × validity × privilege × audience × environment × age × copies
                                   × label × certainty

The severity sets the ceiling; each of the other parts lowers it by a factor. Better for an attacker is never
lower: the factors are ordered, so the number is monotonic in every part. ``docs/operations.md`` explains it
to whoever has to act on it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

from unsprawl.records import Audience, Environment, Label, Severity, Validity
from unsprawl.structs import Struct

__all__ = ["PRIVILEGES", "Exposure", "Part", "parts", "privilege_of", "product", "risk", "urgency"]

_CEILING: Final[Mapping[str, float]] = {
    Severity.LOW: 25.0,
    Severity.MEDIUM: 50.0,
    Severity.HIGH: 75.0,
    Severity.CRITICAL: 100.0,
}
#: Not knowing is close to the worst: most found credentials that nobody checked still work.
_VALIDITY: Final[Mapping[str, float]] = {
    Validity.INACTIVE: 0.2,
    Validity.UNKNOWN: 0.8,
    Validity.ACTIVE: 1.0,
}
#: What the credential may do, the least first. Unknown stands high: most credentials may do too much.
_PRIVILEGE: Final[Mapping[str, float]] = {
    "none": 0.7,
    "read": 0.85,
    "unknown": 0.95,
    "write": 0.97,
    "admin": 1.0,
}
PRIVILEGES: Final = tuple(_PRIVILEGE)
_AUDIENCE: Final[Mapping[str, float]] = {
    Audience.RESTRICTED: 0.75,
    Audience.UNKNOWN: 0.85,
    Audience.ORGANISATION: 0.85,
    Audience.EXTERNAL: 0.95,
    Audience.PUBLIC: 1.0,
}
_ENVIRONMENT: Final[Mapping[str, float]] = {
    Environment.TEST: 0.6,
    Environment.DEVELOPMENT: 0.75,
    Environment.STAGING: 0.85,
    Environment.UNKNOWN: 0.95,
    Environment.PRODUCTION: 1.0,
}
_LABEL: Final[Mapping[str, float]] = {
    Label.PUBLIC: 0.1,
    Label.PLACEHOLDER: 0.1,
    Label.EXAMPLE: 0.1,
    Label.HASH: 0.1,
    Label.IDENTIFIER: 0.1,
    Label.REFERENCE: 0.1,
    Label.TEST: 0.5,
    Label.WEAK: 0.9,
    Label.REAL: 1.0,
}
#: A doubtful candidate keeps this share of its risk.
_DOUBT: Final = 0.3
#: Days in the open, and places where it stands now: each step up more people may have taken it.
_AGES: Final = ((1, 7, 30, 180), (0.94, 0.96, 0.97, 0.985, 1.0))
_COPIES: Final = ((1, 2, 4, 10), (0.6, 0.94, 0.96, 0.98, 1.0))

_ADMIN = re.compile(
    r"\b(?:admin\w*|root|owner|superuser|full[ -]access|everything)\b|(?<!\S)\*(?!\S)", re.IGNORECASE
)
_WRITE = re.compile(
    r"\b(?:\w*write|rw|push|publish|deploy|modify|delete|create|maintain\w*)\b", re.IGNORECASE
)
_READ = re.compile(r"\b(?:\w*read(?:[ -]?only)?|pull|view\w*|list|ro)\b", re.IGNORECASE)
_NONE = re.compile(r"\b(?:none|nothing|no (?:rights|permissions?|scopes?))\b", re.IGNORECASE)


class Part(Struct, frozen=True):
    """One factor: of what (``audience``), how it stands (``public``), and what it multiplies by."""

    name: str
    value: str
    factor: float


def privilege_of(told: str) -> str:
    """One of :data:`PRIVILEGES` from what a check told in words or scopes (``admin``, ``repo:write``)."""
    if not told.strip():
        return "unknown"
    text = told.replace("_", " ").replace(":", " ").replace(".", " ")
    for level, pattern in (("admin", _ADMIN), ("write", _WRITE), ("read", _READ), ("none", _NONE)):
        if pattern.search(text):
            return level
    return "unknown"


class Exposure(Struct, frozen=True):
    """What is known of a finding beyond one place of it.

    ``age_days``: how long it has been in the open. ``copies``: places where it stands now.
    """

    privilege: str = "unknown"
    age_days: float = 0.0
    copies: int = 1


_JUST_NOW: Final = Exposure()


def parts(
    severity: str,
    validity: str,
    confidence: float,
    audience: str = Audience.UNKNOWN,
    environment: str = Environment.UNKNOWN,
    label: str = Label.REAL,
    exposure: Exposure = _JUST_NOW,
) -> tuple[Part, ...]:
    """The ceiling first, then each factor; their product, rounded, is the risk."""
    sure = min(1.0, max(0.0, confidence))
    age, copies = exposure.age_days, exposure.copies
    return (
        Part("severity", severity, _CEILING[severity]),
        Part("validity", validity, _VALIDITY[validity]),
        Part("privilege", exposure.privilege, _PRIVILEGE[exposure.privilege]),
        Part("audience", audience, _AUDIENCE[audience]),
        Part("environment", environment, _ENVIRONMENT[environment]),
        Part("age", f"{max(0, int(age))} d", _step(_AGES, age)),
        Part("label", label, _LABEL[label]),
        Part("certainty", f"{sure:.0%}", _DOUBT + (1.0 - _DOUBT) * sure),
        Part("copies", str(copies), _step(_COPIES, copies)),
    )


def product(
    severity: str,
    validity: str,
    confidence: float,
    audience: str,
    environment: str,
    label: str,
    *,
    privilege: str,
    age_days: float,
) -> float:
    """All of :func:`parts` but the copies, which are the same for all places of a finding."""
    sure = min(1.0, max(0.0, confidence))
    factors = _VALIDITY[validity] * _PRIVILEGE[privilege] * _AUDIENCE[audience] * _ENVIRONMENT[environment]
    certainty = _DOUBT + (1.0 - _DOUBT) * sure
    return _CEILING[severity] * factors * _LABEL[label] * _step(_AGES, age_days) * certainty


def urgency(hazard: float, copies: int) -> int:
    """The risk of a finding, from :func:`product` of its worst place and how many there are."""
    return round(hazard * _step(_COPIES, copies))


def risk(
    severity: str,
    validity: str,
    confidence: float,
    audience: str = Audience.UNKNOWN,
    environment: str = Environment.UNKNOWN,
    label: str = Label.REAL,
    exposure: Exposure = _JUST_NOW,
) -> int:
    """0 (nothing to do) to 100 (an active critical administrator's key that everyone can read for years)."""
    hazard = product(
        severity, validity, confidence, audience, environment, label,
        privilege=exposure.privilege, age_days=exposure.age_days,
    )  # fmt: skip
    return urgency(hazard, exposure.copies)


def _step(steps: tuple[tuple[int, ...], tuple[float, ...]], value: float) -> float:
    borders, factors = steps
    return factors[bisect_right(borders, value)]
