"""Who can read a page: asked as nobody, for what everyone may read shows itself to nobody.

That takes a listing without a login for each space that is open, and no right to read permissions.
Links that were made public are known to no API; what they show stays ``organisation`` here.
"""

from __future__ import annotations

from threading import Lock

from unsprawl.crawlers.confluence.items import Item, Space, Wiki
from unsprawl.errors import RetryableError, SourceError
from unsprawl.records import Audience

__all__ = ["Everyone"]

_PAGES: frozenset[str] = frozenset({"pages", "blogposts"})
_MOST_LISTINGS = 4_000


class Everyone:
    """What a visitor without an account is shown. ``nobody`` asks without credentials."""

    def __init__(self, nobody: Wiki) -> None:
        self._nobody = nobody
        self._lock = Lock()
        self._spaces: dict[str, Space] | None = None
        self._lost = False
        self._shown: dict[str, frozenset[tuple[str, str]] | None] = {}

    def forget(self) -> None:
        """A new run begins: everything is asked anew."""
        with self._lock:
            self._spaces = None
            self._shown.clear()

    def sees(self, key: str) -> bool:
        """Whether the space is open to everyone."""
        with self._lock:
            return key in self._open_spaces()

    def audience(self, item: Item) -> Audience:
        """Who can read it at most."""
        if item.restricted or item.kind == "drafts" or item.status in ("trashed", "draft"):
            return Audience.RESTRICTED
        with self._lock:
            space = self._open_spaces().get(item.space)
            if space is None:
                return Audience.UNKNOWN if self._lost else Audience.ORGANISATION
            if item.kind in ("templates", "spaces", "custom-content"):
                return Audience.PUBLIC
            if item.space not in self._shown:
                self._shown[item.space] = self._list(space)
            shown = self._shown[item.space]
        holder = (item.kind, item.id) if item.kind in _PAGES else item.parent
        if shown is None:
            return Audience.UNKNOWN
        return Audience.PUBLIC if holder in shown else Audience.ORGANISATION

    def _open_spaces(self) -> dict[str, Space]:
        if self._spaces is None:
            try:
                self._spaces = {space.key: space for space in self._nobody.spaces()}
            except SourceError as error:  # a site without anonymous access refuses
                self._spaces, self._lost = {}, isinstance(error, RetryableError)
        return self._spaces

    def _list(self, space: Space) -> frozenset[tuple[str, str]] | None:
        shown: set[tuple[str, str]] = set()
        try:
            for part in ("pages", "blogposts"):
                at = ""
                for _ in range(_MOST_LISTINGS):
                    page = self._nobody.listing(part, space, at, bodies=False)
                    shown |= {(item.kind, item.id) for item in page.items}
                    at = page.next
                    if not at:
                        break
        except SourceError:
            return None
        return frozenset(shown)
