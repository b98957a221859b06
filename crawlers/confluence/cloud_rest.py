"""Confluence Cloud: what v2 lacks and v1 gives (drafts, templates), names of people, and scopes."""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

from unsprawl.crawlers.atlassian.transport import RefusedError, Site, when
from unsprawl.crawlers.confluence.items import (
    Item,
    Listing,
    Space,
    batched,
    field,
    identifier,
    results,
    text,
)

__all__ = ["WORDS", "People", "allow", "drafts", "one_of_v1", "templates"]

_LIMIT: Final = 100
_PEOPLE: Final = 250
_SCOPES: Final = {
    "pages": "read:page:confluence",
    "blogposts": "read:page:confluence",
    "spaces": "read:space:confluence",
    "attachments": "read:attachment:confluence",
    "footer-comments": "read:comment:confluence",
    "inline-comments": "read:comment:confluence",
    "custom-content": "read:custom-content:confluence",
    "drafts": "read:content-details:confluence",
    "templates": "read:template:confluence",
    "site-templates": "read:template:confluence",
    "users": "read:user:confluence",
}
WORDS: Final = {
    "blogposts": "blog posts",
    "footer-comments": "comments",
    "inline-comments": "inline comments",
    "custom-content": "custom content",
}


def allow(kind: str) -> str:
    """What to do when this is refused."""
    scope = _SCOPES.get(kind, "read:content-details:confluence")
    return f"give the token the scope {scope}, and its user the right to view"


class People:
    """Names for account ids. Those that were met are asked for together when the first name is needed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = Lock()
        self._names: dict[str, str] = {}
        self._met: set[str] = set()
        self._refused = False

    def met(self, account: str) -> str:
        """The same id: its name may be asked for later."""
        if account and account not in self._names:
            with self._lock:
                self._met.add(account)
        return account

    def name(self, account: str) -> str:
        """Its name, itself where names may not be asked for."""
        if not account:
            return ""
        with self._lock:
            if account not in self._names:
                self._ask(sorted(self._met | {account}))
                self._met.clear()
            return self._names[account] or account

    def _ask(self, accounts: list[str]) -> None:
        self._names |= dict.fromkeys(accounts, "")
        for some in batched(() if self._refused else accounts, _PEOPLE):
            try:
                body = {"accountIds": some}
                answer = self._site.post("api/v2/users-bulk", body, what="names", hint=allow("users"))
            except RefusedError:
                self._refused = True
                return
            for entry in results(answer):
                name = text(entry, "displayName") or text(entry, "publicName")
                self._names[text(entry, "accountId")] = name


def drafts(site: Site, kind: str, at: str) -> Listing:
    """Unpublished drafts: those of the user who asks, nobody sees others'."""
    asked: dict[str, Any] = {"type": kind, "status": "draft", "limit": _LIMIT, "start": at or "0"}
    asked["expand"] = "body.storage,version,space,history"
    answer = site.get("rest/api/content", asked, what="drafts", hint=allow("drafts"))
    return Listing(tuple(_draft(site, entry) for entry in results(answer)), _next_start(answer, at))


def templates(site: Site, space: Space | None, at: str) -> Listing:
    """Templates of a space, or those of the whole site."""
    asked: dict[str, Any] = {"limit": _LIMIT, "start": at or "0", "expand": "body"}
    if space is not None:
        asked["spaceKey"] = space.key
    answer = site.get("rest/api/template/page", asked, what="templates", hint=allow("templates"))
    found = [_template(site, entry, space.key if space else "") for entry in results(answer)]
    return Listing(tuple(found), _next_start(answer, at))


def one_of_v1(site: Site, kind: str, name: str) -> Item:
    """One draft or template."""
    if kind == "templates":
        entry = site.get(
            f"rest/api/template/{name}", {"expand": "body"}, what="the template", hint=allow(kind)
        )
        return _template(site, entry, "")
    asked = {"status": "draft", "expand": "body.storage,version,space,history"}
    return _draft(site, site.get(f"rest/api/content/{name}", asked, what="the draft", hint=allow(kind)))


def _template(site: Site, entry: Any, space: str) -> Item:
    # Templates have no version: their text is their version.
    body = text(entry, "body", "storage", "value") or text(entry, "body", "view", "value")
    name = text(entry, "templateId")
    return Item(
        kind="templates",
        id=identifier({"id": name}),
        version=0,
        title=text(entry, "name"),
        space=space or text(entry, "space", "key"),
        body="\n".join(filter(None, (text(entry, "description"), body))),
        url=site.base + f"/pages/templates2/viewpagetemplate.action?entityId={name}",
    )


def _draft(site: Site, entry: Any) -> Item:
    link = text(entry, "_links", "editui") or text(entry, "_links", "webui")
    return Item(
        kind="drafts",
        id=identifier(entry),
        # Saving a draft makes no new version, so its text is its version.
        version=0,
        title=text(entry, "title"),
        space=text(entry, "space", "key"),
        status="draft",
        author=text(entry, "version", "by", "displayName"),
        modified=when(field(entry, "version", "when")),
        body=text(entry, "body", "storage", "value"),
        url=site.base + link if link.startswith("/") else "",
    )


def _next_start(answer: Any, at: str) -> str:
    entries = len(results(answer))
    more = bool(text(answer, "_links", "next")) and entries
    return str(int(at or "0") + entries) if more else ""
