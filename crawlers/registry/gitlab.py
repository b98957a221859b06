"""GitLab's registry: the repositories of groups and projects. Its API tells no manifest without a tag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from unsprawl.crawlers.registry.api import Api, by_link, items, segment, text
from unsprawl.crawlers.registry.listing import Catalog, Reference, Refused, Repository, each
from unsprawl.errors import UnreadableError
from unsprawl.records import Audience

__all__ = ["GITLAB_API", "GitLab"]

GITLAB_API: Final = "https://gitlab.com"
_API: Final = "/api/v4"
_PAGE: Final = "100"
_AUDIENCES: Final = {
    "public": Audience.PUBLIC,
    "internal": Audience.ORGANISATION,
    "private": Audience.RESTRICTED,
}


class GitLab:
    """``namespaces`` are paths of groups and projects; without any all projects the account belongs to."""

    def __init__(self, api: Api, namespaces: Sequence[str], tags: Catalog) -> None:
        self._api = api
        self._namespaces = namespaces
        self._tags = tags

    def repositories(self) -> Iterator[Repository | Refused]:
        yield from each(self._namespaces, self._in)
        if not self._namespaces:
            params = {"membership": "true", "order_by": "id", "sort": "asc", "per_page": _PAGE}
            for page in self._api.pages(f"{_API}/projects", params, by_link):
                for project in items(page):
                    if project.get("container_registry_access_level", "enabled") != "disabled":
                        name = text(project.get("path_with_namespace"))
                        yield from each([name], partial(self._of, project))

    def _in(self, namespace: str) -> Iterator[Repository]:
        try:
            yield from self._listed(f"{_API}/groups/{segment(namespace)}/registry/repositories")
        except UnreadableError as error:
            if "(404)" not in error.message:
                raise
            # No group of this name: a project, then.
            yield from self._of(self._api.get(f"{_API}/projects/{segment(namespace)}").json())

    def references(self, name: str) -> Iterator[Reference]:
        return self._tags.references(name)

    def _of(self, project: Any, _name: str = "") -> Iterator[Repository]:
        number = project.get("id") if isinstance(project, dict) else None
        if not isinstance(number, int):
            raise UnreadableError("the API answered a project without a number")
        audience = _AUDIENCES.get(text(project.get("visibility")), Audience.UNKNOWN)
        try:
            yield from self._listed(f"{_API}/projects/{number}/registry/repositories", audience)
        except UnreadableError as error:
            # A project whose registry is switched off answers as if it were not there.
            if "(404)" not in error.message:
                raise

    def _listed(self, path: str, audience: Audience = Audience.UNKNOWN) -> Iterator[Repository]:
        for page in self._api.pages(path, {"per_page": _PAGE}, by_link):
            for one in items(page):
                yield Repository(text(one.get("path")), audience)
