"""The second night of a registry: what is known costs one HEAD a tag, what is new is found."""

from __future__ import annotations

import json

import pytest
from registries import ARM, BASE, REMOVES, SHOP, SHOP_ARM, body, documents, never, opened, split

from unsprawl.estate.imagery import Blob, Image, Step, build, index, layer
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Fault, RegistryServer
from unsprawl.records import Checkpoint, Document, Unchanged


@pytest.fixture
def server():
    with RegistryServer() as one:
        push(one.url, "team/shop", SHOP, "v1", "v2", "latest")
        push(one.url, "team/multi", index([SHOP, SHOP_ARM]), "stable")
        yield one


def night(server, known, **config):
    """One run: its events, with what was read entered into ``known``."""
    server.requests.clear()
    with opened(server.url, **config) as one:
        found = list(one.units(known.get))
        units, skipped = split(found)
        events = [event for unit in units.values() for event in one.read(unit, None, dict(known).get)]
        for event in events:
            if isinstance(event, Document):
                body(event)
                known[event.key] = event.version
    return events, skipped


def asked(server, *, heads=True):
    return [
        (one.method, one.path)
        for one in server.requests
        if one.path not in ("/v2/", "/v2/_catalog")
        and "/tags/list" not in one.path
        and (heads or one.method != "HEAD")
    ]


def test_a_second_night_costs_one_head_a_tag(server):
    known: dict[str, str] = {}
    first, _ = night(server, known)
    again, skipped = night(server, known)
    assert sorted(asked(server)) == sorted(
        [
            *(("HEAD", f"/v2/team/shop/manifests/{tag}") for tag in ("v1", "v2", "latest")),
            ("HEAD", "/v2/team/multi/manifests/stable"),
        ]
    )
    assert skipped == []
    read = [event for event in first if isinstance(event, Document)]
    assert {type(event) for event in again} == {Checkpoint, Unchanged}
    told = [event for event in again if isinstance(event, Unchanged)]
    assert len(told) == len(read)
    # What may have changed around a layer is told each night, from what is remembered.
    layers = {event.uri: event for event in read if event.key.startswith("content:")}
    for event in told:
        if event.document is not None:
            before = layers.pop(event.document.uri).attrs
            assert {name: before.get(name) for name in event.document.attrs} == dict(event.document.attrs)
    assert layers == {}


def test_a_first_night_reads_every_manifest_and_configuration_once(server):
    night(server, {})
    gets = [path for method, path in asked(server, heads=False) if "/referrers/" not in path]
    # The image lies in two repositories, and each has its own.
    assert len(gets) == len(set(gets))
    assert sum("/manifests/" in path for path in gets) == 4
    assert sum(BASE.blob.digest in path for path in gets) == 1


def test_a_new_tag_on_old_layers_reads_its_own_manifest_alone(server):
    known: dict[str, str] = {}
    night(server, known)
    fresh = layer({"new": "1"})
    image = build([Step("COPY . /app", BASE), Step("COPY new /new", fresh)])
    push(server.url, "team/shop", image, "v3")
    events, _ = night(server, known)
    assert [
        path.rpartition("/")[2] for _, path in asked(server, heads=False) if "/referrers/" not in path
    ] == [
        image.digest,
        image.blobs[0].digest,
        fresh.blob.digest,
    ]
    (read,) = [
        event for event in events if isinstance(event, Document) and event.key == f"content:{fresh.diff_id}"
    ]
    assert read.attrs["images"] == ["team/shop:v3"]


def test_a_tag_that_moves_is_seen(server):
    known: dict[str, str] = {}
    night(server, known)
    moved = build([Step("COPY", ARM)], env=["MOVED=1"])
    push(server.url, "team/shop", moved, "latest")
    events, _ = night(server, known)
    assert {event.uri.rpartition("#")[2] for event in events if isinstance(event, Document)} == {
        "config",
        "manifest",
    }


def test_an_image_with_a_layer_that_was_not_read_is_asked_for_again(server):
    known: dict[str, str] = {}
    night(server, known)
    del known[f"content:{REMOVES.diff_id}"]
    events, _ = night(server, known)
    (read,) = [event for event in events if isinstance(event, Document)]
    assert read.key == f"content:{REMOVES.diff_id}"
    assert read.attrs["instruction"] == "RUN rm /app/.env"
    assert read.attrs["images"] == ["team/multi:stable", "team/shop:latest", "team/shop:v1", "team/shop:v2"]


def test_what_is_left_out_costs_nothing_either(server):
    known: dict[str, str] = {}
    _, first = night(server, known, max_layer_bytes=100, platforms=("linux/amd64",))
    _, again = night(server, known, max_layer_bytes=100, platforms=("linux/amd64",))
    assert again == first
    assert asked(server, heads=False) == []


@pytest.mark.parametrize("memory", ["", "sha256:0 x", "{digest}", "{digest} !!", "{digest} Qm9n"])
def test_a_memory_that_cannot_be_read_is_no_memory(server, memory):
    known: dict[str, str] = {}
    night(server, known)
    for key in known:
        if key.endswith("#manifest"):
            known[key] = memory.format(digest=key.rpartition("@")[2].removesuffix("#manifest"))
    _, skipped = night(server, known)
    assert skipped == []
    assert any("/manifests/sha256:" in path for _, path in asked(server, heads=False))


def test_a_registry_that_tells_no_digest_by_head_is_read_by_tag(server):
    server.faults.append(Fault("/manifests/(v1|v2|latest|stable)$", 405, method="HEAD"))
    with opened(server.url) as one:
        units, skipped = split(one.units(never))
        assert skipped == []
        assert body(documents(one, units[BASE.diff_id])[0]) == BASE.blob.data


def test_what_signs_an_image_is_read_with_it(server):
    payload = Blob("application/vnd.dev.cosign.simplesigning.v1+json", b'{"critical": {}}')
    empty = Blob("application/vnd.oci.empty.v1+json", b"{}")
    content = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.acme.note",
        "config": empty.descriptor(),
        "layers": [payload.descriptor()],
        "subject": SHOP.manifest.descriptor(),
    }
    manifest = Blob("application/vnd.oci.image.manifest.v1+json", json.dumps(content).encode())
    push(server.url, "team/shop", Image(manifest, (empty, payload)))
    server.referrers = True
    known: dict[str, str] = {}
    events, skipped = night(server, known)
    assert skipped == []
    (note,) = [e for e in events if isinstance(e, Document) and e.key == f"content:{payload.digest}"]
    assert note.attrs["artifact"] == "application/vnd.acme.note"
    assert "team/shop:v1" in str(note.attrs["about"])
    night(server, known)
    assert asked(server, heads=False) == []
    night(server, known, referrers="always")
    assert {path.split("/")[-2] for _, path in asked(server, heads=False)} == {"referrers"}


def test_signatures_under_tags_come_with_the_images_that_are_chosen(server):
    payload = Blob("application/vnd.dev.cosign.simplesigning.v1+json", b'{"critical": {"x": 1}}')
    for image in (SHOP, build([], env=["OTHER=1"])):
        config = Blob("application/vnd.oci.image.config.v1+json", b'{"architecture": "", "os": ""}')
        content = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor(),
            "layers": [payload.descriptor(annotations={"dev.cosignproject.cosign/signature": image.digest})],
        }
        manifest = Blob("application/vnd.oci.image.manifest.v1+json", json.dumps(content).encode())
        tag = image.digest.replace(":", "-") + ".sig"
        push(server.url, "team/shop", Image(manifest, (config, payload)), tag)
    with opened(server.url, repositories=("team/shop",), tags=("v1",)) as one:
        units, skipped = split(one.units(never))
        (signature,) = documents(one, units[payload.digest])
    assert signature.attrs["about"] == ["team/shop:v1"]
    assert signature.attrs["images"] == [f"team/shop:{SHOP.digest.replace(':', '-')}.sig"]
    assert [gap.reason for gap in skipped] == ["3 tags left out by `tags`"]
