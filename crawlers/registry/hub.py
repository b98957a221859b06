"""Docker Hub: repositories of namespaces, tags with their digests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Final

from unsprawl.crawlers.registry.api import Api, items, segment, text
from unsprawl.crawlers.registry.listing import Reference, Refused, Repository, each
from unsprawl.errors import AuthError
from unsprawl.records import Audience
from unsprawl.secret import Secret
from unsprawl.wire.client import Client, Response

__all__ = ["HUB_API", "Hub", "HubLogin"]

HUB_API: Final = "https://hub.docker.com"
_PAGE: Final = "100"


class HubLogin:
    """User and access token, exchanged for a short-lived one by the Hub itself."""

    def __init__(self, base: str, user: str, secret: Secret) -> None:
        self._base = base
        self._user = user
        self._secret = secret
        self._held: Mapping[str, str] = {}
        self._lock = Lock()

    def headers(self, scope: str) -> Mapping[str, str]:  # noqa: ARG002
        with self._lock:
            if not self._held:
                self._held = {"authorization": f"Bearer {self._fetch()}"}
            return self._held

    def renew(self, scope: str, challenge: str) -> bool:  # noqa: ARG002
        with self._lock:
            stale, self._held = self._held, {"authorization": f"Bearer {self._fetch()}"}
            return stale != self._held

    def _fetch(self) -> str:
        login = json.dumps({"identifier": self._user, "secret": self._secret.text()}).encode()
        headers = {"content-type": "application/json"}
        with Client(self._base) as client:
            answer = client.request("POST", "/v2/auth/token", headers=headers, content=login)
        if answer.status in (400, 401, 403):
            raise AuthError(
                f"Docker Hub refused user and token ({answer.status})",
                hint="check `user` and `token` of this source",
            )
        content = answer.expect("a token").json()
        return text(content.get("access_token")) if isinstance(content, dict) else ""


class Hub:
    """``namespaces`` are users and organisations."""

    def __init__(self, api: Api, namespaces: Sequence[str]) -> None:
        self._api = api
        self._namespaces = namespaces

    def repositories(self) -> Iterator[Repository | Refused]:
        return each(self._namespaces, self._of)

    def _of(self, namespace: str) -> Iterator[Repository]:
        path = f"/v2/namespaces/{segment(namespace)}/repositories"
        for page in self._api.pages(path, {"page_size": _PAGE, "page": "1"}, _next):
            for one in items(page, "results"):
                audience = Audience.RESTRICTED if one.get("is_private") else Audience.PUBLIC
                yield Repository(f"{namespace}/{text(one.get('name'))}", audience)

    def references(self, name: str) -> Iterator[Reference]:
        namespace, _, repository = name.rpartition("/")
        path = f"/v2/namespaces/{segment(namespace or 'library')}/repositories/{segment(repository)}/tags"
        for page in self._api.pages(path, {"page_size": _PAGE, "page": "1"}, _next):
            for one in items(page, "results"):
                yield Reference(text(one.get("name")), text(one.get("digest")))


def _next(_answer: Response, content: Any, params: Mapping[str, str]) -> Mapping[str, str] | None:
    """Pages are numbered; ``next`` says whether there is another. An empty one is the last."""
    more = isinstance(content, dict) and bool(content.get("next")) and bool(content.get("results"))
    return {**params, "page": str(int(params["page"]) + 1)} if more else None
