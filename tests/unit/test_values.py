"""Given values are found as they stand and in every disguise that the views undo."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import tarfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from unsprawl.detectors.values.automaton import Backend
from unsprawl.detectors.values.detector import ValueDetector
from unsprawl.detectors.values.engine import Values
from unsprawl.detectors.values.forms import values_of
from unsprawl.errors import ConfigError
from unsprawl.records import Candidate, Document, Skipped
from unsprawl.secret import Secret

VALUES = ("s3cr3t/Pa+ss$word", "abcDEF1234567890ghijKLMN", 'p&ss<w>rd"9!x', "Tr0ub4dor")


def detector(*values: str | bytes, backend: Backend = "hyperscan", beside: Any = None) -> ValueDetector:
    return ValueDetector(Values(values_of(map(Secret, values)), backend), beside)


def hits(given: ValueDetector, body: bytes) -> list[Candidate]:
    return [it for it in given.scan(Document(uri="test://x", body=body)) if isinstance(it, Candidate)]


def tarball(content: bytes) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:gz") as tar:
        info = tarfile.TarInfo("a/b.env")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def disguises(value: str) -> dict[str, bytes]:
    data, half = value.encode(), len(value) // 2
    return {
        "raw": b"hello " + data + b" x",
        "base64": b"data: " + base64.b64encode(b"user:" + data + b"@host"),
        "base64 twice": b"z " + base64.b64encode(base64.b64encode(b"a " + data + b" more text")),
        "base64 in lines": base64.encodebytes(b"x" * 40 + data + b"y" * 60),
        "base64 for addresses": base64.urlsafe_b64encode(b"\xfb\xff?" + data + b"\xff\xfe"),
        "gzip in base64": base64.b64encode(gzip.compress(b"hi " + data)),
        "hexadecimal": b"k = " + data.hex().encode(),
        "address": b"http://x/?p=" + quote(value, safe="").encode(),
        "all percent": b"x=" + "".join(f"%{byte:02x}" for byte in data).encode(),
        "entities": b"<p>" + html.escape(value).encode() + b"</p>",
        "split by a tag": b"<p>" + data[:half] + b"<strong>" + data[half:] + b"</strong></p>",
        "split by colours": b"pw \x1b[31m" + data[:4] + b"\x1b[0m" + data[4:] + b" end",
        "split by nothing seen": f"{value[:5]}\u200b{value[5:]}".encode(),
        "JSON": json.dumps({"a": value + "\n"}).encode(),
        "escapes": "".join(f"\\u{byte:04x}" for byte in data).encode(),
        "joined": b'x = "' + data[:half] + b'" + "' + data[half:] + b'"',
        "archive": tarball(b"X=" + data + b"\n"),
        "UTF-16": b"\0\0" + value.encode("utf-16-le") + b"\0\0",
        "UTF-16 text": ("p=" + value).encode("utf-16"),
    }


@pytest.mark.parametrize("backend", ["hyperscan", "fallback"])
@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_found_once_in_every_disguise(value: str, backend: Backend) -> None:
    given = detector(value, backend=backend)
    for name, body in disguises(value).items():
        found = hits(given, body)
        assert [it.secret.reveal() for it in found] == [value.encode()], name
        assert found[0].rule == "sweep.value"


def test_the_place_is_that_of_the_bytes_that_yield_the_value() -> None:
    found = hits(detector("Tr0ub4dor"), b"one\ntwo Tr0ub<b>4dor</b>\n")
    assert (found[0].line, found[0].column, found[0].start, found[0].end) == (2, 5, 8, 20)
    assert found[0].views == ("html",)


def test_nothing_else_is_found() -> None:
    given = detector("Tr0ub4dor", "0123456789abcdef")
    assert not hits(given, b"Tr0ub4do r Tr0ub4d0r 0123456789abcde f <b>Tr0u</b>bador")


def test_many_values_in_one_text_are_all_told() -> None:
    values = [f"Value{number:05d}xyz" for number in range(1000)]
    given = detector(*values)
    body = "\n".join(values).encode() + b"\n" + base64.b64encode("\n".join(values[:50]).encode())
    found = hits(given, body)
    raw = [it for it in found if it.views == ("raw",)]
    decoded = [it for it in found if "base64" in it.views]
    assert {it.secret.text() for it in raw} == set(values)
    assert {it.secret.text() for it in decoded} == set(values[:50])
    assert len(found) == 1050


def test_a_value_over_the_border_of_two_segments_is_found_once() -> None:
    given = detector("Tr0ub4dor")
    for start in range((4 << 20) - 12, (4 << 20) + 3):
        body = b"." * start + b"Tr0ub4dor" + b"." * 100
        assert [it.start for it in hits(given, body)] == [start]


def test_short_values_count_as_words_alone() -> None:
    given = detector("s3kr1")
    assert len(hits(given, b"pass s3kr1, xs3kr1 s3kr12")) == 1


def test_a_tag_that_allows_a_secret_hides_no_given_value() -> None:
    assert hits(detector("Tr0ub4dor"), b"p = Tr0ub4dor  # unsprawl:allow")


def test_values_that_stand_everywhere_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 characters"):
        values_of([Secret("abc")])
    with pytest.raises(ConfigError, match="16 KiB"):
        values_of([Secret("x" * 20_000)])


def test_a_value_given_twice_counts_once() -> None:
    assert len(values_of([Secret("Tr0ub4dor"), Secret('"Tr0ub4dor"'), Secret(" Tr0ub4dor\n")])) == 1


def pem(width: int, end: str = "\n") -> str:
    body = base64.b64encode(bytes(range(256)) * 3).decode()
    lines = [body[at : at + width] for at in range(0, len(body), width)]
    return end.join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"])


@pytest.mark.parametrize(
    "body",
    [
        pem(64).encode(),
        pem(76, "\r\n").encode(),
        ("key: |\n    " + pem(64, "\n    ")).encode(),
        json.dumps({"key": pem(64)}).encode(),
        base64.b64encode(pem(64).encode()),
        b"\xff" + pem(64).split("-----")[2].encode() + b"\xff",
    ],
)
def test_a_private_key_is_found_however_its_lines_are_broken(body: bytes) -> None:
    given = detector(pem(64))
    found = hits(given, b"head\n" + body + b"\ntail")
    assert [it.secret.reveal() for it in found] == [pem(64).encode()]


def test_siblings_stand_in_the_same_text_alone() -> None:
    from unsprawl.detectors.detector import build
    from unsprawl.placeholders import fill

    token = fill("<github-token:ghp_>")
    given = detector("Tr0ub4dor", beside=build())
    both = f"a = Tr0ub4dor\nb = {token}\n".encode()
    assert [it.secret.text() for it in hits(given, both)] == ["Tr0ub4dor", token]
    assert not hits(given, f"b = {token}\n".encode())


def test_what_is_compiled_holds_values_and_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    value = "abcDEF1234567890ghijKLMN"
    assert hits(detector(value), f"x {value}".encode())
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or value[:10].encode() not in path.read_bytes()


def test_a_worker_that_is_started_afresh_finds_the_same() -> None:
    import pickle

    given = Values(values_of([Secret("Tr0ub4dor")]))
    again = ValueDetector(pickle.loads(pickle.dumps(given)))
    assert len(hits(again, b"p Tr0ub4dor q")) == 1


def test_a_flood_of_hits_is_told_and_costs_no_memory() -> None:
    given = detector("abcd")
    found = list(given.scan(Document(uri="test://x", body=b"abcd " * 300_000)))
    assert any(isinstance(it, Skipped) for it in found)
