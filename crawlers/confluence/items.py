"""What Confluence's answers hold, Cloud and Data Center alike, as plain values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

from unsprawl.crawlers.atlassian.session import TooLargeError
from unsprawl.crawlers.confluence.history import Version
from unsprawl.errors import UnreadableError
from unsprawl.records import Stream
from unsprawl.structs import Struct

__all__ = [
    "BODIED",
    "Item",
    "Listing",
    "Portions",
    "Space",
    "Wiki",
    "batched",
    "field",
    "identifier",
    "number",
    "results",
    "text",
    "uri_of",
]

#: Kinds that have versions with a body of their own.
BODIED: Final = frozenset(
    {"pages", "blogposts", "footer-comments", "inline-comments", "comments", "custom-content"}
)
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True)
class Space:
    """``kind`` is ``global``, ``personal``, …"""

    id: str
    key: str
    name: str = ""
    kind: str = ""
    status: str = ""
    description: str = ""
    url: str = ""


class Item(Struct, frozen=True, kw_only=True):
    """A page, comment, attachment, …: ``kind`` is its word in addresses.

    ``parent`` is kind and id of what holds it, ``author`` who wrote this version (what ``Wiki.person``
    takes). ``complete`` is False for a listing that told everything but the body; ``restricted`` is None
    where nobody asked. ``version`` is 0 where there are none. ``gap`` says of what could not be read: what of
    the item ("" all of it, ``#comments``), why, and what to do.
    """

    kind: str
    id: str
    version: int = 1
    title: str = ""
    space: str = ""
    space_id: str = ""
    status: str = ""
    author: str = ""
    modified: datetime | None = None
    body: str = ""
    media_type: str = "text/html"
    url: str = ""
    parent: tuple[str, str] = ("", "")
    parent_title: str = ""
    size: int | None = None
    download: str = ""
    restricted: bool | None = None
    complete: bool = True
    gap: tuple[str, str, str] = ("", "", "")


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a listing. ``next`` is opaque, "" on the last one."""

    items: tuple[Item, ...]
    next: str


class Wiki(Protocol):
    """What both kinds of Confluence are asked. Raises ``SourceError``."""

    space_parts: tuple[str, ...]
    """The listings of a space, in the order in which they are read."""
    checked_parts: tuple[str, ...]
    """Those of them that tell nothing of changes, so that every run lists them."""
    site_parts: dict[str, tuple[str, ...]]
    """Listings over all spaces, by the unit they make."""

    def whoami(self) -> str: ...
    def spaces(self, keys: tuple[str, ...] = ()) -> Iterator[Space]: ...
    def listing(
        self, part: str, space: Space | None, at: str, *, newest_first: bool = False, bodies: bool = True
    ) -> Listing: ...
    def changes(self, space: Space, since: datetime) -> list[Item] | None: ...
    def load(self, items: list[Item], space: Space) -> Iterator[Item]: ...
    def one(self, kind: str, identifier: str) -> Item: ...
    def older(self, item: Item) -> Iterator[Version]: ...
    def older_files(self, item: Item) -> Iterator[Item]: ...
    def properties(self, item: Item) -> str: ...
    def is_restricted(self, item: Item) -> bool: ...
    def person(self, account: str) -> str: ...
    def body(self, item: Item) -> bytes | Stream: ...
    def forget(self) -> None: ...


def results(answer: Any) -> list[Any]:
    """The entries of a listing. A page or another product's answer would pass for an empty space."""
    entries = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        raise UnreadableError(
            "the answer is not one of Confluence", hint="is `url` right? Cloud's ends in /wiki"
        )
    return [entry for entry in entries if isinstance(entry, dict)]


def field(entry: Any, *names: str) -> Any:
    """``entry[name][name]…``, None when something on the way is missing or of another kind."""
    for name in names:
        if not isinstance(entry, dict):
            return None
        entry = entry.get(name)
    return entry


def text(entry: Any, *names: str) -> str:
    """The same for text; numbers are written out."""
    value = field(entry, *names)
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def number(entry: Any, *names: str) -> int | None:
    """The same for a number from 0 on."""
    value = field(entry, *names)
    return value if isinstance(value, int) and value >= 0 else None


def identifier(entry: Any) -> str:
    """The id, fit to stand in an address."""
    value = text(entry, "id")
    if _ID.fullmatch(value) is None:
        raise UnreadableError(
            "the answer holds an id that is none", hint="is `url` the address of a Confluence?"
        )
    return value


def uri_of(top: str, kind: str, identifier: str) -> str:
    """``top`` is ``confluence://HOST`` with the path of the site."""
    return f"{top}/{kind}/{quote(identifier, safe='~')}"


def batched(values: Iterable[_Any], most: int) -> Iterator[list[_Any]]:
    """``values`` in lists of ``most`` at most."""
    rest = iter(values)
    while some := list(islice(rest, most)):
        yield some


class Portions:
    """How many entries are asked for at once: fewer for listings whose answers were too large."""

    def __init__(self) -> None:
        self._limits: dict[str, int] = {}

    def ask(self, what: str, limit: int, request: Callable[[int], Any]) -> Any:
        """``request(limit)``, with a fifth of the limit each time that the answer is too large."""
        limit = min(limit, self._limits.get(what, limit))
        while True:
            try:
                return request(limit)
            except TooLargeError:
                if limit == 1:
                    raise
                limit = self._limits[what] = max(1, limit // 5)
