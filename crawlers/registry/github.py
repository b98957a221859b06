"""GitHub's container registry: packages of organisations and users, with all their versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from unsprawl.crawlers.registry.api import Api, by_link, items, segment, text
from unsprawl.crawlers.registry.listing import Reference, Refused, Repository, each
from unsprawl.errors import UnreadableError
from unsprawl.records import Audience

__all__ = ["GITHUB_API", "GITHUB_HEADERS", "GitHub"]

GITHUB_API: Final = "https://api.github.com"
GITHUB_HEADERS: Final = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
_PAGE: Final = "100"
_AUDIENCES: Final = {
    "public": Audience.PUBLIC,
    "internal": Audience.ORGANISATION,
    "private": Audience.RESTRICTED,
}


class GitHub:
    """``namespaces`` are organisations and users. A version is a manifest, with tags or without."""

    def __init__(self, api: Api, namespaces: Sequence[str]) -> None:
        self._api = api
        self._namespaces = namespaces
        self._kinds: dict[str, str] = {}

    def repositories(self) -> Iterator[Repository | Refused]:
        return each(self._namespaces, self._of)

    def _of(self, owner: str) -> Iterator[Repository]:
        for page in self._pages(owner, "packages", {"package_type": "container", "per_page": _PAGE}):
            for one in items(page):
                # Names of images are in lower case, those of owners need not be.
                name = f"{owner}/{text(one.get('name'))}".lower()
                yield Repository(name, _AUDIENCES.get(text(one.get("visibility")), Audience.UNKNOWN))

    def references(self, name: str) -> Iterator[Reference]:
        owner, _, package = name.partition("/")
        path = f"packages/container/{segment(package)}/versions"
        for page in self._pages(owner, path, {"per_page": _PAGE, "state": "active"}):
            for one in items(page):
                digest = text(one.get("name"))
                tags = _tags(one)
                yield from (Reference(tag, digest) for tag in tags)
                if not tags:
                    yield Reference(digest=digest)

    def _pages(self, owner: str, path: str, params: dict[str, str]) -> Iterator[Any]:
        """An owner is an organisation or a user: which of them shows at the first request."""
        kinds = [self._kinds[owner]] if owner in self._kinds else ["orgs", "users"]
        for kind in kinds:
            try:
                for page in self._api.pages(f"/{kind}/{segment(owner)}/{path}", params, by_link):
                    self._kinds[owner] = kind
                    yield page
            except UnreadableError as error:
                if kind == kinds[-1] or owner in self._kinds or "(404)" not in error.message:
                    raise
            else:
                return


def _tags(version: dict[str, Any]) -> list[str]:
    metadata = version.get("metadata")
    container = metadata.get("container") if isinstance(metadata, dict) else None
    tags = container.get("tags") if isinstance(container, dict) else None
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
