"""The configuration file: one YAML document, checked to the last key before any work begins."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import msgspec

from unsprawl.references import Reference, resolve

__all__ = ["AcceptedGap", "Reference", "SourceConfig", "resolve"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class AcceptedGap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that cannot be read, and why that is accepted until a date."""

    match: _Text
    why: _Text
    until: date
    reason: str = ""


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every source understands. The ``Config`` of a source derives from it."""

    exclude: tuple[_Text, ...] = ()
    accept: tuple[AcceptedGap, ...] = ()
