"""The registry source against a registry on a bad day, and against those who guard one."""

from __future__ import annotations

import contextlib
import json

import pytest
from registries import BASE, SHOP, SHOP_ARM, body, documents, never, opened, split

from unsprawl.errors import AuthError, RetryableError, SourceError, UnreadableError
from unsprawl.estate.imagery import Blob, Image, build, index, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Access, Fault, RegistryServer
from unsprawl.records import Checkpoint, Document, Skipped

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
    assert gap.excluded
    assert "max_layer_bytes" in gap.reason


def test_reading_goes_on_where_it_stopped():
    with RegistryServer() as server, opened(server.url) as one:
        for number in range(120):
            push(server.url, "team/many", build([], env=[f"N={number}"]), f"t{number}")
        (unit,) = split(one.units(never))[0].values()
        events = list(one.read(unit, None, never))
        marks = [event.cursor for event in events if isinstance(event, Checkpoint)]
        assert len(marks) == 5  # of 120 configurations and as many manifests
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
    assert sorted(found) == sorted([config.data, manifest.data, chart.data])


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


# --- limits --------------------------------------------------------------------------------------


def test_what_belongs_to_others_is_left_to_them(server):
    server.headers = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "10;w=21600"}
    with opened(server.url, keep_pulls=10) as one:
        _, skipped = split(one.units(never))
    assert [gap.parents for gap in skipped] == [("team/multi",), ("team/shop",)]
    assert all("10 of 100 pulls left in 6 h, 10 are kept" in gap.reason for gap in skipped)
    assert server.asked("GET", "/manifests/") == []
    with opened(server.url) as one:
        assert split(one.units(never))[1] == []
        assert any("10 of 100 pulls left" in line.hint for line in one.diagnose())


def test_a_tag_named_by_many_is_pulled_once(server):
    push(server.url, "team/tags", SHOP, *(f"t{number}" for number in range(20)))
    with opened(server.url, repositories=("team/tags",)) as one:
        units, _ = split(one.units(never))
        for unit in units.values():
            documents(one, unit)
    assert len(server.asked("HEAD", "/team/tags/manifests/")) == 20
    assert len(server.asked("GET", "/team/tags/manifests/")) == 1


# --- what is old, what attacks -------------------------------------------------------------------


def test_an_image_of_the_first_schema_is_read(server):
    one = layer({"etc/key": "1"})
    compatible = {"config": {"Env": ["TOKEN=abc"]}, "container_config": {"Cmd": ["ADD key /etc"]}}
    content = {
        "schemaVersion": 1,
        "fsLayers": [{"blobSum": one.blob.digest}],
        "history": [{"v1Compatibility": json.dumps(compatible)}],
    }
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    old = Image(Blob(kind, json.dumps(content).encode()), (one.blob,))
    push(server.url, "team/old", old, "v1")
    with opened(server.url, repositories=("team/old",)) as source:
        units, skipped = split(source.units(never))
        assert skipped == []
        (read,) = documents(source, units[one.blob.digest])
        assert body(read) == one.blob.data
        assert read.attrs["instruction"] == "ADD key /etc"
        (manifest,) = documents(source, units[f"registry://{source.host}/team/old"])
        assert b'"TOKEN=abc"' in body(manifest)
        again = source.fetch(manifest.uri)
        assert isinstance(again, Document)
        assert body(again) == body(manifest)


def test_indexes_that_multiply_come_to_an_end(server, monkeypatch):
    monkeypatch.setattr("unsprawl.crawlers.registry.enumeration._WIDEST", 40)
    images = [build([], env=[f"N={number}"]) for number in range(30)]
    wide = [index(images[at:] + images[:at]) for at in range(30)]
    push(server.url, "team/wide", index(wide), "v1")
    with opened(server.url, repositories=("team/wide",)) as one:
        _, skipped = split(one.units(never))
    assert [gap.reason for gap in skipped] == ["an index with more than 40 manifests"]


def test_an_index_nested_too_deeply_is_told(server):
    nested = build([], env=["DEEP=1"])
    for _ in range(6):
        nested = index([nested])
    push(server.url, "team/deep", nested, "v1")
    with opened(server.url, repositories=("team/deep",)) as one:
        _, skipped = split(one.units(never))
    assert [gap.reason for gap in skipped] == ["an index nested too deeply"]


def test_a_registry_that_goes_down_amid_its_tags_is_not_waited_for_at_each(server):
    push(server.url, "team/tags", SHOP, *(f"t{number:02}" for number in range(40)))
    server.faults.append(Fault("/team/tags/manifests/", 503))
    with opened(server.url, repositories=("team/tags",), max_wait=0.1) as one:
        _, skipped = split(one.units(never))
    top = f"registry://{one.host}/team/tags"
    assert [gap.uri for gap in skipped] == [f"{top}:t00", f"{top}:t01", top]
    assert len({request.path for request in server.asked("HEAD", "/team/tags/")}) < 40
