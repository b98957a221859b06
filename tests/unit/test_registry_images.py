"""Manifests, configurations, layer names and stacks: what strangers claim, and what is made of it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.errors import UnreadableError
from unsprawl.estate.imagery import Step, build, index, layer
from unsprawl.oci.fate import fate_of
from unsprawl.oci.images import parse_config, parse_manifest
from unsprawl.oci.layers import LayerNames, NamesCache, member_path, read_names
from unsprawl.oci.stacks import LayerGraph
from unsprawl.records import Skipped, Unit

OCI = "application/vnd.oci.image.manifest.v1+json"
DIGESTS = [f"sha256:{number:064x}" for number in range(10)]


# --- manifests -----------------------------------------------------------------------------------


def test_an_image_manifest_names_its_configuration_and_its_layers():
    image = build([Step("COPY a /a", layer({"a": "1"}))], annotations={"note": "x"})
    manifest = parse_manifest(image.manifest.data)
    assert manifest.config is not None
    assert manifest.config.digest == image.blobs[0].digest
    assert [one.digest for one in manifest.layers] == [image.blobs[1].digest]
    assert manifest.annotated


def test_an_index_names_its_children_with_their_platforms():
    images = [build([], platform="linux/amd64"), build([], platform="linux/arm64/v8")]
    manifest = parse_manifest(index(images).manifest.data)
    assert [(one.digest, one.platform) for one in manifest.children] == [
        (images[0].digest, "linux/amd64"),
        (images[1].digest, "linux/arm64/v8"),
    ]
    assert not manifest.annotated


def test_a_manifest_without_a_media_type_is_known_by_the_answer_or_by_its_shape():
    body = json.dumps({"schemaVersion": 2, "config": {"digest": DIGESTS[0]}, "layers": []}).encode()
    assert parse_manifest(body, OCI + "; charset=utf-8").media_type == OCI
    assert parse_manifest(body).config is not None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "first schema"),
        (b'{"schemaVersion": 2, "mediaType": "application/x-new"}', "unknown type application/x-new"),
        (b'{"schemaVersion": 2, "layers": [{"digest": "sha256:../../x"}]}', "no valid digest"),
        (json.dumps({"manifests": [{}] * 5000}).encode(), "5000 entries"),
    ],
)
def test_manifests_that_cannot_be_read(body, reason):
    with pytest.raises(UnreadableError, match=reason):
        parse_manifest(body)


def test_foreign_layers_are_told_apart():
    entry = {"digest": DIGESTS[1], "size": 5, "urls": ["https://elsewhere.test/x"]}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI, "layers": [entry]}).encode()
    assert parse_manifest(body).layers[0].foreign


# --- configurations ------------------------------------------------------------------------------


def test_history_is_joined_to_the_layers_it_made():
    one, two = layer({"a": "1"}), layer({"b": "2"})
    image = build(
        [Step("COPY a /a", one), Step("ENV X=1"), Step("/bin/sh -c rm /a", two), Step("CMD x")],
        author="Anna <anna@acme.test>",
        platform="linux/arm64/v8",
    )
    config = parse_config(image.blobs[0].data)
    assert [step.diff_id for step in config.layers] == [one.diff_id, two.diff_id]
    assert [step.instruction for step in config.layers] == ["COPY a /a", "RUN rm /a"]
    assert (config.platform, config.author) == ("linux/arm64/v8", "Anna <anna@acme.test>")
    assert config.created is not None
    assert config.created.year == 2025


def test_a_history_that_does_not_fit_says_nothing():
    body = json.dumps({"rootfs": {"diff_ids": DIGESTS[:2]}, "history": [{"created_by": "x"}]}).encode()
    assert [step.instruction for step in parse_config(body).layers] == ["", ""]


def test_the_builders_shell_is_left_out_of_an_instruction():
    history = [{"created_by": "/bin/sh -c #(nop) COPY file:1 in / "}]
    body = json.dumps({"rootfs": {"diff_ids": DIGESTS[:1]}, "history": history}).encode()
    assert parse_config(body).layers[0].instruction == "COPY file:1 in /"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(
            ["config", "layers", "manifests", "history", "rootfs", "diff_ids", "digest", "created",
             "created_by", "platform", "os", "annotations", "Labels", "maintainer", "size", "urls"]
        ),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_no_document_makes_the_parsers_fail_otherwise(value):
    body = json.dumps(value).encode()
    for parse in (parse_manifest, parse_config):
        try:
            parse(body)
        except UnreadableError:
            continue


# --- names in layers -----------------------------------------------------------------------------


def names_of(data: bytes) -> LayerNames:
    return read_names(io.BytesIO(data))


@pytest.mark.parametrize("packing", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("trailer", [True, False])
def test_names_of_a_layer_in_every_packing(packing, trailer):
    built = layer(
        {"app/.env": "x" * 700, "app/b": "y"}, deletes=["app/old"], packing=packing, trailer=trailer
    )
    names = names_of(built.blob.data)
    assert set(names.entries) == {"app/.env", "app/b"}
    assert names.deleted == {"app/old"}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_links_and_folders_in_every_dialect(form):
    long = "deep/" * 30 + "ünïcode.txt"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8") as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("l", tarfile.SYMTYPE), (long, tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.SYMTYPE:
                info.linkname = "target/" * 12
            if kind == tarfile.REGTYPE:
                info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    names = names_of(buffer.getvalue())
    assert names.entries == {"d": True, "l": False, long: False}


def test_several_gzip_members_and_zstd_frames_are_one_layer():
    raw = layer({"a": "1", "b": "2" * 5000}, packing="none").blob.data
    half = len(raw) // 2
    packed = gzip.compress(raw[:half]) + gzip.compress(raw[half:])
    assert set(names_of(packed).entries) == {"a", "b"}
    compressor = zstandard.ZstdCompressor()
    frames = compressor.compress(raw[:half]) + zstandard.ZstdCompressor().compress(raw[half:])
    assert set(names_of(frames).entries) == {"a", "b"}


def test_packing_that_breaks_off_is_told():
    packed = gzip.compress(layer({"a": "1", "b": "x" * 100_000}, packing="none").blob.data, 0)
    with pytest.raises(UnreadableError, match="ends early"):
        names_of(packed[:1500])


def test_what_is_no_tar_archive_is_told():
    with pytest.raises(UnreadableError, match="not a tar"):
        names_of(b"no archive, whatever the manifest says" * 40)


def test_damaged_packing_is_told():
    packed = bytearray(gzip.compress(layer({"a": "x" * 9000}, packing="none").blob.data))
    packed[30:60] = b"\xff" * 30
    with pytest.raises(UnreadableError, match=r"unpacked|not a tar"):
        names_of(bytes(packed))


@given(st.binary(max_size=2048))
def test_no_bytes_make_reading_names_fail_otherwise(data):
    for content in (data, gzip.compress(data), b"\x28\xb5\x2f\xfd" + data):
        try:
            names_of(content)
        except UnreadableError:
            continue


def test_a_header_that_promises_gigabytes_of_name_costs_nothing():
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    assert len(names_of(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 4096)) == 0


@pytest.mark.parametrize(
    ("member", "path"),
    [("./app/.env", "app/.env"), ("/etc/x", "etc/x"), ("a/b.zip!/c", "a/b.zip"), ("a/../b", "b"), ("", "")],
)
def test_a_member_is_a_path_of_the_image(member, path):
    assert member_path(member) == path


# --- what a later layer does ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_directory", "deed"),
    [
        ("app/.wh..env", False, "deletes"),
        (".wh.app", False, "deletes"),
        ("app/.wh..wh..opq", False, "deletes"),
        (".wh..wh..opq", False, "deletes"),
        ("app/.env", False, "overwrites"),
        ("app", False, "overwrites"),
        ("app", True, ""),
        ("app/.env.dist", False, ""),
        ("other/.wh..env", False, ""),
        ("app/.wh..env.bak", False, ""),
        ("apple/.wh..wh..opq", False, ""),
    ],
)
def test_what_an_entry_does_to_a_file_below(name, is_directory, deed):
    names = LayerNames()
    names.add(name, is_directory)
    assert names.does("app/.env") == deed


def test_a_file_that_is_deleted_and_written_again_is_overwritten():
    names = LayerNames()
    names.add("app/.wh..wh..opq", is_directory=False)
    names.add("app/.env", is_directory=False)
    assert names.does("app/.env") == "overwrites"


def test_the_cache_forgets_the_oldest():
    cache = NamesCache(most=3)
    for digest in "abc":
        names = LayerNames()
        names.add(f"{digest}1", is_directory=False)
        names.add(f"{digest}2", is_directory=False)
        cache.put(digest, names)
    assert [cache.get(digest) is not None for digest in "abc"] == [False, False, True]


# --- stacks --------------------------------------------------------------------------------------


def graph_of(*images):
    """(repository, tag, image) to the layers' units by their diff_id."""
    graph = LayerGraph("registry.test")
    for repository, tag, image in images:
        manifest = parse_manifest(image.manifest.data)
        config = parse_config(image.blobs[0].data)
        graph.add(repository, image.digest, f"{repository}:{tag}", manifest, config)
    return {unit.id: unit for unit in graph.units() if isinstance(unit, Unit)}


BASE = layer({"app/.env": "SECRET", "app/main": "x"})
REMOVES = layer({}, deletes=["app/.env"])
TOUCHES = layer({"app/main": "y"})
STORE = {one.blob.digest: one.blob.data for one in (BASE, REMOVES, TOUCHES)}


def opener(places):
    data = STORE.get(places[0][1])
    if data is None:
        raise UnreadableError("the registry does not have it")
    return io.BytesIO(data)


def test_a_layer_of_several_images_is_one_unit_with_all_its_repositories():
    one = build([Step("COPY", BASE), Step("RUN rm", REMOVES)])
    two = build([Step("COPY", BASE), Step("RUN touch", TOUCHES)])
    units = graph_of(("b/two", "v2", two), ("a/one", "v1", one), ("a/one", "latest", one))
    assert set(units) == {BASE.diff_id, REMOVES.diff_id, TOUCHES.diff_id}
    base = units[BASE.diff_id]
    assert base.parents == ("a/one", "b/two")
    assert base.data["images"] == ["a/one:latest", "a/one:v1", "b/two:v2"]
    assert base.data["places"][0][:2] == ("a/one", BASE.blob.digest)


def test_the_order_of_tags_does_not_matter():
    one = build([Step("COPY", BASE), Step("RUN rm", REMOVES)])
    two = build([Step("COPY .", BASE), Step("RUN touch", TOUCHES)])
    ways = [("a", "v1", one), ("b", "v1", two), ("b", "v0", two)]
    expected = {key: (unit, unit.data) for key, unit in graph_of(*ways).items()}
    assert {key: (unit, unit.data) for key, unit in graph_of(*reversed(ways)).items()} == expected


def test_the_same_files_packed_otherwise_are_one_layer():
    repacked = layer({"app/.env": "SECRET", "app/main": "x"}, packing="zstd")
    assert repacked.blob.digest != BASE.blob.digest
    units = graph_of(("a", "v1", build([Step("x", BASE)])), ("b", "v1", build([Step("x", repacked)])))
    assert list(units) == [BASE.diff_id]
    assert units[BASE.diff_id].parents == ("a", "b")


def test_deleted_in_every_image():
    unit = graph_of(("a", "v1", build([Step("COPY", BASE), Step("RUN rm /app/.env", REMOVES)])))[BASE.diff_id]
    fate = fate_of(unit.data["stacks"], "app/.env", opener)
    assert fate["deleted_in"] == REMOVES.blob.digest
    assert fate["deleted_by"] == "RUN rm /app/.env"
    assert "still extractable" in str(fate["hidden"])
    assert " of " not in str(fate["hidden"])
    assert fate_of(unit.data["stacks"], "app/main", opener) == {}


def test_deleted_in_some_images_only():
    gone = build([Step("COPY", BASE), Step("RUN rm", REMOVES)])
    kept = build([Step("COPY", BASE), Step("RUN touch", TOUCHES)])
    unit = graph_of(("a", "v1", gone), ("b", "v1", kept), ("b", "v2", kept))[BASE.diff_id]
    assert "in 1 of 3 images" in str(fate_of(unit.data["stacks"], "app/.env", opener)["hidden"])
    assert "overwritten_in" in fate_of(unit.data["stacks"], "app/main", opener)


def test_the_nearest_layer_that_hides_counts():
    image = build([Step("COPY", BASE), Step("RUN one", TOUCHES), Step("RUN two", REMOVES)])
    fate = fate_of(graph_of(("a", "v1", image))[BASE.diff_id].data["stacks"], "app/main", opener)
    assert fate["overwritten_by"] == "RUN one"


def test_a_layer_that_comes_back_on_top_is_not_hidden():
    image = build([Step("COPY", BASE), Step("RUN rm", REMOVES), Step("COPY", BASE)])
    unit = graph_of(("a", "v1", image))[BASE.diff_id]
    assert fate_of(unit.data["stacks"], "app/.env", opener) == {}


def test_a_layer_above_that_cannot_be_read_is_told():
    lost = layer({"lost": "1"})
    image = build([Step("COPY", BASE), Step("RUN lost", lost)])
    fate = fate_of(graph_of(("a", "v1", image))[BASE.diff_id].data["stacks"], "app/.env", opener)
    assert str(fate["hidden"]).startswith("not known")


def test_a_foreign_layer_is_skipped_with_its_reason():
    graph = LayerGraph("registry.test")
    entry = {"digest": DIGESTS[1], "size": 5, "urls": ["https://elsewhere.test/x"]}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI, "layers": [entry]}).encode()
    graph.add("win/base", DIGESTS[2], "win/base:1", parse_manifest(body), None)
    (skipped,) = graph.units()
    assert isinstance(skipped, Skipped)
    assert "foreign" in skipped.reason
    assert skipped.parents == ("win/base",)
