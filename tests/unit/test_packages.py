"""Packages: ar, cpio, rpm, and the zips that browsers load."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unpacked import token, tokens, unpack

from unsprawl.detectors.containers.streams import Budget


def tarred(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def ar(members: list[tuple[bytes, bytes]]) -> bytes:
    body = b"!<arch>\n"
    for name, content in members:
        body += b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, 0, 0, 0, 0o644, len(content))
        body += content + b"\n" * (len(content) % 2)
    return body


def cpio(members: dict[str, bytes], *, old: bool = False, end: bool = True) -> bytes:
    body = b""
    entries = [*members.items(), *([("TRAILER!!!", b"")] if end else [])]
    for name, content in entries:
        raw = name.encode() + b"\0"
        mode = 0o040755 if name.endswith("/") else 0o100644
        if old:
            body += b"070707%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o" % (
                *(0, 0, mode, 0, 0, 1, 0, 0, len(raw), len(content)),
            )
            body += raw + content
        else:
            fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(raw), 0)
            body += b"070701" + b"".join(b"%08X" % field for field in fields) + raw
            body += bytes(-len(body) % 4) + content
            body += bytes(-len(body) % 4)
    return body


def rpm(payload: bytes) -> bytes:
    def header(store: bytes) -> bytes:
        index = struct.pack(">4I", 1, 6, 0, 1)
        return b"\x8e\xad\xe8\1\0\0\0\0" + struct.pack(">II", 1, len(store)) + index + store

    signature = header(b"abc")
    lead = b"\xed\xab\xee\xdb" + bytes(92)
    return lead + signature + bytes(-len(signature) % 8) + header(token("script").encode() + b"\0") + payload


def crx(version: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", token("manifest"))
    if version == 3:
        return b"Cr24" + struct.pack("<II", 3, 5) + b"PK\3\4x" + file.getvalue()
    return b"Cr24" + struct.pack("<III", 2, 3, 4) + b"keysign" + file.getvalue()


DEB = ar(
    [
        (b"debian-binary", b"2.0\n"),
        (b"control.tar/", tarred("./postinst", token("postinst").encode())),
        (b"data.tar.xz/", lzma.compress(tarred("./etc/app.conf", token("conf").encode()))),
    ]
)
FILES = {
    "etc/": b"",
    "etc/a.conf": b"odd" + b" " * 4 + token("cpio").encode(),
    "b.xz": lzma.compress(b"packed"),
}


def test_a_debian_package() -> None:
    assert tokens(DEB) == {
        token("postinst"): {"control.tar!/postinst"},
        token("conf"): {"data.tar.xz!/etc/app.conf"},
    }
    assert unpack(DEB)[1] == {}


def test_long_names_of_both_dialects() -> None:
    names = b"a/rather/long/name/of/an/object.o/\nanother/name/that/is/long.o/\n"
    body = ar(
        [
            (b"//", names),
            (b"/35", b"second"),
            (b"/0", b"first!"),
            (b"#1/20", b"name of twenty chars" + b"bsd"),
        ]
    )
    assert unpack(body) == (
        {
            "another/name/that/is/long.o": b"second",
            "a/rather/long/name/of/an/object.o": b"first!",
            "name of twenty chars": b"bsd",
        },
        {},
    )


@pytest.mark.parametrize("old", [True, False])
def test_cpio(old: bool) -> None:
    contents, cuts = unpack(cpio(FILES, old=old) + bytes(100))
    assert contents == {"etc/a.conf": FILES["etc/a.conf"], "b.xz!/b": b"packed"}
    assert cuts == {}
    contents, _ = unpack(cpio(FILES, old=old) + bytes(512) + cpio({"second": b"x"}, old=old))
    assert contents["second"] == b"x"


def test_an_rpm_package() -> None:
    body = rpm(lzma.compress(cpio(FILES)))
    assert tokens(body) == {token("script"): {"header"}, token("cpio"): {"payload!/etc/a.conf"}}
    assert unpack(body)[1] == {}


@pytest.mark.parametrize("version", [2, 3])
def test_a_browser_extension(version: int) -> None:
    assert tokens(crx(version)) == {token("manifest"): {"manifest.json"}}


@pytest.mark.parametrize("whole", [DEB, cpio(FILES), cpio(FILES, old=True), rpm(lzma.compress(cpio(FILES)))])
def test_truncated_packages_say_so(whole: bytes) -> None:
    for size in (len(whole) // 3, len(whole) // 2, len(whole) - 140):
        assert unpack(whole[:size])[1], size
    assert "more than 1 archive entries" in unpack(whole, budget=Budget(entries=1))[1].values()


def test_what_is_no_package_is_scanned_as_it_is() -> None:
    for start in (b"!<arch>\n", b"070701", b"070707", b"\xed\xab\xee\xdb"):
        body = start + b" " * 120 + token("plain").encode()
        assert token("plain") in tokens(body)
        assert unpack(body)[1]


@given(
    st.sampled_from([DEB, cpio(FILES), cpio(FILES, old=True), rpm(cpio(FILES)), crx(2), crx(3)]), st.data()
)
@settings(max_examples=200, deadline=None)
def test_damaged_packages_never_fail(whole: bytes, data: st.DataObject) -> None:
    body = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, min(len(body) - 1, 400)))] = data.draw(st.integers(0, 255))
    unpack(bytes(body[: data.draw(st.integers(0, len(body)))]))
