"""7z archives, for which the extra `archives` is needed."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from time import monotonic

import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unpacked import token, tokens, unpack

from unsprawl.detectors.containers import documents
from unsprawl.detectors.containers.streams import Budget


def sevenzip(members: dict[str, bytes], password: str | None = None, **more: object) -> bytes:
    file = io.BytesIO()
    with py7zr.SevenZipFile(file, "w", password=password, **more) as archive:  # type: ignore[arg-type]
        for name, content in members.items():
            archive.writestr(content, name)
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


MEMBERS = {
    "a.txt": b"text " + token("a").encode(),
    "deep/b.zip": zipped("c.txt", token("in a zip").encode()),
    "empty": b"",
    "big": random.Random(3).randbytes(3_000_000) + b" " + token("end").encode(),
}
WHOLE = sevenzip(MEMBERS)


def test_members_are_read_and_opened() -> None:
    contents, cuts = unpack(WHOLE)
    assert cuts == {}
    assert contents["a.txt"] == MEMBERS["a.txt"]
    assert contents["big"] == MEMBERS["big"]
    assert set(contents) == {"a.txt", "deep/b.zip!/c.txt", "big"}
    assert tokens(WHOLE) == {
        token("a"): {"a.txt"},
        token("in a zip"): {"deep/b.zip!/c.txt"},
        token("end"): {"big"},
    }


def test_an_archive_in_an_archive_and_what_stands_behind() -> None:
    assert tokens(gzip.compress(sevenzip({"in.7z": WHOLE})))[token("a")] == {"in.7z!/a.txt"}
    contents, _ = unpack(WHOLE + b"behind")
    assert contents[""] == b"behind"


@pytest.mark.parametrize("hidden", [True, False])
def test_an_encrypted_archive_is_named(hidden: bool) -> None:
    body = sevenzip({"a": b"x"}, password="secret", header_encryption=hidden)
    contents, cuts = unpack(body)
    assert contents == {"": body}
    assert cuts == {"": "encrypted"}


def test_without_the_library_it_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "find_spec", lambda name: None)
    contents, cuts = unpack(WHOLE)
    assert contents == {"": WHOLE}
    assert cuts == {"": "7z archives are not unpacked"}


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = sevenzip({"zeros": bytes(64 << 20), "more": b"x"})
    contents, cuts = unpack(bomb, budget=Budget(ratio=100, ratio_floor=4 << 20))
    assert len(contents["zeros"]) < 8 << 20
    assert cuts == {"zeros": "unpacks to more than 100 times its size"}
    assert unpack(WHOLE, budget=Budget(entries=1))[1] == {"": "more than 1 archive entries"}
    monkeypatch.setattr(documents, "_SEVENZIP", 1 << 20)
    contents, cuts = unpack(WHOLE)
    assert contents == {"": WHOLE}
    assert cuts == {"": "7z archives of more than 1 MiB are not unpacked"}


def test_a_name_that_leads_elsewhere_is_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("py7zr.py7zr.check_archive_path", lambda name: True)
    members = {"../../etc/passwd": b"text", "/root/a": b"more", "": b"no name"}
    assert unpack(sevenzip(members)) == (
        {"../../etc/passwd": b"text", "/root/a": b"more", ".": b"no name"},
        {},
    )


SMALL = sevenzip({"a.txt": b"text " * 50, "b": b"x" * 3000})


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_damaged_archives_never_fail(data: st.DataObject) -> None:
    body = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(6, len(body) - 1))] = data.draw(st.integers(0, 255))
    begin = monotonic()
    unpack(bytes(body[: data.draw(st.integers(6, len(body)))]))
    assert monotonic() - begin < 20
