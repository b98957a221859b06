"""Confluence Cloud: API v2, and v1 where v2 lacks something (drafts, templates, restrictions).

Comments, attachments and changes are listed over all spaces at once: one request for 250 of them,
where asking page by page takes one for each page.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from threading import Lock
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from unsprawl.crawlers.atlassian.session import TooLargeError
from unsprawl.crawlers.atlassian.transport import RefusedError, Site, when
from unsprawl.crawlers.confluence.cloud_rest import WORDS, People, allow, drafts, one_of_v1, templates
from unsprawl.crawlers.confluence.history import Version
from unsprawl.crawlers.confluence.items import (
    Item,
    Listing,
    Portions,
    Space,
    batched,
    field,
    identifier,
    number,
    results,
    text,
)
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Stream
from unsprawl.structs import replace

__all__ = ["CloudWiki"]

_LIMIT: Final = 250
#: Version listings with bodies are cut at this many.
_VERSIONS: Final = 50
_V1_LIMIT: Final = 100
_BATCH: Final = 100
#: Beyond this many changes since the last run, spaces are listed instead.
_CHANGE_PAGES: Final = 40
_PLACES: Final = 200_000
#: No page has more versions or properties than this.
_MOST_ENTRIES: Final = 100_000
_STATUSES: Final = {"pages": ["current", "archived", "trashed"], "blogposts": ["current", "trashed"]}


class CloudWiki:
    """See :class:`unsprawl.crawlers.confluence.items.Wiki`."""

    space_parts = ("pages", "blogposts", "templates")
    checked_parts = ("templates",)

    def __init__(self, site: Site, custom_content: tuple[str, ...] = ()) -> None:
        self._site = site
        self.site_parts = {
            "comments": ("footer-comments", "inline-comments"),
            "attachments": ("attachments",),
            "drafts": ("drafts:page", "drafts:blogpost", "site-templates"),
        }
        if custom_content:
            self.site_parts["custom-content"] = tuple(f"custom-content:{one}" for one in custom_content)
        self._lock = Lock()
        self._places: OrderedDict[tuple[str, str], tuple[str, str]] = OrderedDict()
        self._spaces: dict[str, str] = {}
        self._people = People(site)
        self._portions = Portions()
        self._feeds: dict[str, _Feed] = {}

    def forget(self) -> None:
        """A new run begins: what changed is asked anew."""
        with self._lock:
            self._feeds.clear()

    # --- who and where -------------------------------------------------------------------------------

    def whoami(self) -> str:
        """The name of the user, "" for nobody. Wrong credentials raise ``AuthError``."""
        try:
            user = self._site.get("rest/api/user/current", what="your account", hint=allow("users"))
        except RefusedError as refusal:
            if refusal.status == 403 and self._site.anonymous:
                return ""
            if refusal.status == 401:
                return "somebody (the token may not read users)"
            raise
        if text(user, "type") == "anonymous":
            if self._site.anonymous:
                return ""
            raise AuthError("the site took the credentials for nobody's", hint="check `user` and `token`")
        return text(user, "displayName") or text(user, "accountId") or "somebody"

    def spaces(self, keys: tuple[str, ...] = ()) -> Iterator[Space]:
        """All spaces, personal and archived ones too, or those named."""
        for some in batched(keys, _LIMIT) if keys else [[]]:
            asked: dict[str, Any] = {"limit": _LIMIT, "sort": "key", "description-format": "plain"}
            if some:
                asked["keys"] = some
            at = ""
            known: set[str] = set()
            while True:
                answer = self._get("spaces", asked, at, "spaces")
                fresh = 0
                for entry in results(answer):
                    space = Space(
                        id=identifier(entry),
                        key=text(entry, "key"),
                        name=text(entry, "name"),
                        kind=text(entry, "type"),
                        status=text(entry, "status"),
                        description=text(entry, "description", "plain", "value"),
                        url=self._link(text(entry, "_links", "webui")),
                    )
                    if space.key and space.id not in known:
                        known.add(space.id)
                        fresh += 1
                        self._spaces[space.id] = space.key
                        yield space
                at = _next(answer)
                if not at:
                    break
                if not fresh:
                    raise UnreadableError("the list of spaces does not advance")

    # --- listings ------------------------------------------------------------------------------------

    def listing(
        self, part: str, space: Space | None, at: str, *, newest_first: bool = False, bodies: bool = True
    ) -> Listing:
        """One page of a listing, with bodies."""
        kind, _, detail = part.partition(":")
        if kind == "drafts":
            return drafts(self._site, detail, at)
        if kind in ("templates", "site-templates"):
            return templates(self._site, space, at)
        sort = "-modified-date" if newest_first else "id" if kind in _STATUSES else "created-date"
        asked: dict[str, Any] = {"limit": _LIMIT, "sort": sort}
        if kind != "attachments" and bodies:
            asked["body-format"] = "storage"
        if kind == "custom-content":
            asked["type"] = detail
        if kind in _STATUSES:
            asked["status"] = _STATUSES[kind]
        if kind == "attachments":
            asked["status"] = ["current", "archived", "trashed"]
        if space is not None:
            asked["space-id"] = [space.id]
        answer = self._get(kind, asked, at, kind)
        items = [self._item(kind, entry) for entry in results(answer)]
        return Listing(tuple(self._placed(items, space)), _next(answer))

    def changes(self, space: Space, since: datetime) -> list[Item] | None:
        """Pages and blog posts of the space that changed, without bodies; None when there are too many."""
        found: list[Item] = []
        for kind in _STATUSES:
            with self._lock:
                feed = self._feeds.setdefault(kind, _Feed())
            with feed.lock:
                while not feed.reaches(since):
                    if feed.pages == _CHANGE_PAGES:
                        return None
                    asked = {"limit": _LIMIT, "sort": "-modified-date", "status": _STATUSES[kind]}
                    answer = self._get(kind, asked, feed.at, kind)
                    feed.take([self._item(kind, entry) for entry in results(answer)], _next(answer))
                found += [item for item in feed.items if item.space_id == space.id and _since(item, since)]
        return found

    def load(self, items: list[Item], space: Space) -> Iterator[Item]:
        """The same items with their bodies; what is gone meanwhile is left out."""
        for kind in _STATUSES:
            for some in batched((item.id for item in items if item.kind == kind), _BATCH):
                yield from self._placed(self._bodies(kind, some), space)

    def _bodies(self, kind: str, names: list[str]) -> list[Item]:
        asked = {"id": names, "limit": _LIMIT, "body-format": "storage", "status": _STATUSES[kind]}
        try:
            answer = self._get(kind, asked, "", kind)
        except TooLargeError:
            if len(names) == 1:
                raise
            half = len(names) // 2
            return self._bodies(kind, names[:half]) + self._bodies(kind, names[half:])
        return [self._item(kind, entry) for entry in results(answer)]

    def one(self, kind: str, identifier: str) -> Item:
        """One item as it is now."""
        if kind in ("templates", "drafts"):
            return one_of_v1(self._site, kind, identifier)
        asked: dict[str, Any] = {} if kind == "attachments" else {"body-format": "storage"}
        if kind in _STATUSES:
            asked["status"] = _STATUSES[kind]
        entry = self._get(f"{kind}/{identifier}", asked, "", kind)
        (item,) = self._placed([self._item(kind, entry)], None)
        return item

    # --- history -------------------------------------------------------------------------------------

    def older(self, item: Item) -> Iterator[Version]:
        """Older versions, newest first, with their bodies."""
        asked = {"limit": _VERSIONS, "sort": "-modified-date", "body-format": "storage"}
        inner = {"pages": "page", "blogposts": "blogpost", "custom-content": "custom"}.get(
            item.kind, "comment"
        )
        for entry in self._pages(f"{item.kind}/{item.id}/versions", asked, item.kind):
            count = number(entry, "number") or 0
            if count >= item.version:
                continue
            yield Version(
                count,
                text(entry, inner, "body", "storage", "value"),
                self.person(text(entry, "authorId")),
                when(field(entry, "createdAt")),
                self._version_url(item, count),
            )

    def older_files(self, item: Item) -> Iterator[Item]:
        """Older versions of an attachment."""
        asked = {"limit": _LIMIT, "sort": "-modified-date"}
        for entry in self._pages(f"attachments/{item.id}/versions", asked, "attachments"):
            count = number(entry, "number") or 0
            if 0 < count < item.version:
                yield replace(
                    item,
                    version=count,
                    author=text(entry, "authorId"),
                    modified=when(field(entry, "createdAt")),
                    size=None,
                    download=_of_version(item.download, count),
                )

    def properties(self, item: Item) -> str:
        """Content properties as text: what apps keep beside a page."""
        import msgspec

        if item.kind not in ("pages", "blogposts"):
            return ""
        lines = []
        for entry in self._pages(f"{item.kind}/{item.id}/properties", {"limit": _LIMIT}, item.kind):
            value = msgspec.json.encode(field(entry, "value")).decode()
            lines.append(f"{text(entry, 'key')}: {value}")
        return "\n".join(lines)

    def is_restricted(self, item: Item) -> bool:
        """Whether only some may read it."""
        path = f"rest/api/content/{item.id}/restriction/byOperation/read"
        answer = self._site.get(path, what="the restrictions of a page", hint=allow("drafts"))
        return any((number(answer, "restrictions", who, "size") or 0) > 0 for who in ("user", "group"))

    def body(self, item: Item) -> bytes | Stream:
        """The file of an attachment."""
        path = item.download
        if self._site.through_gateway:
            # The gateway knows the API alone, so not the addresses that browsers use.
            version = parse_qs(urlsplit(path).query).get("version", [""])[0]
            holder = item.parent[1]
            path = f"rest/api/content/{holder}/child/attachment/{item.id}/download"
            path += f"?version={version}" if version else ""
        what = f"attachment {item.id}"
        return self._site.body("/" + path.lstrip("/"), item.size, item.media_type, what=what)

    # --- entries to items ----------------------------------------------------------------------------

    def _item(self, kind: str, entry: Any) -> Item:
        parent = next(
            (
                (holder, text(entry, name))
                for name, holder in (
                    ("pageId", "pages"),
                    ("blogPostId", "blogposts"),
                    ("customContentId", "custom-content"),
                    ("attachmentId", "attachments"),
                )
                if text(entry, name) and kind not in _STATUSES
            ),
            ("", ""),
        )
        body = text(entry, "body", "storage", "value") or text(entry, "body", "raw", "value")
        if kind == "inline-comments":
            marked = text(entry, "properties", "inlineOriginalSelection")
            body = "\n".join(filter(None, (marked, body)))
        if kind == "attachments":
            body = text(entry, "comment")
        name = identifier(entry)
        item = Item(
            kind=kind,
            id=name,
            version=number(entry, "version", "number") or 1,
            title=text(entry, "title"),
            space_id=text(entry, "spaceId"),
            status=text(entry, "status"),
            author=self._people.met(text(entry, "version", "authorId")),
            modified=when(field(entry, "version", "createdAt") or field(entry, "createdAt")),
            body=body,
            media_type=text(entry, "mediaType") if kind == "attachments" else "text/html",
            url=self._link(text(entry, "_links", "webui") or text(entry, "webuiLink")),
            parent=parent,
            size=number(entry, "fileSize"),
            download=text(entry, "downloadLink") or text(entry, "_links", "download"),
            complete=field(entry, "body") is not None or kind == "attachments",
        )
        return self._live(item) if kind in _STATUSES and item.complete and not body else item

    def _live(self, item: Item) -> Item:
        """Live documents have no storage format until they are published."""
        asked = {"body-format": "atlas_doc_format", "status": _STATUSES[item.kind]}
        try:
            entry = self._get(f"{item.kind}/{item.id}", asked, "", item.kind)
        except UnreadableError as error:
            return replace(item, gap=("", error.message, error.hint))
        body = text(entry, "body", "atlas_doc_format", "value")
        return replace(item, body=body, media_type="application/json") if body else item

    def _placed(self, items: list[Item], space: Space | None) -> list[Item]:
        """With the key of the space and the title of what holds them, asked for together."""
        for kind in _STATUSES:
            wanted = {
                item.parent[1] for item in items if item.parent[0] == kind and item.parent not in self._places
            }
            for some in batched(sorted(wanted), _BATCH):
                asked = {"id": some, "limit": _LIMIT, "status": _STATUSES[kind]}
                holders = [self._item(kind, entry) for entry in results(self._get(kind, asked, "", kind))]
                self._placed(holders, None)
        if space is not None:
            self._spaces[space.id] = space.key
        unknown = {item.space_id for item in items if item.space_id and item.space_id not in self._spaces}
        for some in batched(sorted(unknown), _BATCH):
            answer = self._get("spaces", {"ids": some, "limit": _LIMIT}, "", "spaces")
            self._spaces |= dict.fromkeys(some, "")
            self._spaces |= {identifier(entry): text(entry, "key") for entry in results(answer)}
        placed = []
        for item in items:
            key, title = self._places.get(item.parent, ("", ""))
            placed.append(replace(item, space=self._spaces.get(item.space_id) or key, parent_title=title))
        for item in placed:
            if item.kind in _STATUSES:
                self._remember(item)
        return placed

    def _remember(self, item: Item) -> None:
        with self._lock:
            self._places[item.kind, item.id] = (item.space, item.title)
            while len(self._places) > _PLACES:
                self._places.popitem(last=False)

    def person(self, account: str) -> str:
        """The name behind an account id, as far as it may be asked for."""
        return self._people.name(account)

    # --- requests ------------------------------------------------------------------------------------

    def _get(self, path: str, asked: dict[str, Any], at: str, kind: str) -> Any:
        given = {**asked, "cursor": at} if at else dict(asked)
        what, hint = WORDS.get(kind, kind), allow(kind)

        def request(limit: int) -> Any:
            limited = {"limit": limit} if "limit" in asked else {}
            return self._site.get(f"api/v2/{path}", {**given, **limited}, what=what, hint=hint)

        # A batch by ids has no second page, so it is asked for as a whole.
        if "id" in asked or "limit" not in asked:
            return request(_LIMIT)
        return self._portions.ask(path if path == kind else f"{kind} versions", int(asked["limit"]), request)

    def _pages(self, path: str, asked: dict[str, Any], kind: str) -> Iterator[Any]:
        """All entries of a short listing, each once."""
        at, known = "", set[str]()
        while True:
            answer = self._get(path, asked, at, kind)
            entries = {text(entry, "number") or text(entry, "id"): entry for entry in results(answer)}
            fresh = [entry for mark, entry in entries.items() if mark not in known]
            known |= set(entries)
            yield from fresh
            at = _next(answer)
            if not at:
                return
            if not fresh or len(known) > _MOST_ENTRIES:
                raise UnreadableError("the listing goes in circles")

    def _link(self, path: str) -> str:
        return self._site.base + path if path.startswith("/") else ""

    def _version_url(self, item: Item, count: int) -> str:
        if item.kind in _STATUSES:
            return f"{self._site.base}/pages/viewpage.action?pageId={item.id}&pageVersion={count}"
        return item.url


class _Feed:
    """The newest changes over all spaces, as far as they were asked for."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.items: list[Item] = []
        self.at = ""
        self.pages = 0
        self._ended = False
        self._oldest: datetime | None = None
        self._known: set[tuple[str, int]] = set()

    def reaches(self, since: datetime) -> bool:
        return self._ended or (self._oldest is not None and self._oldest < since)

    def take(self, items: list[Item], at: str) -> None:
        fresh = [item for item in items if (item.id, item.version) not in self._known]
        self._known |= {(item.id, item.version) for item in fresh}
        self.items += fresh
        self.pages += 1
        # The middle of a page tells how far it reaches: it may have come out of order.
        times = sorted(item.modified for item in items if item.modified)
        if times:
            self._oldest = times[len(times) // 2]
        self.at, self._ended = at, not at or not fresh


def _next(answer: Any) -> str:
    """The cursor of the next page. Of the link only the cursor is taken: it may lead anywhere."""
    return parse_qs(urlsplit(text(answer, "_links", "next")).query).get("cursor", [""])[0]


def _of_version(download: str, count: int) -> str:
    return f"{download.partition('?')[0]}?version={count}"


def _since(item: Item, since: datetime) -> bool:
    return item.modified is None or item.modified >= since
