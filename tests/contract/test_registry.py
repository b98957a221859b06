"""The registry source against registries: the built-in one, and the real one where it is installed.

Both are held to the same protocol, so that the built-in one may stand in for the other.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import urllib.request

import pytest
from registries import ARM, BASE, REMOVES, SHOP, SHOP_ARM, body, documents, never, opened, source, split

from unsprawl.estate.imagery import Step, build, index
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import RegistryServer
from unsprawl.estate.servers import docker_registry, has_docker_registry
from unsprawl.records import Checkpoint, Diagnosable, Document, Refetchable, Skipped, Source, Unchanged

KINDS = ["built in", "docker-registry"] if has_docker_registry() else ["built in"]

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
    assert [data(unit) for unit in first] == [data(unit) for unit in second]


def data(unit):
    """What a unit carries, without the folder that belongs to the crawl."""
    return {key: value for key, value in unit.data.items() if key != "names"}


def test_a_layer_is_its_packed_blob_with_what_made_it(registry):
    with opened(registry, repositories=("team/shop", "team/multi")) as one:
        units, _ = split(one.units(never))
        (document,) = documents(one, units[BASE.diff_id])
        assert body(document) == BASE.blob.data
    assert document.uri == f"registry://{one.host}/team/multi@{BASE.blob.digest}"
    assert document.path == f"team/multi:stable {BASE.blob.digest[:19]}"
    assert document.media_type == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert (document.key, document.version) == (f"content:{BASE.diff_id}", BASE.diff_id)
    assert document.author == "anna@acme.test"
    assert document.attrs == {
        "registry": one.host,
        "layer": BASE.blob.digest,
        "diff_id": BASE.diff_id,
        "instruction": "COPY . /app",
        "images": ["team/multi:stable", "team/shop:latest", "team/shop:v1"],
        "image_count": 3,
        "platform": "linux/amd64, linux/arm64/v8",
        "origin": "own",
    }


def test_a_deleted_file_names_the_layer_that_hides_it(registry):
    with opened(registry, repositories=("team/shop",)) as one:
        units, _ = split(one.units(never))
        (document,) = documents(one, units[BASE.diff_id])
        assert document.member_attrs is not None
        fate = document.member_attrs("app/.env")
        assert fate["deleted_in"] == REMOVES.blob.digest
        assert fate["deleted_by"] == "RUN rm /app/.env"
        assert "still extractable" in str(fate["hidden"])
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
    assert {type(event) for event in again} == {Checkpoint, Unchanged}
    assert sum(event.count for event in again if isinstance(event, Unchanged)) == 4


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
