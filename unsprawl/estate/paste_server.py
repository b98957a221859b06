"""A small paste site that speaks as several do: Pastebin's scraping API, GitHub's gists, RSS, Atom and JSON.

    /api_scraping.php  /api_scrape_item.php  /api_scrape_item_meta.php     the newest first, ``shown`` at most
    /gists/public  /users/NAME/gists  /gists/ID  /raw/ID/FILE              pages, since, ETag, limits
    /rss  /atom  /feed.json  /p/ID  /robots.txt                            the newest ``shown``

As on the real ones a paste is there for everybody, and leaves the listings when newer ones come.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import blake2b
from typing import Any
from xml.sax.saxutils import escape

from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data

__all__ = ["Paste", "PasteServer"]


@dataclass(slots=True)
class Paste:
    """``at`` is in seconds since 1970. A paste that was ``deleted`` stands in the listings and is gone."""

    id: str
    text: str
    at: float
    title: str = ""
    author: str = ""
    syntax: str = "text"
    name: str = "paste.txt"
    deleted: bool = False


class PasteServer(LoopbackServer):
    """Serves ``pastes``. ``admitted`` is off for an address that Pastebin does not know; ``token`` is what
    the gists ask for ("": nothing); ``inline`` says whether RSS carries the contents; ``grow`` runs before
    each listing, so that pastes come while one looks.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.pastes: list[Paste] = []
        self.shown = 100
        self.admitted = True
        self.token = ""
        self.inline = True
        self.robots = ""
        self.grow: Callable[[], object] = lambda: None

    def post(self, text: str, at: float, **more: Any) -> Paste:
        """A new paste; its id follows from what it is."""
        with self.lock:
            identity = blake2b(f"{len(self.pastes)}{text}".encode(), digest_size=6).hexdigest()
            self.pastes.append(Paste(identity, text, at, **more))
            return self.pastes[-1]

    def answer(self, request: Request) -> Answer:
        path, last = request.path, request.path.rpartition("/")[2]
        if path.startswith("/api_scra"):
            return self._pastebin(request)
        if path in ("/rss", "/atom", "/feed.json"):
            self.grow()
            newest = sorted(self.pastes, key=lambda one: one.at, reverse=True)[: self.shown]
            return {"/rss": self._rss, "/atom": self._atom, "/feed.json": self._json}[path](newest)
        if path == "/robots.txt":
            return Answer(200, self.robots.encode()) if self.robots else Answer(404)
        if path.startswith("/p/"):
            return self._text(self._find(last))
        if path.startswith("/raw/"):
            return self._text(self._find(path.split("/")[2]))
        return self._gists(request)

    def _find(self, identity: str) -> Paste | None:
        return next((one for one in self.pastes if one.id == identity), None)

    @staticmethod
    def _text(paste: Paste | None) -> Answer:
        if paste is None or paste.deleted:
            return Answer(404, b"not found", {"content-type": "text/plain"})
        return Answer(200, paste.text.encode(), {"content-type": "text/plain; charset=utf-8"})

    # --- Pastebin --------------------------------------------------------------------------------

    def _pastebin(self, request: Request) -> Answer:
        if not self.admitted:
            return Answer(
                200, b"YOUR IP: 192.0.2.7 DOES NOT HAVE ACCESS. VISIT: /doc_scraping_api TO GET ACCESS!"
            )
        found = self._find(request.last("i"))
        if request.path == "/api_scraping.php":
            self.grow()
            newest = sorted(self.pastes, key=lambda one: one.at, reverse=True)
            lang = request.last("lang")
            newest = [one for one in newest if lang in ("", one.syntax)]
            return data([self._row(one) for one in newest[: min(self.shown, request.number("limit", 50))]])
        if request.path == "/api_scrape_item_meta.php":
            return data([self._row(found)] if found and not found.deleted else [])
        if found is None or found.deleted:
            return Answer(200, b"Error, we cannot find this paste.")
        return self._text(found)

    def _row(self, paste: Paste) -> dict[str, str]:
        return {
            "scrape_url": f"{self.url}/api_scrape_item.php?i={paste.id}",
            "full_url": f"https://pastebin.com/{paste.id}",
            "date": str(int(paste.at)),
            "key": paste.id,
            "size": str(len(paste.text.encode())),
            "expire": "0",
            "title": paste.title,
            "syntax": paste.syntax,
            "user": paste.author,
            "hits": "1",
        }

    # --- gists -----------------------------------------------------------------------------------

    def _gists(self, request: Request) -> Answer:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return data({"message": "Bad credentials"}, 401)
        parts = request.path.strip("/").split("/")
        if request.path == "/rate_limit":
            return data({"resources": {}}, headers={"x-ratelimit-limit": "5000"})
        if request.path == "/gists/public" or (parts[0] == "users" and parts[2:] == ["gists"]):
            self.grow()
            author = parts[1] if parts[0] == "users" else ""
            found = [one for one in self.pastes if author in ("", one.author)]
            found = sorted(found, key=lambda one: one.at, reverse=True)[: 30 * self.shown]
            if since := request.last("since"):
                begin = datetime.fromisoformat(since).timestamp()
                found = [one for one in found if one.at >= begin]
            size = min(self.shown, request.number("per_page", 30))
            start = (request.number("page", 1) - 1) * size
            rows = [self._gist(one) for one in found[start : start + size]]
            etag = f'"{blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest()}"'
            if request.headers.get("if-none-match") == etag:
                return Answer(304, headers={"etag": etag})
            return data(rows, headers={"etag": etag})
        if parts[0] == "gists" and (one := self._find(parts[-1])) and not one.deleted:
            return data(self._gist(one))
        return data({"message": "Not Found"}, 404)

    def _gist(self, paste: Paste) -> dict[str, object]:
        size = len(paste.text.encode())
        raw = f"{self.url}/raw/{paste.id}/{paste.name}"
        return {
            "id": paste.id,
            "html_url": f"https://gist.github.com/{paste.id}",
            "public": True,
            "created_at": _iso(paste.at),
            "updated_at": _iso(paste.at),
            "description": paste.title,
            "owner": {"login": paste.author or "someone"},
            "truncated": False,
            "files": {
                paste.name: {"filename": paste.name, "type": "text/plain", "raw_url": raw, "size": size}
            },
        }

    # --- feeds -----------------------------------------------------------------------------------

    def _rss(self, pastes: list[Paste]) -> Answer:
        items = "".join(
            f"<item><guid>{one.id}</guid><link>{self.url}/p/{one.id}</link><title>{escape(one.title)}</title>"
            f"<pubDate>{format_datetime(datetime.fromtimestamp(one.at, UTC))}</pubDate>"
            + (f"<description>{escape(one.text)}</description>" if self.inline else "")
            + "</item>"
            for one in pastes
        )
        body = (
            f'<?xml version="1.0"?><rss version="2.0"><channel><title>pastes</title>{items}</channel></rss>'
        )
        return Answer(200, body.encode(), {"content-type": "application/rss+xml"})

    def _atom(self, pastes: list[Paste]) -> Answer:
        entries = "".join(
            f'<entry><id>{one.id}</id><link href="{self.url}/p/{one.id}"/><title>{escape(one.title)}</title>'
            f"<updated>{_iso(one.at)}</updated><author><name>{escape(one.author)}</name></author>"
            + (f'<content type="text">{escape(one.text)}</content>' if self.inline else "")
            + "</entry>"
            for one in pastes
        )
        body = f'<feed xmlns="http://www.w3.org/2005/Atom"><title>pastes</title>{entries}</feed>'
        return Answer(200, body.encode(), {"content-type": "application/atom+xml"})

    def _json(self, pastes: list[Paste]) -> Answer:
        items = [
            {
                "id": one.id,
                "url": f"{self.url}/p/{one.id}",
                "title": one.title,
                "date_published": _iso(one.at),
                **({"content_text": one.text} if self.inline else {}),
            }
            for one in pastes
        ]
        return data({"version": "https://jsonfeed.org/version/1.1", "title": "pastes", "items": items})


def _iso(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
