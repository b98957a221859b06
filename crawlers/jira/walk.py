"""Finding issues: by windows of time, over pages that repeat, shift or expire.

A place in a walk is a time (`created` for all issues, `updated` for what changed), for the site's own
tokens live a few days. Times in a search are minutes in the zone of the user who searches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from unsprawl.crawlers.atlassian.transport import RefusedError, when
from unsprawl.crawlers.jira.api import JiraApi
from unsprawl.errors import UnreadableError

__all__ = ["Changes", "Page", "Place", "clock", "since", "walk"]

#: An issue may be found this much later than it was changed: searches are made on an index.
_LAG: Final = timedelta(minutes=15)
#: Where the user's zone is not known, times are taken this much earlier.
_ANY_ZONE: Final = timedelta(hours=26)
_STALE: Final = 3
#: Pages of what changed anywhere, before it is cheaper to ask project by project.
_CHANGED_PAGES: Final = 10


@dataclass(frozen=True, slots=True)
class Page:
    """Issues that this walk has not met before, and where it goes on behind them."""

    issues: list[dict[str, Any]]
    names: Mapping[str, str]
    behind: Place


@dataclass(frozen=True, slots=True)
class Place:
    """``at`` is a time behind which nothing is missing. ``token`` leads to the next page of the search that
    began at ``window``, as long as the site takes it; ``last`` is the issue before that page.
    """

    at: datetime | None = None
    window: datetime | None = None
    token: str = ""
    last: str = ""


def clock(at: datetime, zone: str) -> str:
    """A time for a search: the minute as ``zone`` writes it, never a later one."""
    try:
        there: Any = ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        there, at = UTC, at - _ANY_ZONE
    local = at.astimezone(there)
    if local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
        local = (at - timedelta(hours=1)).astimezone(there)  # the hour that comes twice in autumn
    return local.strftime("%Y/%m/%d %H:%M")


def since(mark: datetime, zone: str) -> str:
    """The condition for what changed after ``mark``."""
    return f'updated >= "{clock(mark - _LAG, zone)}"'


def walk(
    api: JiraApi,
    clause: str,
    order: Literal["created", "updated"],
    zone: str,
    place: Place,
    what: str,
) -> Iterator[Page]:
    """The issues of ``clause`` from a place on, each once.

    A token that is no longer taken, or a list that shifted, costs another search from the last place.
    """
    met = {place.last} if place.last else set()
    at, token = place.at, place.token
    window = place.window if token else at
    stale, useful, came = 0, True, set(met)
    while True:
        # A token belongs to its search: the window moves only where a search begins.
        begin = f' AND {order} >= "{clock(window, zone)}"' if window else ""
        try:
            found = api.search(f"{clause}{begin} ORDER BY {order} ASC", token, what=what)
        except RefusedError as error:
            if error.status != 400 or not token or not useful:
                raise
            token, window, useful, came = "", at, False, set()
            continue
        issues = [one for one in found.issues if isinstance(one.get("fields"), dict) and one.get("id")]
        if token and not api.site.cloud and useful and issues and str(issues[0]["id"]) not in met:
            token, window, useful, came = "", at, False, set()
            continue
        came |= {str(one["id"]) for one in issues}
        fresh = {str(one["id"]): one for one in issues if str(one["id"]) not in met}
        met |= fresh.keys()
        times = [time for one in issues if (time := when(one["fields"].get(order)))]
        at = min(times) if times else at
        token, useful, stale = found.token, useful or bool(fresh), 0 if fresh else stale + 1
        if stale >= _STALE and token:
            raise UnreadableError(f"{what} repeat without an end: {len(met)} were found")
        last = str(issues[-1]["id"]) if issues else ""
        yield Page(list(fresh.values()), found.names, Place(at, window, token, last))
        if token:
            continue
        # A list that says how long it is tells what never came, unless the walk began in its middle.
        if found.total is None or place.token or len(came) >= found.total:
            return
        if not useful:
            raise UnreadableError(f"{what}: only {len(came)} of {found.total} were given")
        token, window, useful, came = "", place.at, False, set()


class Changes:
    """Which projects changed: one search for all of them, as long as few did. Threads may share it."""

    def __init__(self, api: JiraApi, zone: str) -> None:
        self._api = api
        self._zone = zone
        self._lock = Lock()
        self._since: datetime | None = None
        self._projects: set[str] | None = None

    def in_project(self, number: str, mark: datetime) -> bool:
        """Whether an issue of a project was changed since ``mark``, or may have been."""
        with self._lock:
            if self._since is None or mark < self._since:
                self._since, self._projects = mark, self._changed(mark)
            return self._projects is None or number in self._projects

    def _changed(self, mark: datetime) -> set[str] | None:
        jql, token = f"{since(mark, self._zone)} ORDER BY updated ASC", ""
        projects: set[str] = set()
        for _ in range(_CHANGED_PAGES):
            try:
                found = self._api.search(jql, token, fields=("project",))
            except RefusedError:
                return None
            for issue in found.issues:
                fields = issue.get("fields")
                project = fields.get("project") if isinstance(fields, dict) else None
                if not isinstance(project, dict):
                    return None
                projects.add(str(project.get("id")))
            token = found.token
            if not token:
                return projects
        return None
