"""What ``unsprawl doctor`` says of a Jira: who asks, what is reached, what will not be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from unsprawl.crawlers.jira.api import JiraApi
from unsprawl.errors import SourceError
from unsprawl.records import Diagnosis

__all__ = ["diagnosed"]

_ADMIN: Final = "ADMINISTER_PROJECTS"
_SHOWN: Final = 20


class Selection(Protocol):
    @property
    def projects(self) -> tuple[str, ...]: ...


def diagnosed(api: JiraApi, selection: Selection) -> Iterator[Diagnosis]:
    """One thing after the other; what stands on a failed one is not tried."""
    how = "as nobody in particular"
    try:
        if not api.site.anonymous:
            me = api.myself()
            how = f"as {me.get('displayName') or me.get('name') or 'the account of the token'}"
        api.now()
    except SourceError as error:
        yield _failed(f"log in to {api.site.base}", error)
        return
    yield Diagnosis(f"log in to {api.site.base} {how}", True)
    try:
        projects = list(api.projects())
    except SourceError as error:
        yield _failed("list the projects", error)
        return
    keys = [str(one.get("key")) for one in projects if one.get("archived") is not True]
    hint = "give the account Browse projects, in a role or group of each project"
    yield Diagnosis(f"browse {len(keys)} projects", bool(keys), "" if keys else hint)
    archived = len(projects) - len(keys)
    if archived:
        yield Diagnosis(f"{archived} archived projects are not searched", False, "restore or accept them")
    for key in selection.projects:
        if "*" not in key and key not in keys:
            yield Diagnosis(f"{key}: no such project is shown to this account", False, hint)
    for key in keys[:1]:
        try:
            found = api.search(f'project = "{key}" ORDER BY created ASC', size=1)
        except SourceError as error:
            yield _failed(f"search issues of {key}", error)
            continue
        yield Diagnosis(f"search issues of {key}", True)
        yield from _one_issue(api, found.issues)
        yield from _grants(api, key)
    try:
        next(api.filters(), None)
    except SourceError as error:
        yield _failed("list the filters", error)
    else:
        hint = "" if api.site.cloud else "Data Center lists only the account's favourites"
        yield Diagnosis("list the filters", True, hint)
    yield Diagnosis(
        "issues with a security level are seen where this account is in the level",
        True,
        "add the account to each level that has to be read; what is hidden cannot be counted",
    )


def _one_issue(api: JiraApi, issues: list[dict[str, object]]) -> Iterator[Diagnosis]:
    for issue in issues:
        number, key = str(issue.get("id")), str(issue.get("key"))
        for what, call in (("links", api.links), ("properties", api.properties)):
            try:
                call(number, key)
            except SourceError as error:
                yield _failed(f"read the {what} of an issue", error)
            else:
                yield Diagnosis(f"read the {what} of an issue", True)


def _grants(api: JiraApi, key: str) -> Iterator[Diagnosis]:
    try:
        api.grants(key)
    except SourceError:
        hint = f"the permission {_ADMIN} would tell; without it only public projects are known"
        yield Diagnosis("who can read a project stays unknown", True, hint)
    else:
        yield Diagnosis("who can read a project", True)


def _failed(what: str, error: SourceError) -> Diagnosis:
    return Diagnosis(what, False, f"{error.message}; {error.hint}" if error.hint else error.message)
