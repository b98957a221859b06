"""Issues of Jira, in the Cloud and in Data Center, with all that is said, attached and remembered there.

    jira://HOST/issue/ID              fields, comments, worklogs, links and properties, as one text
    jira://HOST/issue/ID/history      what was removed from it and is still shown by its history
    jira://HOST/attachment/ID         a file
    jira://HOST/project/KEY           description, components, versions, properties of a project
    jira://HOST/filter/ID             a saved search

A project is a row of the ledger and a unit, a large one is a unit for each year. The first run walks by
time of creation, later ones ask what changed: once for the whole site, then where something did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from threading import Lock
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import quote, unquote
from uuid import uuid4

import msgspec

from unsprawl.crawlers.atlassian.transport import NEEDS, AtlassianConfig, Site, when
from unsprawl.crawlers.jira import cleanup
from unsprawl.crawlers.jira.api import JiraApi
from unsprawl.crawlers.jira.audience import Audiences, filter_audience
from unsprawl.crawlers.jira.doctor import diagnosed
from unsprawl.crawlers.jira.issue import Depth, Issues
from unsprawl.crawlers.jira.project import filter_document, project_document, project_version
from unsprawl.crawlers.jira.walk import Changes, Place, since, walk
from unsprawl.errors import AuthError, GoneError, SourceError, UnreadableError
from unsprawl.records import (
    Checkpoint,
    Cleanup,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Seen,
    Skipped,
    Unchanged,
    Unit,
)
from unsprawl.wire import hosts

__all__ = ["JiraSource"]

#: Issues of a project from which on each year is a unit of its own.
LARGE: Final = 20_000
#: Issues that could not be read wholly are asked for again by the next run; more of them begin it anew.
_MOST_AGAIN: Final = 200
_EXCLUDED: Final = "left out by exclude"
_ARCHIVED: Final = "archived: its issues cannot be searched"


class JiraSource:
    """``jira {url, user, token, projects}``: one site, read as one account sees it."""

    type = "jira"
    needs: ClassVar[tuple[str, ...]] = NEEDS
    reads_in: Literal["coordinator"] = "coordinator"

    class Config(AtlassianConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Keys of a source of ``type: jira``.

        ``user`` and ``token`` are an e-mail address and its API token (Cloud); a ``token`` alone is a
        personal access token (Data Center). ``projects`` are keys or globs (default: all that may be
        browsed). ``remote_links`` and ``properties`` cost a request for each issue that is read. After
        ``relist_days`` everything is listed again, for a right that changes leaves no trace.
        """

        projects: tuple[str, ...] = ()
        remote_links: bool = True
        properties: bool = True
        relist_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 7

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.config = config
        address = hosts.base_url(config.url)
        self.top = f"jira://{address.partition('://')[2]}"
        self._lock = Lock()
        self._opened: JiraApi | None = None
        self._changes: tuple[str, Changes] | None = None
        self._audiences: Audiences | None = None

    # --- what there is ---------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002 - known by versions and times
        """The saved searches, then the projects by their keys."""
        api = self._api()
        zone = "" if api.site.anonymous else str(api.myself().get("timeZone") or "")
        shared = {"walk": uuid4().hex, "now": api.now().isoformat(), "zone": zone}
        public = Audiences.public_projects(self.name, self.config)
        yield Unit(f"{self.top}/filters", "filters", ("filters",), {**shared, "kind": "filters"})
        known: list[str] = []
        projects = list(api.projects())
        for project in projects:
            key, uri = str(project.get("key")), self._uri("project", project.get("key"))
            known.append(key)
            if not self._wanted(key):
                continue
            if self.config.excludes(key):
                yield Skipped(uri, _EXCLUDED, excluded=True, parents=(key,))
            elif project.get("archived") is True:
                yield Skipped(uri, _ARCHIVED, "restore it, or accept the gap", parents=(key,))
            else:
                data = {**shared, "project": _slim(project), "many": len(projects) > 1}
                data["public"] = key in public
                yield from self._project_units(api, key, uri, data)
        for key in self.config.projects:
            if not any(fnmatchcase(one, key) for one in known):
                hint = "does the account have Browse projects there?"
                yield Skipped(
                    self._uri("project", key), "no project of this name is shown", hint, parents=(key,)
                )
        if not known and not self.config.projects:
            hint = "give the account the permission Browse projects, the token the scope read:jira-work"
            yield Skipped(f"{self.top}/", "no project can be browsed", hint, parents=("projects",))

    def _project_units(
        self, api: JiraApi, key: str, uri: str, data: Mapping[str, Any]
    ) -> Iterator[Unit | Skipped]:
        """One unit, or one for each year in which issues of a large project were made."""
        number = data["project"]["id"]
        count = data["project"].get("count")
        years: list[int] = []
        if isinstance(count, int) and count >= LARGE:
            try:
                jql = f"project = {number} ORDER BY created ASC"
                first = api.search(jql, fields=("created",), size=1).issues
                made = when(first[0]["fields"].get("created")) if first else None
                now = when(data["now"])
                years = list(range(made.year, now.year + 1)) if made and now else []
            except AuthError:
                raise
            except SourceError:
                years = []  # the one unit tells what is wrong
        if len(years) < 2:
            yield Unit(uri, key, (key,), {**data, "slice": "", "first": True})
            return
        for year in years:
            low = f' AND created >= "{year}/01/01 00:00"' if year != years[0] else ""
            high = f' AND created < "{year + 1}/01/01 00:00"' if year != years[-1] else ""
            part = {**data, "slice": low + high, "first": not low}
            yield Unit(f"{uri}?created={year}", f"{key} {year}", (key,), part)

    def _wanted(self, key: str) -> bool:
        return not self.config.projects or any(fnmatchcase(key, one) for one in self.config.projects)

    # --- reading ---------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """A project: itself, then its issues, with a checkpoint behind each page.

        The cursor of a walk that goes on holds its place; that of one that ended, when it began
        (``mark``), when everything was ``listed``, and what has to be asked for ``again``. It counts as
        long as the project itself is known: else what was read was read by other rules.
        """
        if unit.data.get("kind") == "filters":
            yield from self._filters(seen)
            return
        data, place = unit.data, since or {}
        run = data["walk"]
        if place.get("ended") == run:
            return
        uri = self._uri("project", data["project"]["key"])
        if place.get("walk") != run and seen(uri) is None:
            place = {}
        refused: Skipped | None = None
        if "walk" not in place and data["first"]:
            told = self._project(uri, data, seen)
            refused = told if isinstance(told, Skipped) else None
            if refused is None:
                yield told
        began = place.get("began") or data["now"]
        issues = self._issues(data, seen)
        issues.failed.update(dict.fromkeys(place.get("again", ()) if "walk" in place else ()))
        issues.owed.update(dict.fromkeys(place.get("owed" if "walk" in place else "again", ())))
        mark, listed = _time(place, "mark"), _time(place, "listed")
        if "ended" in place and self._lists_again(data, listed):
            mark = None
        listed = listed if mark and listed else when(began)
        fixed = {"began": began, "listed": listed.isoformat() if listed else ""}
        try:
            if mark is None or self._may_have_changed(data, mark):
                yield from self._walk(data, place, mark, issues, {"walk": run, **fixed})
        except UnreadableError as error:
            yield Skipped(uri, error.message, error.hint)
            return  # the cursor stays where it is
        if refused:
            yield refused
        for number in list(issues.owed):
            yield from self._once_more(issues, number)
        ended = {"ended": run, "mark": began, "listed": fixed["listed"], "again": list(issues.failed)}
        yield Checkpoint(ended if len(issues.failed) <= _MOST_AGAIN else {})

    def _walk(
        self,
        data: Mapping[str, Any],
        place: Mapping[str, Any],
        mark: datetime | None,
        issues: Issues,
        fixed: Mapping[str, Any],
    ) -> Iterator[Event]:
        clause = f"project = {data['project']['id']}{data['slice']}"
        if mark:
            clause += f" AND {since(mark, data['zone'])}"
        begin = Place(at=_time(place, "place"))
        if place.get("walk") == fixed["walk"]:
            begin = Place(begin.at, _time(place, "window"), place["token"], place["last"])
        kept = {**fixed, "mark": mark.isoformat() if mark else ""}
        order: Literal["updated", "created"] = "updated" if mark else "created"
        what = f"the issues of {data['project']['key']}"
        for page in walk(self._api(), clause, order, data["zone"], begin, what):
            yield from issues.page(page.issues, page.names)
            behind = page.behind
            if behind.token:
                there = {
                    "place": behind.at.isoformat() if behind.at else "",
                    "window": behind.window.isoformat() if behind.window else "",
                    "token": behind.token,
                    "last": behind.last,
                }
                rest = {"again": list(issues.failed)[: _MOST_AGAIN + 1], "owed": list(issues.owed)}
                yield Checkpoint({**kept, **there, **rest})

    def _lists_again(self, data: Mapping[str, Any], listed: datetime | None) -> bool:
        """Whether it is time to list everything: a right or a security level changes without a trace."""
        now = when(data["now"])
        return listed is None or now is None or now - listed >= timedelta(days=self.config.relist_days)

    def _once_more(self, issues: Issues, number: str) -> Iterator[Event]:
        """An issue of which something could not be read in an earlier run."""
        try:
            found = self._api().issue(number)
        except AuthError:
            raise
        except SourceError as error:
            if getattr(error, "status", 0) != 404:
                issues.failed[number] = None
                yield Skipped(self._uri("issue", number), error.message, error.hint)
            return
        for raw in found.issues:
            yield from issues.events(raw, found.names)

    def _may_have_changed(self, data: Mapping[str, Any], mark: datetime) -> bool:
        if not data["many"]:
            return True
        with self._lock:
            if self._changes is None or self._changes[0] != data["walk"]:
                self._changes = (data["walk"], Changes(self._made(), data["zone"]))
            changes = self._changes[1]
        return changes.in_project(str(data["project"]["id"]), mark)

    def _issues(self, data: Mapping[str, Any], seen: Seen) -> Issues:
        config, audiences = self.config, self._known_audiences()
        return Issues(
            self._api(),
            self.top,
            Depth(config.remote_links, config.properties, config.max_attachment_bytes),
            lambda: audiences.of_project(data["project"]["key"], public=data["public"]),
            seen,
            config.excludes,
        )

    def _project(self, uri: str, data: Mapping[str, Any], seen: Seen) -> Event:
        """What a project says of itself."""
        project = data["project"]
        if seen(uri) == project_version(project):
            return Unchanged()
        try:
            audience = self._known_audiences().of_project(project["key"], public=data["public"])
            return project_document(self._api(), uri, project, audience)
        except UnreadableError as error:
            return Skipped(uri, error.message, error.hint)

    def _filters(self, seen: Seen) -> Iterator[Event]:
        for one in self._api().filters():
            uri = self._uri("filter", one.get("id"))
            document = filter_document(self._api(), uri, one, filter_audience(one))
            if self.config.excludes(document.path):
                yield Skipped(uri, _EXCLUDED, excluded=True)
            elif seen(uri) == document.version:
                yield Unchanged()
            else:
                yield document
        yield Checkpoint({})

    # --- cleaned one by one --------------------------------------------------------------------------

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:  # noqa: ARG002
        """To edit a comment, or to delete an attached file."""
        return cleanup.cleanups(self._api(), uri) if uri.startswith(f"{self.top}/") else ()

    def clean(
        self,
        uri: str,
        attrs: Mapping[str, Any],  # noqa: ARG002
        action: str,
        redact: Callable[[str], str],
    ) -> str:
        """Do it, if the account may."""
        if not uri.startswith(f"{self.top}/"):
            raise UnreadableError("not an address of this source")
        return cleanup.clean(self._api(), uri, action, redact)

    # --- asked for one by one --------------------------------------------------------------------

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one document again, whatever its version."""
        kind, _, number = uri.partition("#")[0].removeprefix(f"{self.top}/").partition("/")
        number, _, history = unquote(number).partition("/")
        if not uri.startswith(f"{self.top}/") or not number:
            return Skipped(uri, "not an address of this source")
        try:
            document = self._fetched(kind, number, uri.partition("#")[0], history=bool(history))
        except AuthError:
            raise
        except SourceError as error:
            return Skipped(uri, error.message, error.hint, gone=self._is_gone(error))
        return document or Skipped(uri, "no longer there", gone=True)

    def _is_gone(self, error: SourceError) -> bool:
        """A stranger is told of what is hidden that it does not exist; so is an account, of what it lost."""
        return isinstance(error, GoneError) and self.config.token is not None

    def _fetched(self, kind: str, number: str, uri: str, *, history: bool) -> Document | None:
        api, audiences = self._api(), self._known_audiences()
        if kind == "issue":
            found = api.issue(number)
            raw = found.issues[0]
            key = str(raw.get("key")).rpartition("-")[0]
            depth = Depth(self.config.remote_links, self.config.properties, 0)
            whole = Issues(
                api, self.top, depth, lambda: audiences.of_project(key), _never, self.config.excludes
            )
            issue, errors = whole.gathered(raw, found.names, None)
            if errors:
                raise errors[0]
            documents = list(whole.documents(raw, issue, ()))
            return next((one for one in documents if one.uri == uri), None) if history else documents[0]
        if kind == "attachment":
            file = {"id": number, **api.attachment(number)}
            depth = Depth(links=False, properties=False, largest_file=0)
            whole = Issues(api, self.top, depth, audiences.unknown, _never, self.config.excludes)
            return whole.file(file, uri, str(file.get("filename") or number), "")
        if kind == "project":
            found_project = _slim(api.project(number))
            return project_document(api, uri, found_project, audiences.of_project(number))
        if kind == "filter":
            one = api.filter(number)
            return filter_document(api, uri, one, filter_audience(one))
        return None

    def diagnose(self) -> Iterator[Diagnosis]:
        """What the account reaches, and what it will not see."""
        yield from diagnosed(self._api(), self.config)

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.site.close()

    # --- connections -----------------------------------------------------------------------------

    def _uri(self, kind: str, number: object) -> str:
        return f"{self.top}/{kind}/{quote(str(number), safe='')}"

    def _api(self) -> JiraApi:
        with self._lock:
            return self._made()

    def _made(self) -> JiraApi:
        if self._opened is None:
            self._opened = JiraApi(Site(self.name, self.config, "jira"))
        return self._opened

    def _known_audiences(self) -> Audiences:
        with self._lock:
            if self._audiences is None:
                self._audiences = Audiences(self._made())
            return self._audiences


def _slim(project: Mapping[str, Any]) -> dict[str, Any]:
    """What of a listed project has to travel with its unit."""
    insight = project.get("insight")
    kept = {key: project.get(key) for key in ("id", "key", "name", "description", "url", "isPrivate")}
    return {**kept, "count": insight.get("totalIssueCount") if isinstance(insight, dict) else None}


def _time(place: Mapping[str, Any], name: str) -> datetime | None:
    return when(place[name]) if place.get(name) else None


def _never(_key: str) -> None:
    return None
