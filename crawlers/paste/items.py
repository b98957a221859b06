"""What all feeds have in common: what they list, and what of a list went by unseen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from unsprawl.records import Cursor, Diagnosis, Document, Skipped

__all__ = ["Feed", "Item", "Listing", "State", "digest", "moment", "seconds", "span", "tail", "unseen"]

_SPANS: Final = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
#: Keys of pastes that a cursor remembers beside those of the last listing: when newer ones are deleted,
#: older ones are listed again.
_REMEMBERED: Final = 500
#: Pastes that wait to be read. Their list goes into every cursor.
_MOST_PENDING: Final = 3_000
_DURATION = re.compile(r"(\d{1,5})([smhd])\Z")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One paste as its feed lists it. ``id`` names it within the feed, ``version`` its content.

    ``raw`` is where the content is, ``at`` seconds since 1970. ``more`` is what the surface knows.
    """

    id: str
    version: str
    raw: str = ""
    url: str = ""
    at: float | None = None
    title: str = ""
    author: str = ""
    size: int | None = None
    more: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> str:
        """Short, and another one for another version."""
        return digest(f"{self.id}\0{self.version}".encode())


@dataclass(frozen=True, slots=True)
class Listing:
    """What a feed shows now, the oldest first. ``full``: there may be older ones that it does not show.

    ``more``: asked again at once, it shows more. ``refused`` is what could not be listed.
    """

    items: Sequence[Item]
    full: bool
    more: bool = False
    etag: str = ""
    refused: tuple[Skipped, ...] = ()


class Feed(Protocol):
    """One way to learn of pastes. All methods raise ``SourceError``."""

    @property
    def site(self) -> str:
        """The host (or folder) that stands in the uris."""
        ...

    def listing(self, newest: float | None, etag: str) -> Listing:
        """What there is, at least all that is newer than ``newest`` as far as the far side tells.

        ``etag`` is what the last listing came with; unchanged since, it may be empty.
        """
        ...

    def content(self, item: Item) -> Iterator[Document | Skipped]:
        """The paste, as one document or as one a file."""
        ...

    def find(self, rest: str) -> Document | Skipped | None:
        """One document again, by what its uri says behind the site. None: no such thing."""
        ...

    def diagnose(self) -> Iterator[Diagnosis]: ...


class State(msgspec.Struct, kw_only=True):
    """Where a feed was left. ``known`` are keys, the latest last; ``pending`` was listed and not read yet."""

    known: list[str] = []
    pending: list[Item] = []
    newest: float | None = None
    etag: str = ""

    @classmethod
    def of(cls, cursor: Cursor | None) -> State:
        return msgspec.convert(dict(cursor), cls) if cursor else cls()

    def cursor(self) -> Mapping[str, Any]:
        held: Mapping[str, Any] = msgspec.to_builtins(self)
        return held

    def take(self, listing: Listing) -> int:
        """What is new in ``listing`` waits behind what waits already. How much that is."""
        held = {*self.known, *(item.key for item in self.pending)}
        listed = {item.key for item in listing.items}
        new = [item for item in listing.items if item.key not in held]
        if listed:
            old = self.known[:-_REMEMBERED]
            self.known = [key for key in old if key in listed] + self.known[-_REMEMBERED:]
        self.pending += new
        self.etag = listing.etag
        return len(new)

    def overflow(self, place: str) -> Skipped | None:
        """Give up the oldest where more waits than can be remembered, and say so."""
        over = len(self.pending) - _MOST_PENDING
        if over <= 0:
            return None
        lost, self.pending = self.pending[:over], self.pending[over:]
        uri = f"{place}?unread={digest(lost[-1].key.encode())}"
        return Skipped(uri, f"{over:,} pastes were listed and not read: more come than are read", _SLOW)

    def done(self, item: Item) -> None:
        self.known.append(item.key)
        if item.at is not None:
            self.newest = item.at if self.newest is None else max(self.newest, item.at)


def unseen(state: State, listing: Listing, place: str, every: float) -> Skipped | None:
    """What went by between the last look and this one, as far as the listing lets one guess.

    A feed shows its newest pastes only. When none of those that were shown last time is among them, some have
    come and gone; how many follows from how close together the listed ones are.
    """
    if not listing.full or not (state.known or state.pending) or not listing.items:
        return None
    held = {*state.known, *(item.key for item in state.pending)}
    if any(item.key in held for item in listing.items):
        return None
    times = sorted(item.at for item in listing.items if item.at is not None)
    before = state.newest
    if before is None or not times:
        return Skipped(place, "pastes went by unseen: nothing of the last listing is shown any more", _OFTEN)
    if times[0] <= before:
        return None
    span = times[-1] - times[0]
    rate = (len(times) - 1) / span if span > 0 else 0.0
    number = f"about {max(1, round(rate * (times[0] - before))):,}" if rate else "an unknown number of"
    hint = _OFTEN
    if rate and len(times) / rate < every:
        hint = (
            f"the feed shows {_told(len(times) / rate)} at a time: look every {_told(len(times) / rate / 2)}"
        )
    window = f"{_time(before)}..{_time(times[0])}"
    return Skipped(f"{place}?unseen={window}", f"{number} pastes went by unseen between {window}", hint)


_SLOW: Final = "lower request_interval if the site's terms allow it, or narrow the feed"
_OFTEN: Final = "keep the watch running, or look more often (`every`)"


def tail(names: Iterable[str]) -> str:
    """The part of a uri behind the site."""
    return "/".join(quote(name, safe="") for name in names)


def digest(content: bytes) -> str:
    return blake2b(content, digest_size=12).hexdigest()


def seconds(duration: str) -> float:
    """Seconds of ``30s``, ``5m``, ``1h`` or ``1d``."""
    match = _DURATION.match(duration)
    if match is None:
        raise ValueError(duration)
    return float(int(match[1]) * _UNITS[match[2]])


def span(items: Iterable[Item]) -> str:
    """`` of the last 3 hours``: how far back a listing reaches; nothing where no item has a time."""
    times = [item.at for item in items if item.at is not None]
    if not times:
        return ""
    length = max(times) - min(times)
    unit, name = next((unit, name) for unit, name in _SPANS if length >= 2 * unit or unit == 1)
    return f" of the last {length / unit:.0f} {name}"


def moment(at: float | None) -> datetime | None:
    """The time, or None where there is none or it lies beyond the calendar."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _time(at: float) -> str:
    when = moment(at)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}" if when else "?"


def _told(length: float) -> str:
    if length < 120:
        return f"{max(1, round(length))} s"
    return f"{timedelta(seconds=round(length))}" if length >= 7200 else f"{round(length / 60)} min"


# Before threads share it: those that ask msgspec for the fields of one class at once crash the process.
msgspec.convert({}, State)
