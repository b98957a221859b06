"""What a labelled text is: a document, the spans in it that somebody knows, and what must stay together."""

from __future__ import annotations

from dataclasses import dataclass

from unsprawl.records import Environment, Label

__all__ = ["LabelledText", "Span"]


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open byte span in ``LabelledText.body``; ``style`` says how its value was made."""

    start: int
    end: int
    label: Label
    style: str = ""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A document with labelled spans.

    ``group`` (``repo:<hash>``, ``carrier:<family>``, ``mined:<package>``) is never split between
    training and development. ``silent`` says that every candidate outside the spans is a negative;
    else nothing is known of it.
    """

    body: bytes
    path: str
    surface: str
    spans: tuple[Span, ...]
    group: str
    environment: Environment = Environment.UNKNOWN
    silent: bool = True
