"""A bucket in pieces of work: prefixes, and ranges of keys where one level is too wide."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from unsprawl.crawlers.s3.client import Store
from unsprawl.crawlers.s3.items import uri_of

__all__ = ["Piece", "pieces"]

#: So many pieces are wanted of a large bucket. Small ones are not cut: each cut costs a request.
_WANTED: Final = 64
_DEEPEST: Final = 8
#: Pages of one level that are listed to cut it; what lies behind them is cut by ranges of keys.
_LEVEL_PAGES: Final = 4
_LAST_CHARACTER: Final = "\U0010ffff"
#: Requests for the borders of ranges.
_PROBES: Final = 96


@dataclass(frozen=True, slots=True)
class Piece:
    """Keys that begin with ``prefix``, behind ``start`` and up to ``stop`` ("" is no border).

    With a ``delimiter`` only those of this level: what lies deeper are other pieces.
    """

    prefix: str
    delimiter: str = ""
    start: str = ""
    stop: str = ""

    def identity(self, bucket: str, top: str) -> str:
        """Another cut has another name: a cursor of a wider piece must not hide what moved here."""
        name = uri_of(bucket, self.prefix)
        if self.start:
            return f"{name}?after={quote(self.start, safe='')}"
        return f"{name}?level" if self.delimiter and self.prefix != top else name


def pieces(store: Store, bucket: str, top: str, *, versions: bool) -> Iterator[Piece]:
    """All of ``top`` in pieces that share no key: its own level first. Raises ``SourceError``."""
    waiting: deque[tuple[str, int]] = deque([(top, 0)])
    given = 0
    while waiting:
        prefix, depth = waiting.popleft()
        if depth and (given + len(waiting) >= _WANTED or depth >= _DEEPEST):
            yield Piece(prefix)
            given += 1
            continue
        if depth:
            first = next(store.pages(bucket, prefix, versions=versions))
            if not first.more:
                yield Piece(prefix)
                given += 1
                continue
        below: list[str] = []
        boundary = ""
        direct = False
        for number, page in enumerate(store.pages(bucket, prefix, delimiter="/", versions=versions), 1):
            below += page.prefixes
            direct = direct or bool(page.items or page.repeated)
            if number == _LEVEL_PAGES and page.more:
                boundary = page.last + (_LAST_CHARACTER if page.last in page.prefixes else "")
                break
        if not depth or direct or boundary:
            yield Piece(prefix, "/", stop=boundary)
            given += 1
        waiting.extend((name, depth + 1) for name in below)
        if boundary:
            for piece in _ranges(store, bucket, prefix, boundary, versions=versions):
                yield piece
                given += 1


def _ranges(store: Store, bucket: str, prefix: str, boundary: str, *, versions: bool) -> Iterator[Piece]:
    """What lies behind ``boundary``, cut where the keys' first differing character changes."""
    borders = [boundary]
    common = prefix
    probes = 0
    while probes < _PROBES and len(borders) < _WANTED:
        # The next key whose first character behind the common beginning is another one.
        last = borders[-1]
        if not last.startswith(common) or len(last) <= len(common):
            break
        step = common + last[len(common)] + _LAST_CHARACTER
        probes += 1
        page = next(store.pages(bucket, prefix, after=step, size=1, versions=versions))
        key = page.items[0].key if page.items else page.last
        if not key:
            if len(borders) > 1:
                break
            # All of them share this character as well: look at the one behind it.
            common += last[len(common)]
            continue
        if not key.startswith(common):
            break
        borders.append(common + key[len(common)])
    for index, border in enumerate(borders):
        yield Piece(prefix, start=border, stop=borders[index + 1] if index + 1 < len(borders) else "")
