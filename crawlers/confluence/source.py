"""Confluence, Cloud and Data Center: pages, blog posts, comments, attachments, and what history still shows.

    confluence://HOST/PATH/pages/123             a page as it is; blogposts, footer-comments, … likewise
    confluence://HOST/PATH/pages/123#history     what was removed from it, each part with its version
    confluence://HOST/PATH/attachments/att4      a file; with ?version=2 an older one

Spaces are the units. In Cloud, comments and attachments are listed over all spaces at once, as units of
their own. The first run lists everything; later ones ask for what changed, a day more than needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Annotated, Any, ClassVar, Final, Literal, cast
from urllib.parse import unquote

import msgspec

from unsprawl import globs
from unsprawl.crawlers.atlassian.transport import NEEDS, AtlassianConfig, Site
from unsprawl.crawlers.confluence import cleanup
from unsprawl.crawlers.confluence.audience import Everyone
from unsprawl.crawlers.confluence.center import CenterWiki
from unsprawl.crawlers.confluence.cloud import CloudWiki
from unsprawl.crawlers.confluence.course import Course, Plan
from unsprawl.crawlers.confluence.items import Item, Space, Wiki, uri_of
from unsprawl.crawlers.confluence.reading import Reader
from unsprawl.errors import AuthError, GoneError, SourceError
from unsprawl.records import (
    Audience,
    Cleanup,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Seen,
    Skipped,
    Unit,
)
from unsprawl.wire import hosts

__all__ = ["ConfluenceSource"]

_EXCLUDED: Final = "left out by exclude"
_SHOWN_HINT: Final = "check `spaces`, and give the token's user the right to view it"
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
    needs: ClassVar[tuple[str, ...]] = NEEDS
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
        named = self._named_spaces()
        shown: set[str] = set()
        for space in wiki.spaces(named):
            uri = uri_of(self.top, "spaces", space.key)
            shown.add(space.key)
            if not self._wants(space.key):
                continue
            if self.config.excludes(space.key):
                yield Skipped(uri, _EXCLUDED, excluded=True, parents=(space.key,))
                continue
            data = {"space": msgspec.to_builtins(space)}
            yield Unit(uri, f"{space.key} {space.name}".strip(), (space.key,), data)
        for key in named:
            if key not in shown:
                uri = uri_of(self.top, "spaces", key)
                yield Skipped(uri, "the site does not show this space", _SHOWN_HINT, parents=(key,))
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
        space = Space(**unit.data["space"]) if "space" in unit.data else None
        parts = wiki.space_parts if space else tuple(unit.data["parts"])
        plan = Plan(unit.id, space, parts, self.config.overlap, self.config.relist_days)
        reader = self.reader(wiki, everyone)
        yield from Course(plan, wiki, reader, self._wants, since or {}, seen).events()

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
            gone = isinstance(error, GoneError) and self.config.token is not None
            return Skipped(uri, error.message, error.hint, gone=gone)
        return Skipped(uri, "it is not there any more", gone=True)

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:  # noqa: ARG002
        """To delete an old version of a page, a comment, or a file."""
        if not uri.startswith(self.top + "/"):
            return ()
        return cleanup.cleanups(self._open()[0], uri.removeprefix(self.top))

    def clean(
        self,
        uri: str,
        attrs: Mapping[str, Any],  # noqa: ARG002
        action: str,
        redact: Callable[[str], str],  # noqa: ARG002
    ) -> str:
        """Delete it, if the account may."""
        self._open()
        assert self._made is not None
        return cleanup.clean(self._made[2][0], uri.removeprefix(self.top), action)

    def diagnose(self) -> Iterator[Diagnosis]:
        """Who asks, what is listed, what is missing."""
        from unsprawl.crawlers.confluence.doctor import diagnose

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


def _wiki(site: Site, custom_content: tuple[str, ...]) -> Wiki:
    made = CloudWiki(site, custom_content) if site.cloud else CenterWiki(site)
    return cast("Wiki", made)


def _never(_key: str) -> str | None:
    return None
