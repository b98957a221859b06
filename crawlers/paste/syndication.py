"""RSS, Atom and JSON feeds of paste sites, forums and leak trackers.

What a feed carries is read as it stands; where it carries none, or with ``raw``, the page behind the link is
read, as far as the site's robots.txt lets programs do that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urljoin

from unsprawl.crawlers.paste.items import Item, Listing, digest, moment, span, tail
from unsprawl.crawlers.paste.web import Web
from unsprawl.errors import UnreadableError
from unsprawl.records import Audience, Diagnosis, Document, Skipped

__all__ = ["Entry", "Syndication", "parse"]

_MOST: Final = 5_000
_LONGEST_TITLE: Final = 200


class Entry:
    """One entry of a feed: ``id``, ``link``, ``title``, ``author``, ``at`` and ``body`` (None: none)."""

    __slots__ = ("at", "author", "body", "id", "link", "markup", "title")

    def __init__(self) -> None:
        self.id = self.link = self.title = self.author = ""
        self.at: float | None = None
        self.body: str | None = None
        self.markup = True


class Syndication:
    """One feed. ``raw`` is the address of a content, with ``{id}`` or ``{link}`` in it."""

    def __init__(self, web: Web, *, raw: str, max_bytes: int) -> None:
        self._web, self._raw, self._max = web, raw, max_bytes
        self._bodies: dict[str, tuple[bytes, bool]] = {}
        self.site = web.site

    def listing(self, newest: float | None, etag: str) -> Listing:  # noqa: ARG002
        answer = self._web.get(self._web.base).expect("the feed")
        entries = parse(answer.body)
        items: dict[str, Item] = {}
        self._bodies = {}
        for entry in entries[:_MOST]:
            item = self._item(entry)
            items.setdefault(item.key, item)
            if entry.body is not None and not self._raw:
                self._bodies[item.key] = entry.body.encode("utf-8", "replace"), entry.markup
        ordered = sorted(items.values(), key=lambda item: item.at or 0.0)
        return Listing(ordered, full=bool(ordered))

    def content(self, item: Item) -> Iterator[Document | Skipped]:
        uri = f"paste://{self.site}/{tail((item.id,))}"
        try:
            held = self._bodies.get(item.key) or self._behind(item)
        except UnreadableError as error:
            yield Skipped(uri, error.message, error.hint)
            return
        if held is None:
            yield Skipped(uri, "no longer in the feed, and it has no address")
            return
        body, markup = held
        if len(body) > self._max:
            yield Skipped(uri, f"larger than max_bytes: {self._max}", excluded=True)
            return
        title = item.title.encode("utf-8", "replace")
        yield Document(
            uri=uri,
            body=title + b"\n" + body if title and title not in body else body,
            path=f"{self.site}/{item.title or item.id}",
            key=uri,
            version=item.version,
            url=item.url or None,
            author=item.author or None,
            modified_at=moment(item.at),
            media_type="text/html" if markup else "text/plain",
            audience=Audience.PUBLIC,
            attrs={"feed": "rss", **({"title": item.title} if item.title else {})},
        )

    def find(self, rest: str) -> Document | Skipped | None:
        for item in self.listing(None, "").items:
            if tail((item.id,)) == rest:
                return next(self.content(item), None)
        return None

    def diagnose(self) -> Iterator[Diagnosis]:
        listing = self.listing(None, "")
        hint = "look at least twice in that time (`every`), or what lies between goes by unseen"
        yield Diagnosis(
            f"the feed shows {len(listing.items)} entries{span(listing.items)}", bool(listing.items), hint
        )

    def _item(self, entry: Entry) -> Item:
        link = urljoin(self._web.base, entry.link) if entry.link else ""
        identity = entry.id or link or digest((entry.title + (entry.body or "")).encode("utf-8", "replace"))
        raw = self._raw.replace("{link}", link).replace("{id}", tail((identity,))) if self._raw else link
        said = f"{entry.title}\0{entry.body}\0{raw}".encode("utf-8", "replace")
        return Item(
            id=identity[:1000],
            version=digest(said),
            raw=raw,
            url=link if link.startswith(("http://", "https://")) else "",
            at=entry.at,
            title=entry.title[:_LONGEST_TITLE],
            author=entry.author[:_LONGEST_TITLE],
        )

    def _behind(self, item: Item) -> tuple[bytes, bool] | None:
        if not item.raw:
            return None
        answer = self._web.get(item.raw, limit=self._max, page=True).expect("the page of a paste")
        return answer.body, "html" in answer.header("content-type")


def parse(body: bytes) -> list[Entry]:
    """The entries of an RSS, Atom or JSON feed; ``UnreadableError`` when it is none of them."""
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return _json(body)
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None or _name(root) not in ("rss", "RDF", "feed"):
        raise UnreadableError("what the address answers is no RSS, Atom or JSON feed", hint="check url:")
    found = [element for element in root.iter() if _name(element) in ("item", "entry")]
    return [_entry(element) for element in found[:_MOST]]


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _entry(element: Any) -> Entry:
    entry = Entry()
    best = -1
    for child in element:
        name, text = _name(child), "".join(child.itertext()).strip()
        if name in ("guid", "id") and text:
            entry.id = text
        elif name == "link":
            href = child.get("href") or text
            if href and (not entry.link or child.get("rel") in (None, "alternate")):
                entry.link = href
        elif name == "title":
            entry.title = " ".join(text.split())
        elif name in ("author", "creator"):
            entry.author = " ".join(text.split())
        elif name in ("pubDate", "date", "published", "updated"):
            when = _when(text)
            entry.at = when if entry.at is None or (when and when > entry.at) else entry.at
        elif name in ("encoded", "content", "description", "summary") and text:
            # The whole content is worth more than its beginning.
            rank = ("summary", "description", "content", "encoded").index(name)
            if rank > best:
                best, entry.body = rank, text
                entry.markup = child.get("type", "html") in ("html", "xhtml", "text/html")
    return entry


def _json(body: bytes) -> list[Entry]:
    try:
        feed = json.loads(body)
    except (ValueError, RecursionError):
        feed = None
    rows = feed.get("items") if isinstance(feed, dict) else feed
    if not isinstance(rows, list):
        raise UnreadableError("what the address answers is no RSS, Atom or JSON feed", hint="check url:")
    entries = []
    for row in rows[:_MOST]:
        if not isinstance(row, dict):
            continue
        entry = Entry()
        entry.id = str(row.get("id") or "")
        entry.link = str(row.get("url") or row.get("external_url") or "")
        entry.title = " ".join(str(row.get("title") or "").split())
        authors = row.get("authors")
        author = row.get("author") or (authors[0] if isinstance(authors, list) and authors else None)
        entry.author = str(author.get("name") or "") if isinstance(author, dict) else ""
        entry.at = _when(str(row.get("date_modified") or row.get("date_published") or ""))
        text, markup = row.get("content_text"), row.get("content_html")
        entry.markup = not isinstance(text, str)
        entry.body = text if isinstance(text, str) else markup if isinstance(markup, str) else None
        entries.append(entry)
    return entries


def _when(text: str) -> float | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except (TypeError, ValueError, OverflowError):
            return None
    try:
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError, OSError):
        return None
