"""One item of Confluence as documents: its text, what its history still shows, files in all versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Final

from unsprawl.crawlers.confluence.history import Version, document, removed
from unsprawl.crawlers.confluence.items import BODIED, Item, Space, Wiki, uri_of
from unsprawl.errors import AuthError, RetryableError, SourceError, UnreadableError
from unsprawl.records import Audience, Document, Event, Json, Seen, Skipped, Stream, Unchanged
from unsprawl.structs import replace

__all__ = ["Reader", "item_path", "key_of", "version_of"]

_EXCLUDED: Final = "left out by exclude"
#: This many failures in a row mean that the site is gone, not what was asked for.
_PATIENCE: Final = 8
#: Files of unknown size up to this are held, larger ones are streamed.
_SMALL: Final = 4 << 20


def key_of(top: str, item: Item) -> str:
    """The uri of the item as it is now: also what its version is remembered under."""
    return uri_of(top, item.kind, item.id)


def version_of(item: Item) -> str:
    """The number of its version; where there are none, what changes with its text."""
    if item.version:
        return str(item.version)
    return blake2b(f"{item.title}\n{item.body}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def item_path(item: Item) -> str:
    """``SPACE/Title``, ``SPACE/Title/comment 7``, ``SPACE/Title/file.pdf``."""
    space = item.space or "?"
    if item.kind in ("pages", "blogposts", "drafts", "custom-content"):
        return f"{space}/{item.title or item.id}"
    if item.kind == "templates":
        return f"{item.space}/templates/{item.title or item.id}".lstrip("/")
    if item.kind == "attachments":
        return f"{space}/{item.parent_title or item.parent[1] or '?'}/{item.title or item.id}"
    return f"{space}/{item.parent_title or item.parent[1] or '?'}/comment {item.id}"


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns items into events. ``excluded`` tells which paths the owner left out."""

    wiki: Wiki
    top: str
    audience: Callable[[Item], Audience]
    excluded: Callable[[str], bool]
    max_versions: int | None
    max_attachment_bytes: int
    properties: bool
    restrictions: bool
    failures: list[int]

    def events(self, item: Item, seen: Seen) -> Iterator[Event]:
        """All that is new in an item, and what of it could not be read."""
        if self.excluded(item_path(item)):
            yield Skipped(key_of(self.top, item), _EXCLUDED, excluded=True)
            return
        if item.gap[1]:
            part, reason, hint = item.gap
            yield Skipped(key_of(self.top, item) + part, reason, hint)
        elif item.kind == "attachments":
            yield from self._files(item, seen)
        else:
            yield from self._texts(item, seen)

    def space(self, space: Space, seen: Seen) -> Iterator[Event]:
        """Its name and description."""
        uri = uri_of(self.top, "spaces", space.key)
        item = Item(kind="spaces", id=space.key, space=space.key, title=space.name, version=0)
        item = replace(item, body=space.description, url=space.url, status=space.status)
        if seen(uri) == version_of(item):
            yield Unchanged()
            return
        body = f"{space.name}\n{space.description}".encode()
        yield self._document(item, uri, version_of(item), space.key, body)

    # --- texts ---------------------------------------------------------------------------------------

    def _texts(self, item: Item, seen: Seen) -> Iterator[Event]:
        uri, version = key_of(self.top, item), version_of(item)
        known = seen(uri) == version
        if known:
            yield Unchanged()
        else:
            if self.restrictions and item.restricted is None and item.kind in ("pages", "blogposts"):
                item, gaps = self._with_readers(item, uri)
                yield from gaps
            yield self._document(item, uri, version, item_path(item), _text(item))
        if self.properties and item.kind in ("pages", "blogposts"):
            # They have no version that a listing shows, so they are read with the page.
            if seen(f"{uri}#properties") == version:
                yield Unchanged()
            else:
                yield from self._guarded(f"{uri}#properties", partial(self._properties, item, uri, version))
        if item.kind in BODIED and item.version > 1 and self.max_versions != 0:
            if seen(f"{uri}#history") == version:
                yield Unchanged()
            else:
                yield from self._guarded(f"{uri}#history", partial(self._history, item, uri, version))

    def _with_readers(self, item: Item, uri: str) -> tuple[Item, list[Event]]:
        """The item with what its restrictions say, and a gap when they are refused."""
        answers: list[bool] = []

        def ask() -> tuple[Event, ...]:
            answers.append(self.wiki.is_restricted(item))
            return ()

        gaps = list(self._guarded(f"{uri}#restrictions", ask))
        return replace(item, restricted=any(answers)), gaps

    def _properties(self, item: Item, uri: str, version: str) -> list[Event]:
        body = self.wiki.properties(item).encode("utf-8", "replace")
        path = f"{item_path(item)}/properties"
        return [self._document(item, f"{uri}#properties", version, path, body, media_type="text/plain")]

    def _history(self, item: Item, uri: str, version: str) -> list[Event]:
        author = self.wiki.person(item.author)
        current = Version(item.version, item.body, author, item.modified, item.url)
        older = self.wiki.older(item)
        most = self.max_versions
        body, parts = document(uri, removed(current, islice(older, most) if most else older))
        path = f"{item_path(item)}/history"
        events: list[Event] = []
        if most is not None and item.version - 1 > most:
            reason = f"only the newest {most} of {item.version - 1} older versions were read"
            events.append(
                Skipped(f"{uri}#history", reason, "raise max_versions, or remove it", excluded=True)
            )
        found = self._document(item, f"{uri}#history", version, path, body)
        return [*events, replace(found, parts=parts)]

    # --- files ---------------------------------------------------------------------------------------

    def _files(self, item: Item, seen: Seen) -> Iterator[Event]:
        uri, version = key_of(self.top, item), version_of(item)
        if item.body:
            if seen(f"{uri}#comment") == version:
                yield Unchanged()
            else:
                body, path = item.body.encode("utf-8", "replace"), f"{item_path(item)}/comment"
                yield self._document(item, f"{uri}#comment", version, path, body, media_type="text/plain")
        if seen(uri) == version:
            yield Unchanged()
        else:
            yield from self._guarded(uri, partial(self._file, item, uri, version))
        if item.version < 2 or self.max_versions == 0:
            return
        newest = range(item.version - 1, 0, -1)[: self.max_versions]
        known = {number for number in newest if seen(f"{uri}?version={number}") == str(number)}
        if known:
            yield Unchanged(len(known))
        if len(known) == len(newest):
            return
        older: list[Item] = []

        def ask() -> tuple[Event, ...]:
            older.extend(self.wiki.older_files(item))
            return ()

        yield from self._guarded(f"{uri}#history", ask)
        for one in older:
            if one.version in newest and one.version not in known:
                place = f"{uri}?version={one.version}"
                yield from self._guarded(place, partial(self._old_file, one, item, place))

    def _old_file(self, one: Item, item: Item, uri: str) -> list[Event]:
        try:
            events = self._file(one, uri, str(one.version), replaced_in=item.version)
        except UnreadableError as refusal:
            if "404" in refusal.message:
                return []  # purged: there is nothing to read
            raise
        return events

    def _file(self, item: Item, uri: str, version: str, **more: Json) -> list[Event]:
        if item.size is not None and item.size > self.max_attachment_bytes:
            reason = f"an attachment of {item.size} bytes, left out by max_attachment_bytes"
            return [Skipped(uri, reason, "raise max_attachment_bytes", excluded=True)]
        body = self.wiki.body(item)
        if not isinstance(body, bytes) and item.size is None:
            # Older versions are listed without a size: what is small is held, so that a lost page is told.
            with body.open(0) as file:
                start = file.read(_SMALL + 1)
            body = start if len(start) <= _SMALL else body
        return [self._document(item, uri, version, item_path(item), body, media_type=item.media_type, **more)]

    # --- documents -----------------------------------------------------------------------------------

    def _document(
        self,
        item: Item,
        uri: str,
        version: str,
        path: str,
        body: bytes | Stream,
        *,
        media_type: str = "",
        **more: Json,
    ) -> Document:
        attrs: dict[str, Json] = {"space": item.space, "version": item.version, "status": item.status, **more}
        if item.parent[0]:
            attrs["parent"] = f"{item.parent[0]}/{item.parent[1]}"
        return Document(
            uri=uri,
            body=body,
            path=path,
            media_type=media_type or item.media_type,
            key=uri,
            version=version,
            url=item.url or None,
            author=self.wiki.person(item.author) or None,
            modified_at=item.modified,
            audience=self.audience(item),
            attrs={name: value for name, value in attrs.items() if value not in ("", None, 0)},
        )

    def _guarded(self, uri: str, read: Callable[[], Iterable[Event]]) -> Iterator[Event]:
        """The events of ``read``; a refusal is a gap, until the site itself must be gone."""
        try:
            events = read()
        except AuthError:
            raise
        except SourceError as error:
            self.failures[0] = self.failures[0] + 1 if isinstance(error, RetryableError) else 0
            if self.failures[0] >= _PATIENCE:
                raise
            yield Skipped(uri, error.message, error.hint)
            return
        self.failures[0] = 0
        yield from events


def _text(item: Item) -> bytes:
    title = item.title if item.media_type == "text/html" else ""  # JSON stays JSON
    return "\n".join(filter(None, (title, item.body))).encode("utf-8", "replace")
