"""Azure Container Registry: the catalog of the protocol, and every manifest by an API of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from unsprawl.crawlers.registry.api import Api, by_link, items, text
from unsprawl.crawlers.registry.listing import Catalog, Reference, Repository
from unsprawl.errors import AuthError
from unsprawl.oci.distribution import is_tag
from unsprawl.secret import Secret
from unsprawl.wire import hosts
from unsprawl.wire.client import Client

__all__ = ["ANYBODY", "Azure", "exchange"]

#: The user's name for whom a refresh token is the password.
ANYBODY: Final = "00000000-0000-0000-0000-000000000000"
_PAGE: Final = {"n": "100"}


class Azure:
    """``api`` speaks to the registry itself, with its tokens."""

    def __init__(self, api: Api, tags: Catalog) -> None:
        self._api = api
        self._tags = tags

    def repositories(self) -> Iterator[Repository]:
        return self._tags.repositories()

    def references(self, name: str) -> Iterator[Reference]:
        scope = f"repository:{name}:metadata_read"
        for page in self._api.pages(f"/acr/v1/{name}/_manifests", _PAGE, by_link, scope=scope):
            for one in items(page, "manifests"):
                digest = text(one.get("digest"))
                tags = one.get("tags")
                named = [tag for tag in tags if is_tag(tag)] if isinstance(tags, list) else []
                yield from (Reference(tag, digest) for tag in named)
                if not named:
                    yield Reference(digest=digest)


def exchange(url: str, token: Secret) -> tuple[str, Secret]:
    """A login from an access token of Entra ID: the registry gives a refresh token for it."""
    host = hosts.origin(url)[1]
    form = {"grant_type": "access_token", "service": host, "access_token": token.text()}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    with Client(url) as client:
        answer = client.request("POST", "/oauth2/exchange", headers=headers, content=urlencode(form).encode())
    if answer.status in (400, 401, 403):
        raise AuthError(
            f"{host} refused the access token ({answer.status})",
            hint="give a fresh one, for instance of `az account get-access-token`; or `user` and `token`",
        )
    content = answer.expect("a token").json()
    refresh = text(content.get("refresh_token")) if isinstance(content, dict) else ""
    return ANYBODY, Secret(refresh)
