"""Deleting what holds a secret: a comment, a file with its trash, or one old version of a page.

A page as it is now is left to people: to edit it would put the secret into its history, and what stands
around it is theirs to judge.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from unsprawl.errors import GoneError, UnreadableError
from unsprawl.records import Cleanup

if TYPE_CHECKING:
    from unsprawl.crawlers.atlassian.transport import Site
    from unsprawl.crawlers.confluence.items import Item, Wiki

__all__ = ["clean", "cleanups"]

_VERSION: Final = re.compile(r"/(?P<kind>pages|blogposts)/(?P<id>\d+)\?version=(?P<version>\d+)\Z")
_CONTENT: Final = re.compile(
    r"/(?P<kind>footer-comments|inline-comments|comments|attachments)/(?P<id>[A-Za-z0-9_-]{1,64})\Z"
)
_DELETE: Final = "give the account the right to delete in the space"


def cleanups(wiki: Wiki, uri: str) -> Sequence[Cleanup]:
    """What can be done about ``uri``."""
    if found := _VERSION.search(uri):
        number = int(found["version"])
        state = _old(wiki, wiki.one(found["kind"], found["id"]), number)
        title = f"delete version {number} of {found['kind'][:-1]} {found['id']} from its history"
        return (Cleanup("delete-version", title, "none: a deleted version does not come back", state),)
    if found := _CONTENT.search(uri):
        item = wiki.one(found["kind"], found["id"])
        title = f"delete {found['kind'][:-1]} {found['id']} for good"
        return (Cleanup("delete-content", title, "none: copy what else is needed of it first", _state(item)),)
    return ()


def clean(site: Site, uri: str, action: str) -> str:
    """Delete it. What is gone already is as good."""
    try:
        if action == "delete-version" and (found := _VERSION.search(uri)):
            top = "rest/api" if site.cloud else "rest/experimental"
            path = f"{top}/content/{found['id']}/version/{found['version']}"
            site.change("DELETE", path, None, what="the old version", hint=_DELETE)
            return f"version {found['version']} is deleted"
        if action == "delete-content" and (found := _CONTENT.search(uri)):
            kind, name = found["kind"], found["id"]
            path = f"api/v2/{kind}/{name}" if site.cloud else f"rest/api/content/{name}"
            site.change("DELETE", path, None, what=f"the {kind[:-1]}", hint=_DELETE)
            if kind == "attachments":
                trash = "?purge=true" if site.cloud else "?status=trashed"
                with suppress(GoneError):
                    site.change("DELETE", path + trash, None, what="the trash", hint=_DELETE)
            return f"the {kind[:-1].replace('-', ' ')} is deleted"
    except GoneError:
        return "it was gone already"
    raise UnreadableError(f"{action} cannot be done here")


def _old(wiki: Wiki, item: Item, number: int) -> str:
    """What an old version holds. ``GoneError`` when it is deleted."""
    for version in wiki.older(item):
        if version.number == number:
            return hashlib.sha256(version.body.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        if version.number < number:
            break
    raise GoneError(f"version {number} is not in the history any more")


def _state(item: Item) -> str:
    return hashlib.sha256(f"{item.version}\0{item.body}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
