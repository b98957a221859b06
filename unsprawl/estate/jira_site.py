"""What a Jira holds: projects, issues, and everything that people do to them. The server shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["Issue", "JiraSite", "Project", "adf_of"]

_FIRST_ISSUE: Final = 10_000
_EVERYONE: Final = ({"type": "applicationRole"},)


@dataclass(slots=True)
class Project:
    """``grants`` are the holders of Browse projects. ``closed`` ones are listed, but give nothing."""

    id: str
    key: str
    name: str
    description: str = ""
    grants: tuple[Mapping[str, Any], ...] = _EVERYONE
    components: list[dict[str, Any]] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    archived: bool = False
    closed: bool = False

    @property
    def public(self) -> bool:
        return any(holder.get("type") == "anyone" for holder in self.grants)


@dataclass(slots=True)
class Issue:
    """``fields`` holds what people wrote, as text or as rich text. Times are aware."""

    id: str
    key: str
    project: Project
    created: datetime
    updated: datetime
    author: str
    fields: dict[str, Any] = field(default_factory=dict)
    comments: list[dict[str, Any]] = field(default_factory=list)
    worklogs: list[dict[str, Any]] = field(default_factory=list)
    histories: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    closed: bool = False
    """Its own addresses answer 403; a search still shows it."""


class JiraSite:
    """A site without its HTTP. ``clock`` says what time it is there; everything done moves ``updated``."""

    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        self.clock = clock or (lambda: datetime.now(UTC))
        self.projects: dict[str, Project] = {}
        self.issues: dict[str, Issue] = {}
        self.filters: list[dict[str, Any]] = []
        self.names: dict[str, str] = {
            "summary": "Summary",
            "description": "Description",
            "environment": "Environment",
        }
        self._number = _FIRST_ISSUE

    def project(self, key: str, name: str = "", **more: Any) -> Project:
        made = Project(str(_FIRST_ISSUE + len(self.projects)), key, name or key.title(), **more)
        self.projects[key] = made
        return made

    def custom_field(self, name: str) -> str:
        """A field that somebody added. Gives its id."""
        number = f"customfield_{_FIRST_ISSUE + len(self.names)}"
        self.names[number] = name
        return number

    def issue(
        self, project: str, summary: str, *, age: timedelta = timedelta(), author: str = "ann", **fields: Any
    ) -> Issue:
        """An issue that was created ``age`` ago and not touched since."""
        home = self.projects[project]
        at = self.clock() - age
        number = 1 + sum(one.project is home for one in self.issues.values())
        made = Issue(self._next(), f"{project}-{number}", home, at, at, author)
        made.fields = {"summary": summary, **fields}
        self.issues[made.id] = made
        return made

    def edit(self, issue: Issue, name: str, value: Any, *, author: str = "bob") -> None:
        """Change a field: the history keeps what it was."""
        at = self._touch(issue)
        old = issue.fields.get(name)
        item = {
            "field": self.names.get(name, name) if name.startswith("customfield") else name,
            "fieldtype": "custom" if name.startswith("customfield") else "jira",
            "fieldId": name,
            "from": None,
            "fromString": _plain(old),
            "to": None,
            "toString": _plain(value),
        }
        issue.histories.append(self._entry(at, author, item))
        issue.fields[name] = value

    def comment(self, issue: Issue, text: Any, *, author: str = "bob") -> str:
        at = self._touch(issue)
        number = self._next()
        issue.comments.append({"id": number, "body": text, "author": author, "created": at, "updated": at})
        return number

    def recomment(self, issue: Issue, number: str, text: Any) -> None:
        """Edit a comment: no history keeps what it was."""
        at = self._touch(issue)
        for one in issue.comments:
            if one["id"] == number:
                one |= {"body": text, "updated": at}

    def uncomment(self, issue: Issue, number: str) -> None:
        """Delete a comment, without a trace."""
        self._touch(issue)
        issue.comments[:] = [one for one in issue.comments if one["id"] != number]

    def work(self, issue: Issue, text: Any, *, author: str = "bob") -> str:
        at = self._touch(issue)
        number = self._next()
        issue.worklogs.append({"id": number, "comment": text, "author": author, "created": at, "updated": at})
        return number

    def attach(
        self, issue: Issue, name: str, content: bytes, media_type: str = "text/plain", *, author: str = "bob"
    ) -> str:
        at = self._touch(issue)
        number = self._next()
        known: dict[str, Any] = {"id": number, "filename": name, "size": len(content), "mimeType": media_type}
        issue.files[number] = ({**known, "author": author, "created": at}, content)
        item = _file_change(None, None) | {"to": number, "toString": name}
        issue.histories.append(self._entry(at, author, item))
        return number

    def detach(self, issue: Issue, number: str, *, author: str = "bob") -> None:
        at = self._touch(issue)
        known, _ = issue.files.pop(number)
        item = _file_change(number, known["filename"])
        issue.histories.append(self._entry(at, author, item))

    def link(self, issue: Issue, title: str, url: str) -> None:
        self._touch(issue)
        issue.links.append({"id": int(self._next()), "object": {"title": title, "url": url}})

    def saved_search(self, name: str, jql: str, *, owner: str = "ann", shared: str = "loggedin") -> None:
        number = self._next()
        shares = [{"id": 1, "type": shared}] if shared else []
        self.filters.append(
            {"id": number, "name": name, "jql": jql, "owner": owner, "sharePermissions": shares}
        )

    def _touch(self, issue: Issue) -> datetime:
        issue.updated = max(self.clock(), issue.updated)
        return issue.updated

    def _entry(self, at: datetime, author: str, item: dict[str, Any]) -> dict[str, Any]:
        return {"id": self._next(), "author": author, "created": at, "items": [item]}

    def _next(self) -> str:
        self._number += 1
        return str(self._number)


def adf_of(text: str) -> dict[str, Any]:
    """Rich text with a paragraph for each line."""
    paragraphs = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []}
        for line in text.split("\n")
    ]
    return {"type": "doc", "version": 1, "content": paragraphs}


def _file_change(number: str | None, name: str | None) -> dict[str, Any]:
    item = {"field": "Attachment", "fieldtype": "jira", "fieldId": "attachment"}
    return {**item, "from": number, "fromString": name, "to": None, "toString": None}


def _plain(value: Any) -> str:
    """What the history keeps of a value."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        inner = "".join(_plain(one) for one in value.get("content", ())) + str(value.get("text", ""))
        return inner + ("\n" if value.get("type") == "paragraph" else "")
    return "" if value is None else str(value)
