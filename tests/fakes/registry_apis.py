"""The APIs beside the protocol, answered from what lies in a built-in registry.

Shapes, paging and refusals are those that the vendors document. Pages are small, so that there are several.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlencode

from unsprawl.estate.registry_server import Answer, RegistryServer, Request

__all__ = ["azure", "github", "gitlab", "google", "harbor", "hub", "quay"]

PAGE = 2
Api = Callable[[Request, bytes], Answer | None]
Item = TypeVar("Item")


def images(server: RegistryServer, name: str) -> list[tuple[str, list[str]]]:
    """Every manifest of a repository with its tags."""
    repository = server.repositories[name]
    return [
        (digest, sorted(tag for tag, named in repository.tags.items() if named == digest))
        for digest in sorted(repository.manifests)
    ]


def names(server: RegistryServer, under: str = "") -> list[str]:
    return sorted(
        name for name, one in server.repositories.items() if one.manifests and name.startswith(under)
    )


def query(request: Request) -> dict[str, str]:
    return {key: values[-1] for key, values in parse_qs(request.query).items()}


def numbered(request: Request, values: Sequence[Item]) -> tuple[list[Item], bool]:
    """The page that is asked for by number, and whether there is another."""
    page = int(query(request).get("page", "1"))
    return list(values[(page - 1) * PAGE : page * PAGE]), page * PAGE < len(values)


def linked(request: Request, values: Sequence[Any], raw: str) -> Answer:
    """A numbered page whose ``Link`` leads on, to a host that only the inside knows."""
    page, more = numbered(request, values)
    following = {**query(request), "page": str(int(query(request).get("page", "1")) + 1)}
    link = {"Link": f'<http://inner.test{raw}?{urlencode(following)}>; rel="next"'} if more else {}
    return 200, link, page


def refused(status: int, message: str, **headers: str) -> Answer:
    return status, headers, {"message": message}


def hub(server: RegistryServer, user: str, token: str) -> Api:
    """Private repositories are shown to those who exchanged their token."""
    given: set[str] = set()

    def answer(request: Request, body: bytes) -> Answer | None:
        if request.path == "/v2/auth/token":
            login = json.loads(body)
            if (login["identifier"], login["secret"]) != (user, token):
                return refused(401, "incorrect authentication credentials")
            given.add(f"Bearer jwt-{len(given)}")
            return 200, {}, {"access_token": f"jwt-{len(given) - 1}"}
        parts = request.path.strip("/").split("/")
        if parts[:2] != ["v2", "namespaces"]:
            return None
        known = request.headers.get("authorization", "") in given
        mine = names(server, f"{parts[2]}/")
        if len(parts) == 4:
            shown = [name for name in mine if known or "private" not in name]
            named, more = numbered(request, shown)
            rows: list[dict[str, Any]] = [
                {"name": name.partition("/")[2], "is_private": "private" in name} for name in named
            ]
        else:
            tags = [
                (tag, digest) for digest, found in images(server, f"{parts[2]}/{parts[4]}") for tag in found
            ]
            tagged, more = numbered(request, tags)
            rows = [{"name": tag, "digest": digest, "images": []} for tag, digest in tagged]
        following = "https://hub.test/?page=" if more else None
        return 200, {}, {"count": 99, "next": following, "previous": None, "results": rows}

    return answer


def github(server: RegistryServer, token: str, owners: Mapping[str, str]) -> Api:
    """``owners`` are names with their kind, ``orgs`` or ``users``."""

    def answer(request: Request, _body: bytes) -> Answer | None:
        if request.headers.get("authorization") != f"Bearer {token}":
            return refused(401, "Bad credentials")
        kind, owner, _packages, *rest = request.path.strip("/").split("/")
        if owners.get(owner) != kind:
            return refused(404, "Not Found")
        if not rest:
            rows: list[dict[str, Any]] = [
                {"name": name.partition("/")[2], "package_type": "container", "visibility": "private"}
                for name in names(server, f"{owner.lower()}/")
            ]
            return linked(request, rows, request.path)
        name = f"{owner.lower()}/{'/'.join(rest[1:-1])}"
        rows = [
            {"id": number, "name": digest, "metadata": {"container": {"tags": tags}}}
            for number, (digest, tags) in enumerate(images(server, name))
        ]
        return linked(request, rows, request.path)

    return answer


def harbor(server: RegistryServer, authorization: str) -> Api:
    def answer(request: Request, _body: bytes) -> Answer | None:
        if not request.path.startswith("/api/v2.0/"):
            return None
        if request.headers.get("authorization") != authorization:
            return refused(401, "unauthorized")
        parts = request.path.removeprefix("/api/v2.0/projects").strip("/").split("/")
        projects = sorted({name.partition("/")[0] for name in names(server)})
        described = [
            {"name": one, "metadata": {"public": str(one == "open").lower()}, "repo_count": 1}
            for one in projects
        ]
        if parts == [""]:
            return linked(request, described, request.path)
        if parts[0] not in projects:
            return refused(404, "not found")
        if len(parts) == 1:
            return 200, {}, described[projects.index(parts[0])]
        if len(parts) == 2:
            return linked(request, [{"name": one} for one in names(server, f"{parts[0]}/")], request.path)
        repository = unquote(parts[2])
        rows = [
            {"digest": digest, "type": "IMAGE", "tags": [{"name": tag} for tag in tags] or None}
            for digest, tags in images(server, f"{parts[0]}/{repository}")
        ]
        return linked(request, rows, request.path)

    return answer


def quay(server: RegistryServer, token: str, dead: Mapping[str, str]) -> Api:
    """``dead`` are tags that were deleted, with what they named."""

    def answer(request: Request, _body: bytes) -> Answer | None:
        if not request.path.startswith("/api/v1/repository"):
            return None
        if token and request.headers.get("authorization") != f"Bearer {token}":
            return refused(401, "invalid_token")
        rest = request.path.removeprefix("/api/v1/repository").strip("/")
        if not rest:
            at = int(query(request).get("next_page", "0"))
            found = names(server, f"{query(request)['namespace']}/")
            rows: list[dict[str, Any]] = [
                {"namespace": name.partition("/")[0], "name": name.partition("/")[2], "is_public": False}
                for name in found[at : at + PAGE]
            ]
            more = {"next_page": str(at + PAGE)} if at + PAGE < len(found) else {}
            return 200, {}, {"repositories": rows, **more}
        now = time.time()
        tags = [
            {"name": tag, "manifest_digest": digest, "start_ts": now - 9, "end_ts": now + 3600}
            for digest, found in images(server, rest.removesuffix("/tag"))
            for tag in found
        ]
        if query(request)["onlyActiveTags"] == "false":
            tags += [{"name": tag, "manifest_digest": dead[tag], "end_ts": now - 60} for tag in sorted(dead)]
        page, additional = numbered(request, tags)
        return 200, {}, {"tags": page, "page": 1, "has_additional": additional}

    return answer


def gitlab(server: RegistryServer, token: str, projects: Mapping[str, int], groups: Sequence[str]) -> Api:
    """``projects`` are paths with numbers."""

    def repositories(under: str) -> list[dict[str, Any]]:
        mine = [name for name in names(server) if name == under or name.startswith(f"{under}/")]
        return [{"id": at, "path": name, "name": ""} for at, name in enumerate(mine)]

    def answer(request: Request, _body: bytes) -> Answer | None:
        if request.headers.get("private-token") != token:
            return refused(401, "401 Unauthorized")
        described = [
            {"id": number, "path_with_namespace": path, "visibility": "internal"}
            for path, number in projects.items()
        ]
        path = request.path.removeprefix("/api/v4/")
        if path == "projects":
            return linked(request, described, request.path)
        kind, rest = path.split("/", 1)
        which = rest.removesuffix("/registry/repositories")
        if kind == "groups":
            if which not in groups:
                return refused(404, "404 Group Not Found")
            return linked(request, repositories(which), request.path)
        found = [one for one in described if which in (str(one["id"]), one["path_with_namespace"])]
        if not found:
            return refused(404, "404 Project Not Found")
        if which == rest:
            return 200, {}, found[0]
        return linked(request, repositories(str(found[0]["path_with_namespace"])), request.path)

    return answer


def azure(server: RegistryServer, token: str) -> Api:
    """Entra ID's access token for a refresh token, and all manifests of a repository."""

    def answer(request: Request, body: bytes) -> Answer | None:
        if request.path == "/oauth2/exchange":
            form = parse_qs(body.decode())
            if form.get("access_token") != [token]:
                return refused(401, "AADSTS")
            return 200, {}, {"refresh_token": "refresh"}
        if not request.path.startswith("/acr/v1/"):
            return None
        name = request.path.removeprefix("/acr/v1/").removesuffix("/_manifests")
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        granted, _ = server.tokens.get(bearer, ("", 0.0))
        scope = f"repository:{name}:metadata_read"
        if granted != scope:
            challenge = f'Bearer realm="{server.url}/token",service="acr",scope="{scope}"'
            return refused(401, "unauthorized", **{"WWW-Authenticate": challenge})
        last = query(request).get("last", "")
        rest = [(digest, tags) for digest, tags in images(server, name) if digest > last]
        rows: list[dict[str, Any]] = [
            {"digest": digest} | ({"tags": tags} if tags else {}) for digest, tags in rest[:PAGE]
        ]
        more = urlencode({"last": rest[PAGE - 1][0], "n": PAGE}) if len(rest) > PAGE else ""
        link = {"Link": f'</acr/v1/{name}/_manifests?{more}>; rel="next"'} if more else {}
        return 200, link, {"registry": "acme", "imageName": name, "manifests": rows or None}

    return answer


def google(server: RegistryServer, token: str) -> Api:
    def paged(request: Request, key: str, rows: list[dict[str, Any]]) -> Answer:
        at = int(query(request).get("pageToken", "0"))
        more = {"nextPageToken": str(at + PAGE)} if at + PAGE < len(rows) else {}
        return 200, {}, {key: rows[at : at + PAGE], **more}

    def answer(request: Request, _body: bytes) -> Answer | None:
        if request.headers.get("authorization") != f"Bearer {token}":
            return refused(401, "UNAUTHENTICATED")
        _v1, _projects, project, _locations, location, _repositories, *rest = request.path.strip("/").split(
            "/"
        )
        if location != "europe-west3":
            return refused(404, "NOT_FOUND")
        top = f"projects/{project}/locations/{location}/repositories"
        if not rest:
            found = sorted({name.split("/")[1] for name in names(server, f"{project}/")})
            docker = [{"name": f"{top}/{one}", "format": "DOCKER"} for one in found]
            return paged(request, "repositories", [{"name": f"{top}/pip", "format": "PYTHON"}, *docker])
        rows: list[dict[str, Any]] = [
            {
                "name": f"{top}/{rest[0]}/dockerImages/{quote(name.split('/', 2)[2], safe='')}@{digest}",
                "uri": f"europe-west3-docker.pkg.dev/{name}@{digest}",
                **({"tags": tags} if tags else {}),
            }
            for name in names(server, f"{project}/{rest[0]}/")
            for digest, tags in images(server, name)
        ]
        return paged(request, "dockerImages", rows)

    return answer
