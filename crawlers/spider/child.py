"""The HTTP process: Scrapy, asked over its standard input, answering on its standard output.

    python -m unsprawl.crawlers.spider.child

It ends when its parent does, knows nobody's environment and keeps nothing. Scrapy's defaults are those of
a scraper; what a tool that carries credentials must have otherwise stands in :data:`SETTINGS`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from scrapy import Spider
from scrapy import exceptions as broken
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response

from unsprawl.crawlers.spider.frames import ALIVE, LONGEST, SIZE, Answer, Ask, framed
from unsprawl.crawlers.spider.rules import LEAST_DELAY, RefusedError, made
from unsprawl.wire.client import user_agent

__all__ = ["SETTINGS", "main"]

_RULES: Final = "unsprawl.crawlers.spider.rules"
_MIDDLEWARES: Final = "scrapy.downloadermiddlewares"
#: Seconds between two signs of life.
_PULSE: Final = 2.0

SETTINGS: Final[dict[str, Any]] = {
    # What would listen, run code, or write files.
    "REMOTE_CONTROL_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "HTTPCACHE_ENABLED": False,
    "STATS_DUMP": False,
    "LOG_ENABLED": False,
    "LOG_LEVEL": "ERROR",
    "EXTENSIONS_BASE": {},
    "EXTENSIONS": {f"{_RULES}.Throttle": 0},
    # What can be reached: http and https, with certificates that are good.
    "DOWNLOAD_HANDLERS": {"file": None, "ftp": None, "s3": None, "data": None},
    "DOWNLOAD_VERIFY_CERTIFICATES": True,
    "DOWNLOAD_TLS_MIN_VERSION": "TLSv1.2",
    "COOKIES_ENABLED": False,
    "REFERER_ENABLED": False,
    "HTTPAUTH_USER": "",
    # Redirects and pauses are ours, retries are the parent's.
    "REDIRECT_ENABLED": False,
    "METAREFRESH_ENABLED": False,
    "RETRY_ENABLED": False,
    "DOWNLOADER_MIDDLEWARES": {
        f"{_MIDDLEWARES}.httpauth.HttpAuthMiddleware": None,
        f"{_MIDDLEWARES}.offsite.OffsiteMiddleware": None,
        f"{_RULES}.Redirects": 600,
        f"{_RULES}.Rests": 620,
    },
    "DEFAULT_REQUEST_HEADERS": {},
    "ROBOTSTXT_OBEY": True,
    # The lanes are the limits; each has its own.
    "CONCURRENT_REQUESTS": 0,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
    "DOWNLOAD_DELAY": LEAST_DELAY,
    "DOWNLOAD_DELAY_JITTER": 0,
    "AUTOTHROTTLE_ENABLED": True,
    "AUTOTHROTTLE_START_DELAY": LEAST_DELAY,
    "AUTOTHROTTLE_MAX_DELAY": 10.0,
    "DOWNLOAD_MAXSIZE": LONGEST // 2,
    "DOWNLOAD_WARNSIZE": 0,
    "WARN_ON_GENERATOR_RETURN_VALUE": False,
}
#: What went wrong on the line, in a word that the parent knows.
_FAULTS: Final = (
    (broken.CannotResolveHostError, "resolve"),
    (broken.DownloadConnectionRefusedError, "refused"),
    (broken.DownloadTimeoutError, "timeout"),
    (broken.DownloadCancelledError, "large"),
    (broken.ResponseDataLossError, "broken"),
    (broken.UnsupportedURLSchemeError, "address"),
    (RefusedError, "redirect"),
)


class Errand(Spider):
    """One spider for the life of the process: each frame that comes in is a request, each answer goes out."""

    name = "errand"

    def __init__(self, source: int, sink: int, parent: int, **given: Any) -> None:
        super().__init__(**given)
        self._source, self._sink, self._parent = source, sink, parent
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LONGEST)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._source, "rb")
        )
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(self._sink, "wb")
        )
        self._out = asyncio.StreamWriter(transport, protocol, None, loop)
        self._writing = asyncio.Lock()
        self._spawn(self._pulse())
        decoder = msgspec.msgpack.Decoder(Ask)
        try:
            while True:
                size = SIZE.unpack(await reader.readexactly(SIZE.size))[0]
                ask = decoder.decode(await reader.readexactly(size))
                self._spawn(self._serve(ask))
        except (asyncio.IncompleteReadError, ConnectionError):
            _gone()
        yield  # a generator, as Scrapy wants it; nothing is ever scheduled

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, ask: Ask) -> None:
        downloader = self.crawler.engine.downloader
        sent: list[str] = []
        request = made(ask, ask.url, sent, home=True)
        # As DOWNLOAD_SLOTS would say it, had we known the hosts beforehand.
        lane = {"concurrency": ask.concurrency, "delay": max(ask.interval, LEAST_DELAY), "jitter": 0}
        downloader.per_slot_settings[request.meta["download_slot"]] = lane
        try:
            answer = _told(ask.id, await self.crawler.engine.download_async(request), len(sent))
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent waits for an answer
            words = str(error) if isinstance(error, RefusedError) else type(error).__name__
            answer = Answer(ask.id, fault=_kind(error), words=words, sent=len(sent))
        await self._say(framed(answer))

    async def _pulse(self) -> None:
        while True:
            await self._say(framed(Answer(ALIVE)))
            await asyncio.sleep(_PULSE)
            if os.getppid() != self._parent:
                _gone()

    async def _say(self, frame: bytes) -> None:
        try:
            async with self._writing:
                self._out.write(frame)
                await self._out.drain()
        except (ConnectionError, RuntimeError):
            _gone()


def _told(number: int, response: Response, sent: int) -> Answer:
    headers = {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in response.headers.items()
    }
    return Answer(number, response.url, response.status, headers, response.body, sent=sent)


def _kind(error: Exception) -> str:
    # Messages may hold signed urls: they are looked at here and go no further.
    text = f"{type(error).__name__} {error} {getattr(error, 'reasons', '')} {error.__cause__}".lower()
    if "certificate verify failed" in text or "verificationerror" in text:
        return "certificate"
    for kind, name in _FAULTS:
        if isinstance(error, kind):
            return name
    if isinstance(error, broken.IgnoreRequest):
        return "robots" if "robots.txt" in text else "large"
    if "ssl" in text or "tls" in text:
        return "tls"
    return "line" if isinstance(error, broken.DownloadFailedError) else "defect"


def _gone() -> None:
    """Nobody listens any more: there is nothing to finish and nobody to tell."""
    os._exit(0)


def main() -> None:
    logging.disable(logging.CRITICAL)
    parent = os.getppid()
    source, sink = os.dup(0), os.dup(1)
    # What a library prints must not stand between the frames.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    process = AsyncCrawlerProcess({**SETTINGS, "USER_AGENT": user_agent()}, install_root_handler=False)
    process.crawl(Errand, source=source, sink=sink, parent=parent)
    process.start(install_signal_handlers=False)


if __name__ == "__main__":
    main()
