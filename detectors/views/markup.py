"""Markup as a reader sees it: tags gone, cells and blocks apart, text nodes of rich text joined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from unsprawl.detectors.views.edits import Edit, merged

__all__ = ["GUARDS", "TELLING", "edits"]

_T: Final = r"[A-Za-z0-9_+/=.~-]"
_TAG: Final = r"</?[A-Za-z][^<>]{0,120}>"
_SPLIT: Final = rf"{_T}{{3}}{_TAG}(?:{_TAG}){{0,4}}{_T}{{3}}"
_TOLD: Final = r"passw|pwd|kennwort|secret|token|user|login|(?:api|access|auth|private)[ _-]?key"
#: Where markup may hide something, as the engines search it: a tag within a token or behind a telling
#: word, a stretch of character data, text nodes and emphasis that split a token.
TELLING: Final = (
    _SPLIT,
    rf"(?i:{_TOLD})[^<>\n]{{0,20}}</[A-Za-z]",
    r"<!\[CDATA\[",
    # rich text in JSON: from one text node to the next
    r'\},[ \t\r\n]{0,20}\{[ \t\r\n]{0,20}"(?:type": ?"text|text|marks)"',
    rf"{_T}{{3}}\*\*{_T}{{4}}",
    r"\{color(?::[^{}\n]{0,30})?\}",
)

_INLINE: Final = """
    a abbr acronym b bdi bdo big cite code del em font i ins kbd label mark nobr q s samp small span strike
    strong sub sup tt u var wbr
"""
_BLOCKS: Final = """
    address article aside blockquote body br button center dd details div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main nav ol option p pre section select
    summary table tbody tfoot thead title tr ul
"""
_STORAGE_INLINE: Final = """
    ac:emoticon ac:inline-comment-marker ac:link ac:link-body ac:placeholder ac:plain-text-link-body
    ri:attachment ri:page ri:url ri:user
"""
_STORAGE_BLOCKS: Final = """
    ac:image ac:layout ac:layout-cell ac:layout-section ac:parameter ac:plain-text-body ac:rich-text-body
    ac:structured-macro ac:task ac:task-body ac:task-list
"""
_OFFICE_BLOCKS: Final = "w:p w:tr w:br w:tbl a:p a:br a:tr text:p text:h text:line-break table:table-row"
_OFFICE_CELLS: Final = "w:tc w:tab a:tc text:tab table:table-cell"
#: What stands in place of a tag, and the view, by the name of the tag.
_INSTEAD: Final = {
    name.encode(): (text, view)
    for names, view, text in (
        (_INLINE, "html", b""),
        (_BLOCKS, "html", b"\n"),
        ("td th", "html", b"\t"),
        (_STORAGE_INLINE, "storage", b""),
        (_STORAGE_BLOCKS, "storage", b"\n"),
        (_OFFICE_BLOCKS, "office", b"\n"),
        (_OFFICE_CELLS, "office", b"\t"),
    )
    for name in names.split()
}
#: All other tags of these are about looks.
_OFFICE: Final = (b"w:", b"a:", b"text:", b"m:", b"wp:")
_ANY: Final = re.compile(
    rb"</?([A-Za-z][A-Za-z0-9:-]{0,40})(?:[ \t\r\n/][^<>]{0,1000})?>|<!\[CDATA\[|\]\]>|<!--[^<>]{0,200}-->"
)
_MARKS: Final = rb'(?:\s{0,40},\s{0,40}"marks"\s{0,8}:\s{0,8}\[(?:[^\[\]"]|"[^"\n]{0,200}"){0,40}\])?'
#: From one text node of rich text in JSON (Atlassian's, Slack's) to the next within a paragraph.
_NODES: Final = re.compile(
    rb'(?<=[A-Za-z0-9_+/=.~-])"'
    + _MARKS
    + rb'(?:\s{0,40},\s{0,40}"style"\s{0,8}:\s{0,8}\{[^{}]{0,200}\})?\s{0,60}\}\s{0,8},\s{0,60}\{\s{0,60}'
    + rb'(?:"type"\s{0,8}:\s{0,8}"text"\s{0,40},\s{0,40})?'
    + rb'(?:"marks"\s{0,8}:\s{0,8}\[(?:[^\[\]"]|"[^"\n]{0,200}"){0,40}\]\s{0,40},\s{0,40})?'
    + rb'"text"\s{0,8}:\s{0,8}"(?=[A-Za-z0-9_+/=.~-])'
)
_EMPHASIS: Final = re.compile(
    rb"(?<=[A-Za-z0-9_+/=.~-]{3})\*\*(?=[A-Za-z0-9_+/=.~-]{4})|(?<=[A-Za-z0-9_+/=.~-])\*\*(?=[A-Za-z0-9_+/=.~-])"
    rb"|\{color(?::[^{}\n]{0,30})?\}"
)


def splits_token(data: bytes, first: int, last: int) -> bool:
    """Whether tags that end at ``first`` to ``last`` stand in what may be a token, and not in words alone."""
    around = data[max(0, first - _BESIDE) : last + _BESIDE]
    return any(map(_DIGIT.search, _LONG.findall(_ANY.sub(b"", around))))


#: What is no word: this long at least, in bytes, and with a digit.
_DRAWN: Final = 12
_LONG: Final = re.compile(rb"[A-Za-z0-9_+/=.~-]{%d,}" % _DRAWN)
_DIGIT: Final = re.compile(rb"[0-9]")
#: A tag or two, and what stands around them, in bytes.
_BESIDE: Final = 160
#: What tells of tags within a token tells it of tags within words too.
GUARDS: Final = {_SPLIT: splits_token}


def edits(data: bytes) -> list[Edit]:
    """Tags, borders of text nodes, and emphasis within a word."""
    rows: list[list[Edit]] = []
    if b"<" in data:
        rows.append([*_tags(data)])
    if b'"text"' in data:
        rows.append([Edit(*found.span(), b"", "adf") for found in _NODES.finditer(data)])
    if b"**" in data or b"{color" in data:
        rows.append([Edit(*found.span(), b"", "markdown") for found in _EMPHASIS.finditer(data)])
    return merged(rows)


def _tags(data: bytes) -> Iterator[Edit]:
    for found in _ANY.finditer(data):
        name = found[1]
        if name is None:
            yield Edit(*found.span(), b"" if data[found.start() + 2] == 0x2D else b"\n", "html")
        elif (instead := _INSTEAD.get(name.lower())) is not None:
            yield Edit(*found.span(), *instead)
        elif name.startswith(_OFFICE):
            yield Edit(*found.span(), b"", "office")
