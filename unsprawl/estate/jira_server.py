"""A small Jira: the documented REST API over a site in memory, as Cloud (v3) or Data Center (v2).

Pages, tokens, times in the zone of the user who searches, truncated comments and histories, refusals:
what a reader has to cope with. The search that Cloud has removed answers 410 there.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from unsprawl.estate.jira_site import Issue, JiraSite, Project, adf_of
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data

__all__ = ["JiraServer"]

_CONDITION: Final = re.compile(
    r'(project|created|updated)\s*(=|>=|<)\s*("[^"]*"|\S+)(?:\s+AND\s+|(?=\s+ORDER BY)|$)', re.IGNORECASE
)
_ORDER: Final = re.compile(r"ORDER BY (created|updated) ASC$", re.IGNORECASE)
_RICH: Final = frozenset({"description", "environment"})
_WRITTEN: Final = "%Y-%m-%dT%H:%M:%S.%f"


class JiraServer(LoopbackServer):
    """Serves ``site``. ``user`` and ``token`` are the account that it knows; nobody sees public projects.

    ``page`` issues at most are in a page of a search, ``few`` comments, worklogs and changes come with an
    issue. ``now`` is the site's clock.
    """

    def __init__(
        self, site: JiraSite | None = None, port: int = 0, *, cloud: bool = True, zone: str = "UTC"
    ) -> None:
        super().__init__(port)
        self.site = site or JiraSite()
        self.cloud = cloud
        self.zone = zone
        self.user, self.token = "bot@acme.test", "demo"
        self.administers = True
        self.page = 100
        self.few = 20
        self.expired: set[str] = set()
        self._top = f"/rest/api/{3 if cloud else 2}"

    # --- who asks ------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Answer:
        """What the path leads to."""
        who = self._account(request)
        if who is None:
            if not self.cloud:
                return data({"message": "unauthorized"}, 401)
            # Cloud takes wrong credentials for none, and says so in a header alone.
            failed = self._route(request, known=False)
            headers = {**failed.headers, "x-seraph-loginreason": "AUTHENTICATED_FAILED"}
            return Answer(failed.status, failed.body, headers)
        return self._route(request, known=who)

    def _account(self, request: Request) -> bool | None:
        """Whether the account asks; False: nobody; None: somebody that is not known."""
        given = request.headers.get("authorization", "")
        if not given:
            return False
        pair = base64.b64encode(f"{self.user}:{self.token}".encode()).decode()
        return True if given in (f"Basic {pair}", f"Bearer {self.token}") else None

    def _visible(self, known: bool) -> list[Project]:
        return sorted(
            (one for one in self.site.projects.values() if known or one.public), key=lambda one: one.key
        )

    # --- what is asked -------------------------------------------------------------------------------

    def _route(self, request: Request, *, known: bool) -> Answer:
        routes: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
            ("GET", r"/myself", self._myself),
            ("GET", r"/serverInfo", self._server_info),
            ("GET", r"/project/search" if self.cloud else r"/project", self._projects),
            ("GET", r"/project/([^/]+)", self._project),
            ("GET", r"/project/([^/]+)/properties(?:/([^/]+))?", self._project_properties),
            ("GET", r"/project/([^/]+)/permissionscheme", self._grants),
            ("GET", r"/filter/search" if self.cloud else r"/filter/favourite", self._filters),
            ("GET", r"/filter/([0-9]+)", self._filter),
            ("POST", r"/search/jql" if self.cloud else r"/search", self._search),
            ("POST", r"/changelog/bulkfetch", self._changelogs),
            ("GET", r"/issue/([^/]+)", self._issue),
            ("GET", r"/issue/([^/]+)/(comment|worklog|changelog)", self._listed),
            ("POST", r"/issue/([^/]+)/comment", self._say),
            ("GET", r"/issue/([^/]+)/comment/([0-9]+)", self._comment),
            ("PUT", r"/issue/([^/]+)/comment/([0-9]+)", self._comment),
            ("DELETE", r"/issue/([^/]+)/comment/([0-9]+)", self._comment),
            ("GET", r"/issue/([^/]+)/remotelink", self._links),
            ("GET", r"/attachment/([0-9]+)", self._attachment),
            ("DELETE", r"/attachment/([0-9]+)", self._detach),
            ("GET", r"/attachment/content/([0-9]+)", self._content),
        )
        for method, pattern, route in routes:
            match = re.fullmatch(self._top + pattern, request.path)
            if match and method == request.method:
                return route(request, known, *match.groups())
        secure = re.fullmatch(r"/secure/attachment/([0-9]+)/.*", request.path)
        if secure and not self.cloud:
            return self._content(request, known, secure[1])
        if request.path == f"{self._top}/search":
            return _error(410, "The requested API has been removed. Use /rest/api/3/search/jql.")
        return _error(404, "nothing is here")

    def _myself(self, _request: Request, known: bool) -> Answer:
        if not known:
            return _error(401, "Client must be authenticated to access this resource.")
        return data({**self._person("bot"), "timeZone": self.zone})

    def _server_info(self, _request: Request, _known: bool) -> Answer:
        told = {"baseUrl": self.url, "version": "1001.0.0", "serverTime": _time(self.site.clock())}
        return data({**told, "deploymentType": "Cloud" if self.cloud else "Server"})

    def _projects(self, request: Request, known: bool) -> Answer:
        shown = [self._told(one) for one in self._visible(known)]
        if not self.cloud:
            return data(shown)
        if "archived" not in request.query.get("status", ()):
            shown = [one for one in shown if not one["archived"]]
        return self._page(request, "values", shown, 50)

    def _told(self, project: Project) -> dict[str, Any]:
        told = {
            "self": f"{self.url}{self._top}/project/{project.id}",
            "id": project.id,
            "key": project.key,
            "name": project.name,
            "description": project.description,
            "archived": project.archived,
        }
        own = [one for one in self.site.issues.values() if one.project is project]
        latest = max((one.updated for one in own), default=None)
        insight: dict[str, Any] = {"totalIssueCount": len(own)}
        if latest:
            insight["lastIssueUpdateTime"] = _time(latest)
        return {**told, "insight": insight} if self.cloud else told

    def _project(self, _request: Request, known: bool, name: str) -> Answer:
        project = self._find(name, known)
        if project is None:
            return _error(404, "No project could be found")
        told = self._told(project)
        told.pop("insight", None)
        return data({**told, "components": project.components, "versions": []})

    def _project_properties(self, _request: Request, known: bool, name: str, key: str | None) -> Answer:
        project = self._find(name, known)
        if project is None or (key is not None and key not in project.properties):
            return _error(404, "not found")
        if key is not None:
            return data({"key": key, "value": project.properties[key]})
        top = f"{self.url}{self._top}/project/{project.id}/properties"
        return data({"keys": [{"key": one, "self": f"{top}/{one}"} for one in sorted(project.properties)]})

    def _grants(self, _request: Request, known: bool, name: str) -> Answer:
        project = self._find(name, known)
        if project is None or not self.administers:
            return _error(403, "You are not allowed to administer this project")
        grants = [
            {"id": number, "permission": "BROWSE_PROJECTS", "holder": dict(holder)}
            for number, holder in enumerate(project.grants, 1)
        ]
        return data({"id": 1, "name": f"scheme of {project.key}", "permissions": grants})

    def _find(self, name: str, known: bool) -> Project | None:
        found = next((one for one in self.site.projects.values() if name in (one.key, one.id)), None)
        return found if found is not None and not found.closed and (known or found.public) else None

    def _filters(self, request: Request, known: bool) -> Answer:
        shown = [{**one, "owner": self._person(one["owner"])} for one in self.site.filters if known]
        return self._page(request, "values", shown, 50) if self.cloud else data(shown)

    def _filter(self, _request: Request, known: bool, number: str) -> Answer:
        for one in self.site.filters:
            if known and one["id"] == number:
                return data({**one, "owner": self._person(one["owner"])})
        return _error(404, "The selected filter is not available to you")

    # --- issues --------------------------------------------------------------------------------------

    def _search(self, request: Request, known: bool) -> Answer:
        asked = json.loads(request.body or b"{}")
        try:
            issues = self._matching(str(asked.get("jql", "")), known)
        except ValueError as error:
            return _error(400, str(error))
        whole = "*all" in asked.get("fields", ())
        most = min(int(asked.get("maxResults", 50)), self.page if whole else 5000)
        start = int(asked.get("startAt", 0))
        token = asked.get("nextPageToken")
        if token:
            try:
                place, number, jql = json.loads(base64.urlsafe_b64decode(token))
            except ValueError:
                place, number, jql = 0, 0, None
            if token in self.expired or jql != asked.get("jql"):
                return _error(400, "The nextPageToken is invalid or has expired")
            start = sum(_place(one, jql) <= [place, number] for one in issues)
        shown = [self._shown(one, asked.get("fields", ()), asked.get("expand", "")) for one in issues]
        page = shown[start : start + most]
        last = start + most >= len(shown)
        told: dict[str, Any] = {"issues": page}
        if "names" in asked.get("expand", ""):
            told["names"] = dict(self.site.names)
        if not self.cloud:
            return data({**told, "startAt": start, "maxResults": most, "total": len(shown)})
        if not last:
            behind = [*_place(issues[start + most - 1], asked["jql"]), asked["jql"]]
            told["nextPageToken"] = base64.urlsafe_b64encode(json.dumps(behind).encode()).decode()
        return data({**told, "isLast": last})

    def _matching(self, jql: str, known: bool) -> list[Issue]:
        """The issues that a (very small) query finds; ``ValueError`` is what the site would say."""
        conditions = _CONDITION.findall(jql)
        if not conditions and self.cloud:
            raise ValueError("Unbounded JQL queries are not allowed here.")
        seen = {one.key for one in self._visible(known) if not one.closed and not one.archived}
        found = [one for one in self.site.issues.values() if one.project.key in seen]
        for name, operator, quoted in conditions:
            value = quoted.strip('"')
            if name.lower() == "project":
                if not any(value in (self.site.projects[key].id, key) for key in seen):
                    raise ValueError(f"The value '{value}' does not exist for the field 'project'.")
                found = [one for one in found if value in (one.project.id, one.project.key)]
                continue
            at = datetime.strptime(value, "%Y/%m/%d %H:%M").replace(tzinfo=ZoneInfo(self.zone))
            found = [
                one
                for one in found
                if (getattr(one, name.lower()) >= at if operator == ">=" else getattr(one, name.lower()) < at)
            ]
        return sorted(found, key=lambda one: _place(one, jql))

    def _issue(self, request: Request, known: bool, name: str) -> Answer:
        issue = self._open(name, known)
        if isinstance(issue, Answer):
            return issue
        fields = request.last("fields", "*all").split(",")
        told = self._shown(issue, fields, request.last("expand"))
        if "names" in request.last("expand"):
            told["names"] = dict(self.site.names)
        if request.last("properties") == "*all":
            told["properties"] = dict(issue.properties)
        return data(told)

    def _open(self, name: str, known: bool) -> Issue | Answer:
        found = next((one for one in self.site.issues.values() if name in (one.id, one.key)), None)
        if found is None or found.project.closed or not (known or found.project.public):
            return _error(404, "Issue does not exist or you do not have permission to see it.")
        return _error(403, "You do not have permission to view this issue.") if found.closed else found

    def _shown(self, issue: Issue, wanted: Any, expand: Any) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": issue.id,
            "key": issue.key,
            "self": f"{self.url}{self._top}/issue/{issue.id}",
        }
        fields: dict[str, Any] = {
            "project": {"id": issue.project.id, "key": issue.project.key},
            "created": _time(issue.created),
            "updated": _time(issue.updated),
            "reporter": self._person(issue.author),
            "creator": self._person(issue.author),
            "status": {"name": "Open", "id": "1"},
        }
        if "*all" in wanted:
            fields |= {name: self._field(name, value) for name, value in issue.fields.items()}
            fields["comment"] = self._first("comments", issue.comments)
            fields["worklog"] = self._first("worklogs", issue.worklogs)
            fields["attachment"] = [self._file(known) for known, _ in issue.files.values()]
        else:
            fields = {name: fields[name] for name in wanted if name in fields}
        told["fields"] = fields
        if "changelog" in expand:
            newest = list(reversed(issue.histories))
            told["changelog"] = self._first("histories", newest if self.cloud else issue.histories)
        return told

    def _first(self, key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        few = len(items) if key == "histories" and not self.cloud else self.few
        shown = [self._dressed(one) for one in items[:few]]
        return {key: shown, "startAt": 0, "maxResults": len(shown), "total": len(items)}

    def _field(self, name: str, value: Any) -> Any:
        rich = name in _RICH or (name.startswith("customfield") and isinstance(value, str) and "\n" in value)
        return adf_of(value) if rich and self.cloud and isinstance(value, str) else value

    def _dressed(self, one: Mapping[str, Any]) -> dict[str, Any]:
        """A comment, worklog, change or file as it is sent."""
        told: dict[str, Any] = {}
        for key, value in one.items():
            if key in ("author", "updateAuthor"):
                told[key] = self._person(value)
            elif isinstance(value, datetime):
                told[key] = _time(value)
            elif key == "items" and self.cloud:
                # What the description of the Cloud calls text is missing where there is none.
                told[key] = [
                    {name: text for name, text in item.items() if text is not None} for item in value
                ]
            elif key in ("body", "comment") and self.cloud and isinstance(value, str):
                told[key] = adf_of(value)
            else:
                told[key] = value
        return told

    def _listed(self, request: Request, known: bool, name: str, kind: str) -> Answer:
        issue = self._open(name, known)
        if isinstance(issue, Answer):
            return issue
        items = {"comment": issue.comments, "worklog": issue.worklogs, "changelog": issue.histories}[kind]
        key = {"comment": "comments", "worklog": "worklogs", "changelog": "values"}[kind]
        return self._page(
            request, key, [self._dressed(one) for one in items], 50, 5000 if kind == "worklog" else 100
        )

    def _say(self, request: Request, known: bool, name: str) -> Answer:
        issue = self._open(name, known)
        if isinstance(issue, Answer):
            return issue
        number = self.site.comment(issue, json.loads(request.body)["body"], author="bot")
        return data(self._dressed(next(one for one in issue.comments if one["id"] == number)), 201)

    def _comment(self, request: Request, known: bool, name: str, number: str) -> Answer:
        issue = self._open(name, known)
        if isinstance(issue, Answer):
            return issue
        one = next((one for one in issue.comments if one["id"] == number), None)
        if one is None:
            return _error(404, f"Can not find a comment for the id: {number}.")
        if request.method != "GET" and not known:
            return _error(401, "You are not authenticated.")
        if request.method == "DELETE":
            self.site.uncomment(issue, number)
            return Answer(204)
        if request.method == "PUT":
            self.site.recomment(issue, number, json.loads(request.body)["body"])
        return data(self._dressed(one))

    def _detach(self, _request: Request, known: bool, number: str) -> Answer:
        for issue in self.site.issues.values():
            if number in issue.files and known and not issue.closed:
                self.site.detach(issue, number)
                return Answer(204)
        return _error(404, f"The attachment with id '{number}' does not exist")

    def _changelogs(self, request: Request, known: bool) -> Answer:
        asked = json.loads(request.body)
        wanted = [self._open(name, known) for name in asked["issueIdsOrKeys"]]
        rows = [
            (one.id, self._dressed(entry))
            for one in wanted
            if isinstance(one, Issue)
            for entry in one.histories
        ]
        start, most = int(asked.get("nextPageToken") or 0), int(asked.get("maxResults", 1000))
        told: dict[str, list[dict[str, Any]]] = {}
        for number, entry in rows[start : start + most]:
            told.setdefault(number, []).append(entry)
        answer: dict[str, Any] = {
            "issueChangeLogs": [
                {"issueId": number, "changeHistories": entries} for number, entries in told.items()
            ]
        }
        if start + most < len(rows):
            answer["nextPageToken"] = str(start + most)
        return data(answer)

    def _links(self, _request: Request, known: bool, name: str) -> Answer:
        issue = self._open(name, known)
        return issue if isinstance(issue, Answer) else data(issue.links)

    # --- files ---------------------------------------------------------------------------------------

    def _file(self, known: Mapping[str, Any]) -> dict[str, Any]:
        path = f"{self._top}/attachment/content/{known['id']}"
        if not self.cloud:
            path = f"/secure/attachment/{known['id']}/{known['filename']}"
        return {**self._dressed(known), "content": f"{self.url}{path}"}

    def _attachment(self, _request: Request, known: bool, number: str) -> Answer:
        for issue in self.site.issues.values():
            if number in issue.files and (known or issue.project.public) and not issue.closed:
                return data({**self._file(issue.files[number][0]), "id": int(number)})
        return _error(404, "The attachment with the given id does not exist")

    def _content(self, _request: Request, known: bool, number: str) -> Answer:
        for issue in self.site.issues.values():
            if number in issue.files and (known or issue.project.public) and not issue.closed:
                known_file, content = issue.files[number]
                return Answer(200, content, {"content-type": known_file["mimeType"]}, ranges=True)
        return _error(404, "The attachment with the given id does not exist")

    # --- answers -------------------------------------------------------------------------------------

    def _page(
        self, request: Request, key: str, items: list[dict[str, Any]], size: int, most: int = 100
    ) -> Answer:
        start, wanted = request.number("startAt", 0), min(request.number("maxResults", size), most)
        shown = items[start : start + wanted]
        told = {"startAt": start, "maxResults": wanted, "total": len(items), key: shown}
        return data({**told, "isLast": start + wanted >= len(items)} if key == "values" else told)

    def _person(self, name: str) -> dict[str, Any]:
        shown = {"displayName": name.title(), "emailAddress": f"{name}@acme.test", "active": True}
        return {**shown, "accountId": f"account-{name}"} if self.cloud else {**shown, "name": name}


def _place(issue: Issue, jql: str) -> list[float]:
    """Where an issue stands in the order of a search."""
    order = _ORDER.search(jql)
    at = issue.updated if order and order[1].lower() == "updated" else issue.created
    return [at.timestamp(), float(issue.id)]


def _error(status: int, message: str) -> Answer:
    return data({"errorMessages": [message], "errors": {}}, status)


def _time(at: datetime) -> str:
    """``2026-01-02T03:04:05.678+0000``, as Jira writes it."""
    return at.astimezone(UTC).strftime(_WRITTEN)[:-3] + "+0000"
