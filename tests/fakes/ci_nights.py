"""Nightly crawls of a build system, and what each gave and kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from unsprawl.crawlers.ci.source import CiSource
from unsprawl.records import Checkpoint, Cursor, Document, Skipped, Unchanged, Unit

__all__ = ["Night", "night", "take"]


@dataclass
class Night:
    """What one crawl gave and kept."""

    documents: dict[str, Document] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    unchanged: int = 0
    cursors: dict[str, Cursor] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    order: list[str] = field(default_factory=list)

    @property
    def gaps(self) -> list[Skipped]:
        return [one for one in self.skipped if not one.excluded]


def night(source: CiSource, before: Night | None = None) -> Night:
    last = before or Night()
    now = Night(cursors=dict(last.cursors), seen=dict(last.seen))
    for unit in source.units(last.seen.get):
        if isinstance(unit, Skipped):
            now.skipped.append(unit)
            continue
        take(now, source, unit, last)
    now.requests = source.requests
    source.close()
    return now


def take(now: Night, source: CiSource, unit: Unit, last: Night) -> None:
    for event in source.read(unit, last.cursors.get(unit.id), last.seen.get):
        if isinstance(event, Document):
            now.documents[event.uri] = event
            now.order.append(event.uri)
            if event.version:
                now.seen[event.key] = event.version
        elif isinstance(event, Skipped):
            now.skipped.append(event)
        elif isinstance(event, Unchanged):
            now.unchanged += event.count
        elif isinstance(event, Checkpoint):
            now.cursors[unit.id] = event.cursor
