"""The closed lists of words that findings are described with; the same in store, output and rules."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Audience", "Environment", "Label", "Severity", "Status", "Validity"]


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Audience(StrEnum):
    """Who could read the place where the secret stood."""

    PUBLIC = "public"
    EXTERNAL = "external"
    ORGANISATION = "organisation"
    RESTRICTED = "restricted"
    UNKNOWN = "unknown"


class Validity(StrEnum):
    """Whether the credential still works. A network error is UNKNOWN, never INACTIVE."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"


class Status(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    ROTATED = "rotated"
    CLOSED = "closed"
    FALSE_POSITIVE = "false_positive"
    ACCEPTED = "accepted"
    REOPENED = "reopened"


class Label(StrEnum):
    """What a candidate is, as a person reading its surroundings would say."""

    REAL = "real"
    WEAK = "weak"
    TEST = "test"
    PLACEHOLDER = "placeholder"
    EXAMPLE = "example"
    HASH = "hash"
    IDENTIFIER = "identifier"
    REFERENCE = "reference"
    PUBLIC = "public"


class Environment(StrEnum):
    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"
    TEST = "test"
    UNKNOWN = "unknown"
