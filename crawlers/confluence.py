"""Confluence, Cloud and Data Center: pages, blog posts, comments, attachments, and what history still shows.

    confluence://HOST/PATH/pages/123             a page as it is; blogposts, footer-comments, … likewise
    confluence://HOST/PATH/pages/123#history     what was removed from it, each part with its version
    confluence://HOST/PATH/attachments/att4      a file; with ?version=2 an older one

Spaces are the units. In Cloud, comments and attachments are listed over all spaces at once, as units of
their own. The first run lists everything; later ones ask for what changed, a day more than needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Annotated, Any, ClassVar, Final, Literal, cast
from urllib.parse import unquote

import msgspec

from unsprawl import globs
from unsprawl.crawlers.atlassian import AtlassianConfig, Site, when
from unsprawl.crawlers.confluence_audience import Everyone
from unsprawl.crawlers.confluence_center import CenterWiki
from unsprawl.crawlers.confluence_cloud import CloudWiki
from unsprawl.crawlers.confluence_items import Item, Space, Wiki, uri_of
from unsprawl.crawlers.confluence_reading import Reader, key_of, version_of
from unsprawl.crawlers.confluence_walk import Stop, walk
from unsprawl.errors import AuthError, SourceError
from unsprawl.records import (
    Audience,
    Checkpoint,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Seen,
    Skipped,
    Unchanged,
    Unit,
)
from unsprawl.wire import hosts

__all__ = ["ConfluenceSource"]

_EXCLUDED: Final = "left out by exclude"
#: A checkpoint stands after this many documents within a page of a listing.
_CHECKPOINT_EVERY: Final = 25
#: Documents whose versions tell whether the store still knows what was read.
_PROBES: Final = 8
_URI: Final = re.compile(
    r"/(?P<kind>[a-z-]+)/(?P<id>[^/?#]+)(?:\?version=(?P<version>\d+)|#(?P<part>[a-z]+))?"
)
_SITE: Final = "~"

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class ConfluenceSource:
    """One site. Built from its configuration in every process that reads it."""

    class Config(AtlassianConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Keys of a source of ``type: confluence``, beside those of every Atlassian site.

        ``spaces`` are keys or globs of them (default: all). ``max_versions`` older versions are read of each
        page and file (default: all). ``properties`` and ``restrictions`` cost Cloud a request for each page
        that is read; ``custom_content`` are types of apps. What changed is asked for from ``overlap`` hours
        before the last run on; after ``relist_days`` everything is listed again.
        """

        spaces: tuple[_Text, ...] = ()
        max_versions: Annotated[int, msgspec.Meta(ge=0)] | None = None
        properties: bool = False
        restrictions: bool = False
        custom_content: tuple[_Text, ...] = ()
        overlap: Annotated[int, msgspec.Meta(ge=1, le=720)] = 24
        relist_days: Annotated[int, msgspec.Meta(ge=0, le=365)] = 7

    type: ClassVar[str] = "confluence"
    reads_in: ClassVar[Literal["worker", "coordinator"]] = "coordinator"

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.config = config
        self.top = "confluence://" + hosts.base_url(config.url).partition("://")[2]
        self._lock = Lock()
        self._made: tuple[Wiki, Everyone, tuple[Site, Site]] | None = None

    # --- what there is -------------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002
        """Space by space; then what is listed over all of them."""
        wiki, everyone = self._open()
        wiki.forget()
        everyone.forget()
        wiki.whoami()
        for space in wiki.spaces(self._named_spaces()):
            uri = uri_of(self.top, "spaces", space.key)
            if not self._wants(space.key):
                continue
            if self.config.excludes(space.key):
                yield Skipped(uri, _EXCLUDED, excluded=True, parents=(space.key,))
                continue
            data = {"space": msgspec.to_builtins(space)}
            yield Unit(uri, f"{space.key} {space.name}".strip(), (space.key,), data)
        for unit, parts in wiki.site_parts.items():
            yield Unit(
                f"{self.top}/{_SITE}{unit}", f"{unit} of all spaces", (_SITE + unit,), {"parts": list(parts)}
            )

    def _named_spaces(self) -> tuple[str, ...]:
        return () if any(set("*?[") & set(one) for one in self.config.spaces) else self.config.spaces

    def _wants(self, key: str) -> bool:
        return not self.config.spaces or globs.matches(self.config.spaces, key)

    # --- reading -------------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """What is new in a space, or in what is listed over all of them."""
        wiki, everyone = self._open()
        if "space" in unit.data:
            space = Space(**unit.data["space"])
            yield from _Course(self, wiki, everyone, space, wiki.space_parts, since or {}, seen).events()
        else:
            yield from _Course(
                self, wiki, everyone, None, tuple(unit.data["parts"]), since or {}, seen
            ).events()

    def reader(self, wiki: Wiki, everyone: Everyone) -> Reader:
        """What turns items into documents, as configured."""
        config = self.config
        return Reader(
            wiki=wiki,
            top=self.top,
            audience=self._audience(everyone),
            excluded=self._excluded,
            max_versions=config.max_versions,
            max_attachment_bytes=config.max_attachment_bytes,
            properties=config.properties,
            restrictions=config.restrictions,
            failures=[0],
        )

    def _audience(self, everyone: Everyone) -> Callable[[Item], Audience]:
        if self.config.token is None:
            return lambda _item: Audience.PUBLIC
        return everyone.audience

    def _excluded(self, path: str) -> bool:
        return bool(self.config.exclude) and (
            self.config.excludes(path) or self.config.excludes(path.partition("/")[0])
        )

    # --- asked for one by one ------------------------------------------------------------------------

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one document again, whatever its version."""
        match = _URI.fullmatch(uri.removeprefix(self.top)) if uri.startswith(self.top + "/") else None
        if match is None:
            return Skipped(uri, "not of this site")
        wiki, everyone = self._open()
        reader = self.reader(wiki, everyone)
        kind, name = match["kind"], unquote(match["id"])
        try:
            if kind == "spaces":
                spaces = list(wiki.spaces((name,)))
                events = reader.space(spaces[0], _never) if spaces else iter(())
            else:
                item = wiki.one(kind, name)
                if not self._wants(item.space):
                    return Skipped(uri, "not within the spaces of this source")
                events = reader.events(item, _never)
            # A part of the history is fetched with the whole of it.
            wanted = {uri, f"{uri.partition('?')[0]}#history"}
            for event in events:
                if isinstance(event, Document | Skipped) and event.uri in wanted:
                    return event
        except AuthError:
            raise
        except SourceError as error:
            return Skipped(uri, error.message, error.hint)
        return Skipped(uri, "it is not there any more")

    def diagnose(self) -> Iterator[Diagnosis]:
        """Who asks, what is listed, what is missing."""
        from unsprawl.crawlers.confluence_doctor import diagnose

        wiki, everyone = self._open()
        yield from diagnose(self.config, wiki, everyone, self._named_spaces())

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            made, self._made = self._made, None
        for site in made[2] if made else ():
            site.close()

    def _open(self) -> tuple[Wiki, Everyone]:
        with self._lock:
            if self._made is None:
                config = self.config
                site = Site(self.name, config, "confluence", "/wiki")
                deployment: Any = "cloud" if site.cloud else "data-center"
                nobody = Site(
                    self.name,
                    msgspec.structs.replace(config, token=None, user="", cloud_id="", deployment=deployment),
                    "confluence",
                )
                self._made = (
                    _wiki(site, config.custom_content),
                    Everyone(_wiki(nobody, ())),
                    (site, nobody),
                )
            return self._made[0], self._made[1]


class _Course:
    """The reading of one unit: which listings, from where, and what to remember of it."""

    def __init__(
        self,
        source: ConfluenceSource,
        wiki: Wiki,
        everyone: Everyone,
        space: Space | None,
        parts: tuple[str, ...],
        place: Mapping[str, Any],
        seen: Seen,
    ) -> None:
        self._source = source
        self._wiki = wiki
        self._space = space
        self._parts = parts
        self._seen = seen
        self._reader = source.reader(wiki, everyone)
        self._probes: list[str] = []
        self._gap = False
        self._since, self._listed, self._begun = self._judge(place)
        self._place = place if place.get("part") in parts else {}

    def _judge(self, place: Mapping[str, Any]) -> tuple[datetime | None, str, str]:
        """From when on changes are enough; when everything was listed last; when this walk began."""
        now = datetime.now(UTC)
        at = place.get("at")
        told: Mapping[str, Any] = at if isinstance(at, dict) else {}
        if place.get("part"):  # the walk goes on as it began
            self._gap = bool(told.get("gap"))
            self._probes = [str(key) for key in place.get("probes", ())]
            since = when(told.get("since"))
            return since, str(told.get("listed", "")), str(told.get("began", now.isoformat()))
        until, listed = when(told.get("until")), when(told.get("listed"))
        fits = (
            until is not None
            and listed is not None
            and not told.get("gap")
            and now - listed < timedelta(days=self._source.config.relist_days)
            # Nothing of it is known: the rules are others than then, or the store is.
            and any(self._seen(str(key)) is not None for key in place.get("probes", ()))
        )
        if not fits or until is None:
            return None, now.isoformat(), now.isoformat()
        return until - timedelta(hours=self._source.config.overlap), str(told["listed"]), now.isoformat()

    def events(self) -> Iterator[Event]:
        """All of it. The last checkpoint tells the next run from when on to ask for changes."""
        parts = self._parts
        if self._space is not None:
            if not self._place:
                self._probes = [uri_of(self._source.top, "spaces", self._space.key)]
                yield from self._noted(self._reader.space(self._space, self._seen))
            if self._since is not None and not self._place:
                changed = self._wiki.changes(self._space, self._since)
                if changed is not None:
                    yield from self._changed(changed, self._space)
                    parts = self._wiki.checked_parts
        begin = parts.index(self._place["part"]) if self._place.get("part") in parts else 0
        for part in parts[begin:]:
            yield from self._part(part)
        at = {"until": self._begun, "listed": self._listed, "gap": self._gap}
        yield Checkpoint({"probes": list(self._probes), "at": at})

    def _part(self, part: str) -> Iterator[Event]:
        place = self._place if self._place.get("part") == part else {}
        # Listings that tell nothing of changes are read to their end.
        tells = part not in self._wiki.checked_parts and part.partition(":")[0] not in _UNSORTED
        newest_first = self._since is not None and self._space is None and tells
        listing = partial(self._wiki.listing, part, self._space, newest_first=newest_first)
        stop = Stop(self._since if newest_first else None)
        read = unchanged = 0
        for at, item in walk(listing, str(place.get("next", "")), str(place.get("after", "")), stop):
            if item is None:
                if unchanged:
                    yield Unchanged(unchanged)
                unchanged = read = 0
                yield self._checkpoint(part, at, "")
                continue
            if not self._source._wants(item.space):  # noqa: SLF001 - the two are one
                continue
            self._probe(item)
            for event in self._noted(self._reader.events(item, self._seen)):
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
        following = self._parts[self._parts.index(part) + 1 :]
        if following:
            yield self._checkpoint(following[0], "", "")

    def _changed(self, items: list[Item], space: Space) -> Iterator[Event]:
        """Only what is new: the overlap brings much that is known."""
        top = self._source.top
        known = [item for item in items if self._seen(key_of(top, item)) == version_of(item)]
        new = [item for item in items if self._seen(key_of(top, item)) != version_of(item)]
        if known:
            yield Unchanged(len(known))
        whole = [item for item in new if item.complete]
        for item in [*self._wiki.load([one for one in new if not one.complete], space), *whole]:
            yield from self._noted(self._reader.events(item, self._seen))

    def _checkpoint(self, part: str, at: str, after: str) -> Checkpoint:
        since = self._since.isoformat() if self._since else ""
        told = {"since": since, "began": self._begun, "listed": self._listed, "gap": self._gap}
        return Checkpoint({"part": part, "next": at, "after": after, "probes": list(self._probes), "at": told})

    def _noted(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            self._gap = self._gap or (isinstance(event, Skipped) and not event.excluded)
            yield event

    def _probe(self, item: Item) -> None:
        if self._space is None and len(self._probes) < _PROBES:
            self._probes.append(key_of(self._source.top, item))


#: Listings of version 1 know no order by time.
_UNSORTED: Final = frozenset({"drafts", "templates", "site-templates"})


def _wiki(site: Site, custom_content: tuple[str, ...]) -> Wiki:
    made = CloudWiki(site, custom_content) if site.cloud else CenterWiki(site)
    return cast("Wiki", made)


def _never(_key: str) -> str | None:
    return None
