"""The reading of one unit: which listings, from where, and what the next run has to know of it.

A cursor tells where a walk stands, or, behind its end, from when on to ask for changes. Such a cursor
counts only while the store still knows some of what was read then: new rules meet old text again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, Final

from unsprawl.crawlers.atlassian.transport import RefusedError, when
from unsprawl.crawlers.confluence.items import Item, Space, Wiki
from unsprawl.crawlers.confluence.reading import Reader, key_of, version_of
from unsprawl.crawlers.confluence.walk import Stop, walk
from unsprawl.errors import UnreadableError
from unsprawl.records import Checkpoint, Document, Event, Seen, Skipped, Unchanged

__all__ = ["Course", "Plan"]

#: A checkpoint stands after this many documents within a page of a listing.
_CHECKPOINT_EVERY: Final = 25
#: Documents whose versions tell whether the store still knows what was read.
_PROBES: Final = 8
#: Things that could not be read and are asked for one by one the next time; more mean a whole listing.
_AGAIN: Final = 100
#: Listings of version 1 know no order by time: they are read to their end.
_UNSORTED: Final = frozenset({"drafts", "templates", "site-templates"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a unit is: a space, or what is listed over all of them. ``overlap`` is in hours."""

    uri: str
    space: Space | None
    parts: tuple[str, ...]
    overlap: int
    relist_days: int


class Course:
    """One reading. ``wants`` tells which spaces are read, ``place`` is the cursor, {} at the start."""

    def __init__(
        self,
        plan: Plan,
        wiki: Wiki,
        reader: Reader,
        wants: Callable[[str], bool],
        place: Mapping[str, Any],
        seen: Seen,
    ) -> None:
        self._plan = plan
        self._wiki = wiki
        self._reader = reader
        self._wants = wants
        self._seen = seen
        self._came = place
        self._place = place if place.get("part") in plan.parts else {}
        self._probes: list[str] = []
        self._again: list[list[str]] = []
        self._refused: list[str] = []
        self._incomplete: list[str] = []
        told = place.get("at")
        self._told: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
        self._retried = self._list("again")
        self._whole = {str(part) for part in self._list("refused")}
        self._begun = self._listed = datetime.now(UTC).isoformat()
        self._since: datetime | None = None
        self._judge(place)

    def _judge(self, place: Mapping[str, Any]) -> None:
        """Whether the walk goes on, asks for changes since the last one, or begins from nothing."""
        told = self._told
        if self._place:
            self._since = when(told.get("since"))
            self._begun, self._listed = str(told.get("began", "")), str(told.get("listed", ""))
            self._again, self._incomplete = list(self._retried), sorted(self._whole)
            self._probes = [str(key) for key in place.get("probes", ())]
            return
        until, listed = when(told.get("until")), when(told.get("listed"))
        if (
            until is not None
            and listed is not None
            and datetime.now(UTC) - listed < timedelta(days=self._plan.relist_days)
            and len(self._retried) <= _AGAIN
            # Nothing of it is known: the rules are others than then, or the store is.
            and any(self._seen(str(key)) is not None for key in place.get("probes", ()))
        ):
            self._since = until - timedelta(hours=self._plan.overlap)
            self._listed = str(told["listed"])

    @property
    def _unread(self) -> list[str]:
        """Listings that the next run has to read whole."""
        return sorted({*self._refused, *self._incomplete})

    def _list(self, name: str) -> list[Any]:
        found = self._told.get(name)
        return list(found) if isinstance(found, list | tuple) else []

    def events(self) -> Iterator[Event]:
        """All of it. The last checkpoint tells the next run from when on to ask for changes."""
        space, parts = self._plan.space, self._plan.parts
        if not self._place:
            if space is not None:
                self._probes = [f"{self._plan.uri}"]
                yield from self._reader.space(space, self._seen)
            if self._since is not None:
                yield from self._retry()
                changed = self._wiki.changes(space, self._since) if space is not None else None
                if changed is not None and space is not None:
                    yield from self._changed(changed, space)
                    parts = tuple(
                        part for part in parts if part in self._wiki.checked_parts or part in self._whole
                    )
        begin = parts.index(self._place["part"]) if self._place.get("part") in parts else 0
        failures: list[UnreadableError] = []
        for part in parts[begin:]:
            try:
                yield from self._part(part)
            except UnreadableError as error:
                failures.append(error)
                self._refused.append(part)
                closed = part == "pages" and isinstance(error, RefusedError) and error.status in (403, 404)
                if closed or len(self._refused) == len(self._plan.parts):
                    raise failures[0] from None
                yield Skipped(f"{self._plan.uri}#{part}", error.message, error.hint)
        at = {"until": self._begun, "listed": self._listed, "again": self._again, "refused": self._unread}
        yield Checkpoint({"probes": list(self._probes), "at": at})

    def _part(self, part: str) -> Iterator[Event]:
        place = self._place if self._place.get("part") == part else {}
        unsorted = part in self._wiki.checked_parts or part.partition(":")[0] in _UNSORTED
        newest_first = (
            self._since is not None and self._plan.space is None and not unsorted and part not in self._whole
        )
        listing = partial(self._wiki.listing, part, self._plan.space, newest_first=newest_first)
        stop = Stop(self._since if newest_first else None)
        read = unchanged = 0
        for at, item in walk(listing, str(place.get("next", "")), str(place.get("after", "")), stop):
            if item is None:
                if unchanged:
                    yield Unchanged(unchanged)
                unchanged = read = 0
                yield self._checkpoint(part, at, "")
                continue
            if not self._wants(item.space):
                continue
            if self._plan.space is None and len(self._probes) < _PROBES:
                self._probes.append(key_of(self._reader.top, item))
            for event in self._item(item):
                if isinstance(event, Unchanged):
                    unchanged += event.count
                else:
                    read += isinstance(event, Document)
                    yield event
            if read >= _CHECKPOINT_EVERY:
                if unchanged:
                    yield Unchanged(unchanged)
                unchanged = read = 0
                yield self._checkpoint(part, at, item.id)
        if unchanged:
            yield Unchanged(unchanged)
        following = self._plan.parts[self._plan.parts.index(part) + 1 :]
        if following:
            yield self._checkpoint(following[0], "", "")

    def _changed(self, items: list[Item], space: Space) -> Iterator[Event]:
        """Only what is new: the overlap brings much that is known."""
        top = self._reader.top
        new = [item for item in items if self._seen(key_of(top, item)) != version_of(item)]
        if len(new) < len(items):
            yield Unchanged(len(items) - len(new))
        loaded = self._wiki.load([item for item in new if not item.complete], space)
        every = chain(loaded, (one for one in new if one.complete))
        for read, item in enumerate(every, 1):
            yield from self._item(item)
            if read % _CHECKPOINT_EVERY == 0:
                # The same changes are asked for again; what was read by now is known then.
                yield Checkpoint(self._came)

    def _retry(self) -> Iterator[Event]:
        """What could not be read the last time, without listing everything around it."""
        for kind, name in self._retried:
            try:
                item = self._wiki.one(kind, name)
            except RefusedError as refusal:
                if refusal.status != 404:
                    self._again.append([kind, name])
                    yield Skipped(f"{self._reader.top}/{kind}/{name}", refusal.message, refusal.hint)
                continue
            yield from self._item(item)

    def _item(self, item: Item) -> Iterator[Event]:
        refused = False
        for event in self._reader.events(item, self._seen):
            refused = refused or (isinstance(event, Skipped) and not event.excluded)
            yield event
        if refused and item.gap[0]:
            self._incomplete.append(item.kind)
        elif refused:
            self._again.append([item.kind, item.id])

    def _checkpoint(self, part: str, at: str, after: str) -> Checkpoint:
        told = {
            "since": self._since.isoformat() if self._since else "",
            "began": self._begun,
            "listed": self._listed,
            "again": list(self._again),
            "refused": self._unread,
        }
        place = {"part": part, "next": at, "after": after, "probes": list(self._probes), "at": told}
        return Checkpoint(place)
