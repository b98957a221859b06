"""How all build systems are asked: JSON pages, logs behind links that die, artifacts too large to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from unsprawl.crawlers.ci.model import ExpiredError
from unsprawl.crawlers.spider.session import Spider, TooLargeError
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Stream
from unsprawl.wire import hosts
from unsprawl.wire.client import Response

__all__ = ["Desk", "next_link"]

#: Logs and artifacts up to this many bytes are held while they are scanned; larger ones are streamed.
WHOLE_BYTES: Final = 16 << 20
#: Pages of one list, whatever it says of its end.
_MOST_PAGES: Final = 10_000
#: Fresh links asked for when one died on the way.
_FRESH: Final = 2
_GONE: Final = frozenset({404, 410})
_PAGE_STARTS: Final = (b"<!doctype html", b"<html")
_PAGE_HINT: Final = "that is how a login looks: has the token expired, does single sign-on stand before it?"


class Desk:
    """Asks through ``spider`` and answers in JSON, bytes or streams, or raises with the words that fit.

    ``hint`` says what to do when access is refused. ``page_means_login``: a page in place of data is how this
    system says that it knows nobody by these credentials.
    """

    def __init__(
        self,
        spider: Spider,
        headers: Mapping[str, str] | None = None,
        hint: str = "",
        *,
        page_means_login: bool = False,
    ) -> None:
        self.spider = spider
        self.hint = hint
        self._headers = dict(headers or {})
        self._page_means_login = page_means_login

    @property
    def host(self) -> str:
        return hosts.origin(self.spider.base)[1]

    def ask(self, path: str, params: Mapping[str, Any] | None, what: str) -> Response:
        """The answer, which is a success with data in it."""
        answer = self.spider.get(path, params=_texts(params), headers=self._headers)
        self._no_page(answer, what)
        return answer.expect(what, self.hint)

    def kept(self, path: str, params: Mapping[str, Any] | None = None, *, what: str) -> Response:
        """The same for what is deleted some day: :class:`ExpiredError` then."""
        answer = self.spider.get(path, params=_texts(params), headers=self._headers)
        if answer.status in _GONE:
            raise ExpiredError(f"{self.host} no longer has {what} ({answer.status})")
        self._no_page(answer, what)
        return answer.expect(what, self.hint)

    def json(self, path: str, params: Mapping[str, Any] | None = None, *, what: str) -> Any:
        return self.ask(path, params, what).json()

    def optional(self, path: str, params: Mapping[str, Any] | None = None, *, what: str) -> Any:
        """The same, None where it is not there or this account may not see it."""
        answer = self.spider.get(path, params=_texts(params), headers=self._headers)
        if answer.status in (401, 403, 404, 405, 410):
            return None
        self._no_page(answer, what)
        return answer.expect(what, self.hint).json()

    def pages(
        self,
        path: str,
        params: Mapping[str, Any],
        follow: Callable[[Response, Any], str | Mapping[str, Any] | None],
        *,
        what: str,
    ) -> Iterator[Any]:
        """The pages of a list. ``follow`` answers the next one's address, or the parameters that change."""
        given: dict[str, Any] = dict(params)
        asked: set[str] = set()
        for _ in range(_MOST_PAGES):
            mark = path + repr(sorted(given.items()))
            if mark in asked:
                raise UnreadableError(f"{self.host}: pages of {what} repeat without an end")
            asked.add(mark)
            answer = self.ask(path, given, what)
            content = answer.json()
            yield content
            behind = follow(answer, content)
            if not behind:
                return
            if isinstance(behind, str):
                if hosts.origin(hosts.join(self.spider.base, behind)) != hosts.origin(self.spider.base):
                    raise UnreadableError(f"{self.host} says that {what} go on at another host: not followed")
                path, given = behind, {}
            else:
                given |= behind
        raise UnreadableError(f"{self.host}: {what} do not come to an end")

    def text(self, path: str, *, what: str, size: int | None = None, accept: str = "") -> bytes | Stream:
        """A log or file: held when it is small, else a stream. Raises :class:`ExpiredError` when it is gone.

        It may lie behind a link that lives for a minute: when that is dead, a fresh one is asked for.
        """
        headers = {**self._headers, **({"accept": accept} if accept else {})}
        if size is not None and size > WHOLE_BYTES:
            return self.spider.stream(path, size=size, headers=headers, what=what)
        for left in range(_FRESH, -1, -1):
            try:
                answer = self.spider.get(path, headers=headers, limit=WHOLE_BYTES)
            except TooLargeError:
                return self.spider.stream(path, headers=headers, what=what)
            elsewhere = hosts.origin(answer.url) != hosts.origin(hosts.join(self.spider.base, path))
            if elsewhere and 400 <= answer.status < 500 and left:
                continue
            if answer.status in _GONE:
                raise ExpiredError(f"{self.host} no longer has {what} ({answer.status})")
            if elsewhere and answer.status in (401, 403):
                line = f"the link to {what} was refused by {hosts.origin(answer.url)[1]} ({answer.status})"
                raise UnreadableError(line, hint="the next run asks for a fresh one")
            self._no_page(answer, what)
            return answer.expect(what, self.hint).body
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _no_page(self, answer: Response, what: str) -> None:
        """A page where data should be: a login that answers 200, 203 or a redirect to itself."""
        if answer.status >= 400 or "html" not in answer.header("content-type").lower():
            return
        if not answer.body[:64].lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(_PAGE_STARTS):
            return
        line = f"{self.host} answered a page instead of {what}"
        if self._page_means_login or answer.status == 203:
            raise AuthError(line, hint=_PAGE_HINT)
        raise UnreadableError(line, hint=_PAGE_HINT)


def next_link(answer: Response, _content: Any = None) -> str | None:
    """The next page as a ``Link`` header names it."""
    for one in answer.header("link").split(","):
        address, _, rest = one.partition(";")
        if 'rel="next"' in rest.replace("'", '"').replace(" ", "").replace("rel=next", 'rel="next"'):
            return address.strip().strip("<>")
    return None


def _texts(params: Mapping[str, Any] | None) -> dict[str, str] | None:
    return {name: str(value) for name, value in params.items() if value is not None} if params else None
