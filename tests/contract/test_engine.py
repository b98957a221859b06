"""Container engines: every layer once, in every way engines save, and what containers add to it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from unsprawl.crawlers.engine.source import EngineSource
from unsprawl.detectors.detector import build as build_detector
from unsprawl.errors import AuthError, RetryableError, SourceError, UnreadableError
from unsprawl.estate.engine_server import EngineServer, RunContainer
from unsprawl.estate.imagery import Step, build, index, layer
from unsprawl.estate.loopback import Fault
from unsprawl.oci.stacks import content_key
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document, Skipped, Stream, Unchanged, Unit

TOKENS = {name: fill("<github-token:ghp_>", name) for name in "env arg label deleted run file log".split()}
BASE = layer({"etc/os-release": "NAME=Acme\n", "bin/sh": b"\x7fELF" + bytes(3 << 20)})
CODE = layer({"app/.env": f"GITHUB_TOKEN={TOKENS['deleted']}\n", "app/main.py": "print()\n"})
CLEAN = layer({"app/ok": "x"}, deletes=["app/.env"])
STEPS = [
    Step("ADD rootfs /", BASE),
    Step(f"ARG GITHUB_TOKEN={TOKENS['arg']}"),
    Step("COPY . /app", CODE),
    Step("RUN rm /app/.env", CLEAN),
]
SHOP = build(STEPS, env=[f"GITHUB_TOKEN={TOKENS['env']}"], labels={"token": TOKENS["label"]})
JOB = build([STEPS[0], STEPS[2], Step("CMD job")])
ALONE = build([STEPS[0], Step("CMD true")])
LAYOUTS = ["folders", "tars", "blobs", "packed"]
ID = "c" * 64
detector = cache(build_detector)


@pytest.fixture
def engine():
    with EngineServer() as server:
        server.images = {"acme/shop:1": SHOP, "acme/job:1": JOB, "acme/alone:1": ALONE}
        yield server


def source(server: EngineServer, **options: Any) -> EngineSource:
    return EngineSource("engine", EngineSource.Config(base_url=server.url, max_wait=5.0, **options))


def crawl(crawled: EngineSource, seen: Any = lambda _: None):
    """Documents with their bodies as they arrive, skips, and how many were unchanged."""
    documents: dict[str, tuple[Document, bytes]] = {}
    skipped: dict[str, Skipped] = {}
    unchanged = 0
    with ExitStack() as stack:
        stack.callback(crawled.close)
        for unit in crawled.units(seen):
            for event in [unit] if isinstance(unit, Skipped) else crawled.read(unit, None, seen):
                if isinstance(event, Document):
                    assert event.uri not in documents
                    documents[event.uri] = (event, body_of(event))
                elif isinstance(event, Skipped):
                    skipped[event.uri] = event
                elif isinstance(event, Unchanged):
                    unchanged += event.count
    return documents, skipped, unchanged


def body_of(document: Document) -> bytes:
    if isinstance(document.body, bytes):
        return document.body
    with document.body.open(0) as file:
        return file.read()


def found(crawled: EngineSource) -> dict[str, tuple[Document, Candidate, dict[str, Any]]]:
    """What is found, by its value, with the attributes of the occurrence."""
    result = {}
    for unit in crawled.units(lambda _: None):
        assert isinstance(unit, Unit), unit
        for document in crawled.read(unit, None, lambda _: None):
            for one in detector().scan(document) if isinstance(document, Document) else ():
                assert isinstance(one, Candidate), one
                assert isinstance(document, Document)
                more = document.member_attrs(one.member) if one.member and document.member_attrs else {}
                result[one.secret.text()] = (document, one, {**document.attrs, **more})
    return result


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layer_is_read_once_however_it_is_saved(engine: EngineServer, layout) -> None:
    engine.layout = layout
    documents, skipped, _ = crawl(source(engine))
    assert skipped == {}
    layers = {document.key for document, _ in documents.values() if "/layers/" in document.uri}
    assert layers == {content_key(one.diff_id) for one in (BASE, CODE, CLEAN)}
    assert len(documents) == 3 + 3
    versions = {document.key: document.version for document, _ in documents.values()}
    before = len(engine.asked(r"/get$"))
    again, _, unchanged = crawl(source(engine), versions.get)
    assert again == {}
    assert unchanged == len(documents)
    assert len(engine.asked(r"/get$")) == before, "nothing is saved for layers that are known"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_finding_says_the_command_the_images_and_what_hides_it(engine: EngineServer, layout) -> None:
    engine.layout = layout
    secrets = found(source(engine))
    document, candidate, attrs = secrets[TOKENS["deleted"]]
    assert candidate.member == "app/.env"
    assert attrs["diff_id"] == CODE.diff_id
    assert document.key == content_key(CODE.diff_id), "what a registry calls it too"
    assert attrs["images"] == ["acme/job:1", "acme/shop:1"]
    assert attrs["instruction"] == "COPY . /app"
    assert attrs["deleted_by"] == "RUN rm /app/.env"
    assert "in 1 of 2 images" in attrs["hidden"]
    for name in ("env", "arg", "label"):
        document, _, attrs = secrets[TOKENS[name]]
        assert document.path == "acme/shop:1 configuration"
        assert attrs["images"] == ["acme/shop:1"]


def test_other_platforms_in_the_engine_are_read_too(engine: EngineServer) -> None:
    arm = layer({"arm/.env": f"GITHUB_TOKEN={TOKENS['file']}\n"})
    engine.layout = "packed"
    engine.images = {"acme/many:1": index([SHOP, build([Step("COPY", arm)], platform="linux/arm64")])}
    assert found(source(engine))[TOKENS["file"]][0].key == content_key(arm.diff_id)


@pytest.mark.parametrize("layout", ["folders", "packed"])
def test_images_for_another_platform_are_read_by_their_list(engine: EngineServer, layout) -> None:
    engine.layout, engine.foreign = layout, True
    engine.images = {"acme/shop:1": SHOP}
    documents, skipped, _ = crawl(source(engine))
    assert skipped == {}
    assert {content_key(one.diff_id) for one in (BASE, CODE, CLEAN)} <= {
        document.key for document, _ in documents.values()
    }
    versions = {document.key: document.version for document, _ in documents.values()}
    before = len(engine.asked(r"/get$"))
    assert crawl(source(engine), versions.get)[0] == {}
    assert len(engine.asked(r"/get$")) == before


def container(**more: Any) -> RunContainer:
    return RunContainer(ID, "web", "acme/shop:1", **more)


def test_a_container_tells_what_no_image_does(engine: EngineServer) -> None:
    big = b"x" * (5 << 20) + f"\nGITHUB_TOKEN={TOKENS['deleted']}x\n".encode()
    engine.images = {}
    engine.containers = [
        container(
            env=[f"GITHUB_TOKEN={TOKENS['env']}"],
            args=["--github-token", TOKENS["arg"]],
            labels={"github_token": TOKENS["label"]},
            mounts={"/data/vault": "/srv/vault"},
            added={
                "/data": None,
                "/data/vault": None,
                "/srv/settings": None,
                "/srv/settings/gh": f"GITHUB_TOKEN={TOKENS['file']}".encode(),
                "/srv/settings/big": big,
            },
            changed={"/root": None, "/etc": None, "/etc/app": f"token: {TOKENS['run']}".encode()},
            deleted=["/tmp/x"],
            mounted={"/data/vault/secret": b"not of the container"},
            log=f"line one\nGITHUB_TOKEN={TOKENS['log']}\n".encode(),
        )
    ]
    documents, skipped, _ = crawl(source(engine, logs=True))
    assert skipped == {}
    top = f"engine://{engine.url.removeprefix('http://')}/containers/{ID}"
    assert set(documents) == {
        top,
        f"{top}/log",
        f"{top}/files/etc/app",
        f"{top}/files/srv/settings/gh",
        f"{top}/files/srv/settings/big",
    }
    document, body = documents[top]
    assert all(TOKENS[name].encode() in body for name in ("env", "arg", "label"))
    assert b"/srv/vault" in body
    assert documents[f"{top}/log"][1] == f"line one\nGITHUB_TOKEN={TOKENS['log']}\n".encode()
    assert documents[f"{top}/files/srv/settings/big"][1] == big
    assert documents[f"{top}/files/srv/settings/gh"][0].path == "web:/srv/settings/gh"
    assert document.attrs["container"] == "web"
    for uri, (_, body) in documents.items():
        fetched = source(engine, logs=True).fetch(uri)
        assert isinstance(fetched, Document)
        assert body_of(fetched) == body


def test_logs_are_read_on_request_and_those_of_running_containers_every_time(engine: EngineServer) -> None:
    engine.images = {}
    engine.containers = [container(log=b"hello\n", running=True, terminal=True)]
    assert [one for one in crawl(source(engine))[0] if one.endswith("/log")] == []
    documents, _, _ = crawl(source(engine, logs=True))
    (document, body), *_ = [one for uri, one in documents.items() if uri.endswith("/log")]
    assert body == b"hello\n"
    assert document.version is None
    engine.containers[0].log = None
    documents, skipped, _ = crawl(source(engine, logs=True))
    assert "cannot do this" in skipped[document.uri].reason


def test_owners_leave_out_what_they_will(engine: EngineServer) -> None:
    engine.containers = [container()]
    documents, skipped, _ = crawl(source(engine, exclude=("acme/shop:1", "web")))
    assert all("shop" not in document.path for document, _ in documents.values())
    assert sum(one.excluded for one in skipped.values()) == 2
    chosen, *_ = crawl(source(engine, images=("acme/al*",), containers=False))
    assert {document.path.split()[0] for document, _ in chosen.values()} == {"acme/alone:1"}
    _, small, _ = crawl(source(engine, max_layer_bytes=1 << 20))
    assert [one.reason for one in small.values() if "max_layer_bytes" in one.reason]


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["blobs", "folders"])
def test_a_save_that_breaks_off_is_taken_up_again(engine: EngineServer, layout) -> None:
    engine.layout = layout
    whole = {uri: body for uri, (_, body) in crawl(source(engine))[0].items()}
    engine.faults = [Fault(r"/get$", cut=1 << 20, times=2), Fault(r"/get$", cut=4000, times=1)]
    documents, skipped, _ = crawl(source(engine))
    assert skipped == {}
    assert {uri: body for uri, (_, body) in documents.items()} == whole


def test_an_engine_that_never_sends_its_layers_is_a_failure_of_the_unit(engine: EngineServer) -> None:
    engine.faults = [Fault(r"/get$", cut=600)]
    with pytest.raises(RetryableError, match=r"broke off|ends early"):
        crawl(source(engine, images=("acme/alone:1",)))


def test_a_layer_that_is_not_sent_is_told(engine: EngineServer) -> None:
    engine.faults = [Fault(r"/get$", spoil=lambda _: bytes(1024))]
    _, skipped, _ = crawl(source(engine))
    assert {uri.rpartition("/")[2] for uri in skipped} == {one.diff_id for one in (BASE, CODE, CLEAN)}
    assert all("did not send" in one.reason for one in skipped.values())


def test_what_is_gone_or_refused_costs_itself_alone(engine: EngineServer) -> None:
    engine.containers = [container()]
    image = SHOP.blobs[0].digest
    engine.faults = [Fault(rf"/images/{image}/json", status=404), Fault(r"/changes", status=403)]
    documents, skipped, _ = crawl(source(engine))
    reasons = {one.reason for one in skipped.values()}
    assert {"the image: no longer there", "the changes of the container: the engine refuses (403)"} == reasons
    assert any("job" in document.path for document, _ in documents.values())
    assert any(document.path == "container web" for document, _ in documents.values())


def test_an_engine_with_a_bad_moment_is_asked_again(engine: EngineServer) -> None:
    engine.faults = [Fault(r"/images/json", status=500, times=2), Fault(r"/history", reset=True, times=1)]
    _, skipped, _ = crawl(source(engine))
    assert skipped == {}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(r"/version", status=302, headers={"location": "http://127.0.0.1:9/"}), UnreadableError),
        (Fault(r"/version", status=200, body=b"<html>Sign in</html>"), UnreadableError),
        (Fault(r"/version", status=200, body=b'{"ApiVersion": "../.."}'), UnreadableError),
        (Fault(r"/images/json", status=200, body=b'{"a": [' * 5000), UnreadableError),
        (Fault(r"/images/json", status=200, body=b'{"message": 1}'), UnreadableError),
        (Fault(r"/version", reset=True), RetryableError),
    ],
    ids=["redirect", "page", "version", "deep", "object", "reset"],
)
def test_what_is_no_engine_is_told(engine: EngineServer, fault: Fault, kind: type[SourceError]) -> None:
    engine.faults = [fault]
    with pytest.raises(kind) as failure:
        crawl(source(engine))
    assert failure.value.hint
    (diagnosis, *_) = [one for one in source(engine).diagnose() if not one.ok]
    assert diagnosis.hint


def test_an_answer_without_end_is_not_read_to_it(
    engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsprawl.crawlers.engine.client.LARGEST_ANSWER", 1 << 20)
    engine.faults = [Fault(r"/images/json", status=200, body=b"[" + b" " * (3 << 20) + b"]")]
    with pytest.raises(UnreadableError, match="more than 1 MiB"):
        crawl(source(engine))


def test_a_closed_socket_and_a_missing_one(tmp_path) -> None:
    config = EngineSource.Config(base_url=f"unix://{tmp_path}/none.sock", max_wait=1.0)
    with pytest.raises(RetryableError, match="does not answer"):
        list(EngineSource("engine", config).units(lambda _: None))
    (diagnosis,) = EngineSource("engine", config).diagnose()
    assert not diagnosis.ok


def test_who_may_not_open_the_socket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from unsprawl.crawlers.engine.faults import faults

    with pytest.raises(AuthError, match="may not talk"), faults("x"):
        raise ConnectionError("aborted", PermissionError(13, "denied"))


def test_diagnosis_says_what_can_be_read(engine: EngineServer) -> None:
    engine.containers = [container()]
    lines = list(source(engine).diagnose())
    assert all(line.ok for line in lines)
    assert [line.what for line in lines] == [
        "reach the engine, 27.0.0-acme",
        "list the images: 3",
        "read layers",
        "list the containers: 1",
    ]


def test_a_layer_can_be_opened_anywhere_and_later(engine: EngineServer) -> None:
    documents = [
        event
        for unit in source(engine).units(lambda _: None)
        if isinstance(unit, Unit)
        for event in source(engine).read(unit, None, lambda _: None)
        if isinstance(event, Document) and isinstance(event.body, Stream)
    ]
    for document in documents:
        whole = body_of(document)
        assert isinstance(document.body, Stream)
        with document.body.open(1000) as file:
            assert file.read() == whole[1000:]
