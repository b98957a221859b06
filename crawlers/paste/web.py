"""The one way out: every request of a paste feed goes through :func:`Web.get`.

A site's limits are kept by one pace for all its requests; a token is sent to the configured host alone, and
other hosts are asked only where they are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from unsprawl.errors import RetryableError, SourceError, UnreadableError
from unsprawl.references import Reference, resolve
from unsprawl.wire import hosts
from unsprawl.wire.client import Client, Response
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import Patience

__all__ = ["Web", "retry_at"]

_LARGEST_LISTING: Final = 16 << 20
_LARGEST_ROBOTS: Final = 512 << 10


class Web:
    """Speaks to ``base`` and to the hosts of ``allowed``; ``interval`` seconds lie between two requests."""

    def __init__(
        self,
        base: str,
        *,
        token: Reference | None = None,
        scheme: str = "Bearer",
        allowed: tuple[str, ...] = (),
        interval: float = 0.0,
        max_wait: float = 60.0,
    ) -> None:
        self._credentials = _Token(token, scheme)
        self._client = Client(
            base,
            credentials=self._credentials,
            pace=Pace(interval),
            patience=Patience(total=max_wait),
        )
        self._allowed = frozenset(host.lower() for host in allowed)
        self._robots: dict[str, RobotFileParser | None] = {}

    @property
    def base(self) -> str:
        return self._client.base

    @property
    def site(self) -> str:
        """Host and, where it is none of the usual ones, port."""
        return urlsplit(self._client.base).netloc.lower()

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = _LARGEST_LISTING,
    ) -> Response:
        """GET a path below the base, or a url on an allowed host, read whole."""
        if "://" in path:
            self.check(path)
        return self._client.get(path, params=params, headers=headers, limit=limit)

    def check(self, url: str) -> None:
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

    def permits(self, url: str) -> bool:
        """Whether the site's robots.txt lets us read a page. Where it has none, it does."""
        parts = urlsplit(url)
        top = f"{parts.scheme}://{parts.netloc}"
        if top not in self._robots:
            self._robots[top] = self._robots_of(top)
        rules = self._robots[top]
        return rules is None or rules.can_fetch("unsprawl", url)

    def _robots_of(self, top: str) -> RobotFileParser | None:
        try:
            answer = self.get(f"{top}/robots.txt", limit=_LARGEST_ROBOTS)
        except RetryableError:
            raise
        except SourceError:
            return None
        if answer.status != 200:
            return None
        rules = RobotFileParser()
        rules.parse(answer.body.decode("utf-8", "replace").splitlines())
        return rules

    def close(self) -> None:
        self._client.close()


class _Token:
    """The secret header of a feed, resolved when it is first needed."""

    def __init__(self, token: Reference | None, scheme: str) -> None:
        self._token, self._scheme = token, scheme

    def headers(self, scope: str) -> Mapping[str, str]:  # noqa: ARG002
        if self._token is None:
            return {}
        return {"authorization": f"{self._scheme} {resolve(self._token).text()}"}

    def renew(self, scope: str, challenge: str) -> bool:  # noqa: ARG002
        return False


def retry_at(answer: Response, what: str, now: float) -> RetryableError | None:
    """The error for GitHub's way to say "later": 403 or 429 with the limit's remainder at zero."""
    spent = answer.header("x-ratelimit-remaining") == "0"
    if answer.status not in (403, 429) or not (spent or answer.header("retry-after")):
        return None
    reset = answer.header("x-ratelimit-reset")
    wait = float(answer.header("retry-after") or 0) if answer.header("retry-after").isdigit() else None
    if wait is None and reset.isdigit():
        wait = max(0.0, float(reset) - now)
    return RetryableError(
        f"{what}: the limit of requests is spent",
        hint="give a token, or look less often (`every`)",
        retry_after=wait,
    )
