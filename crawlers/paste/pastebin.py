"""Pastebin's scraping API: for PRO accounts, from one address that was listed there.

It asks for at most one listing a minute and one paste a second, and never for the pages of the site itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from unsprawl.crawlers.paste.items import Item, Listing, span, tail
from unsprawl.crawlers.paste.web import Web
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Diagnosis, Document, Skipped

__all__ = ["Pastebin"]

_LISTING: Final = "/api_scraping.php"
_ITEM: Final = "/api_scrape_item.php"
_META: Final = "/api_scrape_item_meta.php"
#: What it says, with status 200 or 403, to an address that is not listed.
_REFUSAL: Final = b"DOES NOT HAVE ACCESS"
_HINT: Final = "enter this machine's address at https://pastebin.com/doc_scraping_api (PRO account)"
#: A paste that is gone is answered by a sentence, with status 200.
_GONE: Final = b"Error, "
_LONGEST_SENTENCE: Final = 120


class Pastebin:
    """``limit`` pastes are listed at a time (250 at most), of one ``syntax`` or of all."""

    def __init__(self, web: Web, *, limit: int, syntax: str, max_bytes: int) -> None:
        self._web, self._limit, self._syntax, self._max = web, limit, syntax, max_bytes
        self.site = "pastebin.com" if web.site.endswith("pastebin.com") else web.site

    def listing(self, newest: float | None, etag: str) -> Listing:  # noqa: ARG002
        params = {"limit": str(self._limit), **({"lang": self._syntax} if self._syntax else {})}
        rows = self._json(_LISTING, params)
        if not isinstance(rows, list):
            raise UnreadableError(f"{self._web.site} answered something that is no listing")
        items = [item for row in rows if isinstance(row, dict) and (item := _item(row)) is not None]
        items.sort(key=lambda item: item.at or 0.0)
        return Listing(items, len(rows) >= self._limit)

    def content(self, item: Item) -> Iterator[Document | Skipped]:
        uri = f"paste://{self.site}/{tail((item.id,))}"
        if item.size is not None and item.size > self._max:
            yield Skipped(uri, f"larger than max_bytes: {self._max}", excluded=True)
            return
        answer = self._web.get(_ITEM, params={"i": item.id}, limit=self._max)
        if answer.status in (404, 410) or _is_gone(answer.body, item.size):
            yield Skipped(uri, "deleted before it was read")
            return
        _admitted(answer.body, answer.status)
        body = answer.expect("a paste").body
        yield Document(
            uri=uri,
            body=body,
            path=f"{self.site}/{item.id}",
            key=uri,
            version=item.version,
            url=item.url or None,
            media_type="text/plain",
            attrs=item.more,
        )

    def find(self, rest: str) -> Document | Skipped | None:
        if not rest.isalnum():
            return None
        row = self._json(_META, {"i": rest})
        known = _item(row[0]) if isinstance(row, list) and row and isinstance(row[0], dict) else None
        return next(self.content(known), None) if known else None

    def diagnose(self) -> Iterator[Diagnosis]:
        listing = self.listing(None, "")
        reach = span(listing.items)
        yield Diagnosis(
            f"{self.site} lists {len(listing.items)} pastes{reach}",
            bool(listing.items),
            "" if reach else _HINT,
        )

    def _json(self, path: str, params: dict[str, str]) -> Any:
        answer = self._web.get(path, params=params)
        _admitted(answer.body, answer.status)
        return answer.expect("the listing", _HINT).json()


def _admitted(body: bytes, status: int) -> None:
    if _REFUSAL in body[:512] and len(body) < 512:
        raise AuthError(f"pastebin does not know this machine's address ({status})", hint=_HINT)


def _is_gone(body: bytes, size: int | None) -> bool:
    return body.startswith(_GONE) and len(body) < _LONGEST_SENTENCE and size not in (None, len(body))


def _item(row: dict[str, Any]) -> Item | None:
    key, at = row.get("key"), _number(row.get("date"))
    if not isinstance(key, str) or not key.isalnum():
        return None
    size, expires = _number(row.get("size")), _number(row.get("expire"))
    more = {"feed": "pastebin", "title": str(row.get("title") or ""), "syntax": str(row.get("syntax") or "")}
    if expires:
        more["expires"] = str(int(expires))
    url = row.get("full_url")
    return Item(
        id=key,
        version=f"{row.get('date')}.{row.get('size')}",
        url=url if isinstance(url, str) and url.startswith("https://") else "",
        at=at,
        title=more["title"],
        author=str(row.get("user") or ""),
        size=None if size is None else int(size),
        more={name: value for name, value in more.items() if value},
    )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
