"""An issue as one text with parts: its fields, comments, worklogs, links and properties.

A name in one comment and its password in the next meet there, and each keeps its own link, author and
time. What stands in the history alone, because somebody removed it, is a text of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.atlassian import adf
from unsprawl.crawlers.atlassian.transport import when
from unsprawl.records import Json, Part

__all__ = ["Composed", "Issue", "Place", "compose", "field_texts", "items_of", "person", "plain", "removed"]

#: Read first, and in this order; the other fields follow by name.
_FIRST: Final = ("summary", "description", "environment")
#: Fields that are read elsewhere (comments, files, other issues, what the project declares), or that
#: hold states, persons and times alone.
_ELSEWHERE: Final = frozenset(
    """
    comment worklog attachment issuelinks subtasks parent project components versions fixVersions
    status statusCategory priority issuetype resolution security issuerestriction thumbnail
    creator reporter assignee votes watches lastViewed workratio created updated duedate resolutiondate
    statuscategorychangedate progress aggregateprogress timetracking timespent timeestimate
    timeoriginalestimate aggregatetimespent aggregatetimeestimate aggregatetimeoriginalestimate
    """.split()
)
#: The same in the history, where most fields go by their names.
_STATES: Final = frozenset(
    """
    status assignee reporter priority resolution issuetype project key link attachment sprint rank version
    component parent duedate timespent timeestimate timeoriginalestimate worklogid worklogtimespent
    """.split()
) | {
    "fix version",
    "fix version/s",
    "affects version/s",
    "epic link",
    "epic child",
    "issue parent association",
}
#: Keys that say nothing a person wrote: everywhere, and in what has an address in the API.
_SILENT: Final = frozenset("self accountId accountType avatarUrls iconUrl timeZone".split())
_RESOURCE: Final = frozenset("id key active locale disabled".split())
#: Wiki markup that the present text, made from other markup, does not have: borders of blocks, links, cells.
_BLOCK: Final = re.compile(r"\{(?:code|noformat|color|quote|panel)(?::[^{}\n]{0,200})?\}")
_BORDER: Final = re.compile(r"[|\[\]]+")
#: How a board keeps issues in order.
_RANK: Final = re.compile(r"\d\|[0-9a-z]+:[0-9a-z]*")
_DEEPEST: Final = 40
_EDGES: Final = "*_+^~{}[]()|!?\"'`,;:.<>"
#: Words below this length are compared no further: they change with every edit.
_WORD: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where an issue stands: ``uri`` is its identity, ``base`` the address that people use."""

    uri: str
    base: str
    key: str
    cloud: bool

    def link(self, kind: str = "", number: str = "") -> str:
        """The address that opens the issue at a comment, a worklog or its history."""
        top = f"{self.base}/browse/{quote(self.key, safe='-')}"
        number = quote(number, safe="")
        tab = "?page=com.atlassian.jira.plugin.system.issuetabpanels%3A"
        if kind == "comment":
            old = f"{top}{tab}comment-tabpanel&focusedId={number}#comment-{number}"
            return f"{top}?focusedCommentId={number}" if self.cloud else old
        if kind == "worklog":
            return f"{top}{tab}worklog-tabpanel&focusedWorklogId={number}#worklog-{number}"
        if kind == "history":
            return f"{top}{tab}changehistory-tabpanel"
        return top


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One issue with everything that belongs to it, as the API gave it."""

    fields: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)
    comments: Sequence[Mapping[str, Any]] = ()
    worklogs: Sequence[Mapping[str, Any]] = ()
    histories: Sequence[Mapping[str, Any]] = ()
    links: Sequence[Mapping[str, Any]] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Composed:
    """A text and where its parts begin, in bytes."""

    body: bytes = b""
    parts: tuple[Part, ...] = ()


class _Writer:
    """Texts one below the other."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.parts: list[Part] = []

    def add(
        self,
        text: str,
        uri: str,
        url: str | None,
        author: str | None = None,
        at: datetime | None = None,
        attrs: Mapping[str, Json] | None = None,
    ) -> None:
        if not text.strip():
            return
        self.parts.append(Part(len(self.body), uri, url, author, at, attrs or {}))
        self.body += text.encode("utf-8", "replace").strip(b"\r\n") + b"\n"

    def done(self) -> Composed:
        return Composed(bytes(self.body), tuple(self.parts))


def compose(issue: Issue, place: Place) -> Composed:
    """All that can be read in an issue today."""
    page = _Writer()
    changes = _last_changes(issue)
    owner = person(issue.fields.get("reporter")) or person(issue.fields.get("creator"))
    made = when(issue.fields.get("created"))
    for name, text in field_texts(issue.fields):
        title = issue.names.get(name, name)
        author, at = changes.get(name) or changes.get(title.lower()) or (owner, made)
        said = text if name in _FIRST else labelled(title, text)
        page.add(said, f"{place.uri}#{quote(name, safe='')}", place.link(), author, at)
    for comment in _in_order(issue.comments):
        _say(page, comment, "comment", comment.get("body"), place)
    for log in _in_order(issue.worklogs):
        _say(page, log, "worklog", log.get("comment"), place)
    for link in issue.links:
        number = str(link.get("id", ""))
        page.add(_remote(link), f"{place.uri}#remotelink-{quote(number, safe='')}", place.link())
    for key in sorted(issue.properties):
        text = labelled(key, plain(issue.properties[key]))
        page.add(text, f"{place.uri}#property-{quote(key, safe='')}", place.link())
    return page.done()


def removed(issue: Issue, standing: bytes, place: Place) -> Composed:
    """What the history still shows and the issue (``standing``) does not, newest removal first.

    Line by line: a line counts as removed when a word of it stands nowhere in the issue today. The
    author of a part is who removed it.
    """
    page = _Writer()
    today = standing.decode("utf-8", "replace")
    words = {word.strip(_EDGES) for word in today.split()}
    met: set[tuple[str, str]] = set()

    def known(word: str) -> bool:
        word = word.strip(_EDGES)
        return word in words or word in today

    def stands(line: str) -> bool:
        found = [word for word in _BLOCK.sub(" ", line).split() if len(word.strip(_EDGES)) >= _WORD]
        if not found:
            return line.strip() in today
        return all(known(word) or ("|" in word and all(map(known, _BORDER.split(word)))) for word in found)

    for history in sorted(issue.histories, key=_moment, reverse=True):
        number = quote(str(history.get("id", "")), safe="")
        for item in items_of(history):
            name = str(item.get("field") or item.get("fieldId") or "")
            if name.lower() in _STATES:
                continue
            lines = []
            for line in f"{item.get('fromString') or ''}\n{item.get('toString') or ''}".splitlines():
                if (name, line.strip()) not in met and line.strip() and not stands(line):
                    met.add((name, line.strip()))
                    lines.append(line.rstrip())
            if lines:
                field_name = issue.names.get(str(item.get("fieldId") or name), name)
                text = labelled(name, "\n".join(lines))
                uri = f"{place.uri}#history-{number}"
                at = when(history.get("created"))
                who = person(history.get("author"))
                by = f" by {who}" if who else ""
                told: dict[str, Json] = {
                    "removed_from": field_name,
                    "history": f"removed from {field_name}{by}, still readable in the history",
                }
                told |= {"removed_by": who} if who else {}
                told |= {"removed_at": at.isoformat()} if at else {}
                page.add(text, uri, place.link("history"), who, at, told)
    return page.done()


def field_texts(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The name and the text of each field that somebody can write into."""
    others = sorted(name for name in fields if name not in _FIRST and name not in _ELSEWHERE)
    for name in (*_FIRST, *others):
        text = plain(fields.get(name))
        if text.strip() and not _RANK.fullmatch(text):
            yield name, text


def labelled(name: str, text: str) -> str:
    """``name: text``, as a field called *Database password* has to be read."""
    return f"{name}:\n{text}" if "\n" in text else f"{name}: {text}"


def plain(value: Any, depth: int = 0) -> str:
    """The text in the value of a field, a comment or a property, whatever its shape."""
    if value is None or isinstance(value, bool):
        return ""
    if depth > _DEEPEST:
        return json.dumps(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    if adf.is_adf(value):
        return adf.text_of(value)
    if isinstance(value, list):
        return "\n".join(filter(None, (plain(one, depth + 1) for one in value)))
    if isinstance(value, Mapping):
        silent = _SILENT | _RESOURCE if "self" in value else _SILENT
        said = ((key, plain(one, depth + 1)) for key, one in value.items() if key not in silent)
        told = [(key, text) for key, text in said if text]
        if len(told) == 1 and told[0][0] in ("value", "name", "displayName"):
            return told[0][1]
        return "\n".join(labelled(key, text) for key, text in told)
    return ""


def person(value: Any) -> str | None:
    """An address where there is one, else a name."""
    if not isinstance(value, Mapping):
        return None
    for key in ("emailAddress", "displayName", "name", "accountId"):
        if isinstance(value.get(key), str) and value[key]:
            return str(value[key])
    return None


def items_of(history: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What one change changed."""
    items = history.get("items")
    return [one for one in items if isinstance(one, Mapping)] if isinstance(items, list) else []


def _say(page: _Writer, said: Mapping[str, Any], kind: str, body: Any, place: Place) -> None:
    number = str(said.get("id", ""))
    author = person(said.get("updateAuthor")) or person(said.get("author"))
    at = when(said.get("updated")) or when(said.get("created"))
    uri = f"{place.uri}#{kind}-{quote(number, safe='')}"
    page.add(plain(body), uri, place.link(kind, number), author, at)


def _remote(link: Mapping[str, Any]) -> str:
    target = link.get("object")
    told = target if isinstance(target, Mapping) else {}
    texts = (link.get("relationship"), told.get("title"), told.get("summary"), told.get("url"))
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def _last_changes(issue: Issue) -> dict[str, tuple[str | None, datetime | None]]:
    """Who wrote the present value of a field, and when, as far as the history tells."""
    changes: dict[str, tuple[str | None, datetime | None]] = {}
    for history in sorted(issue.histories, key=_moment):
        for item in items_of(history):
            told = (person(history.get("author")), when(history.get("created")))
            for name in (item.get("fieldId"), str(item.get("field") or "").lower()):
                if name:
                    changes[str(name)] = told
    return changes


def _in_order(said: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(said, key=_moment)


def _moment(said: Mapping[str, Any]) -> tuple[float, int, str]:
    """Sorts by time, then by number: pages may come in any order."""
    at = when(said.get("created"))
    number = str(said.get("id", ""))
    return (
        at.timestamp() if at else 0.0,
        int(number) if number.isdecimal() and len(number) < 19 else 0,
        number,
    )
