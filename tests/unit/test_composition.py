"""Halves that belong together are one finding, in whatever order they stand."""

from __future__ import annotations

import pytest

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

KEY_ID = fill("<aws-key-id:482915736042>", "composition")
SECRET = fill("<base64:40>", "composition")


@pytest.fixture(scope="module", params=["auto", "fallback"])
def detector(request: pytest.FixtureRequest) -> ContentDetector:
    return build(backend=request.param)


def scan(detector: ContentDetector, text: str) -> list[Candidate]:
    document = Document(uri="file:///x.conf", body=text.encode(), path="x.conf")
    return [event for event in detector.scan(document) if isinstance(event, Candidate)]


@pytest.mark.parametrize(
    "text",
    [
        "[default]\naws_access_key_id = {id}\nregion = eu-west-1\naws_secret_access_key = {secret}\n",
        "[default]\naws_secret_access_key = {secret}\naws_access_key_id = {id}\n",
        (
            "AWS_ACCESS_KEY_ID={id}\nAWS_REGION=eu-west-1\nBUCKET=acme-invoices\nLOG_LEVEL=debug\nDB_HOST=db.acme.test\n"
            "QUEUE=https://sqs.eu-west-1.amazonaws.com/1/orders\nCACHE=cache.acme.test\nAWS_SECRET_ACCESS_KEY={secret}\n"
        ),
        "AWS_SECRET_ACCESS_KEY={secret}\nAWS_REGION=eu-west-1\nAWS_ACCESS_KEY_ID={id}\n",
        '{{"AccessKeyId": "{id}", "SecretAccessKey": "{secret}"}}',
        '{{"SecretAccessKey": "{secret}", "Status": "Active", "AccessKeyId": "{id}"}}',
        'provider "aws" {{\n  secret_key = "{secret}"\n  access_key = "{id}"\n}}\n',
        "- name: AWS_SECRET_ACCESS_KEY\n  value: {secret}\n- name: AWS_ACCESS_KEY_ID\n  value: {id}\n",
        "Access key ID,Secret access key\n{id},{secret}\n",
        "{id}\n{id}\naws_secret_access_key={secret}\n# {id} is the one\n",
    ],
)
def test_a_pair_is_one_finding(detector: ContentDetector, text: str) -> None:
    (found,) = scan(detector, text.format(id=KEY_ID, secret=SECRET))
    assert found.rule == "aws.credentials"
    assert found.secret.text() == SECRET
    assert {name: value.text() for name, value in found.companions.items()} == {"id": KEY_ID}


def test_two_pairs_keep_their_own_ids(detector: ContentDetector) -> None:
    pairs = [(fill("<aws-key-id:482915736042>", seed), fill("<base64:40>", seed)) for seed in "ab"]
    forward = "".join(
        f"[{n}]\naws_access_key_id={i}\naws_secret_access_key={s}\n" for n, (i, s) in enumerate(pairs)
    )
    backward = "".join(
        f"[{n}]\naws_secret_access_key={s}\naws_access_key_id={i}\n" for n, (i, s) in enumerate(pairs)
    )
    for text in (forward, backward):
        found = [(c.companions["id"].text(), c.secret.text()) for c in scan(detector, text)]
        assert found == pairs


def test_an_id_of_another_pair_is_a_finding_of_its_own(detector: ContentDetector) -> None:
    other = fill("<aws-key-id:482915736042>", "other")
    found = scan(detector, f"{KEY_ID} {SECRET}\n" + "-" * 500 + f"\nold key: {other}\n")
    assert [c.rule for c in found] == ["aws.credentials", "aws.access-key-id"]


def test_a_path_is_no_half(detector: ContentDetector) -> None:
    (found,) = scan(detector, f"{KEY_ID} is used by /home/deploy/projects/frontend/assets/img now")
    assert found.rule == "aws.access-key-id"


@pytest.mark.parametrize("kind", ["rsa", "ec", "pkcs8", "openssh", "pgp"])
@pytest.mark.parametrize("end", ["\n", "\\n"])
def test_a_private_key_without_its_end(detector: ContentDetector, kind: str, end: str) -> None:
    lines = fill(f"<pem:{kind}>", "cut").strip().split("\n")
    text = end.join(lines[: max(3, len(lines) * 2 // 3)])
    (found,) = scan(detector, f'key: "{text}{end}\nnext: line\n')
    assert found.rule == "privatekey.cut-off"
    assert found.secret.text() == text
    assert found.check is not None
    assert "cut off" in found.check.evidence


def test_a_whole_private_key_is_one_finding(detector: ContentDetector) -> None:
    (found,) = scan(detector, fill("<pem:rsa>\n", "whole"))
    assert found.rule == "privatekey.pem"


@pytest.mark.parametrize("order", ["{id} {secret}", "secret={secret} id={id}"])
def test_a_pair_over_the_border_of_two_segments(detector: ContentDetector, order: str) -> None:
    pair = order.format(id=KEY_ID, secret=SECRET)
    for shift in range(0, len(pair) + 2, 3):
        small = ContentDetector(detector.rules, backend=detector_backend(detector), segment=1 << 17)
        text = " " * ((1 << 17) - shift) + pair + " " * (1 << 17)
        assert [c.rule for c in scan(small, text)] == ["aws.credentials"], shift


def detector_backend(detector: ContentDetector) -> str:
    return detector._engine.backend


def test_a_pair_two_hundred_lines_apart_is_one_finding(detector: ContentDetector) -> None:
    filler = "".join(f"setting_{n:03} = value of setting {n}\n" for n in range(200))
    text = f"aws_access_key_id = {KEY_ID}\n{filler}aws_secret_access_key = {SECRET}\n"
    (found,) = scan(detector, text)
    assert found.secret.text() == SECRET
    assert found.companions["id"].text() == KEY_ID
    assert (found.line, found.column) == (202, 25)
    place = found.places["id"]
    assert (place.line, place.column) == (1, 21)
    assert text[place.start : place.end] == KEY_ID


def test_the_nearest_companion_is_taken_wherever_it_stands(detector: ContentDetector) -> None:
    password = fill("<password>", "composition")
    text = f"host: old.acme.test\n\nhost: db.acme.test\npassword: {password}\nuser: deploy\n\n\nuser: else\n"
    (found,) = scan(detector, text)
    parts = {name: value.text() for name, value in found.companions.items()}
    assert parts == {"account": "deploy", "host": "db.acme.test"}
    assert {name: place.line for name, place in found.places.items()} == {"account": 5, "host": 3}


def test_companions_have_places_in_what_was_encoded_too(detector: ContentDetector) -> None:
    import base64

    password = fill("<password>", "composition")
    inner = f"user: deploy\npassword: {password}\n".encode()
    body = b"data:\n  env: " + base64.b64encode(inner) + b"\n"
    (found,) = scan(detector, body.decode())
    assert found.companions["account"].text() == "deploy"
    place = found.places["account"]
    assert 13 <= place.start < place.end <= found.start
