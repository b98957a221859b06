"""pinnwand, the software of bpa.st and of many private paste sites.

It publishes no list of its pastes. Whoever runs a site points at its database; others give a list of
addresses: a file that grows, such as an access log or what a chat bot collects.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from unsprawl.crawlers.paste.items import Item, Listing, moment, tail
from unsprawl.crawlers.paste.web import Web
from unsprawl.errors import UnreadableError
from unsprawl.records import Audience, Diagnosis, Document, Skipped

__all__ = ["Addresses", "Database"]

#: How pinnwand names pastes; its own pages are called in lower case.
_SLUG: Final = r"[A-Z2-7]{2,60}"
_WAYS: Final = r"(?:show/|raw/|hex/|repaste/|json/show/|download/|download-archive/)?"
_ALONE = re.compile(rf"^\s*({_SLUG})\s*$", re.MULTILINE)
#: Of a list that grows, this much of its end is looked at.
_TAIL: Final = 4 << 20
_ROWS: Final = 2_000
_NEWER: Final = """
SELECT p.slug, p.pub_date, p.src, f.slug, f.filename, f.lexer, length(f.raw)
FROM paste p JOIN file f ON f.paste_id = p.id WHERE p.pub_date >= ? ORDER BY p.pub_date, p.id, f.id LIMIT ?
"""
#: Seconds before the newest paste that is known: two of one moment must not hide each other.
_OVERLAP: Final = 5.0


class Addresses:
    """The pastes that the file ``listed`` names, in addresses or one a line."""

    def __init__(self, web: Web, *, listed: str, max_bytes: int) -> None:
        self._web, self._listed, self._max = web, listed, max_bytes
        self.site = web.site
        place = urlsplit(web.base)
        home = rf"(?:https?://{re.escape(place.netloc)})?{re.escape(place.path)}/"
        self._address = re.compile(
            rf"(?:^|(?<=[\s\"'(<>=])){home}{_WAYS}({_SLUG})(?![A-Za-z0-9_./-])", re.MULTILINE
        )

    def listing(self, newest: float | None, etag: str) -> Listing:  # noqa: ARG002
        text, whole = self._text()
        slugs = [*self._address.findall(text), *_ALONE.findall(text)]
        # A paste never changes: its name is its version.
        items = [Item(id=slug, version=slug, url=f"{self._web.base}/{slug}") for slug in dict.fromkeys(slugs)]
        return Listing(items, full=not whole)

    def content(self, item: Item) -> Iterator[Document | Skipped]:
        uri = f"paste://{self.site}/{tail((item.id,))}"
        answer = self._web.get(f"/download-archive/{item.id}", limit=self._max)
        if answer.status in (404, 410):
            yield Skipped(uri, "expired or deleted before it was read")
            return
        body = answer.expect("a paste").body
        yield Document(
            uri=uri,
            body=body,
            path=f"{self.site}/{item.id}",
            key=uri,
            version=item.version,
            url=item.url,
            media_type="application/zip",
            audience=_audience(self.site),
            attrs={"feed": "pinnwand"},
        )

    def find(self, rest: str) -> Document | Skipped | None:
        if re.fullmatch(_SLUG, rest) is None:
            return None
        return next(self.content(Item(id=rest, version=rest, url=f"{self._web.base}/{rest}")), None)

    def diagnose(self) -> Iterator[Diagnosis]:
        count = len(self.listing(None, "").items)
        yield Diagnosis(f"{count} pastes of {self.site} are listed", True)
        answer = self._web.get("/api/v1/expiry")
        yield Diagnosis(f"{self.site} answers as pinnwand does", answer.status == 200, "check url:")

    def _text(self) -> tuple[str, bool]:
        """The list, and whether it is all of it."""
        try:
            with Path(self._listed).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _TAIL))
                text = file.read(_TAIL).decode("utf-8", "replace")
        except OSError as error:
            raise UnreadableError(f"the list of pastes: {error.strerror}", hint="check listed:") from None
        # Cut at its front the first line may be a piece of one.
        return (text, True) if size <= _TAIL else (text.partition("\n")[2], False)


class Database:
    """Every paste of a site of one's own, from pinnwand's SQLite database, which is only read."""

    def __init__(self, path: str, *, base: str, site: str, max_bytes: int) -> None:
        self._path, self._base, self._max = path, base, max_bytes
        self.site = site

    def listing(self, newest: float | None, etag: str) -> Listing:  # noqa: ARG002
        since = moment(newest - _OVERLAP) if newest is not None else None
        begin = since.strftime("%Y-%m-%d %H:%M:%S.%f") if since else ""
        items: list[Item] = []
        for slug, published, source, file, name, lexer, size in self._rows(_NEWER, (begin, _ROWS)):
            more = {"feed": "pinnwand", "name": str(name or ""), "syntax": str(lexer or "")}
            more["origin"] = str(source or "")
            items.append(
                Item(
                    id=f"{slug}/{file}",
                    version=str(file),
                    url=f"{self._base}/{slug}",
                    at=_at(published),
                    size=int(size or 0),
                    more={key: value for key, value in more.items() if value},
                )
            )
        return Listing(items, full=False, more=len(items) == _ROWS)

    def content(self, item: Item) -> Iterator[Document | Skipped]:
        uri = f"paste://{self.site}/{tail(item.id.split('/'))}"
        if item.size is not None and item.size > self._max:
            yield Skipped(uri, f"larger than max_bytes: {self._max}", excluded=True)
            return
        rows = self._rows("SELECT raw FROM file WHERE slug = ?", (item.id.rpartition("/")[2],))
        if not rows:
            yield Skipped(uri, "expired or deleted before it was read")
            return
        yield Document(
            uri=uri,
            body=str(rows[0][0]).encode("utf-8", "replace"),
            path=f"{self.site}/{item.id.partition('/')[0]}/{item.more.get('name') or item.version}",
            key=uri,
            version=item.version,
            url=item.url,
            modified_at=moment(item.at),
            media_type="text/plain",
            audience=_audience(self.site),
            attrs=item.more,
        )

    def find(self, rest: str) -> Document | Skipped | None:
        slug, _, file = rest.partition("/")
        if re.fullmatch(_SLUG, slug) is None or re.fullmatch(_SLUG, file) is None:
            return None
        return next(self.content(Item(id=rest, version=file, url=f"{self._base}/{slug}")), None)

    def diagnose(self) -> Iterator[Diagnosis]:
        ((count,),) = self._rows("SELECT count(*) FROM paste", ())
        yield Diagnosis(f"the database of {self.site} holds {count} pastes", True)

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            uri = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise UnreadableError(
                f"pinnwand's database cannot be read: {getattr(error, 'sqlite_errorname', 'no database')}",
                hint="check database:; it has to be the SQLite file of pinnwand's database_uri",
            ) from None


def _audience(site: str) -> Audience:
    return Audience.PUBLIC if site == "bpa.st" else Audience.UNKNOWN


def _at(text: object) -> float | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
