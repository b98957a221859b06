"""GitHub's gists: all public ones as they change, or those of some accounts.

The public listing shows 3,000 at most, the last changed first. A gist that changes is listed again, and every
file of it is a document.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from unsprawl.crawlers.paste.items import Item, Listing, digest, moment, tail
from unsprawl.crawlers.paste.web import Web
from unsprawl.errors import UnreadableError
from unsprawl.records import Audience, Diagnosis, Document, Skipped
from unsprawl.wire.client import Response

__all__ = ["RAW_HOST", "Gists"]

#: Where the contents lie.
RAW_HOST: Final = "gist.githubusercontent.com"
_PAGE: Final = 100
_MOST_PAGES: Final = 30
#: Seconds before the newest change that is known: changes come in with a delay, and not in their order.
_OVERLAP: Final = 120.0
_HEADERS: Final = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
_HINT: Final = "a token needs no scope to read public gists"


class Gists:
    """The public gists, or all that one ``user`` shows."""

    def __init__(self, web: Web, *, user: str, max_bytes: int) -> None:
        self._web, self._user, self._max = web, user, max_bytes
        self.site = "gist.github.com" if web.site == "api.github.com" else web.site

    def listing(self, newest: float | None, etag: str) -> Listing:
        path = f"/users/{tail((self._user,))}/gists" if self._user else "/gists/public"
        params = {"per_page": str(_PAGE)}
        since = moment(newest - _OVERLAP) if newest is not None else None
        if since:
            params["since"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        items: dict[str, Item] = {}
        fresh = ""
        for page in range(1, _MOST_PAGES + 1):
            # Without a beginning in time only one page of the public listing is the present.
            answer = self._ask(path, {**params, "page": str(page)}, etag if page == 1 else "")
            if answer.status == 304:
                return Listing((), full=False, etag=etag)
            fresh = fresh or answer.header("etag")
            rows = answer.json()
            if not isinstance(rows, list):
                raise UnreadableError(f"{self._web.site} answered something that is no listing of gists")
            for row in rows:
                if isinstance(row, dict) and (item := _item(row)) is not None:
                    items.setdefault(item.key, item)
            if len(rows) < _PAGE or (since is None and not self._user):
                full = len(rows) >= _PAGE
                break
        else:
            full = True
        return Listing(sorted(items.values(), key=lambda item: (item.at or 0.0, item.id)), full, etag=fresh)

    def content(self, item: Item) -> Iterator[Document | Skipped]:
        files = item.more.get("files")
        for one in files if isinstance(files, list) else []:
            yield self._file(item, *one)

    def find(self, rest: str) -> Document | Skipped | None:
        identity, _, name = rest.partition("/")
        if not identity.isalnum() or not name:
            return None
        answer = self._ask(f"/gists/{identity}", {})
        row = answer.json() if answer.status == 200 else None
        item = _item(row) if isinstance(row, dict) else None
        if item is None:
            return None
        from urllib.parse import unquote

        for one in item.more.get("files", []):
            if one[0] == unquote(name):
                return self._file(item, *one)
        return None

    def diagnose(self) -> Iterator[Diagnosis]:
        answer = self._ask("/rate_limit", {})
        limit = answer.header("x-ratelimit-limit") or "?"
        yield Diagnosis(f"{self._web.site} allows {limit} requests an hour", answer.status == 200, _HINT)

    def _file(self, item: Item, name: str, raw: str, size: int | None) -> Document | Skipped:
        uri = f"paste://{self.site}/{tail((item.id, name))}"
        if size is not None and size > self._max:
            return Skipped(uri, f"larger than max_bytes: {self._max}", excluded=True)
        try:
            answer = self._web.get(raw, limit=self._max)
            if answer.status in (404, 410):
                return Skipped(uri, "deleted before it was read")
            body = answer.expect("a gist").body
        except UnreadableError as error:
            return Skipped(uri, error.message, error.hint)
        return Document(
            uri=uri,
            body=body,
            path=f"{self.site}/{item.id}/{name}",
            key=uri,
            version=digest(raw.encode()) if raw else item.version,
            url=item.url or None,
            author=item.author or None,
            modified_at=moment(item.at),
            audience=Audience.PUBLIC if item.more.get("public") else Audience.UNKNOWN,
            attrs={"feed": "gist", **({"title": item.title} if item.title else {})},
        )

    def _ask(self, path: str, params: dict[str, str], etag: str = "") -> Response:
        headers = {**_HEADERS, **({"if-none-match": etag} if etag else {})}
        answer = self._web.get(path, params=params, headers=headers)
        if answer.status == 304:
            return answer
        if answer.status == 404 and path.startswith("/gists/"):
            return answer
        if answer.status == 403:
            raise UnreadableError(f"{self._web.site} refused the gists (403)", hint=_HINT)
        answer.expect(f"the gists of {self._user}" if self._user else "the gists", _HINT)
        return answer


def _item(row: dict[str, Any]) -> Item | None:
    identity, files = row.get("id"), row.get("files")
    if not isinstance(identity, str) or not identity.isalnum() or not isinstance(files, dict):
        return None
    owner = row.get("owner")
    held = [
        [
            str(name),
            str(one["raw_url"]).replace(" ", "%20"),
            one.get("size") if isinstance(one.get("size"), int) else None,
        ]
        for name, one in sorted(files.items())
        if isinstance(one, dict) and isinstance(one.get("raw_url"), str)
    ]
    url = row.get("html_url")
    return Item(
        id=identity,
        version=str(row.get("updated_at") or ""),
        url=url if isinstance(url, str) and url.startswith("https://") else "",
        at=_at(row.get("updated_at")),
        title=str(row.get("description") or "")[:200],
        author=str(owner.get("login") or "") if isinstance(owner, dict) else "",
        more={"files": held, "public": row.get("public") is True},
    )


def _at(text: Any) -> float | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
