"""What a filter refuses, for whoever wants to judge it again."""

from __future__ import annotations

import pytest

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

HEX = fill("<hex:32>", "doubts")
DIGITS = "1028997062372465"
BYTES = "17, 235, 108, 116, 29, 236, 79, 1, 165, 64, 98, 38"


@pytest.fixture(scope="module", params=["auto", "fallback"])
def detector(request: pytest.FixtureRequest) -> ContentDetector:
    return build(backend=request.param, doubts=True)


@pytest.fixture(scope="module")
def strict() -> ContentDetector:
    return build()


def scan(detector: ContentDetector, text: str) -> list[Candidate]:
    document = Document(uri="file:///a/settings.x", body=text.encode(), path="a/settings.x")
    return [event for event in detector.scan(document) if isinstance(event, Candidate)]


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("services:\n  db:\n    environment:\n    - DB_PASSWORD=barbcovey\n", "barbcovey", "prose"),
        ("'secret' => 'ezjrgwjmodic',\n", "ezjrgwjmodic", "words"),
        (f'String AES_KEY = "{DIGITS}";\n', DIGITS, "number"),
        ("oauth_token = 'cdefghijklmnopqrstuvwxyzab'\n", "cdefghijklmnopqrstuvwxyzab", "made up"),
        ('"--keystore-password", "lathnewlyxyz",\n', "lathnewlyxyz", "key names something else"),
        ("self.password = 'muttonbackpass'\n", "muttonbackpass", "identifier"),
        ("JWT_SECRET=ofwhiteporcelain\n", "ofwhiteporcelain", "words"),
        ("DB_PASSWORD=red_kettle_hr\n", "red_kettle_hr", "code"),
        ("password: 'gravel-example'\n", "gravel-example", "placeholder"),
        ('const passwords = ["kestrel7bridge"];\n', "kestrel7bridge", "unusual syntax"),
        ('token: "discrepancy",\n', "discrepancy", "unusual syntax"),
        ('cipher->setKey("93-NOV-DD4");\n', "93-NOV-DD4", "unusual syntax"),
        ('page.login("ops", "kestrel7bridge");\n', "kestrel7bridge", "unusual syntax"),
        (f"Secret: []byte{{{BYTES}}},\n", BYTES, "unusual syntax"),
        ("see /badge.svg?apitoken=jTaAlj7wXr now\n", "jTaAlj7wXr", "unusual syntax"),
    ],
)
def test_a_doubt_is_given_to_those_who_ask(
    detector: ContentDetector, strict: ContentDetector, text: str, value: str, reason: str
) -> None:
    [found] = scan(detector, text)
    assert (found.secret.text(), found.doubt) == (value, reason)
    assert scan(strict, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['DB_PASSWORD']\n",
        "token = request.headers.get('x')\n",
        'key = "primary_key_of_the_table"\n',
        "password: ${DB_PASSWORD}\n",
        '"limit_key": "MaxRecords",\n',
        '"KmsKeyId": {"anyOf": []}\n',
        'tokens = ["NextToken", "Marker"]\n',
        "sizes_of_key[] = {16, 24, 32}\n",
    ],
)
def test_code_names_references_and_placeholders_are_no_doubts(detector: ContentDetector, text: str) -> None:
    assert scan(detector, text) == []


@pytest.mark.parametrize(
    "text",
    [
        f'String aesKey = "{HEX}";\n',
        f'cipher->setAppKey("{HEX}");\n',
        f"-macopt hexkey:{HEX} -in a\n",
        f'secretData, _ := hex.DecodeString("{HEX}")\n',
        f'key = []byte("{HEX}")\n',
        f"{{:Authorization => 'Bearer {HEX}'}}\n",
        f"App::Application.config.secret_token = '{HEX}'\n",
    ],
)
def test_keys_in_source_are_no_doubts(strict: ContentDetector, text: str) -> None:
    [found] = scan(strict, text)
    assert (found.secret.text(), found.doubt) == (HEX, "")


def test_a_doubt_takes_no_place_from_a_finding(detector: ContentDetector) -> None:
    [found] = scan(detector, f"password_token: {HEX}\n")
    assert found.doubt == ""
