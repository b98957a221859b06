"""What can be said of every source: what is left out or accepted, what a run may spend, what it must find."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, TypeAlias

import msgspec

from unsprawl import globs
from unsprawl.references import Reference

__all__ = ["AcceptedGap", "CanarySettings", "FilePath", "SourceBudget", "SourceConfig", "seconds_of"]

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
#: A path on this machine: made absolute when the configuration is loaded, ``~`` is the home folder.
FilePath: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, extra={"path": True})]
_Duration: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,5}[smhdw]$")]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(duration: str) -> float:
    """Seconds of ``90s``, ``30m``, ``2h``, ``1d``, ``4w``."""
    return float(int(duration[:-1]) * _SECONDS[duration[-1]])


class AcceptedGap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that cannot be read, and why that is accepted until a date.

    ``match`` is a pattern (:mod:`unsprawl.globs`) over the uri of what was skipped, ``reason`` a part
    of the reason it was skipped for ("" accepts any), ``until`` the last day on which it holds.
    """

    match: _Text
    why: _Text
    until: date
    reason: str = ""

    def covers(self, uri: str, reason: str, today: date | None = None) -> bool:
        """Whether this gap is accepted today (UTC)."""
        today = today or datetime.now(UTC).date()
        return today <= self.until and self.reason in reason and globs.matches((self.match,), uri)


class SourceBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one crawl may spend on a source: ``time`` (``90s``, ``30m``, ``2h``) and ``requests``.

    When one of them is spent, the source stops at its next checkpoint, and the next run goes on there.
    """

    time: _Duration | None = None
    requests: Annotated[int, msgspec.Meta(ge=1)] | None = None


class CanarySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that was planted for each crawl to find (``unsprawl canary new``).

    ``fingerprint`` is what the command printed, ``value`` a reference to the value instead. ``at`` is the uri
    of its document, or a pattern over uris; without it any place of the source will do. ``max_age``: the
    document must not be older (``2d``), for what is written anew each time, like the log of a build.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] | None = None
    fingerprint: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")] | None = None
    value: Reference | None = None
    at: _Text = "**"
    max_age: _Duration | None = None


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every source understands. The ``Config`` of a source derives from it.

    ``exclude`` are patterns (:mod:`unsprawl.globs`) over paths or uris that are not read; the source
    applies them. ``accept``, ``budget`` and ``canaries`` are the pipeline's.
    """

    exclude: tuple[_Text, ...] = ()
    accept: tuple[AcceptedGap, ...] = ()
    budget: SourceBudget = SourceBudget()
    canaries: tuple[CanarySettings, ...] = ()

    def excludes(self, path: str) -> bool:
        """Whether the owner left this path (or uri) out."""
        return globs.matches(self.exclude, path)

    def accepts(self, uri: str, reason: str, today: date | None = None) -> AcceptedGap | None:
        """The accepted gap that covers a skip, if one does."""
        return next((gap for gap in self.accept if gap.covers(uri, reason, today)), None)
