"""Confluence Data Center and Server: the REST API, which gives pages with their comments and attachments.

One listing of a space brings, through ``expand``, bodies, comments and attachments together; what is
longer than the first part of such an inner list is asked for page by page.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final

from unsprawl.crawlers.atlassian.transport import RefusedError, Site, when
from unsprawl.crawlers.confluence.history import Version
from unsprawl.crawlers.confluence.items import (
    Item,
    Listing,
    Portions,
    Space,
    field,
    identifier,
    number,
    results,
    text,
)
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Stream
from unsprawl.structs import replace

__all__ = ["CenterWiki"]

_LIMIT: Final = 100
_SPACES: Final = 500
_CHANGES: Final = 5_000
_KINDS: Final = {"page": "pages", "blogpost": "blogposts", "comment": "comments", "attachment": "attachments"}
_TYPES: Final = {kind: name for name, kind in _KINDS.items()}
_OWN: Final = "body.storage,version,space,history.lastUpdated"
_RESTRICTIONS: Final = "restrictions.read.restrictions.user,restrictions.read.restrictions.group"
_COMMENTS: Final = "body.storage,version"
_FILES: Final = "version,extensions,metadata"
_EXPAND: Final = ",".join(
    (
        _OWN,
        _RESTRICTIONS,
        *(f"descendants.comment.{one}" for one in _COMMENTS.split(",")),
        *(f"children.attachment.{one}" for one in _FILES.split(",")),
    )
)
_HINT: Final = "give the token's user the right to view it"
#: The query's times are minutes of the user's own zone, which may be this far from ours.
_ZONES: Final = timedelta(hours=15)


class CenterWiki:
    """See :class:`unsprawl.crawlers.confluence.items.Wiki`."""

    space_parts = ("pages", "blogposts")
    checked_parts = ()
    site_parts: Final = {"drafts": ("drafts:page", "drafts:blogpost")}

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = Lock()
        self._portions = Portions()
        self._feed: tuple[datetime, list[Item] | None] | None = None

    def forget(self) -> None:
        """A new run begins: what changed is asked anew."""
        with self._lock:
            self._feed = None

    def whoami(self) -> str:
        """The name of the user, "" for nobody. Wrong credentials raise ``AuthError``."""
        try:
            user = self._site.get("rest/api/user/current", what="your account", hint=_HINT)
        except RefusedError as refusal:
            if self._site.anonymous and refusal.status == 403:
                return ""
            raise
        if text(user, "type") == "anonymous":
            if self._site.anonymous:
                return ""
            raise AuthError("the site took the token for nobody's", hint="is it a personal access token?")
        return text(user, "displayName") or text(user, "username") or "somebody"

    def spaces(self, keys: tuple[str, ...] = ()) -> Iterator[Space]:
        """All spaces, personal and archived ones too, or those named."""
        start, known = 0, set[str]()
        while True:
            asked: dict[str, Any] = {"start": start, "limit": _SPACES, "expand": "description.plain"}
            if keys:
                asked["spaceKey"] = list(keys)
            answer = self._site.get("rest/api/space", asked, what="spaces", hint=_HINT)
            entries = results(answer)
            fresh = 0
            for entry in entries:
                key = text(entry, "key")
                if not key or key in known:
                    continue
                known.add(key)
                fresh += 1
                yield Space(
                    id=key,
                    key=key,
                    name=text(entry, "name"),
                    kind=text(entry, "type"),
                    status=text(entry, "status"),
                    description=text(entry, "description", "plain", "value"),
                    url=self._link(text(entry, "_links", "webui")),
                )
            if not text(answer, "_links", "next") or not entries:
                return
            if not fresh:
                raise UnreadableError("the list of spaces does not advance")
            start += len(entries)

    # --- listings ------------------------------------------------------------------------------------

    def listing(
        self,
        part: str,
        space: Space | None,
        at: str,
        *,
        newest_first: bool = False,  # noqa: ARG002 - a query tells the changes
        bodies: bool = True,
    ) -> Listing:
        """One page of a listing: pages with their comments and attachments behind them."""
        kind, _, detail = part.partition(":")
        asked: dict[str, Any] = {"start": at or "0"}
        if kind == "drafts":
            asked |= {"type": detail, "status": "draft", "expand": _OWN}
        else:
            asked |= {"type": _TYPES[kind], "status": "any", "expand": _EXPAND if bodies else _RESTRICTIONS}
        if space is not None:
            asked["spaceKey"] = space.key
        what = kind if space is None else f"{kind} of {space.key}"
        answer = self._portions.ask(
            kind,
            _LIMIT,
            lambda limit: self._site.get("rest/api/content", asked | {"limit": limit}, what=what, hint=_HINT),
        )
        items: list[Item] = []
        for entry in results(answer):
            if kind == "drafts":
                items.append(replace(self._item(entry), kind="drafts", status="draft", version=0))
            else:
                items += self._family(entry)
        more = text(answer, "_links", "next") and results(answer)
        return Listing(tuple(items), str(int(at or "0") + len(results(answer))) if more else "")

    def _family(self, entry: Any) -> Iterator[Item]:
        """A page, its comments, its attachments."""
        page = self._item(entry)
        yield page
        for inner, path, expand in (
            (field(entry, "descendants", "comment"), "descendant/comment", _COMMENTS),
            (field(entry, "children", "attachment"), "child/attachment", _FILES),
        ):
            try:
                for each in self._rest(inner, page, path, expand):
                    held = replace(self._item(each), space=page.space, parent=(page.kind, page.id))
                    yield replace(held, parent_title=page.title, restricted=page.restricted)
            except UnreadableError as error:
                # The other pages of the listing are none the worse for it.
                yield replace(page, gap=(f"#{path.partition('/')[2]}s", error.message, error.hint))

    def _rest(self, inner: Any, page: Item, path: str, expand: str) -> Iterator[Any]:
        """An inner list, and what of it did not come with the page."""
        start, known = 0, set[str]()
        while isinstance(inner, dict):
            entries = results(inner)
            fresh = [entry for entry in entries if identifier(entry) not in known]
            known |= {identifier(entry) for entry in fresh}
            yield from fresh
            start += len(entries)
            if not text(inner, "_links", "next") or not entries:
                return
            if not fresh:
                raise UnreadableError(f"{path} of {page.kind} {page.id} goes in circles")
            asked = {"start": start, "limit": _LIMIT, "expand": expand}
            inner = self._site.get(f"rest/api/content/{page.id}/{path}", asked, what=path, hint=_HINT)

    def changes(self, space: Space, since: datetime) -> list[Item] | None:
        """Pages, posts, comments and attachments that changed, asked for once over all spaces."""
        with self._lock:
            if self._feed is None or self._feed[0] > since:
                self._feed = (since, self._search(since))
            found = self._feed[1]
        return None if found is None else [item for item in found if item.space == space.key]

    def _search(self, since: datetime) -> list[Item] | None:
        day = (since - _ZONES).strftime("%Y-%m-%d %H:%M")
        kinds = ", ".join(_KINDS)
        cql = f'lastmodified >= "{day}" and type in ({kinds}) order by lastmodified desc'
        found: list[Item] = []
        start, known = 0, set[str]()
        while True:
            asked = {
                "cql": cql,
                "start": start,
                "limit": _LIMIT,
                "expand": f"{_OWN},container.space,extensions",
            }
            answer = self._site.get("rest/api/content/search", asked, what="what changed", hint=_HINT)
            entries = results(answer)
            fresh = [entry for entry in entries if identifier(entry) not in known]
            known |= {identifier(entry) for entry in fresh}
            for entry in fresh:
                holder = field(entry, "container")
                item = self._item(entry)
                space = text(entry, "space", "key") or text(holder, "space", "key")
                kind = _KINDS.get(text(holder, "type"), "")
                parent = (kind, identifier(holder)) if kind else ("", "")
                complete = item.kind not in ("pages", "blogposts")
                found.append(
                    replace(
                        item,
                        space=space,
                        parent=parent,
                        parent_title=text(holder, "title"),
                        complete=complete,
                    )
                )
            start += len(entries)
            if not text(answer, "_links", "next") or not fresh:
                return found
            if start >= _CHANGES:
                return None

    def load(self, items: list[Item], space: Space) -> Iterator[Item]:  # noqa: ARG002 - Cloud needs it
        """The same pages, with their comments and attachments; what is gone meanwhile is left out."""
        for item in items:
            try:
                asked = {"expand": _EXPAND, "status": "any"}
                what = f"{item.kind} {item.id}"
                yield from self._family(
                    self._site.get(f"rest/api/content/{item.id}", asked, what=what, hint=_HINT)
                )
            except RefusedError as refusal:
                if refusal.status != 404:
                    raise

    def one(self, kind: str, identifier: str) -> Item:
        """One item as it is now."""
        asked = {"expand": f"{_OWN},container.space,extensions,{_RESTRICTIONS}"}
        asked["status"] = "draft" if kind == "drafts" else "any"
        entry = self._site.get(
            f"rest/api/content/{identifier}", asked, what=f"{kind} {identifier}", hint=_HINT
        )
        item = self._item(entry)
        space = text(entry, "space", "key") or text(entry, "container", "space", "key")
        return replace(item, kind=kind, space=space, parent_title=text(entry, "container", "title"))

    # --- history -------------------------------------------------------------------------------------

    def older(self, item: Item) -> Iterator[Version]:
        """Older versions, newest first; those that were purged are passed over."""
        for count in range(item.version - 1, 0, -1):
            asked = {"status": "historical", "version": count, "expand": "body.storage,version"}
            what = f"version {count} of {item.kind} {item.id}"
            try:
                entry = self._site.get(f"rest/api/content/{item.id}", asked, what=what, hint=_HINT)
            except RefusedError as refusal:
                if refusal.status == 404:
                    continue
                raise
            yield Version(
                count,
                text(entry, "body", "storage", "value"),
                _author(entry),
                when(field(entry, "version", "when")),
                f"{self._site.base}/pages/viewpage.action?pageId={identifier(entry)}&pageVersion={count}",
            )

    def older_files(self, item: Item) -> Iterator[Item]:
        """Older versions of an attachment."""
        for count in range(item.version - 1, 0, -1):
            yield replace(
                item,
                version=count,
                author="",
                modified=None,
                size=None,
                download=f"{item.download.partition('?')[0]}?version={count}",
            )

    def properties(self, item: Item) -> str:
        """Content properties as text: what apps keep beside a page."""
        import msgspec

        if item.kind not in ("pages", "blogposts"):
            return ""
        asked = {"limit": _LIMIT}
        answer = self._site.get(f"rest/api/content/{item.id}/property", asked, what="properties", hint=_HINT)
        return "\n".join(
            f"{text(entry, 'key')}: {msgspec.json.encode(field(entry, 'value')).decode()}"
            for entry in results(answer)
        )

    def is_restricted(self, item: Item) -> bool:
        """Whether only some may read it: it came with the page."""
        return bool(item.restricted)

    def body(self, item: Item) -> bytes | Stream:
        """The file of an attachment."""
        path = "/" + item.download.lstrip("/")
        return self._site.body(path, item.size, item.media_type, what=f"attachment {item.id}")

    def person(self, account: str) -> str:
        """Names come with what they wrote."""
        return account

    # --- entries to items ----------------------------------------------------------------------------

    def _item(self, entry: Any) -> Item:
        kind = _KINDS.get(text(entry, "type"), "pages")
        readers = field(entry, "restrictions", "read", "restrictions")
        limited = None
        if isinstance(readers, dict):
            limited = any((number(readers, who, "size") or 0) > 0 for who in ("user", "group"))
        media = text(entry, "extensions", "mediaType") or text(entry, "metadata", "mediaType")
        comment = text(entry, "extensions", "comment") or text(entry, "metadata", "comment")
        marked = text(entry, "extensions", "inlineProperties", "originalSelection")
        body = text(entry, "body", "storage", "value")
        return Item(
            kind=kind,
            id=identifier(entry),
            version=number(entry, "version", "number") or 1,
            title=text(entry, "title"),
            space=text(entry, "space", "key"),
            status=text(entry, "status"),
            author=_author(entry),
            modified=when(field(entry, "version", "when")),
            body=comment if kind == "attachments" else "\n".join(filter(None, (marked, body))),
            media_type=media if kind == "attachments" else "text/html",
            url=self._link(text(entry, "_links", "webui")),
            size=number(entry, "extensions", "fileSize"),
            download=text(entry, "_links", "download"),
            restricted=limited,
        )

    def _link(self, path: str) -> str:
        return self._site.base + path if path.startswith("/") else ""


def _author(entry: Any) -> str:
    return text(entry, "version", "by", "displayName") or text(entry, "version", "by", "username")
