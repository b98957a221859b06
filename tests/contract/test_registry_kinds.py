"""Every kind of registry tells its repositories, its tags and what has none, over pages and past refusals."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import registry_apis as apis
from registries import never, source, split

from unsprawl.crawlers.registry.source import RegistrySource
from unsprawl.errors import AuthError, ConfigError, SourceError
from unsprawl.estate.imagery import Image, Step, build, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Access, Fault, RegistryServer
from unsprawl.records import Audience, Document, Skipped

TOKEN = "api-token-of-the-test"
PASSWORD = "password-of-the-test"
NEW, OLD = (build([Step("COPY", layer({name: name}))], env=[f"N={name}"]) for name in ("new", "old"))


def fill(server: RegistryServer, *names: str) -> None:
    """Three tags and an image that lost its own."""
    for name in names:
        push(server.url, name, OLD)
        push(server.url, name, NEW, "v1", "v2", "latest")


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as one:
        yield one


@pytest.fixture
def beside() -> Iterator[RegistryServer]:
    """The host of an API that stands beside the registry."""
    with RegistryServer() as one:
        yield one


@contextlib.contextmanager
def opened(server: RegistryServer, **config: Any) -> Iterator[RegistrySource]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_TOKEN", TOKEN)
        patch.setenv("PASSWORD", PASSWORD)
        one = source(server.url, **config)
        try:
            yield one
        finally:
            one.close()


def told(one: RegistrySource) -> tuple[dict[str, set[str]], list[Skipped]]:
    """Repositories with the names of their images, and what was skipped."""
    units, skipped = split(one.units(never))
    names: dict[str, set[str]] = {}
    for unit in units.values():
        if unit.data["kind"] == "repository":
            names[unit.title] = {image for item in unit.data["items"] for image in item["images"]}
    return names, skipped


def all_of(name: str) -> set[str]:
    return {*(f"{name}:{tag}" for tag in ("v1", "v2", "latest")), f"{name}@{OLD.digest}"}


def heads(server: RegistryServer) -> int:
    return len(server.asked("HEAD", "/manifests/"))


def test_harbor(server):
    fill(server, "open/tool", "team/app", "team/deep/er", "team/web")
    login = base64.b64encode(f"bot:{PASSWORD}".encode()).decode()
    server.more = apis.harbor(server, f"Basic {login}")
    account = {"listing": "harbor", "user": "bot", "token": "${PASSWORD}"}
    with opened(server, **account) as one:
        names, skipped = told(one)
        units, _ = split(one.units(never))
        audiences = {
            unit.title: document.audience
            for unit in units.values()
            for document in one.read(unit, None, never)
            if isinstance(document, Document) and unit.data["kind"] == "repository"
        }
    assert names == {name: all_of(name) for name in ("open/tool", "team/app", "team/deep/er", "team/web")}
    assert skipped == []
    assert heads(server) == 0
    assert (audiences["open/tool"], audiences["team/app"]) == (Audience.PUBLIC, Audience.RESTRICTED)
    with opened(server, **account, namespaces=("open", "none")) as one:
        names, skipped = told(one)
    assert set(names) == {"open/tool"}
    assert [(gap.parents, "(404)" in gap.reason) for gap in skipped] == [(("none",), True)]


def test_docker_hub(server, beside):
    fill(server, "acme/a", "acme/b", "acme/private-c", "other/d")
    push(server.url, "acme/a", OLD, "old")
    beside.more = apis.hub(server, "bot", PASSWORD)
    kind = {"listing": "hub", "api_url": beside.url, "namespaces": ("acme",)}
    with opened(server, **kind) as one:
        names, _ = told(one)
    assert set(names) == {"acme/a", "acme/b"}
    assert names["acme/a"] == {*(f"acme/a:{tag}" for tag in ("v1", "v2", "latest", "old"))}
    with opened(server, **kind, user="bot", token="${PASSWORD}") as one:
        assert set(told(one)[0]) == {"acme/a", "acme/b", "acme/private-c"}
    assert heads(server) == 0
    with opened(server, **kind, user="bot", token="${API_TOKEN}") as one:
        names, skipped = told(one)
    assert names == {}
    assert "refused user and token" in skipped[0].reason


def test_github(server, beside):
    fill(server, "acme/a", "acme/deep/b", "acme/c", "anna/d")
    beside.more = apis.github(server, TOKEN, {"Acme": "orgs", "anna": "users"})
    kind = {"listing": "github", "api_url": beside.url, "token": "${API_TOKEN}"}
    with opened(server, **kind, namespaces=("Acme", "anna")) as one:
        names, skipped = told(one)
    # What stands in the registry under its name in lower case is asked for in the API as it is written.
    assert set(names) == {"acme/a", "acme/deep/b", "acme/c", "anna/d"}
    assert names["anna/d"] == all_of("anna/d")
    assert [gap.parents for gap in skipped if "anna" in gap.parents[0]] == []


def test_quay(server):
    fill(server, "acme/a", "acme/b", "acme/c")
    server.more = apis.quay(server, TOKEN, {"gone": OLD.digest, "collected": f"sha256:{'0' * 64}"})
    with opened(server, listing="quay", api_token="${API_TOKEN}", namespaces=("acme",)) as one:
        names, skipped = told(one)
    assert names == {name: all_of(name) for name in ("acme/a", "acme/b", "acme/c")}
    # Quay's time machine had forgotten one: that is no gap.
    assert skipped == []


def test_gitlab(server, beside):
    fill(server, "acme/app", "acme/app/worker", "acme/sub/site", "solo/tool")
    beside.more = apis.gitlab(server, TOKEN, {"acme/app": 1, "acme/sub/site": 2, "solo/tool": 3}, ["acme"])
    kind = {"listing": "gitlab", "api_url": beside.url, "api_token": "${API_TOKEN}"}
    for namespaces in ((), ("acme", "solo/tool")):
        with opened(server, **kind, namespaces=namespaces) as one:
            names, skipped = told(one)
        assert set(names) == {"acme/app", "acme/app/worker", "acme/sub/site", "solo/tool"}
        assert names["solo/tool"] == all_of("solo/tool") - {f"solo/tool@{OLD.digest}"}
        assert skipped == []


def test_azure(server):
    fill(server, "team/a", "team/b")
    server.more = apis.azure(server, TOKEN)
    server.access = Access(users={apis_anybody(): "refresh"})
    with opened(server, listing="acr", token="${API_TOKEN}") as one:
        names, skipped = told(one)
    assert names == {"team/a": all_of("team/a"), "team/b": all_of("team/b")}
    assert skipped == []
    with opened(server, listing="acr", token="${PASSWORD}") as one, pytest.raises(AuthError) as refusal:
        told(one)
    assert "refused the access token" in refusal.value.message


def apis_anybody() -> str:
    return "-".join("0" * count for count in (8, 4, 4, 4, 12))


def test_artifact_registry(server, beside):
    fill(server, "acme-1/images/a", "acme-1/images/deep/b", "acme-1/other/c")
    beside.more = apis.google(server, TOKEN)
    kind = {"listing": "artifact-registry", "api_url": beside.url, "api_token": "${API_TOKEN}"}
    with opened(server, **kind, region="europe-west3", namespaces=("acme-1",)) as one:
        names, skipped = told(one)
    assert names == {name: all_of(name) for name in apis.names(server)}
    assert skipped == []
    with opened(server, **kind, region="europe-west3", namespaces=("acme-1/other",)) as one:
        assert set(told(one)[0]) == {"acme-1/other/c"}
    with opened(server, **kind, namespaces=("acme-1",)) as one, pytest.raises(ConfigError, match="location"):
        told(one)


@pytest.mark.parametrize("listing", ["hub", "github", "quay", "artifact-registry"])
def test_where_nobody_sees_everything_the_owner_says_whose(server, listing):
    with opened(server, listing=listing) as one, pytest.raises(ConfigError, match="no catalog") as refusal:
        told(one)
    assert "namespaces" in refusal.value.hint


# --- bad days ------------------------------------------------------------------------------------


@pytest.fixture
def guarded(server, beside):
    fill(server, "acme/a", "acme/b", "acme/c", "beta/x")
    beside.more = apis.github(server, TOKEN, {"acme": "orgs", "beta": "orgs"})
    return {
        "listing": "github",
        "api_url": beside.url,
        "token": "${API_TOKEN}",
        "namespaces": ("acme", "beta"),
    }


def test_a_namespace_that_is_refused_leaves_the_others_alone(server, beside, guarded):
    beside.faults.append(Fault("^/orgs/acme/packages$", 403))
    with opened(server, **guarded) as one:
        names, skipped = told(one)
    assert set(names) == {"beta/x"}
    assert [(gap.parents, gap.excluded) for gap in skipped] == [(("acme",), False)]
    assert "read:packages" in skipped[0].hint


def test_versions_that_are_refused_leave_the_tags_of_the_protocol(server, beside, guarded):
    beside.faults.append(Fault("/acme/packages/container/b/versions", 500))
    with opened(server, **guarded) as one:
        names, skipped = told(one)
    assert names["acme/b"] == all_of("acme/b") - {f"acme/b@{OLD.digest}"}
    assert names["acme/a"] == all_of("acme/a")
    assert [(gap.parents, gap.excluded) for gap in skipped] == [(("acme/b",), False)]
    assert "manifests without a tag are not known" in skipped[0].reason


def test_an_answer_that_is_late_or_broken_is_asked_for_again(server, beside, guarded):
    beside.faults += [
        Fault("^/orgs/acme/packages$", 429, {"Retry-After": "0"}, times=1),
        Fault("/acme/packages/container/a/versions", 503, times=1),
        Fault("/acme/packages/container/b/versions", cut=10, times=1),
        Fault("/acme/packages/container/c/versions", 403, spent(0), times=1),
    ]
    with opened(server, **guarded) as one:
        names, skipped = told(one)
    assert {name for name in names if names[name] == all_of(name)} == {*apis.names(server)}
    assert skipped == []


def spent(seconds: int) -> dict[str, str]:
    import time

    return {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + seconds - 1)}


def test_a_limit_that_ends_tomorrow_is_not_waited_for(server, beside, guarded):
    beside.faults.append(Fault("/packages", 403, spent(80_000)))
    with opened(server, **guarded) as one, pytest.raises(SourceError, match="used up"):
        told(one)


def test_pages_that_lead_in_a_circle_end(server, beside, guarded):
    first = beside.more
    assert first is not None

    def circle(request, body):
        status, _, content = first(request, body)
        return status, {"Link": '<http://x.test/?page=1>; rel="next"'}, content

    beside.more = circle
    with opened(server, **guarded) as one:
        _, skipped = told(one)
    assert any("lead in a circle" in gap.reason for gap in skipped)


@pytest.mark.parametrize("content", [None, [], "x", {"results": 3}, [1, {"name": None}], {"next": True}])
def test_no_answer_of_an_api_breaks_the_reading(server, beside, content):
    beside.more = lambda request, body: (200, {}, content)
    for listing in ("hub", "github", "quay", "harbor", "gitlab", "artifact-registry"):
        kind = {"listing": listing, "api_url": beside.url, "region": "x", "namespaces": ("acme",)}
        with opened(server, **kind) as one:
            names, _ = told(one)
        assert names == {}


def test_an_api_by_the_name_of_the_registry_alone_may_fail(server):
    """Who names repositories and gives no token for the API reads by the protocol, and is told the rest."""
    fill(server, "acme/a")
    with opened(server, listing="quay", repositories=("acme/a",)) as one:
        names, (gap,) = told(one)
    assert names["acme/a"] == all_of("acme/a") - {f"acme/a@{OLD.digest}"}
    assert "without a tag" in gap.reason


def test_the_api_of_a_vendor_gets_no_secret_over_a_redirect(server, beside, guarded):
    with RegistryServer() as thief:
        beside.faults.append(Fault("^/orgs/acme/packages$", 302, {"Location": f"{thief.url}/stolen"}))
        with opened(server, **guarded) as one:
            told(one)
        assert thief.asked("GET", "/stolen")
        assert all(TOKEN not in str(request.headers) for request in thief.requests)


def test_the_kind_follows_from_the_host():
    kinds = {
        "https://registry-1.docker.io": "hub",
        "https://ghcr.io": "github",
        "https://quay.io": "quay",
        "https://registry.gitlab.com": "gitlab",
        "https://acme.azurecr.io": "acr",
        "https://europe-west3-docker.pkg.dev": "artifact-registry",
        "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com": "ecr",
        "https://registry.acme.test": "catalog",
    }
    for url, kind in kinds.items():
        one = source(url)
        assert one._kinds().kind == kind
        one.close()


# --- ECR -----------------------------------------------------------------------------------------


def test_ecr(server, monkeypatch):
    """The AWS API of moto tells what there is and gives the login; the registry itself is ours."""
    from moto.server import ThreadedMotoServer

    for key, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(key, value)
    import boto3

    aws = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    aws.start()
    try:
        host, port = aws.get_host_and_port()
        client = boto3.client("ecr", region_name="eu-central-1", endpoint_url=f"http://{host}:{port}")
        for name in ("team/a", "team/b"):
            fill(server, name)
            client.create_repository(repositoryName=name)
            for image, tags in ((OLD, ()), (NEW, ("v1", "v2", "latest"))):
                put(client, name, image, *tags)
        user, _, password = login_of(client)
        server.access = Access(users={user: password}, scheme="basic")
        kind = {"listing": "ecr", "api_url": f"http://{host}:{port}", "region": "eu-central-1"}
        with opened(server, **kind) as one:
            names, skipped = told(one)
        client.close()
    finally:
        aws.stop()
    assert names == {"team/a": all_of("team/a"), "team/b": all_of("team/b")}
    assert skipped == []
    assert heads(server) == 0


def put(client: Any, name: str, image: Image, *tags: str) -> None:
    for tag in tags or (None,):
        client.put_image(
            repositoryName=name,
            imageManifest=image.manifest.data.decode(),
            imageDigest=image.digest,
            **({"imageTag": tag} if tag else {}),
        )


def login_of(client: Any) -> tuple[str, str, str]:
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")
