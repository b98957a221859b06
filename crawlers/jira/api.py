"""What Jira is asked for: version 3 of the API in the Cloud, version 2 in Data Center.

Lists are given item by item, each once, however the pages repeat or shift. All raise ``SourceError``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.atlassian.transport import Site, when
from unsprawl.errors import UnreadableError

__all__ = ["ISSUE_FIELDS", "Found", "JiraApi"]

ISSUE_FIELDS: Final = ("*all",)
_ISSUES: Final = 100
#: Where ids and little more are wanted, a page holds this many.
_BARE: Final = 1000
_PROJECTS: Final = 50
_COMMENTS: Final = 100
_WORKLOGS: Final = 1000
_HISTORIES: Final = 1000
#: Jira keeps 5,000 comments and 10,000 changes of an issue; beyond this something is wrong.
_MOST: Final = 20_000
#: Pages in a row that bring nothing new, before a list is held to be endless.
_STALE: Final = 3
_BROWSE: Final = "the account needs the permission Browse projects, the token the scope read:jira-work"


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search. ``token`` leads to the next, "" on the last; ``total`` is Data Center's."""

    issues: list[dict[str, Any]]
    names: Mapping[str, str]
    token: str
    total: int | None = None


class JiraApi:
    """The requests of one site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.top = f"rest/api/{3 if site.cloud else 2}"

    # --- the site ------------------------------------------------------------------------------------

    def myself(self) -> Mapping[str, Any]:
        """Whose token it is. Without this, wrong credentials look like an empty site."""
        hint = "allow scope read:jira-user"
        return _mapping(self.site.get(f"{self.top}/myself", what="the account", hint=hint))

    def now(self) -> datetime:
        """The site's own time."""
        told = _mapping(self.site.get(f"{self.top}/serverInfo", what="the site's time"))
        time = when(told.get("serverTime"))
        if time is None:
            raise UnreadableError("the site does not tell its time", hint="is `url` the address of a Jira?")
        return time

    def projects(self, what: str = "the projects") -> Iterator[dict[str, Any]]:
        """All projects that may be browsed, archived ones too, in the order of their keys."""
        if self.site.cloud:
            query = {
                "expand": "description,insight,url,lead",
                "orderBy": "key",
                "status": ["live", "archived"],
            }
            yield from self._listed(f"{self.top}/project/search", "values", query, _PROJECTS, what, _BROWSE)
            return
        query = {"expand": "description,url,lead", "includeArchived": "true"}
        found = self.site.get(f"{self.top}/project", query, what=what, hint=_BROWSE)
        yield from sorted(_mappings(found), key=lambda one: str(one.get("key")))

    def project(self, key: str) -> dict[str, Any]:
        """One project with its components and versions."""
        what = f"the project {key}"
        return _mapping(self.site.get(f"{self.top}/project/{_name(key)}", what=what, hint=_BROWSE))

    def project_properties(self, key: str) -> dict[str, Any]:
        top, what = f"{self.top}/project/{_name(key)}/properties", f"the properties of {key}"
        names = _mappings(_mapping(self.site.get(top, what=what)).get("keys"))
        return {
            str(one["key"]): _mapping(self.site.get(f"{top}/{_name(one['key'])}", what=what)).get("value")
            for one in names[:_MOST]
            if "key" in one
        }

    def grants(self, key: str) -> list[dict[str, Any]]:
        """Who holds which permission in a project. Only its administrators may ask."""
        path = f"{self.top}/project/{_name(key)}/permissionscheme"
        told = self.site.get(path, {"expand": "permissions"}, what=f"the permissions of {key}")
        return _mappings(_mapping(told).get("permissions"))

    def permissions(self, names: Sequence[str]) -> dict[str, bool]:
        """Which of these the account has in any project."""
        query = {"permissions": ",".join(names)}
        told = _mapping(self.site.get(f"{self.top}/mypermissions", query, what="the account's permissions"))
        held = _mapping(told.get("permissions"))
        return {name: _mapping(held.get(name)).get("havePermission") is True for name in names}

    def filters(self) -> Iterator[dict[str, Any]]:
        """Saved searches: all that are shared with the account in the Cloud, its favourites elsewhere."""
        if self.site.cloud:
            query = {"expand": "jql,description,owner,sharePermissions", "orderBy": "id"}
            yield from self._listed(f"{self.top}/filter/search", "values", query, 100, "the filters", _BROWSE)
            return
        yield from _mappings(self.site.get(f"{self.top}/filter/favourite", what="the filters"))

    def filter(self, number: str) -> dict[str, Any]:
        path = f"{self.top}/filter/{_name(number)}"
        return _mapping(self.site.get(path, what=f"the filter {number}"))

    # --- issues --------------------------------------------------------------------------------------

    def search(
        self,
        jql: str,
        token: str = "",
        *,
        fields: Sequence[str] = ISSUE_FIELDS,
        size: int = 0,
        what: str = "the search for issues",
    ) -> Found:
        """One page of the issues that ``jql`` (bounded) finds; with ``fields`` of one's own only those.

        ``token`` is the site's in the Cloud, where it expires. Elsewhere it is a number, and the page it
        leads to begins with the last issue of the one before: else the list has shifted meanwhile.
        """
        whole = fields == ISSUE_FIELDS
        query: dict[str, Any] = {"jql": jql, "fields": list(fields)}
        query["maxResults"] = size or (_ISSUES if whole else _BARE)
        if self.site.cloud:
            query |= {"expand": "names,changelog"} if whole else {}
            query |= {"nextPageToken": token} if token else {}
            told = _mapping(self.site.post(f"{self.top}/search/jql", query, what=what, hint=_BROWSE))
            behind = told.get("nextPageToken") if told.get("isLast") is not True else ""
            return Found(_mappings(told.get("issues")), _names(told), str(behind or ""))
        start = int(token or 0)
        query |= {"startAt": start, "expand": ["names", "changelog"] if whole else []}
        told = _mapping(self.site.post(f"{self.top}/search", query, what=what, hint=_BROWSE))
        issues = _mappings(told.get("issues"))
        total = told["total"] if isinstance(told.get("total"), int) else None
        end = start + min(len(issues), query["maxResults"])
        last = not issues or (total is not None and end >= total)
        return Found(issues, _names(told), "" if last else str(max(end - 1, start + 1)), total)

    def issue(self, number: str) -> Found:
        """One issue, as a page of one."""
        query = {"fields": "*all", "expand": "names,changelog"}
        told = _mapping(self.site.get(f"{self.top}/issue/{_name(number)}", query, what=f"the issue {number}"))
        return Found([told], _names(told), "")

    def comments(self, number: str, what: str) -> Iterator[dict[str, Any]]:
        path = f"{self.top}/issue/{_name(number)}/comment"
        query = {"orderBy": "created"}
        return self._listed(path, "comments", query, _COMMENTS, f"the comments of {what}", _BROWSE)

    def worklogs(self, number: str, what: str) -> Iterator[dict[str, Any]]:
        path = f"{self.top}/issue/{_name(number)}/worklog"
        return self._listed(path, "worklogs", {}, _WORKLOGS, f"the worklogs of {what}", _BROWSE)

    def histories(self, number: str, what: str) -> Iterator[dict[str, Any]]:
        path = f"{self.top}/issue/{_name(number)}/changelog"
        return self._listed(path, "values", {}, 100, f"the history of {what}", _BROWSE)

    def all_histories(self, numbers: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The histories of many issues with few requests (Cloud)."""
        found: dict[str, dict[str, dict[str, Any]]] = {number: {} for number in numbers}
        token, stale = "", 0
        while stale < _STALE:
            query = {"issueIdsOrKeys": list(numbers), "maxResults": _HISTORIES}
            query |= {"nextPageToken": token} if token else {}
            told = _mapping(
                self.site.post(f"{self.top}/changelog/bulkfetch", query, what="the histories of issues")
            )
            stale += 1
            for one in _mappings(told.get("issueChangeLogs")):
                known = found.setdefault(str(one.get("issueId")), {})
                for history in _mappings(one.get("changeHistories")):
                    stale = stale if str(history.get("id")) in known else 0
                    known[str(history.get("id"))] = history
            token = str(told.get("nextPageToken") or "")
            if not token:
                return {number: list(known.values()) for number, known in found.items()}
        raise UnreadableError("the histories of issues repeat without an end")

    def links(self, number: str, what: str) -> list[dict[str, Any]]:
        path = f"{self.top}/issue/{_name(number)}/remotelink"
        return _mappings(self.site.get(path, what=f"the links of {what}", hint=_BROWSE))

    def properties(self, number: str, what: str) -> dict[str, Any]:
        """What apps keep in an issue, forms among it."""
        query = {"fields": "updated", "properties": "*all"}
        path = f"{self.top}/issue/{_name(number)}"
        told = self.site.get(path, query, what=f"the properties of {what}", hint=_BROWSE)
        return _mapping(_mapping(told).get("properties"))

    def attachment(self, number: str) -> dict[str, Any]:
        path = f"{self.top}/attachment/{_name(number)}"
        return _mapping(self.site.get(path, what=f"the attachment {number}"))

    def content_path(self, number: str, name: str) -> str:
        """Where a file is read. Never taken from an answer: the token goes there."""
        if self.site.cloud:
            return f"/{self.top}/attachment/content/{_name(number)}?redirect=false"
        return f"/secure/attachment/{_name(number)}/{_name(name)}"

    # --- pages ---------------------------------------------------------------------------------------

    def _listed(
        self, path: str, key: str, query: Mapping[str, Any], size: int, what: str, hint: str
    ) -> Iterator[dict[str, Any]]:
        """The items of a list by number of the first: each once, and as many as the list says it has.

        A page that brings nothing new is asked for again; a list that stays so is endless.
        """
        given: set[str] = set()
        start, stale, total = 0, 0, None
        while True:
            asked = {**query, "startAt": start, "maxResults": size}
            page = _mapping(self.site.get(path, asked, what=what, hint=hint))
            items = _mappings(page.get(key))
            fresh = {str(one.get("id")): one for one in items if str(one.get("id")) not in given}
            given |= fresh.keys()
            yield from fresh.values()
            total = page.get("total") if isinstance(page.get("total"), int) else None
            last = page.get("isLast") is True if total is None else start + len(items) >= total
            if len(given) > _MOST:
                raise UnreadableError(f"{what} are more than {_MOST}: what follows was not read")
            if items and not fresh:
                stale += 1
                if stale >= _STALE:
                    raise UnreadableError(f"{what} repeat without an end: {len(given)} were read")
                continue
            stale = 0
            start += len(items)
            if last or not items:
                break
        if total is not None and len(given) < total:
            raise UnreadableError(
                f"{what}: only {len(given)} of {total} were given", hint="the next run tries again"
            )


def _name(text: object) -> str:
    return quote(str(text), safe="")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _names(told: Mapping[str, Any]) -> dict[str, str]:
    return {key: name for key, name in _mapping(told.get("names")).items() if isinstance(name, str)}
