"""Quay: repositories of namespaces, and the history of their tags."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from unsprawl.crawlers.registry.api import Api, by_token, items, text
from unsprawl.crawlers.registry.listing import Reference, Refused, Repository, each
from unsprawl.records import Audience
from unsprawl.wire.client import Response

__all__ = ["Quay"]

_API: Final = "/api/v1/repository"
_PAGE: Final = "100"


class Quay:
    """``namespaces`` are users and organisations.

    A tag that was moved or deleted stays in the history, and its manifest can be pulled by digest until
    Quay's time machine forgets it.
    """

    def __init__(self, api: Api, namespaces: Sequence[str]) -> None:
        self._api = api
        self._namespaces = namespaces

    def repositories(self) -> Iterator[Repository | Refused]:
        return each(self._namespaces, self._of)

    def _of(self, namespace: str) -> Iterator[Repository]:
        params = {"namespace": namespace, "public": "true"}
        for page in self._api.pages(_API, params, by_token("next_page", "next_page")):
            for one in items(page, "repositories"):
                audience = Audience.PUBLIC if one.get("is_public") else Audience.RESTRICTED
                yield Repository(f"{text(one.get('namespace'))}/{text(one.get('name'))}", audience)

    def references(self, name: str) -> Iterator[Reference]:
        params = {"limit": _PAGE, "page": "1", "onlyActiveTags": "false"}
        for page in self._api.pages(f"{_API}/{name}/tag/", params, _next):
            for one in items(page, "tags"):
                digest, end = text(one.get("manifest_digest")), one.get("end_ts")
                # A tag may have its end in the future.
                if isinstance(end, int | float) and end <= time.time():
                    yield Reference(digest=digest, fleeting=True)
                else:
                    yield Reference(text(one.get("name")), digest)


def _next(_answer: Response, content: Any, params: Mapping[str, str]) -> Mapping[str, str] | None:
    more = isinstance(content, dict) and content.get("has_additional") is True and bool(content.get("tags"))
    return {**params, "page": str(int(params["page"]) + 1)} if more else None
