"""The registry source against registries: the built-in one, and the real one where it is installed.

The first half holds both to the same protocol, so that the built-in one may stand in for the other.
The second half makes the built-in one do what a healthy registry does not.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import urllib.request

import pytest

from unsprawl.crawlers.registry import RegistrySource
from unsprawl.errors import AuthError, RetryableError, SourceError, UnreadableError
from unsprawl.estate.imagery import Blob, Image, Step, build, index, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Access, Fault, RegistryServer
from unsprawl.estate.servers import docker_registry, has_docker_registry
from unsprawl.records import Checkpoint, Diagnosable, Document, Refetchable, Skipped, Source, Unchanged, Unit

KINDS = ["built in", "docker-registry"] if has_docker_registry() else ["built in"]

BASE = layer({"app/.env": "SECRET=1\n", "app/main.py": "x" * 3000})
REMOVES = layer({"app/main.py": "y"}, deletes=["app/.env"], packing="zstd", trailer=False)
ARM = layer({"arm/key": "2"})
SHOP = build(
    [Step("COPY . /app", BASE), Step("ENV A=b"), Step("RUN rm /app/.env", REMOVES)],
    env=["TOKEN=abc"],
    labels={"maintainer": "anna@acme.test"},
    annotations={"org.opencontainers.image.source": "https://git.test/shop"},
)
SHOP_ARM = build([Step("COPY . /app", BASE), Step("COPY arm /arm", ARM)], platform="linux/arm64/v8")


def never(_key):
    return None


def source(url, **config):
    return RegistrySource("images", RegistrySource.Config(url=url, **{"max_wait": 1.0, **config}))


@contextlib.contextmanager
def opened(url, **config):
    one = source(url, **config)
    try:
        yield one
    finally:
        one.close()


def body(document):
    if isinstance(document.body, bytes):
        return document.body
    with document.body.open(0) as file:
        return file.read()


def split(items):
    items = list(items)
    units = {item.id: item for item in items if isinstance(item, Unit)}
    return units, [item for item in items if isinstance(item, Skipped)]


def documents(one, unit, seen=never):
    return [event for event in one.read(unit, None, seen) if isinstance(event, Document)]


# --- what every registry does --------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def registry(request, tmp_path_factory):
    """Address of a registry with ``team/shop``, an index, and more of all than a page holds."""
    with contextlib.ExitStack() as stack:
        if request.param == "docker-registry":
            url = stack.enter_context(docker_registry(tmp_path_factory.mktemp("registry")))
        else:
            url = stack.enter_context(RegistryServer()).url
        push(url, "team/shop", SHOP, "v1", "latest")
        push(url, "team/multi", index([SHOP, SHOP_ARM]), "stable")
        small = build([Step("COPY", ARM)])
        for number in range(104):
            push(url, f"many/r{number:03}", small, "a")
        push(url, "tags/many", small, *(f"t{number:03}" for number in range(104)))
        yield url


def test_every_repository_and_every_distinct_layer_is_a_unit(registry):
    with opened(registry) as one:
        units, skipped = split(one.units(never))
    assert skipped == []
    assert set(units) == {BASE.diff_id, REMOVES.diff_id, ARM.diff_id} | {
        f"registry://{one.host}/{name}"
        for name in ["team/shop", "team/multi", "tags/many", *(f"many/r{number:03}" for number in range(104))]
    }
    assert units[BASE.diff_id].parents == ("team/multi", "team/shop")
    assert len(units[ARM.diff_id].parents) == 106


def test_units_are_the_same_every_time_and_travel_to_other_processes(registry):
    with opened(registry, repositories=("team/*",)) as one:
        first = [pickle.loads(pickle.dumps(unit)) for unit in one.units(never)]
        second = list(one.units(never))
    assert first == second
    assert [unit.data for unit in first] == [unit.data for unit in second]


def test_a_layer_is_its_packed_blob_with_what_made_it(registry):
    with opened(registry, repositories=("team/shop", "team/multi")) as one:
        units, _ = split(one.units(never))
        (document,) = documents(one, units[BASE.diff_id])
        assert body(document) == BASE.blob.data
    assert document.uri == f"registry://{one.host}/team/multi@{BASE.blob.digest}"
    assert document.path == f"team/multi:stable {BASE.blob.digest[:19]}"
    assert document.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert document.key == document.version == BASE.diff_id
    assert document.author == "anna@acme.test"
    assert document.attrs == {
        "registry": one.host,
        "layer": BASE.blob.digest,
        "diff_id": BASE.diff_id,
        "instruction": "COPY . /app",
        "images": ["team/multi:stable", "team/shop:latest", "team/shop:v1"],
        "image_count": 3,
        "platform": "linux/amd64, linux/arm64/v8",
    }


def test_a_deleted_file_names_the_layer_that_hides_it(registry):
    with opened(registry, repositories=("team/shop",)) as one:
        units, _ = split(one.units(never))
        (document,) = documents(one, units[BASE.diff_id])
        assert document.member_attrs is not None
        fate = document.member_attrs("app/.env")
        assert fate["deleted_in"] == REMOVES.blob.digest
        assert fate["deleted_by"] == "RUN rm /app/.env"
        assert "still extractable" in fate["hidden"]
        assert document.member_attrs("app/main.py")["overwritten_in"] == REMOVES.blob.digest


def test_configurations_and_annotations_are_documents(registry):
    with opened(registry, repositories=("team/shop",)) as one:
        units, _ = split(one.units(never))
        found = documents(one, units[f"registry://{one.host}/team/shop"])
    bodies = {document.uri.rpartition("#")[2]: json.loads(body(document)) for document in found}
    assert bodies["config"]["config"]["Env"] == ["PATH=/usr/bin", "TOKEN=abc"]
    assert bodies["manifest"]["annotations"] == {"org.opencontainers.image.source": "https://git.test/shop"}
    assert {document.attrs["platform"] for document in found if "#config" in document.uri} == {"linux/amd64"}


def test_what_was_seen_is_not_read_again(registry):
    with opened(registry, repositories=("team/shop",)) as one:
        units, _ = split(one.units(never))
        known = {}
        for unit in units.values():
            for document in documents(one, unit):
                known[document.key or document.uri] = document.version
        before = one._registry().client.received
        again = [event for unit in units.values() for event in one.read(unit, None, known.get)]
        assert one._registry().client.received == before
    assert [event for event in again if not isinstance(event, Checkpoint)] == [Unchanged()] * 4


def test_a_document_can_be_fetched_again(registry):
    with opened(registry, repositories=("team/shop",)) as one:
        units, _ = split(one.units(never))
        for unit in units.values():
            for document in documents(one, unit):
                again = one.fetch(document.uri)
                assert isinstance(again, Document)
                assert body(again) == body(document)
        gone = one.fetch(f"registry://{one.host}/team/shop@sha256:{'0' * 64}")
        assert isinstance(gone, Skipped)
        assert "404" in gone.reason


@pytest.mark.parametrize(
    "uri",
    ["registry://h/../x@sha256:1", "registry://h/x", "s3://bucket/key", "registry://h/x@sha256:zz#config"],
)
def test_an_address_of_something_else_is_not_fetched(registry, uri):
    with opened(registry) as one:
        assert isinstance(one.fetch(uri), Skipped)


def test_tags_and_platforms_and_repositories_can_be_chosen(registry):
    with opened(
        registry,
        repositories=("team/*", "many/r00?"),
        tags=("v*", "stable"),
        platforms=("linux/arm64",),
        exclude=("many/r005",),
    ) as one:
        units, skipped = split(one.units(never))
    assert all(one.excluded for one in skipped)
    assert {gap.parents[0]: gap.reason for gap in skipped if "many/r00" in gap.parents[0]} == {
        **{f"many/r00{n}": "1 tags left out by `tags`" for n in range(10)},
        "many/r005": "left out by `exclude`",
    }
    assert any("linux/amd64" in gap.reason for gap in skipped)
    assert set(units) >= {BASE.diff_id, REMOVES.diff_id, ARM.diff_id}
    assert units[REMOVES.diff_id].parents == ("team/shop",)


def test_a_repository_that_does_not_exist_leaves_the_others_alone(registry):
    with opened(registry, repositories=("no/such", "team/shop")) as one:
        units, skipped = split(one.units(never))
    assert [(gap.parents, gap.uri) for gap in skipped] == [(("no/such",), f"registry://{one.host}/no/such")]
    assert "404" in skipped[0].reason
    assert BASE.diff_id in units


def test_the_doctor_says_what_works(registry):
    with opened(registry) as one:
        assert [line.ok for line in one.diagnose()] == [True, True, True]
    with opened(registry, repositories=("no/such",)) as one:
        assert [line.ok for line in one.diagnose()] == [True, False]


def test_pages_ranges_and_heads_are_as_the_protocol_says(registry):
    def ask(path, method="GET", **headers):
        request = urllib.request.Request(registry + path, method=method, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers), answer.read()

    status, headers, content = ask("/v2/_catalog?n=2")
    assert json.loads(content) == {"repositories": ["many/r000", "many/r001"]}
    assert 'rel="next"' in headers["Link"]
    blob = f"/v2/team/shop/blobs/{BASE.blob.digest}"
    status, headers, content = ask(blob, Range="bytes=10-")
    assert (status, content) == (206, BASE.blob.data[10:])
    total = len(BASE.blob.data)
    assert headers["Content-Range"] == f"bytes 10-{total - 1}/{total}"
    status, headers, content = ask("/v2/team/shop/manifests/v1", "HEAD", Accept=SHOP.manifest.media_type)
    assert (status, headers["Docker-Content-Digest"], content) == (200, SHOP.digest, b"")


def test_it_is_a_source(registry):
    one = source(registry)
    as_source: Source = one
    assert (as_source.name, as_source.type, as_source.reads_in) == ("images", "registry", "worker")
    assert isinstance(one, Refetchable)
    assert isinstance(one, Diagnosable)


# --- what a registry does on a bad day -----------------------------------------------------------


@pytest.fixture
def server():
    with RegistryServer() as one:
        push(one.url, "team/shop", SHOP, "v1")
        push(one.url, "team/multi", index([SHOP, SHOP_ARM]), "stable")
        yield one


def read_layer(one, diff_id=BASE.diff_id):
    units, _ = split(one.units(never))
    (document,) = documents(one, units[diff_id])
    return body(document)


def test_a_repository_that_is_refused_stands_in_the_ledger(server):
    server.faults.append(Fault("/v2/team/multi/tags", 403))
    with opened(server.url) as one:
        units, skipped = split(one.units(never))
    assert [(gap.parents, gap.excluded) for gap in skipped] == [(("team/multi",), False)]
    assert "refuses the tags of team/multi (403)" in skipped[0].reason
    assert skipped[0].hint
    assert units[BASE.diff_id].parents == ("team/shop",)


def test_a_manifest_that_is_lost_stands_in_the_ledger(server):
    server.faults.append(Fault(f"/manifests/{SHOP_ARM.digest}", 404))
    with opened(server.url) as one:
        units, skipped = split(one.units(never))
    assert [(gap.parents, gap.uri.rpartition("@")[2]) for gap in skipped] == [
        (("team/multi",), SHOP_ARM.digest)
    ]
    assert BASE.diff_id in units


def test_a_manifest_that_was_exchanged_is_refused(server):
    server.faults.append(Fault(f"/manifests/{SHOP_ARM.digest}", spoil=lambda content: content + b" "))
    with opened(server.url) as one:
        _, skipped = split(one.units(never))
    assert "does not have the digest" in skipped[0].reason


def test_a_truncated_layer_is_unreadable(server):
    for repository in server.repositories.values():
        repository.blobs[BASE.blob.digest] = BASE.blob.data[:-40]
    with opened(server.url) as one, pytest.raises(UnreadableError, match="is truncated") as broken:
        read_layer(one)
    assert f"{len(BASE.blob.data) - 40} of {len(BASE.blob.data)} bytes" in broken.value.message


def test_a_layer_that_was_exchanged_is_unreadable(server):
    for repository in server.repositories.values():
        repository.blobs[BASE.blob.digest] = BASE.blob.data[:-8] + b"\0" * 8
    with opened(server.url) as one, pytest.raises(UnreadableError, match="digest"):
        read_layer(one)


def test_a_layer_that_one_repository_lost_is_read_from_another(server):
    server.repositories["team/multi"].blobs.pop(BASE.blob.digest)
    with opened(server.url) as one:
        assert read_layer(one) == BASE.blob.data


def test_a_layer_that_all_lost_is_unreadable(server):
    server.faults.append(Fault(f"/blobs/{BASE.blob.digest}", 404))
    with opened(server.url) as one, pytest.raises(UnreadableError, match=r"not there \(404\)"):
        read_layer(one)


def test_a_connection_that_breaks_is_taken_up_at_its_position(server):
    server.faults.append(Fault(f"/blobs/{BASE.blob.digest}", cut=50, times=1))
    with opened(server.url) as one:
        assert read_layer(one) == BASE.blob.data
    assert [asked.headers.get("range") for asked in server.asked("GET", BASE.blob.digest)] == [
        None,
        "bytes=50-",
    ]


def test_a_layer_behind_a_redirect_is_fetched_without_the_credentials(server):
    with RegistryServer() as storage:
        push(storage.url, "team/shop", SHOP, "v1")
        server.access = Access(users={"bot": "pw"})
        target = f"{storage.url}/v2/team/shop/blobs/{BASE.blob.digest}"
        server.faults.append(Fault(f"/blobs/{BASE.blob.digest}", 307, {"Location": target}))
        with logged_in(server) as one:
            assert read_layer(one) == BASE.blob.data
        (asked,) = storage.asked("GET", BASE.blob.digest)
        assert "authorization" not in asked.headers


def test_a_configuration_that_is_lost_stands_in_the_ledger_and_its_layers_are_read(server):
    config = SHOP.blobs[0].digest
    server.faults.append(Fault(f"/blobs/{config}", 404))
    with opened(server.url, repositories=("team/shop",)) as one:
        units, _ = split(one.units(never))
        events = list(one.read(units[f"registry://{one.host}/team/shop"], None, never))
        assert [event.uri.rpartition("#")[2] for event in events if isinstance(event, Skipped)] == ["config"]
        assert body(documents(one, units[BASE.blob.digest])[0]) == BASE.blob.data


def test_a_layer_above_the_limit_of_the_owner_is_skipped(server):
    with opened(server.url, max_layer_bytes=100) as one:
        units, _ = split(one.units(never))
        (gap,) = one.read(units[BASE.diff_id], None, never)
    assert isinstance(gap, Skipped)
    assert "above the limit" in gap.reason


def test_reading_goes_on_where_it_stopped():
    with RegistryServer() as server, opened(server.url) as one:
        for number in range(120):
            push(server.url, "team/many", build([], env=[f"N={number}"]), f"t{number}")
        (unit,) = split(one.units(never))[0].values()
        events = list(one.read(unit, None, never))
        marks = [event.cursor for event in events if isinstance(event, Checkpoint)]
        assert len(marks) == 3
        assert marks[-1] == {}
        rest = [event.uri for event in one.read(unit, marks[1], never) if isinstance(event, Document)]
        assert rest == [event.uri for event in events if isinstance(event, Document)][100:]


def test_an_unreachable_registry_fails_the_source():
    with RegistryServer() as server:
        url = server.url
    with opened(url) as one, pytest.raises(RetryableError, match="refused the connection"):
        list(one.units(never))


def test_a_registry_that_dies_half_way_fails_the_source(server):
    for number in range(4):
        push(server.url, f"z/r{number}", SHOP, "v1")
    server.faults.append(Fault("/v2/z/", 503))
    with opened(server.url, max_wait=0.2) as one, pytest.raises(RetryableError, match="503"):
        list(one.units(never))


def test_an_address_that_is_no_registry(server):
    with (
        opened(server.url + "/elsewhere") as one,
        pytest.raises(UnreadableError, match="not answer as a registry"),
    ):
        list(one.units(never))


@pytest.mark.parametrize(("status", "error"), [(401, AuthError), (403, AuthError), (404, UnreadableError)])
def test_a_catalog_that_is_refused_says_what_to_do(server, status, error):
    server.faults.append(Fault("/_catalog", status))
    with opened(server.url) as one:
        with pytest.raises(error) as refused:
            list(one.units(never))
        assert "repositories" in refused.value.hint
    with opened(server.url, repositories=("team/shop",)) as one:
        assert BASE.diff_id in split(one.units(never))[0]


def test_pages_in_a_circle_end(server):
    link = {"Link": '</v2/_catalog?last=x>; rel="next"', "Content-Type": "application/json"}
    server.faults.append(Fault("/_catalog", 200, link))
    with opened(server.url) as one, pytest.raises(SourceError):
        list(one.units(never))


def test_names_that_would_leave_their_path_are_skipped(server):
    server.repositories["../../secret"] = server.repositories["team/shop"]
    server.repositories["team/shop"].tags["../x"] = SHOP.digest
    with opened(server.url) as one:
        _, skipped = split(one.units(never))
    assert sorted(gap.reason for gap in skipped) == ["a tag that is no valid name", "not a repository name"]
    assert not server.asked("GET", r"\.\.")


def test_manifests_of_other_kinds_are_skipped_with_their_type(server):
    odd = Blob("application/x-odd", b'{"schemaVersion": 2, "mediaType": "application/x-odd"}')
    old = Blob("application/x-old", b'{"schemaVersion": 1, "fsLayers": []}')
    push(server.url, "team/odd", Image(odd), "odd")
    push(server.url, "team/odd", Image(old), "old")
    with opened(server.url) as one:
        _, skipped = split(one.units(never))
    assert sorted(gap.reason[:30] for gap in skipped) == [
        "a manifest of the first schema",
        "a manifest of unknown type app",
    ]


def test_an_index_that_points_to_itself_ends(server):
    content = {"schemaVersion": 2, "manifests": [{"digest": SHOP.digest, "size": 1}]}
    for _ in range(6):
        blob = Blob("application/vnd.oci.image.index.v1+json", json.dumps(content).encode())
        push(server.url, "team/deep", Image(blob), "deep")
        content = {"schemaVersion": 2, "manifests": [{"digest": blob.digest, "size": 1}]}
    with opened(server.url, repositories=("team/deep",)) as one:
        _, skipped = split(one.units(never))
    assert [gap.reason for gap in skipped] == ["an index nested too deeply"]


def test_artifacts_that_are_no_images_are_read_too(server):
    chart = Blob(
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip", layer({"values.yaml": "k: v"}).blob.data
    )
    config = Blob("application/vnd.cncf.helm.config.v1+json", b'{"name": "chart"}')
    content = {"schemaVersion": 2, "config": config.descriptor(), "layers": [chart.descriptor()]}
    manifest = Blob("application/vnd.oci.image.manifest.v1+json", json.dumps(content).encode())
    push(server.url, "charts/shop", Image(manifest, (config, chart)), "1.0")
    with opened(server.url, repositories=("charts/shop",)) as one:
        units, skipped = split(one.units(never))
        found = [body(document) for unit in units.values() for document in documents(one, unit)]
    assert skipped == []
    assert found == [config.data, chart.data]


# --- who may -------------------------------------------------------------------------------------


@contextlib.contextmanager
def logged_in(server, user="bot", value="pw", **config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGISTRY_TOKEN", value)
        with opened(server.url, user=user, token="${REGISTRY_TOKEN}", **config) as one:
            yield one


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_a_login_opens_the_registry(server, scheme):
    server.access = Access(users={"bot": "pw"}, scheme=scheme)
    with logged_in(server) as one:
        units, skipped = split(one.units(never))
        assert skipped == []
        assert body(documents(one, units[BASE.diff_id])[0]) == BASE.blob.data


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_wrong_credentials_stop_the_source(server, scheme):
    server.access = Access(users={"bot": "pw"}, scheme=scheme)
    with logged_in(server, value="wrong-password") as one, pytest.raises(AuthError) as refused:
        list(one.units(never))
    assert "wrong-password" not in refused.value.message + refused.value.hint
    assert "token" in refused.value.hint


def test_a_token_is_asked_for_once_a_scope_and_renewed_when_it_ends(server):
    server.access = Access(users={"bot": "pw"})
    with logged_in(server, repositories=("team/shop",)) as one:
        units, _ = split(one.units(never))
        documents(one, units[f"registry://{one.host}/team/shop"])
        assert len(server.asked("GET", "/token")) == 2
        server.tokens.clear()
        assert body(documents(one, units[BASE.diff_id])[0]) == BASE.blob.data
    assert len(server.asked("GET", "/token")) == 3


def test_the_password_goes_to_the_token_server_alone(server):
    server.access = Access(users={"bot": "pw"})
    with logged_in(server) as one:
        split(one.units(never))
    with_password = {
        request.path
        for request in server.requests
        if request.headers.get("authorization", "").startswith("Basic")
    }
    assert with_password == {"/token"}


def test_a_stranger_reads_what_is_public(server):
    server.access = Access(users={"bot": "pw"}, anonymous=("team/shop",))
    with opened(server.url, repositories=("team/shop", "team/multi")) as one:
        units, skipped = split(one.units(never))
        assert body(documents(one, units[BASE.diff_id])[0]) == BASE.blob.data
    assert [gap.parents for gap in skipped] == [("team/multi",)]
    assert "401" in skipped[0].reason


def test_one_repository_that_is_denied_stands_in_the_ledger(server):
    server.access = Access(users={"bot": "pw"}, forbidden=("team/multi",))
    with logged_in(server) as one:
        units, skipped = split(one.units(never))
    assert [gap.parents for gap in skipped] == [("team/multi",)]
    assert BASE.diff_id in units


def test_a_token_server_elsewhere_is_not_given_the_password(server):
    server.access = Access(users={"bot": "pw"}, realm="https://tokens.evil.test/token")
    with logged_in(server) as one, pytest.raises(AuthError, match="another host") as refused:
        list(one.units(never))
    assert "token_realms: [tokens.evil.test]" in refused.value.hint
