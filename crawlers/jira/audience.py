"""Who can read a project: whoever holds its permission Browse projects."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

import msgspec

from unsprawl.crawlers.atlassian.transport import AtlassianConfig, Site
from unsprawl.crawlers.jira.api import JiraApi
from unsprawl.errors import AuthError, SourceError
from unsprawl.records import Audience

__all__ = ["Audiences", "filter_audience", "of_grants"]

_BROWSE: Final = "BROWSE_PROJECTS"
#: Refusals in a row after which nobody is asked any more: the account administers nothing.
_REFUSALS: Final = 3
_EVERYONE_WAITS: Final = 10.0


class Audiences:
    """Asks at most once a project, and only for projects that are read. Threads may share it."""

    def __init__(self, api: JiraApi) -> None:
        self._api = api
        self._lock = Lock()
        self._known: dict[str, Audience] = {}
        self._refused = 0

    @staticmethod
    def public_projects(name: str, config: AtlassianConfig) -> frozenset[str]:
        """The keys of the projects that a stranger is shown, asked for as a stranger."""
        if config.token is None:
            return frozenset()
        nobody = msgspec.structs.replace(
            config,
            user="",
            token=None,
            cloud_id="",
            deployment="cloud" if config.is_cloud else "data-center",
            max_wait=min(config.max_wait, _EVERYONE_WAITS),
        )
        site = Site(name, nobody, "jira")
        try:
            return frozenset(str(one.get("key")) for one in JiraApi(site).projects())
        except SourceError:
            return frozenset()  # strangers are shown nothing
        finally:
            site.close()

    def of_project(self, key: str, *, public: bool = False) -> Audience:
        """``UNKNOWN`` where the account may not ask."""
        if public:
            return Audience.PUBLIC
        if self._api.site.anonymous:
            return Audience.PUBLIC
        with self._lock:
            if key not in self._known and self._refused < _REFUSALS:
                try:
                    self._known[key] = of_grants(self._api.grants(key))
                    self._refused = 0
                except AuthError:
                    raise
                except SourceError:
                    self._refused += 1
                    self._known[key] = Audience.UNKNOWN
            return self._known.get(key, Audience.UNKNOWN)

    def unknown(self) -> Audience:
        return Audience.UNKNOWN


def of_grants(grants: list[dict[str, Any]]) -> Audience:
    """The widest circle that may browse."""
    holders = [one.get("holder") for one in grants if one.get("permission") == _BROWSE]
    kinds = {
        (str(one.get("type")), bool(one.get("parameter") or one.get("value")))
        for one in holders
        if isinstance(one, Mapping)
    }
    if ("anyone", False) in kinds or ("anyone", True) in kinds:
        return Audience.PUBLIC
    if any(kind.startswith("sd.customer") for kind, _ in kinds):
        return Audience.EXTERNAL
    # The role of an application without a name is everybody who logs in.
    if ("applicationRole", False) in kinds:
        return Audience.ORGANISATION
    return Audience.RESTRICTED if kinds else Audience.UNKNOWN


def filter_audience(one: Mapping[str, Any]) -> Audience:
    """Of a saved search, by whom it is shared with."""
    shares = one.get("sharePermissions")
    if not isinstance(shares, list):
        return Audience.UNKNOWN
    kinds = {str(share.get("type")) for share in shares if isinstance(share, Mapping)}
    if "global" in kinds:
        return Audience.PUBLIC
    return Audience.ORGANISATION if kinds & {"loggedin", "authenticated"} else Audience.RESTRICTED
