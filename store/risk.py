"""How urgent a sighting is, from 0 to 100.

The severity sets the ceiling; each of the other parts lowers it by a factor. Better for an attacker is
never lower: the factors are ordered, so the number is monotonic in every part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from unsprawl.records import Audience, Environment, Label, Severity, Validity

__all__ = ["risk"]

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


def risk(
    severity: str,
    validity: str,
    confidence: float,
    audience: str = Audience.UNKNOWN,
    environment: str = Environment.UNKNOWN,
    label: str = Label.REAL,
) -> int:
    """0 (nothing to do) to 100 (an active critical credential in production that everyone can read)."""
    certainty = _DOUBT + (1.0 - _DOUBT) * min(1.0, max(0.0, confidence))
    factors = _VALIDITY[validity] * _AUDIENCE[audience] * _ENVIRONMENT[environment] * _LABEL[label]
    return round(_CEILING[severity] * certainty * factors)
