"""What a source asks the web through: requests that are paced, patient and capped, made by the HTTP process.

    with Spider("builds", "https://ci.acme.test", secret={"private-token": token}) as spider:
        spider.get("/api/v4/projects", params={"per_page": "100"}).expect("the projects").json()

Pages and logs come whole, through Scrapy. What is too large to be held comes as a stream that reconnects,
through :mod:`unsprawl.wire`, under the same credentials and the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

from unsprawl.crawlers.spider.frames import Answer, Ask
from unsprawl.crawlers.spider.process import Engine, LostError, engine
from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.records import Stream
from unsprawl.wire import hosts, usage
from unsprawl.wire.client import Client, Fixed, Response
from unsprawl.wire.limits import asked_wait, limited
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import RETRIED_STATUS, Again, Patience
from unsprawl.wire.stream import open_stream

__all__ = ["NEEDS", "Spider", "TooLargeError"]

#: What is loaded before threads share it (``plugins.build_source``).
NEEDS: Final = ("httpx2", "stamina")

MAX_ANSWER: Final = 64 << 20
_HINT: Final = "is the address right, and does a firewall or proxy stand between?"
#: What went wrong on the line: the words, a hint, and whether another attempt may mend it (soon or at all).
_SAID: Final[Mapping[str, tuple[str, str, str]]] = {
    "resolve": ("the name {where} cannot be resolved", _HINT, "soon"),
    "refused": ("{where} refused the connection", _HINT, "soon"),
    "timeout": ("{where} stopped answering", _HINT, "later"),
    "broken": ("{where} broke the connection", "", "later"),
    "line": ("{where} broke the connection", _HINT, "later"),
    "tls": ("{where} does not speak TLS as expected", "is it an http:// address?", "never"),
    "certificate": (
        "the certificate of {where} is not trusted",
        "name the authority's file in SSL_CERT_FILE",
        "never",
    ),
    "address": ("{where} is not an address", "", "never"),
}
_FAILED: Final = (500, 502, 503, 504, 520, 522, 524, 529)
#: Tries of a request that fails, and of one that is only put off.
_ATTEMPTS: Final = 6
_MOST_ATTEMPTS: Final = 60


class TooLargeError(UnreadableError):
    """More than was to be read: it has to be streamed, or asked for in pieces."""


class Spider:
    """Speaks to one configured ``base`` for the source ``name``. Threads may share it.

    ``secret`` headers go to the base's origin alone, never over a redirect to another one. ``interval`` is
    the least pause between two requests to one host in seconds, ``concurrency`` how many it answers at once,
    ``patience`` how long waits may take in all. ``robots``: robots.txt is obeyed. ``requests`` counts
    what was asked, retries too; ``received`` the bytes of bodies.
    """

    def __init__(
        self,
        name: str,
        base: str,
        *,
        secret: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        interval: float = 0.0,
        concurrency: int = 4,
        seconds: float = 60.0,
        robots: bool = False,
        process: Engine | None = None,
    ) -> None:
        self.name = name
        self.base = hosts.base_url(base)
        self.patience = patience or Patience()
        self.requests = 0
        self._secret = dict(secret or {})
        self._interval = interval
        self._concurrency = concurrency
        self._seconds = seconds
        self._robots = robots
        self._process = process
        self._received = 0
        self._streams = Client(
            self.base, credentials=Fixed(self._secret), patience=self.patience, pace=Pace(interval)
        )

    @property
    def received(self) -> int:
        return self._received + self._streams.received

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = MAX_ANSWER,
        seconds: float | None = None,
    ) -> Response:
        """GET ``path`` (below the base, or a url) and read the answer whole, ``limit`` bytes at most.

        Raises ``RetryableError`` once patience is spent, ``UnreadableError`` for what is too large, is
        redirected where we do not follow, or is closed to robots. Any other status is an answer: see
        ``Response.expect``.
        """
        url = self._url(path)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params)
        failures = 0

        def attempt() -> Response:
            nonlocal failures
            try:
                return self._attempt(url, headers or {}, limit, seconds or self._seconds)
            except Again as again:
                # One that asks for less speed gets all the patience there is; one that fails, a few attempts.
                failures += again.error.retry_after is None
                if failures == _ATTEMPTS:
                    raise again.error from None
                raise

        return Patience(_MOST_ATTEMPTS, self.patience.total, self.patience.first, self.patience.longest).run(
            attempt
        )

    def stream(
        self, path: str, *, size: int | None = None, headers: Mapping[str, str] | None = None, what: str = ""
    ) -> Stream:
        """``path`` as a body that is opened when it is read, at any offset, and survives lost connections."""

        def opened(offset: int) -> object:
            return open_stream(self._streams, self._url(path), offset, headers=headers, what=what)

        return Stream(opened, size, seekable=True)  # type: ignore[arg-type]

    def close(self) -> None:
        """Give the connections back. The process stays for others."""
        self._streams.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _url(self, path: str) -> str:
        """Below the base, or an address that the far side gave: as good as a redirect, and no better."""
        url = hosts.join(self.base, path)
        return hosts.redirect(self.base, url, self.base) if "://" in path else url

    # --- one attempt -----------------------------------------------------------------------------

    def _attempt(self, url: str, headers: Mapping[str, str], limit: int, seconds: float) -> Response:
        serving = self._process or engine()
        at_home = hosts.origin(url) == hosts.origin(self.base)
        ask = Ask(
            id=serving.number(),
            url=url,
            base=self.base,
            headers=headers,
            secret=self._secret if at_home else {},
            lane=self.name,
            interval=self._interval,
            concurrency=self._concurrency,
            patience=self.patience.total,
            limit=limit,
            seconds=seconds,
            robots=self._robots,
        )
        self.requests += 1
        try:
            answer = serving.ask(ask)
        except LostError:
            usage.count()
            line = f"the process that asks {hosts.origin(url)[1]} died"
            raise Again(RetryableError(line, hint="is there enough memory?"), soon=True) from None
        usage.count(answer.sent)
        if answer.fault:
            raise _failure(answer, url, limit)
        self._received += len(answer.body)
        if answer.status in RETRIED_STATUS or limited(answer.status, answer.headers):
            raise Again(_busy(answer))
        return Response(answer.url, answer.status, answer.headers, answer.body)


def _failure(answer: Answer, url: str, limit: int) -> Exception:
    if answer.fault == "redirect":
        return UnreadableError(answer.words)
    if answer.fault == "large":
        return TooLargeError(f"{hosts.shown(url)} is larger than {limit} bytes")
    if answer.fault == "robots":
        hint = "ask the owner of the site, or leave it out"
        return UnreadableError(f"{hosts.shown(url)} is closed to robots by robots.txt", hint=hint)
    _, host, port = hosts.origin(url)
    words, hint, mends = _SAID.get(
        answer.fault, (f"{{where}} could not be asked ({answer.words})", "", "never")
    )
    error = RetryableError(words.format(where=f"{host}:{port}"), hint=hint)
    return error if mends == "never" else Again(error, soon=mends == "soon")


def _busy(answer: Answer) -> RetryableError:
    host = hosts.origin(answer.url)[1]
    seconds = asked_wait(answer.status, answer.headers)
    asked = f" and asked to wait {seconds:.0f} s" if seconds else ""
    return RetryableError(
        f"{host} answered {answer.status}{asked}",
        hint="" if answer.status in _FAILED else "the next run continues here",
        retry_after=seconds or None,
    )
