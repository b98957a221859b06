"""What was removed from a page and still stands in its history.

Old versions repeat nearly all of the present one, so only what is missing there is read: each block
(a paragraph, a row of a table, a line of code) once, at the last version that held it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

from unsprawl.records import Part

__all__ = ["Removed", "Version", "blocks", "document", "removed"]

#: A row of a table stays whole, for the label stands in one cell and the value in the next.
_BORDERS: Final = re.compile(
    r"</(?:p|h[1-6]|li|pre|ac:task|ac:structured-macro)>|<br ?/?>|\n|(<tr\b)|(</tr>)", re.IGNORECASE
)
_ADF_BORDERS: Final = re.compile(
    r'(?<=\})(?=,\s{0,8}\{\s{0,8}"type"\s{0,8}:\s{0,8}"(?:paragraph|heading|codeBlock|tableRow|listItem|panel|expand)")'
)
#: Ids that are drawn anew at each save; text is what counts.
_IDS: Final = re.compile(r"""\s(?:ac:(?:macro|local)-id|local-id|data-[a-z-]{1,40})="[^"<>]{0,80}\"""")
#: Tags within a line vanish, those that end one part words.
_TAG: Final = re.compile(
    r"</?(?:a|b|code|em|i|s|span|strong|sub|sup|u|ac:inline-comment-marker)\b[^<>]{0,999}>"
)
_WORD: Final = re.compile(r"""[^\s<>"'&,;]+""")
_DIGIT: Final = re.compile(r"\d")
#: What may be a password, and what is no word of any language, in characters; both with a digit.
_SHORT: Final = 6
_LONG: Final = 12
#: More blocks than this are remembered by nobody: what comes behind counts as removed.
_MOST_BLOCKS: Final = 500_000
_MOST_WORDS: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a body. ``author`` wrote it at ``modified``."""

    number: int
    body: str
    author: str = ""
    modified: datetime | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """Text whose last version was ``last``; ``by`` is the one that came without it."""

    text: str
    last: Version
    by: Version


def blocks(body: str) -> Iterator[str]:
    """A body in blocks; together they are the body again."""
    pattern = _ADF_BORDERS if body.lstrip().startswith("{") else _BORDERS
    start = rows = 0
    for border in pattern.finditer(body):
        if pattern is _BORDERS and border[1]:
            rows += 1
            continue
        if pattern is _BORDERS and border[2]:
            rows = max(0, rows - 1)
        if not rows and border.end() > start:
            yield body[start : border.end()]
            start = border.end()
    if start < len(body):
        yield body[start:]


def removed(current: Version, older: Iterable[Version]) -> Iterator[Removed]:
    """What is in ``older`` versions (newest first) and in none that is newer than the one it stands in."""
    known: set[bytes] = set()
    words: set[int] = set()
    _learn(current, known, words)
    newer = current
    for version in older:
        fresh = (block for block in blocks(version.body) if _print(block) not in known)
        if lost := "".join(_left(block, words) for block in fresh):
            yield Removed(lost, version, newer)
        if len(known) < _MOST_BLOCKS and len(words) < _MOST_WORDS:
            _learn(version, known, words)
        newer = version


def _learn(version: Version, known: set[bytes], words: set[int]) -> None:
    for block in blocks(version.body):
        known.add(_print(block))
        words.update(map(hash, _words(block)))


def _left(block: str, words: set[int]) -> str:
    """What a rewritten block lost: nothing where all its words still stand.

    A value that still stands beside words that were rewritten is blotted out, for it was not removed and is
    read where it stands; it stays as it is where another value went, for the two may belong together.
    """
    here = set(_words(block))
    gone = {word for word in here if hash(word) not in words}
    if not gone:
        return ""
    if any(_DIGIT.search(word) and len(word) >= _SHORT for word in gone):
        return block
    for word in here - gone:
        if len(word) >= _LONG and _DIGIT.search(word):
            block = block.replace(word, "…")
    return block


def _words(block: str) -> list[str]:
    """As a reader sees them, and as they stand: the address of a link may hold a token too."""
    plain = _IDS.sub("", block)
    return _WORD.findall(_TAG.sub("", plain)) + _WORD.findall(plain)


def document(uri: str, lost: Iterable[Removed]) -> tuple[bytes, tuple[Part, ...]]:
    """The body of a history's document, and a part for each version that something was removed from."""
    body, parts = bytearray(), []
    for one in lost:
        who = f" by {one.by.author}" if one.by.author else ""
        attrs: dict[str, str | int] = {
            "version": one.last.number,
            "removed_in": one.by.number,
            "history": f"removed in version {one.by.number}{who}, still readable in the history",
        }
        if one.by.author:
            attrs["removed_by"] = one.by.author
        if one.by.modified:
            attrs["removed_at"] = one.by.modified.isoformat()
        place = f"{uri}?version={one.last.number}"
        parts.append(
            Part(
                len(body),
                place,
                one.last.url or None,
                one.last.author or None,
                one.last.modified,
                attrs,
            )
        )
        body += one.text.encode("utf-8", "replace") + b"\n"
    return bytes(body), tuple(parts)


def _print(block: str) -> bytes:
    return blake2b(_IDS.sub("", block).strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()
