"""The one way out: every request of a paste feed goes through :meth:`Web.get`, and that through Scrapy.

A site's limits are kept by one pace for all its requests; a token is sent to the configured host alone, and
other hosts are asked only where they are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from unsprawl.crawlers.spider.session import Spider
from unsprawl.errors import UnreadableError
from unsprawl.references import Reference, resolve
from unsprawl.wire import hosts
from unsprawl.wire.client import Response
from unsprawl.wire.patience import Patience

__all__ = ["Web"]

_LARGEST_LISTING: Final = 16 << 20


class Web:
    """Speaks to ``base`` and to the hosts of ``allowed``; ``interval`` seconds lie between two requests.

    ``name`` is the source's: requests of one source to one host share a pace. Threads may share it.
    """

    def __init__(
        self,
        name: str,
        base: str,
        *,
        token: Reference | None = None,
        allowed: tuple[str, ...] = (),
        interval: float = 0.0,
        max_wait: float = 60.0,
    ) -> None:
        self.base = hosts.base_url(base)
        self._name, self._token, self._interval = name, token, interval
        self._patience = Patience(total=max_wait)
        self._allowed = frozenset(host.lower() for host in allowed)
        self._spiders: dict[bool, Spider] = {}
        self._lock = Lock()

    @property
    def site(self) -> str:
        """Host and, where it is none of the usual ones, port."""
        return urlsplit(self.base).netloc.lower()

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = _LARGEST_LISTING,
        page: bool = False,
    ) -> Response:
        """GET a path below the base, or a url on an allowed host, read whole.

        ``page``: it was made for people, and is read as far as the site's robots.txt lets programs do that.
        """
        if "://" in path:
            self._check(path)
        return self._spider(page).get(path, params=params, headers=headers, limit=limit)

    def _check(self, url: str) -> None:
        """``UnreadableError`` for a url that a feed names and nobody allowed."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise UnreadableError("the feed names something that is no address")
        if parts.scheme == "http" and self.base.startswith("https:"):
            raise UnreadableError(f"the feed names an unencrypted address on {host}")
        if not (hosts.same_host(url, self.base) or host in self._allowed):
            raise UnreadableError(
                f"the feed names another host: {host}", hint="add it to `hosts` if it may be asked"
            )

    def _spider(self, page: bool) -> Spider:
        with self._lock:
            if page not in self._spiders:
                secret = {}
                if self._token is not None:
                    secret = {"authorization": f"Bearer {resolve(self._token).text()}"}
                self._spiders[page] = Spider(
                    self._name,
                    self.base,
                    secret=secret,
                    patience=self._patience,
                    interval=self._interval,
                    concurrency=4,
                    robots=page,
                )
            return self._spiders[page]

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            while self._spiders:
                self._spiders.popitem()[1].close()
