"""What redaction masks, and what it must leave readable."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from unsprawl.placeholders import fill
from unsprawl.printable import printable
from unsprawl.records import Json
from unsprawl.redaction import Redactor
from unsprawl.secret import Secret

TOKEN = fill("ghp_<alnum:36>")
SECRET = Secret(TOKEN, "ghp_")
OTHER = fill("<base64:40>")


def find(content: bytes) -> Iterator[tuple[int, int, str]]:
    """A detection engine that knows one kind of token."""
    for match in re.finditer(rb"acme_[a-z]{12}", content):
        yield (*match.span(), "acme_")


PLAIN = Redactor()
FINDING = Redactor(find)


@pytest.mark.parametrize(
    "text",
    [
        "s3://acme-backups/2026/01/02/db-dump-2026-01-02T03-04-05Z.sql.gz",
        "registry://registry.acme.test/team/app@sha256:" + "0a1b2c3d" * 8,
        "file:///usr/lib/python3.11/site-packages/x86_64-linux-gnu/libfoo.so.1",
        "src/main/java/io/netty/AbstractHttp2ConnectionHandlerTest.java",
        "frontend-7d4b9c6f5-x2k9p",
        "https://git.acme.test/app/commit/" + "0f1e2d3c" * 5,
        "https://chat.acme.test/archives/C0123ABCDEF/p1700000000123456",
        "arn:aws:iam::123456789012:role/deployment-role-production-2024",
        fill("jira://acme/10023/<uuid>/attachment"),
        "ip-10-0-12-34.eu-west-1.compute.internal",
        "#/Users/JohnSmith/Projects2024/MyApp/build/Release12/LongClassName3Test.java",
        "ssh://git@github.com:22/acme/app.git",
        '/bin/sh -c #(nop)  CMD ["nginx" "-g" "daemon off;"]',
        "quelle: Bäckerei Größenwahn 日本語 résumé",
        "sha512-" + base64.b64encode(bytes(range(64))).decode(),
    ],
)
def test_names_stay_readable(text: str) -> None:
    assert PLAIN.text(text) == text
    assert FINDING.text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"s3://b/{TOKEN}.txt", "s3://b/….txt"),
        (f"--password={OTHER} run", "--password=… run"),
        ("https://bob:hunter2@db.acme.test/x", "https://bob:…@db.acme.test/x"),
        ("https://bob:p@ss:w@db.acme.test/x", "https://bob:…@db.acme.test/x"),
        ("https://h.test/r?access_token=short&x=1", "https://h.test/r?access_token=…&x=1"),
        ("https://h.test/r?x=1&X-Amz-Signature=0a1b&y", "https://h.test/r?x=1&X-Amz-Signature=…&y"),
        (fill("key <hex:32> end"), "key … end"),
        (fill("<base32:32>"), "…"),
        (fill("id <base64url:43>."), "id …."),
        (fill("configuration-<alnum:40>.env", "4"), "….env"),
    ],
)
def test_suspects_are_masked_without_being_known(text: str, shown: str) -> None:
    assert PLAIN.text(text) == shown


def test_a_slash_does_not_split_a_key() -> None:
    key = "wJ4rX9tUnF3M/K7MDnG5/bPxR2fiC9Yz8q6T1aBcD"
    assert PLAIN.text(f"aws {key} end") == "aws … end"
    assert PLAIN.text(f"https://h.test/path/{key}/v1") == "https://h.test/path/…/v1"


def test_digests_are_spared_in_names_alone() -> None:
    digest = "0a1b2c3d" * 8
    assert PLAIN.text(digest) == digest
    assert PLAIN.text(digest, keep_digests=False) == "…"
    assert PLAIN.text(f"sha256:{digest}", keep_digests=False) == f"sha256:{digest}"


def test_what_the_engine_finds_is_masked() -> None:
    assert FINDING.text("see acme_abcdefghijkl, ok") == "see acme_…, ok"


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "prefix{}suffix",
        "\x1b[31m{}\x1b[0m",
    ],
)
@pytest.mark.parametrize("value", ["hunter22", "correct horse battery", 'a"b\\c&d/e', "pässwörd-ünïcode"])
def test_a_known_value_is_masked_in_every_writing(value: str, written: str) -> None:
    import json

    writings = {
        value,
        quote(value, safe=""),
        quote(value, safe="").lower(),
        json.dumps(value)[1:-1],
        base64.b64encode(value.encode()).decode(),
        base64.b64encode(b"user:" + value.encode() + b"!").decode(),
        base64.urlsafe_b64encode(b"u:" + value.encode()).decode(),
        value.encode().hex(),
        "\u200b".join(value),
    }
    for writing in writings:
        shown = PLAIN.text("x " + written.format(writing) + " y", [Secret(value)])
        assert "…" in shown, (writing, shown)
        assert value not in shown
        assert writing not in shown


PUBLIC = [
    (Secret("rubygems_5f0c7d3be14a9286", "rubygems_"), "/srv/rubygems_mirror/credentials"),
    (Secret("https://hooks.slack.test/services/T0A1B2C3D/x9Y8z7W6v5"), "/srv/services/hooks.slack.test.yaml"),
    (
        Secret("https://acme-2.chat.test:8443/api/webhooks/4711000815/k3YtOk3n"),
        "chat.test:8443/api/webhooks/",
    ),
]


@pytest.mark.parametrize(("secret", "name"), PUBLIC)
def test_what_is_public_of_a_value_leaves_names_alone(secret: Secret, name: str) -> None:
    assert PLAIN.text(name, [secret]) == name
    value = secret.text()
    assert PLAIN.text(f"{name} {value}", [secret]) == f"{name} …"
    assert PLAIN.text(f"{name} {value[: len(secret.public) + 1]}", [secret]) == f"{name} …"
    assert PLAIN.text(f"{name} {value[len(secret.public) :]}", [secret]) == f"{name} …"


@pytest.mark.parametrize(
    ("value", "public"),
    [
        ("https://hooks.test/api/v2/webhooks/4711", "https://hooks.test/api/v2/webhooks/"),
        ("https://eu-west-1.hooks.test/Ab3Kx9/services/x", "https://eu-west-1.hooks.test/"),
        ("https://hooks.test/ab12-cd34-ef56-gh78/x", "https://hooks.test/"),
        ("https://hooks.test/ab12/cd34/ef56/x", "https://hooks.test/"),
        ("https://hooks.test/correcthorsebatterystaple/x", "https://hooks.test/"),
        ("https://ab12-cd34-ef56.hooks.test/services/x", ""),
        ("https://5f0c7d3be14a9286.hooks.test/services/x", ""),
        ("https://user:correcthorse@db.test/services/x", ""),
        ("https://hooks.test/services/", ""),
    ],
)
def test_an_address_is_public_up_to_what_may_be_a_key(value: str, public: str) -> None:
    assert Secret(value).public == public


def test_a_hostile_address_is_read_in_one_go() -> None:
    for piece in ("ab.", "ab-", "ab/", "a1.", "abcdefgh-"):
        for begin in ("https://", "https://host.test/"):
            assert len(Secret(begin + piece * 4000 + "!").public) < 20_000


def test_short_values_are_masked_as_words() -> None:
    assert PLAIN.text("/root/root.txt /rooted", [Secret("root")]) == "/…/….txt /rooted"
    assert PLAIN.text("an ant", [Secret("an")]) == "an ant"
    assert PLAIN.text("myhunter2x", [Secret("hunter2")]) == "my…x"


def test_attributes_are_masked_through_and_through() -> None:
    attrs: dict[str, Json] = {
        "command": f"RUN curl -H 'X-Key: {TOKEN}' https://h.test",
        "layer": "sha256:" + "0a1b2c3d" * 8,
        "labels": {TOKEN: ["a", {"b": TOKEN}], "n": 3, "f": 1.5, "t": True, "none": None},
        "odd": float("nan"),
    }
    shown = PLAIN.attrs(attrs, [SECRET])
    assert shown == {
        "command": "RUN curl -H 'X-Key: …' https://h.test",
        "layer": "sha256:" + "0a1b2c3d" * 8,
        "labels": {"…": ["a", {"b": "…"}], "n": 3, "f": 1.5, "t": True, "none": None},
        "odd": "nan",
    }


def test_attributes_nest_so_deep_and_no_deeper() -> None:
    attrs: dict[str, Json] = {}
    for _ in range(500):
        attrs = {"a": attrs}
    assert "…" in str(PLAIN.attrs(attrs))


def test_texts_have_an_end() -> None:
    shown = PLAIN.text("word " * 10_000)
    assert len(shown) == 4096
    assert shown.endswith("…")


# --- one snippet ---------------------------------------------------------------------------------


def test_a_context_is_the_line_with_the_preview() -> None:
    before, after = b"line one\n  export GITHUB_TOKEN='", b"' # for CI\nline three"
    context = PLAIN.context(before, TOKEN.encode(), after, SECRET, [SECRET])
    assert context == f"export GITHUB_TOKEN='ghp_…{TOKEN[-4:]}' # for CI"


def test_other_candidates_in_the_line_are_previews_too() -> None:
    other = b"acme_abcdefghijkl"
    context = FINDING.context(b"a=" + other + b" b=", TOKEN.encode(), b" c=" + other, SECRET)
    assert context == f"a=acme_… b=ghp_…{TOKEN[-4:]} c=acme_…"


def test_the_value_is_masked_where_it_stands_again() -> None:
    context = PLAIN.context(b"x='hunter22' y='", b"hunter22", b"' z=hunter22", Secret("hunter22"))
    assert context == "x='…' y='…' z=…"


def test_pieces_at_the_edges_are_masked() -> None:
    piece = fill("<alnum:14>9a")
    context = PLAIN.context(piece.encode() + b"', b='", TOKEN.encode(), b"', c='" + piece.encode(), SECRET)
    assert context == f"…', b='ghp_…{TOKEN[-4:]}', c='…"


def test_a_span_that_sticks_out_is_masked_whole() -> None:
    context = FINDING.context(b"k=acme_abcdef", b"ghijkl", b" end", Secret("ghijkl"))
    assert context == "k=…… end"


def test_a_key_of_many_lines_is_its_preview() -> None:
    pem = fill("<pem:rsa>")
    context = PLAIN.context(b"cat <<E\n", pem.encode(), b"\nE\n", Secret(pem))
    assert context == "-----BEGIN RSA PRIVATE KEY-----…"


def test_a_context_is_fit_for_a_terminal() -> None:
    before = b"\x1b]0;title\x07\x1b[2Jpass\xff\xe2\x80\xae = '"
    context = PLAIN.context(before, b"hunter22", b"'\x07\x9b", Secret("hunter22"))
    assert context == "pass\ufffd = '…'\ufffd"


def test_long_lines_are_cut_around_the_secret() -> None:
    context = PLAIN.context(b"word " * 400, TOKEN.encode(), b" word" * 400, SECRET)
    assert len(context) < 520
    assert f"ghp_…{TOKEN[-4:]}" in context
    assert context.startswith("…")
    assert context.endswith("…")


# --- fit to print --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.test\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("a\r\nb\tc\u2028d", "a b c d"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("pass\u200bword\ufeff", "password"),
        ("file\udcff", "file\\xff"),
        ("bell\x07\x00\x7f\x85", "bell "),
        ("\ud800", "\ufffd"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(printable(text)) == printable(text)


def test_lines_can_be_kept() -> None:
    assert printable("a\r\nb\rc\n", lines=True) == "a\nb\nc\n"
