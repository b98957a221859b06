"""Paste sites and dumps: what strangers show to everybody, for a while.

    paste://SITE/ID                 a paste
    paste://gist.github.com/ID/NAME a file of a gist
    file:///…, stdin:               a dump that somebody collected

A feed is one unit (the gists of several accounts: one each). What it lists is read once, the oldest first.
The cursor knows what was listed, so that pastes are read even when they have left the listing, and what never
stood in a listing that was looked at is told in the ledger, as far as it can be guessed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from threading import Lock
from typing import Annotated, ClassVar, Final, Literal
from weakref import WeakValueDictionary

import msgspec

from unsprawl.config import FilePath, Reference, SourceConfig
from unsprawl.crawlers.paste.folder import Folder, parts
from unsprawl.crawlers.paste.gist import RAW_HOST, Gists
from unsprawl.crawlers.paste.items import Feed, Item, State, seconds, unseen
from unsprawl.crawlers.paste.pastebin import Pastebin
from unsprawl.crawlers.paste.pinnwand import Addresses, Database
from unsprawl.crawlers.paste.syndication import Syndication
from unsprawl.crawlers.paste.web import Web
from unsprawl.crawlers.spider.session import NEEDS
from unsprawl.crawlers.walk import as_uri
from unsprawl.errors import AuthError, ConfigError, RetryableError, SourceError, UnreadableError
from unsprawl.records import Checkpoint, Cursor, Diagnosis, Document, Event, Seen, Skipped, Unchanged, Unit
from unsprawl.wire import hosts

__all__ = ["PasteSource"]

_Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,5}[smhd]$")]
_Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/?#]+.*$")]
_FeedName = Literal["pastebin", "gist", "pinnwand", "rss", "folder"]

_STDIN: Final = "-"
#: Pastes between two checkpoints, fewer where requests are slow: about a second's.
_STRETCH: Final = 16
#: Where a feed is, how often it is looked at, and the seconds between two requests to it.
_URLS: Final = {
    "pastebin": "https://scrape.pastebin.com",
    "gist": "https://api.github.com",
    "pinnwand": "https://bpa.st",
}
_EVERY: Final = {"pastebin": "60s", "gist": "60s", "pinnwand": "60s", "rss": "5m", "folder": "2s"}
_INTERVAL: Final = {"pastebin": 1.0, "gist": 0.2, "pinnwand": 0.6, "rss": 1.0, "folder": 0.0}
#: Where what is found is ours or a stranger's, and mostly a stranger's.
_PUBLIC: Final = frozenset({"pastebin", "gist", "rss"})
#: Keys that only some feeds have.
_ONLY: Final = {
    "path": ("folder",),
    "listed": ("pinnwand",),
    "database": ("pinnwand",),
    "syntax": ("pastebin",),
    "users": ("gist",),
    "raw": ("rss",),
    "token": ("gist", "rss", "pinnwand"),
    "hosts": ("gist", "rss", "pinnwand"),
    "url": ("pastebin", "gist", "pinnwand", "rss"),
}

_webs: WeakValueDictionary[tuple[str, PasteSource.Config], Web] = WeakValueDictionary()
_webs_lock = Lock()


class PasteSource:
    """``paste {feed: pastebin|gist|pinnwand|rss|folder, url, …}``: one feed of pastes."""

    type: ClassVar[str] = "paste"
    reads_in: ClassVar[Literal["worker", "coordinator"]] = "coordinator"
    needs: ClassVar[tuple[str, ...]] = (*NEEDS, "lxml.etree")

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Keys of a source of ``type: paste``.

        ``every`` is how often `watch` looks. ``strangers`` says whether `watch` reports credentials without
        any tie to you. ``listed`` or ``database`` say which pastes a pinnwand site has. ``limit`` is how
        many pastes Pastebin lists at a time, ``raw`` where the contents behind an RSS feed are.
        """

        feed: _FeedName
        url: _Url | None = None
        path: FilePath | None = None
        listed: FilePath | None = None
        database: FilePath | None = None
        token: Reference | None = None
        users: tuple[Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,39}$")], ...] = ()
        syntax: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_-]*$")] = ""
        limit: Annotated[int, msgspec.Meta(ge=1, le=250)] = 100
        raw: str = ""
        hosts: tuple[str, ...] = ()
        every: _Duration | None = None
        strangers: bool | None = None
        max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 8 << 20
        request_interval: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None
        max_wait: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config = config
        self._listed: dict[str, float] = {}
        _check(name, config)

    @property
    def every(self) -> float:
        """Seconds from one look at the feed to the next."""
        return seconds(self._config.every or _EVERY[self._config.feed])

    @property
    def strangers(self) -> bool:
        """Whether what has nothing to do with us is of interest all the same."""
        given = self._config.strangers
        return self._config.feed not in _PUBLIC and not self._is_public if given is None else given

    @property
    def _interval(self) -> float:
        given = self._config.request_interval
        return _INTERVAL[self._config.feed] if given is None else given

    @property
    def _stretch(self) -> int:
        return max(1, min(_STRETCH, int(1 / self._interval))) if self._interval else _STRETCH

    @property
    def _is_public(self) -> bool:
        return self._config.feed == "pinnwand" and self._config.url in (None, _URLS["pinnwand"])

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002
        """The feed."""
        config = self._config
        if config.path == _STDIN:
            yield Unit("stdin:", "standard input", ("stdin:",))
            return
        for key, feed in self._feeds.items():
            if config.feed == "folder":
                yield Unit(as_uri(feed.site + "/"), feed.site, (), {"feed": key})
                continue
            title = f"{config.feed} {feed.site}{f' ({key})' if key else ''}"
            yield Unit(f"paste://{feed.site}/{key}", title, (), {"feed": key})

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """What the feed lists and was not read yet, the oldest first."""
        if unit.id == "stdin:":
            yield from parts()
            return
        key = unit.data["feed"]
        feed, state = self._feeds[key], State.of(since)
        while True:
            # A unit is read in many steps; what waits is read before the site is asked again too soon.
            if not state.pending or time.monotonic() - self._listed.get(key, -self.every) >= self.every:
                self._listed[key] = time.monotonic()
                listing = feed.listing(state.newest, state.etag)
                yield from listing.refused
                if gap := unseen(state, listing, unit.id, self.every):
                    yield gap
                more = state.take(listing) > 0 and listing.more
                if gap := state.overflow(unit.id):
                    yield gap
                # What was listed is not forgotten, even if the site forgets it or the reading breaks off.
                yield Checkpoint(state.cursor())
            else:
                more = False
            yield from self._waiting(key, feed, state, seen)
            if not state.pending and not more:
                return

    def _waiting(self, key: str, feed: Feed, state: State, seen: Seen) -> Iterator[Event]:
        """What waits, until it is time to look again: what stands in no listing is never known of."""
        while state.pending:
            for item in state.pending[: self._stretch]:
                yield from self._paste(feed, item, seen)
                state.done(item)
            del state.pending[: self._stretch]
            yield Checkpoint(state.cursor())
            if self._config.feed != "folder" and time.monotonic() - self._listed[key] >= self.every:
                return

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one paste again."""
        if uri.startswith("stdin:"):
            return Skipped(uri, "standard input can be read once only")
        found = None
        try:
            for feed in self._feeds.values():
                place = "file://" if self._config.feed == "folder" else f"paste://{feed.site}/"
                if uri.startswith(place):
                    found = feed.find(uri.removeprefix(place))
                    break
            else:
                return Skipped(uri, "not an address of this source")
        except AuthError:
            raise
        except SourceError as error:
            return Skipped(uri, error.message, error.hint)
        return found or Skipped(uri, "no longer there")

    def diagnose(self) -> Iterator[Diagnosis]:
        """Whether the feed can be read, and how much of the time between two looks it shows."""
        if self._config.path == _STDIN:
            return
        for feed in self._feeds.values():
            try:
                yield from feed.diagnose()
            except SourceError as error:
                yield Diagnosis(f"{feed.site}: {error.message}", False, error.hint)

    def close(self) -> None:
        """Let go of the connections."""
        if self._config.feed != "folder" and self._config.database is None:
            self._web.close()

    def _paste(self, feed: Feed, item: Item, seen: Seen) -> Iterator[Event]:
        try:
            found = list(feed.content(item))
        except (AuthError, RetryableError):
            raise
        except UnreadableError as error:
            site = f"paste://{feed.site}/{item.id}"
            found = [Skipped(site, error.message, error.hint)]
        for one in found:
            if isinstance(one, Document) and self._config.excludes(one.path):
                yield Skipped(one.uri, "left out by exclude", excluded=True)
            elif isinstance(one, Document) and one.version and seen(one.key) == one.version:
                yield Unchanged()
            else:
                yield one

    @cached_property
    def _feeds(self) -> dict[str, Feed]:
        """The feeds by the last part of their unit's id."""
        config, most = self._config, self._config.max_bytes
        if config.feed == "folder":
            assert config.path is not None
            return {"": Folder(config.path, exclude=config.exclude, max_bytes=None)}
        if config.database is not None:
            base = hosts.base_url(config.url or _URLS["pinnwand"])
            site = base.partition("://")[2]
            return {"": Database(config.database, base=base, site=site, max_bytes=most)}
        web = self._web
        if config.feed == "pastebin":
            return {"": Pastebin(web, limit=config.limit, syntax=config.syntax, max_bytes=most)}
        if config.feed == "pinnwand":
            return {"": Addresses(web, listed=config.listed or "", max_bytes=most)}
        if config.feed == "rss":
            return {"": Syndication(web, raw=config.raw, max_bytes=most)}
        return {user: Gists(web, user=user, max_bytes=most) for user in config.users or ("",)}

    @cached_property
    def _web(self) -> Web:
        """One for all threads that read this source: they share its limits."""
        config = self._config
        with _webs_lock:
            web = _webs.get((self.name, config))
            if web is None:
                web = _webs[self.name, config] = Web(
                    self.name,
                    config.url or _URLS[config.feed],
                    token=config.token,
                    allowed=tuple(chain(config.hosts, (RAW_HOST,) if config.feed == "gist" else ())),
                    interval=self._interval,
                    max_wait=config.max_wait,
                )
            return web


def _check(name: str, config: PasteSource.Config) -> None:
    """Keys that belong together, and those that another feed would have."""
    for key, feeds in _ONLY.items():
        if getattr(config, key) and config.feed not in feeds:
            hint = f"it belongs to {' and '.join(feeds)}"
            raise ConfigError(f"sources.{name}: {key!r} is no key of feed {config.feed!r}", hint=hint)
    if config.feed == "folder" and config.path is None:
        raise ConfigError(f"sources.{name}: a folder feed needs `path`", hint="a folder, or - for stdin")
    if config.feed == "rss" and config.url is None:
        raise ConfigError(f"sources.{name}: an rss feed needs `url`", hint="the address of the feed itself")
    if config.feed == "pinnwand" and (config.listed is None) == (config.database is None):
        raise ConfigError(
            f"sources.{name}: a pinnwand feed needs `listed` or `database`",
            hint="pinnwand has no list of its pastes: give one, or the database of a site of your own",
        )
    if config.raw and not re.search(r"\{(id|link)\}", config.raw):
        raise ConfigError(f"sources.{name}: `raw` without {{id}} or {{link}} is one address for all")
