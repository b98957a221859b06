"""One listing from its start, or from where it was left, to its end: each thing once, come what may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from unsprawl.crawlers.atlassian.transport import RefusedError
from unsprawl.crawlers.confluence.items import Item, Listing
from unsprawl.errors import UnreadableError

__all__ = ["Stop", "walk"]

#: Pages of a listing that may bring nothing new while the site says there is more.
_STALE: Final = 3
_EMPTY: Final = 100
_RESTARTS: Final = 3
#: How a site answers to a cursor that it does not know any more.
_EXPIRED: Final = frozenset({400, 404, 410})


class Stop:
    """Ends a listing that shows the newest first: when half of a page is older than ``since``."""

    def __init__(self, since: datetime | None) -> None:
        self._since = since

    def reached(self, listing: Listing) -> bool:
        times = sorted(item.modified for item in listing.items if item.modified)
        return self._since is not None and bool(times) and times[len(times) // 2] < self._since


def walk(
    listing: Callable[[str], Listing], at: str, after: str, stop: Stop
) -> Iterator[tuple[str, Item | None]]:
    """The items behind ``after`` on the page ``at``, and all that follow; each with the page it stands on.

    No item stands for "here a page ends", with what begins the next one. A cursor that expired begins
    the listing anew; a listing that goes in circles raises ``UnreadableError``.
    """
    known: set[tuple[str, str, int]] = set()
    used: set[str] = {at}
    stale = empty = restarts = pages = 0
    while True:
        try:
            page = listing(at)
        except RefusedError as refusal:
            if not at or refusal.status not in _EXPIRED or restarts == _RESTARTS:
                raise
            restarts += 1
            # What was read before comes again, and nothing of it is new.
            stale, pages, at, after, used = -pages, 0, "", "", {""}
            continue
        pages += 1
        names = [_name(item) for item in page.items]
        fresh = [item for item, name in zip(page.items, names, strict=True) if name not in known]
        fresh = list({_name(item): item for item in fresh}.values())
        known.update(names)
        if after:
            place = next((index for index, item in enumerate(fresh) if item.id == after), -1)
            fresh, after = fresh[place + 1 :], ""
            stale -= 1
        for item in fresh:
            yield at, item
        stale = 0 if fresh and stale >= 0 else stale + bool(page.items)
        empty = 0 if page.items else empty + 1
        if not page.next or stop.reached(page):
            return
        if stale > _STALE or empty > _EMPTY or (page.next in used and not fresh):
            raise UnreadableError(
                "the listing goes in circles", hint="what it showed was read; the next run tries again"
            )
        at = page.next
        used.add(at)
        yield at, None


def _name(item: Item) -> tuple[str, str, int]:
    return item.kind, item.id + item.gap[0], item.version
