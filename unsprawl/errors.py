"""Every error unsprawl raises on purpose, sorted by what becomes of the work.

    UnsprawlError
    ├── ConfigError            exit 2   names the file, the line, the key and the nearest known key
    │   └── RuleError          exit 2   the same for a rule file
    ├── SourceError
    │   ├── AuthError          the source stops; the hint names the scope or credential that is missing
    │   ├── RetryableError     waited for; becomes ``Skipped`` once the patience is spent
    │   └── UnreadableError    becomes ``Skipped``; the crawl goes on
    │       └── GoneError      it is not there any more: a proof
    └── StoreError             exit 4   nothing more is written, nothing committed is lost

Raise where the cause is known. They are caught in two places only: the pipeline (source errors,
which become ledger entries) and the command line (all others, printed as one line and a hint).
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "AuthError",
    "ConfigError",
    "ExitCode",
    "GoneError",
    "RetryableError",
    "RuleError",
    "SourceError",
    "StoreError",
    "UnreadableError",
    "UnsprawlError",
]


class ExitCode(IntEnum):
    """What the process says to the scheduler that started it."""

    CLEAN = 0
    FINDINGS = 1
    USAGE = 2
    INCOMPLETE = 3
    FAILED = 4


class UnsprawlError(Exception):
    """Base of all deliberate errors: one clear line, and a hint that says what to do next."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the keyword-only hint would be lost by the default.
        return (_rebuild, (type(self), self.message, self.hint, self.__dict__))


def _rebuild(kind: type[UnsprawlError], message: str, hint: str, state: dict[str, object]) -> UnsprawlError:
    error = kind(message, hint=hint)
    error.__dict__.update(state)
    return error


class ConfigError(UnsprawlError):
    """The user's configuration or command line is wrong."""

    exit_code = ExitCode.USAGE


class RuleError(ConfigError):
    """A rule file is wrong."""


class SourceError(UnsprawlError):
    """Something outside could not be read."""

    exit_code = ExitCode.INCOMPLETE


class AuthError(SourceError):
    """The credentials were refused or lack a scope: nothing else of this source can be read."""


class RetryableError(SourceError):
    """The far side asked for patience. ``retry_after`` is in seconds, None when it did not say."""

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UnreadableError(SourceError):
    """One thing could not be read: refused, missing, broken or beyond a budget."""


class GoneError(UnreadableError):
    """The far side answers that the thing is not there, to somebody whom it would show it."""


class StoreError(UnsprawlError):
    """The findings store or its key cannot be used."""

    exit_code = ExitCode.FAILED
