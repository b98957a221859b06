"""The APIs beside the protocol by which registries tell their repositories: JSON over pages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from unsprawl.errors import AuthError, RetryableError, UnreadableError
from unsprawl.wire.client import Client, Response

__all__ = ["Api", "by_link", "by_token", "items", "segment", "text"]

_NEXT: Final = re.compile(r'<([^>]*)>[^,]*;\s*rel="?next"?')
_MOST_PAGES: Final = 100_000

Params = Mapping[str, str]


class Api:
    """The API of one vendor. ``hint`` says what the account needs. Raises ``SourceError``."""

    def __init__(self, client: Client, hint: str, headers: Mapping[str, str] | None = None) -> None:
        self.client = client
        self._hint = hint
        self._headers = {"accept": "application/json", **(headers or {})}

    def get(self, path: str, params: Params | None = None, *, scope: str = "") -> Response:
        """One answer with JSON. A limit that ends soon is waited for."""
        answer = self._ask(path, params, scope)
        reset = answer.header("x-ratelimit-reset")
        if answer.status in (403, 429) and answer.header("x-ratelimit-remaining") == "0" and reset.isdigit():
            seconds = max(0.0, int(reset[:12]) - time.time()) + 1.0
            if seconds > self.client.patience.total:
                raise RetryableError(
                    f"the limit of the API is used up for {seconds:.0f} s",
                    hint="the next run goes on; or give a token of its own to this source",
                    retry_after=seconds,
                )
            self.client.pace.pause(seconds)
            answer = self._ask(path, params, scope)
        if answer.status in (401, 403):
            raise AuthError(f"the API refuses {urlsplit(answer.url).path} ({answer.status})", hint=self._hint)
        return answer.expect(urlsplit(answer.url).path, hint=self._hint)

    def pages(
        self,
        path: str,
        params: Params,
        following: Callable[[Response, Any, Params], Params | None],
        *,
        scope: str = "",
    ) -> Iterator[Any]:
        """The content of each page. ``following`` gives the parameters of the next one, None at the end."""
        asked: set[tuple[tuple[str, str], ...]] = set()
        wanted: Params | None = params
        for _ in range(_MOST_PAGES):
            if wanted is None:
                return
            key = tuple(sorted(wanted.items()))
            if key in asked:
                raise UnreadableError(f"the pages of {path} lead in a circle")
            asked.add(key)
            answer = self.get(path, wanted, scope=scope)
            content = answer.json()
            yield content
            wanted = following(answer, content, wanted)
        raise UnreadableError(f"{path} has more than {_MOST_PAGES} pages")

    def _ask(self, path: str, params: Params | None, scope: str) -> Response:
        return self.client.get(path, params=params, headers=self._headers, scope=scope)


def by_link(answer: Response, _content: Any, params: Params) -> Params | None:
    """The next page by the ``Link`` header. Only its query is taken: its host may be a proxy's inner one."""
    link = _NEXT.search(answer.header("link"))
    return {**params, **dict(parse_qsl(urlsplit(link[1]).query))} if link else None


def by_token(key: str, parameter: str) -> Callable[[Response, Any, Params], Params | None]:
    """The next page by a token in the answer's ``key``, sent back as ``parameter``."""

    def following(_answer: Response, content: Any, params: Params) -> Params | None:
        token = content.get(key) if isinstance(content, dict) else None
        return {**params, parameter: token} if isinstance(token, str) and token else None

    return following


def items(content: Any, key: str = "") -> list[dict[str, Any]]:
    """The objects of a page: the page itself, or its ``key``. What is none is left out."""
    found = content.get(key) if key and isinstance(content, dict) else content
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")
