"""First schema, limits, origins of layers, and logins that end: the small laws of registries."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from unsprawl.errors import RetryableError, UnreadableError
from unsprawl.oci import signed
from unsprawl.oci.images import parse_config, parse_manifest
from unsprawl.oci.origins import Origins
from unsprawl.oci.quota import Quota, Remaining
from unsprawl.secret import Secret
from unsprawl.wire.bearer import BearerFlow

# --- the first schema ----------------------------------------------------------------------------

BLOBS = [f"sha256:{number:064x}" for number in range(3)]


def step(command: str, **more: object) -> dict[str, str]:
    content = {"container_config": {"Cmd": ["/bin/sh", "-c", command]}, "created": "2015-06-01T00:00:00Z"}
    return {"v1Compatibility": json.dumps({**content, **more})}


def first_schema() -> dict[str, object]:
    """The topmost layer comes first."""
    top = step("#(nop) ENV TOKEN=abc", architecture="amd64", os="linux", author="anna")
    return {
        "schemaVersion": 1,
        "name": "team/old",
        "tag": "v1",
        "fsLayers": [{"blobSum": blob} for blob in reversed(BLOBS)],
        "history": [top, step("rm /x"), step("#(nop) ADD file:1 in /")],
    }


def sign(content: dict[str, object]) -> tuple[bytes, bytes]:
    """A signed manifest as docker wrote it, and the payload that its digest is of."""
    payload = json.dumps(content, indent=3).encode()
    length = payload.rindex(b"\n}")
    tail = payload[length:]
    protected = {"formatLength": length, "formatTail": base64.urlsafe_b64encode(tail).decode().rstrip("=")}
    signature = {
        "header": {"alg": "ES256"},
        "signature": "x",
        "protected": base64.urlsafe_b64encode(json.dumps(protected).encode()).decode().rstrip("="),
    }
    written = payload[:length] + b',\n   "signatures": ' + json.dumps([signature]).encode() + b"\n}"
    return written, payload


def test_layers_and_history_of_the_first_schema_come_from_the_bottom_up():
    manifest = parse_manifest(json.dumps(first_schema()).encode())
    assert [one.digest for one in manifest.layers] == BLOBS
    assert manifest.built is not None
    assert [one.instruction for one in manifest.built.layers] == [
        "ADD file:1 in /",
        "RUN rm /x",
        "ENV TOKEN=abc",
    ]
    assert (manifest.built.platform, manifest.built.author) == ("linux/amd64", "anna")


def test_a_digest_of_the_first_schema_leaves_the_signatures_out():
    written, payload = sign(first_schema())
    assert json.loads(written)["signatures"]
    assert signed.is_first_schema(written)
    assert signed.payload(written) == payload
    assert signed.payload(payload) == payload
    assert hashlib.sha256(written).digest() != hashlib.sha256(payload).digest()


def test_the_history_of_the_first_schema_is_readable():
    text = signed.readable(sign(first_schema())[0]).decode()
    assert "ENV TOKEN=abc" in text
    assert "\\\\" not in text
    assert "signatures" not in text


@pytest.mark.parametrize(
    "protected",
    ["", "!!", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"formatLength": 9e9}').decode()],
)
def test_a_signature_that_is_none_is_refused(protected):
    body = json.dumps({**first_schema(), "signatures": [{"protected": protected}]}).encode()
    with pytest.raises(UnreadableError, match="signature"):
        signed.payload(body)


@pytest.mark.parametrize(
    "change",
    [
        {"history": []},
        {"fsLayers": [{"blobSum": "sha256:../x"}] * 3},
        {"history": [{"v1Compatibility": "["}] * 3},
        {"history": 7},
        {"fsLayers": [None] * 3},
    ],
)
def test_a_broken_first_schema_is_told(change):
    with pytest.raises(UnreadableError):
        parse_manifest(json.dumps({**first_schema(), **change}).encode())


# --- limits --------------------------------------------------------------------------------------


def test_what_is_left_is_read_from_the_headers():
    quota = Quota()
    quota.note({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"})
    assert quota.remaining == Remaining(76, 100, 21600)
    assert str(quota.remaining) == "76 of 100 pulls left in 6 h"
    quota.note({})
    assert quota.remaining.left == 76
    quota.note({"ratelimit-remaining": "many"})
    assert quota.remaining.left == 76
    quota.check()


def test_pulls_are_kept_for_others():
    quota = Quota(keep=20)
    quota.check()
    quota.note({"ratelimit-remaining": "21"})
    quota.check()
    quota.note({"ratelimit-remaining": "20", "ratelimit-limit": "100;w=3600"})
    with pytest.raises(RetryableError, match=r"20 of 100 pulls left in 1 h, 20 are kept"):
        quota.check()


# --- own layer or base ---------------------------------------------------------------------------


def origins(*images):
    return Origins((name, tuple(layers), {name}, base, guess) for name, layers, base, guess in images)


def test_a_layer_is_its_own_where_no_image_below_has_it():
    found = origins(("base", "ab", "", 0), ("app", "abcd", "", 0), ("tool", "abe", "", 0))
    assert found.of({"base": 0, "app": 0, "tool": 0}) == {"origin": "own", "made_for": ["base"]}
    assert found.of({"app": 2}) == {"origin": "own", "made_for": ["app"]}


def test_the_smallest_image_below_counts():
    found = origins(("os", "a", "", 0), ("runtime", "ab", "", 0), ("app", "abc", "", 0))
    assert found.of({"os": 0, "runtime": 0, "app": 0})["made_for"] == ["os"]
    assert found.of({"runtime": 1, "app": 1})["made_for"] == ["runtime"]


def test_a_base_that_was_not_read_is_guessed_by_its_command():
    found = origins(("app", "abc", "docker.test/python:3", 2))
    assert found.of({"app": 1}) == {"origin": "probably base", "base_image": ["docker.test/python:3"]}
    assert found.of({"app": 2}) == {"origin": "own", "made_for": ["app"]}


def test_a_declared_base_of_unknown_height_says_its_name_only():
    found = origins(("app", "abc", "docker.test/python:3", 0))
    assert found.of({"app": 1}) == {"base_image": ["docker.test/python:3"]}


def test_a_command_that_a_layer_follows_ends_the_base():
    def config(*commands):
        history = [
            {"created_by": text, **({"empty_layer": True} if text.startswith(("CMD", "ENV")) else {})}
            for text in commands
        ]
        layers = [f"sha256:{at:064x}" for at in range(sum(not step.get("empty_layer") for step in history))]
        return parse_config(json.dumps({"rootfs": {"diff_ids": layers}, "history": history}).encode())

    assert config("ADD rootfs", "RUN x", 'CMD ["sh"]', "COPY . /app", 'CMD ["app"]').inherited == 2
    assert config("ADD rootfs", "ENV a=b", "COPY . /app", 'CMD ["app"]').inherited == 0
    assert config("ADD", 'CMD ["sh"]', "RUN", 'CMD ["python"]', "COPY", 'CMD ["app"]').inherited == 2
    assert config().inherited == 0


# --- logins that end -----------------------------------------------------------------------------


def test_a_login_of_some_hours_is_fetched_when_asked_for_and_renewed_when_refused():
    now = 1000.0
    given: list[str] = []

    def fresh():
        given.append(f"password-{len(given)}")
        return "AWS", Secret(given[-1])

    flow = BearerFlow("http://127.0.0.1:1", fresh=fresh, clock=lambda: now)
    assert flow.given
    assert flow.headers("") == {}
    assert given == []
    assert flow.renew("", 'Basic realm="x"')
    first = flow.headers("")["authorization"]
    assert base64.b64decode(first.removeprefix("Basic ")) == b"AWS:password-0"
    # Refused at once: another would be refused as well.
    assert not flow.renew("", 'Basic realm="x"')
    now += 12 * 3600
    assert flow.renew("", 'Basic realm="x"')
    assert flow.headers("")["authorization"] != first
    assert len(given) == 2
