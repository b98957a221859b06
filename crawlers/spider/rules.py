"""House rules as Scrapy's middlewares: where a redirect may lead, who sees a credential, when a host rests.

Scrapy's own redirects forward ``PRIVATE-TOKEN`` and its like to any host, its retries know no
``Retry-After``, and its throttle would shorten a pause that a host has asked for.
"""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Response

from unsprawl.crawlers.spider.frames import Ask
from unsprawl.errors import UnreadableError
from unsprawl.wire import hosts
from unsprawl.wire.limits import asked_wait

__all__ = ["LEAST_DELAY", "Redirects", "RefusedError", "Rests", "Throttle", "made"]

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: A slot without any delay could not be paused.
LEAST_DELAY: Final = 0.001


class RefusedError(IgnoreRequest):
    """We do not follow. The message is fit to be shown."""


def made(ask: Ask, url: str, sent: list[str], *, home: bool) -> Request:
    """The request for ``url``. Secret headers are on it only while no redirect has left the base's origin.

    ``sent`` gathers the addresses that were asked for one ``ask``, redirects too.
    """
    sent.append(url)
    host = urlsplit(url).netloc.rpartition("@")[2].lower()
    meta: dict[str, Any] = {
        "ask": ask,
        "home": home,
        "sent": sent,
        "download_slot": f"{ask.lane}@{host}",
        "download_maxsize": ask.limit,
        "download_timeout": ask.seconds,
        "dont_obey_robotstxt": not ask.robots,
        "handle_httpstatus_all": True,
    }
    headers = {**ask.headers, **(ask.secret if home else {})}
    return Request(url, method=ask.method, headers=headers, body=ask.body, meta=meta, dont_filter=True)


class Redirects:
    """Follows redirects of what is read, by the rules of :mod:`unsprawl.wire.hosts`."""

    def process_response(self, request: Request, response: Response) -> Request | Response:
        ask: Ask | None = request.meta.get("ask")
        location = (response.headers.get("location") or b"").decode("latin-1")
        if ask is None or not location or response.status not in _REDIRECTS:
            return response
        if ask.method not in ("GET", "HEAD"):
            return response
        sent: list[str] = request.meta["sent"]
        if len(sent) > _MAX_REDIRECTS:
            raise RefusedError(f"{hosts.shown(request.url)}: more than {_MAX_REDIRECTS} redirects")
        try:
            target = hosts.redirect(request.url, location, ask.base)
        except UnreadableError as error:
            raise RefusedError(error.message) from None
        # Once a redirect has left the configured origin, nothing secret is sent again, not even when the
        # next one leads back: the way there was chosen by someone else.
        home = request.meta["home"] and hosts.origin(target) == hosts.origin(ask.base)
        return made(ask, target, sent, home=home)


class Rests:
    """A host that asks for patience gets it from its whole slot, not from the one request it refused."""

    def __init__(self, crawler: Any) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Any) -> Rests:
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        ask: Ask | None = request.meta.get("ask")
        if ask is None:
            return response
        headers = {name.decode("latin-1").lower(): _text(values) for name, values in response.headers.items()}
        seconds = asked_wait(response.status, headers)
        slot = self._crawler.engine.downloader.slots.get(request.meta["download_slot"])
        if seconds and seconds <= ask.patience and slot is not None:
            # The downloader counts from here; its clock is monotonic. A longer pause stays as it is.
            slot.lastseen = max(slot.lastseen, time.monotonic() + seconds)
        return response


class Throttle(AutoThrottle):
    """AutoThrottle with a floor and a target for each slot: those of the lane that asks."""

    def _response_downloaded(self, response: Response, request: Request, spider: Any) -> None:
        ask: Ask | None = request.meta.get("ask")
        if ask is None:
            return
        self.mindelay = max(ask.interval, LEAST_DELAY)
        self.target_concurrency = float(ask.concurrency)
        super()._response_downloaded(response, request, spider)


def _text(values: Any) -> str:
    return b", ".join(values).decode("latin-1")
