"""Google Artifact Registry: repositories of projects, and every image with tags or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import unquote

from unsprawl.crawlers.registry.api import Api, by_token, items, segment, text
from unsprawl.crawlers.registry.listing import Reference, Refused, Repository, each

__all__ = ["GOOGLE_API", "Google", "location_of"]

GOOGLE_API: Final = "https://artifactregistry.googleapis.com"
_HOST: Final = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev")
_PAGE: Final = {"pageSize": "1000"}


def location_of(host: str) -> str:
    """The location that stands in front of a registry's host, "" in another name."""
    match = _HOST.fullmatch(host)
    return match[1] if match else ""


class Google:
    """``namespaces`` are projects, or ``project/repository``. ``location`` is that of the registry's host."""

    def __init__(self, api: Api, location: str, namespaces: Sequence[str]) -> None:
        self._api = api
        self._location = location
        self._namespaces = namespaces
        self._images: tuple[str, dict[str, list[Reference]]] = ("", {})

    def repositories(self) -> Iterator[Repository | Refused]:
        return each(self._namespaces, self._in)

    def _in(self, namespace: str) -> Iterator[Repository]:
        project, _, one = namespace.partition("/")
        for repository in [one] if one else self._named(project):
            yield from map(Repository, sorted(self._of(f"{project}/{repository}")))

    def references(self, name: str) -> Iterator[Reference]:
        project, _, rest = name.partition("/")
        repository = rest.partition("/")[0]
        return iter(self._of(f"{project}/{repository}").get(name, []))

    def _named(self, project: str) -> Iterator[str]:
        path = f"/v1/projects/{segment(project)}/locations/{segment(self._location)}/repositories"
        for page in self._api.pages(path, _PAGE, by_token("nextPageToken", "pageToken")):
            for one in items(page, "repositories"):
                if one.get("format") == "DOCKER":
                    yield unquote(text(one.get("name")).rpartition("/")[2])

    def _of(self, repository: str) -> dict[str, list[Reference]]:
        """All images of one repository: one listing tells them all, so the last one is kept."""
        if self._images[0] != repository:
            self._images = (repository, self._listed(repository))
        return self._images[1]

    def _listed(self, repository: str) -> dict[str, list[Reference]]:
        project, _, name = repository.partition("/")
        where = f"projects/{segment(project)}/locations/{segment(self._location)}"
        path = f"/v1/{where}/repositories/{segment(name)}/dockerImages"
        found: dict[str, list[Reference]] = {}
        for page in self._api.pages(path, _PAGE, by_token("nextPageToken", "pageToken")):
            for one in items(page, "dockerImages"):
                # HOST/PROJECT/REPOSITORY/IMAGE@DIGEST
                image, _, digest = text(one.get("uri")).partition("/")[2].partition("@")
                found.setdefault(image, []).extend(_references(one, digest))
        return found


def _references(image: dict[str, Any], digest: str) -> list[Reference]:
    tags = image.get("tags")
    named = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return [Reference(tag, digest) for tag in named] or [Reference(digest=digest)]
