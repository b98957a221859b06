"""Harbor: projects, their repositories, and every artifact with tags or without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from unsprawl.crawlers.registry.api import Api, by_link, items, segment, text
from unsprawl.crawlers.registry.listing import Reference, Refused, Repository, each
from unsprawl.records import Audience

__all__ = ["Harbor"]

_API: Final = "/api/v2.0"
_PAGE: Final = {"page_size": "100", "page": "1"}


class Harbor:
    """``namespaces`` are projects; without any all that the account can see."""

    def __init__(self, api: Api, namespaces: Sequence[str]) -> None:
        self._api = api
        self._namespaces = namespaces

    def repositories(self) -> Iterator[Repository | Refused]:
        if self._namespaces:
            yield from each(self._namespaces, self._of)
            return
        for page in self._api.pages(f"{_API}/projects", _PAGE, by_link):
            for project in items(page):
                yield from each([text(project.get("name"))], partial(self._of, project=project))

    def _of(self, name: str, project: Any = None) -> Iterator[Repository]:
        path = f"{_API}/projects/{segment(name)}"
        audience = _audience(project or self._api.get(path).json())
        for page in self._api.pages(f"{path}/repositories", _PAGE, by_link):
            for one in items(page):
                yield Repository(text(one.get("name")), audience)

    def references(self, name: str) -> Iterator[Reference]:
        project, _, repository = name.partition("/")
        # A slash within a repository's name is encoded twice: the gateway takes one layer off.
        inner = segment(segment(repository))
        path = f"{_API}/projects/{segment(project)}/repositories/{inner}/artifacts"
        params = {**_PAGE, "with_tag": "true", "with_accessory": "true"}
        for page in self._api.pages(path, params, by_link):
            for one in items(page):
                digest = text(one.get("digest"))
                tags = [text(tag.get("name")) for tag in items(one, "tags")]
                yield from (Reference(tag, digest) for tag in tags)
                if not tags:
                    yield Reference(digest=digest)
                for accessory in items(one, "accessories"):
                    yield Reference(digest=text(accessory.get("digest")))


def _audience(project: Any) -> Audience:
    metadata = project.get("metadata") if isinstance(project, dict) else None
    public = metadata.get("public") if isinstance(metadata, dict) else None
    return {"true": Audience.PUBLIC, "false": Audience.RESTRICTED}.get(str(public).lower(), Audience.UNKNOWN)
