"""The contents of a small wiki: spaces, pages, comments and files with all their versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["Entry", "Revision", "Room", "Template", "Wiki"]

#: When the first thing was written; each that follows comes a minute later.
_BEGIN: Final = datetime(2024, 1, 8, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Revision:
    """One version: text for what is written, bytes for files."""

    number: int
    body: str | bytes
    author: str
    when: datetime


@dataclass(slots=True)
class Room:
    """A space. ``open``: everyone may read it; ``closed``: the crawler may not."""

    id: str
    key: str
    name: str
    kind: str = "global"
    status: str = "current"
    description: str = ""
    open: bool = False
    closed: bool = False


@dataclass(slots=True)
class Template:
    id: str
    name: str
    body: str
    room: str = ""


@dataclass(slots=True)
class Entry:
    """A page, blogpost, footer or inline comment, attachment or custom content.

    ``live``: an unpublished live document, which has no storage format. ``hidden``: restricted to some.
    """

    kind: str
    id: str
    room: str
    title: str
    revisions: list[Revision]
    status: str = "current"
    parent: str = ""
    media_type: str = ""
    marked: str = ""
    type: str = ""
    live: bool = False
    hidden: bool = False
    note: str = ""
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> Revision:
        return self.revisions[-1]


class Wiki:
    """Filled by tests and by the demonstration. ``live`` stamps what is written with the present time."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.entries: dict[str, Entry] = {}
        self.templates: dict[str, Template] = {}
        self.live = False
        self._count = 0

    def now(self) -> datetime:
        """The time of what is written next."""
        return datetime.now(UTC) if self.live else _BEGIN + timedelta(minutes=self._count)

    def room(self, key: str, name: str = "", **more: Any) -> Room:
        made = self.rooms[key] = Room(self._number(), key, name or key.title(), **more)
        return made

    def write(self, room: str, title: str, *bodies: str, kind: str = "page", **more: Any) -> Entry:
        """A page, or a blogpost, with a version for each body; the authors take turns."""
        name = self._number()
        made = self.entries[name] = Entry(kind, name, room, title, [], **more)
        for body in bodies:
            self.edit(made, body)
        return made

    def comment(self, on: Entry, *bodies: str, kind: str = "footer", **more: Any) -> Entry:
        return self.write(on.room, f"Re: {on.title}", *bodies, kind=kind, parent=on.id, **more)

    def attach(
        self, on: Entry, name: str, *contents: bytes, media_type: str = "text/plain", note: str = ""
    ) -> Entry:
        number = "att" + self._number()
        made = Entry("attachment", number, on.room, name, [], parent=on.id, media_type=media_type, note=note)
        self.entries[number] = made
        for content in contents:
            self.edit(made, content)
        return made

    def template(self, name: str, body: str, room: str = "") -> Template:
        made = Template(self._number(), name, body, room)
        self.templates[made.id] = made
        return made

    def edit(self, entry: Entry, body: str | bytes, author: str = "") -> None:
        """A new version."""
        self._count += 1
        number = len(entry.revisions) + 1
        author = author or ("anna" if number % 2 else "bo")
        entry.revisions.append(Revision(number, body, author, self.now()))

    def delete(self, entry: Entry, *, purge: bool = False) -> None:
        """Comments are gone at once, files and pages lie in the trash until that is purged."""
        if purge or entry.kind in ("footer", "inline"):
            self.entries.pop(entry.id, None)
        else:
            entry.status = "trashed"

    def of(self, *kinds: str) -> list[Entry]:
        """In the order of their ids."""
        return [entry for entry in self.entries.values() if entry.kind in kinds]

    def below(self, entry: Entry, *kinds: str) -> list[Entry]:
        """What hangs on an entry, replies to replies too."""
        found = []
        for one in self.of(*kinds):
            if one.parent == entry.id:
                found += [one, *self.below(one, *kinds)]
        return found

    def holder(self, entry: Entry) -> Entry:
        """The page or post that something stands on."""
        while entry.parent in self.entries:
            entry = self.entries[entry.parent]
        return entry

    def _number(self) -> str:
        self._count += 1
        return str(100_000 + self._count)
