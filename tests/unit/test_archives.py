"""Archives are read as streams, whatever they are nested in, and broken or hostile ones stay in budget."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.detectors.containers.archives import Cut, Leaf, leaves
from unsprawl.detectors.containers.streams import Account, Budget, Reader

TEXT = b"hello\nworld " * 50
ZERO = bytes(512)


def unpack(
    body: bytes, name: str = "top", budget: Budget | None = None
) -> tuple[dict[str, bytes], dict[str, str]]:
    """All members with their content, and what was cut."""
    found: dict[str, bytes] = {}
    cuts: dict[str, str] = {}
    for piece in leaves(Reader.of(body), name, Account(budget or Budget())):
        if isinstance(piece, Leaf):
            found[piece.member] = piece.reader.read(1 << 40)
        else:
            assert isinstance(piece, Cut)
            cuts[piece.member] = piece.reason
    return found, cuts


def tar(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


class Pipe(io.RawIOBase):
    """Can be written to and not be gone back in: what a zip writer sees that pipes to its output."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def piped_zip(members: dict[str, bytes], method: int) -> bytes:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return bytes(pipe.data)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
NAMES = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
CONTAINERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "tar": tar,
    "gnu.tar": lambda members: tar(members, tarfile.GNU_FORMAT),
    "zip": zipped,
    "stored.zip": lambda members: zipped(members, zipfile.ZIP_STORED),
    "bzip2.zip": lambda members: zipped(members, zipfile.ZIP_BZIP2),
    "piped.zip": lambda members: piped_zip(members, zipfile.ZIP_DEFLATED),
    "piped-stored.zip": lambda members: piped_zip(members, zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_compressed_files_are_members_of_their_own(kind: str) -> None:
    compress = COMPRESSIONS[kind]
    assert unpack(compress(TEXT), f"logs/app.log.{kind}") == ({"app.log": TEXT}, {})
    twice = compress(TEXT) + compress(b"more")
    assert unpack(twice, f"app.log.{kind}") == ({"app.log": TEXT + b"more"}, {})
    assert unpack(compress(b""), f"empty.{kind}") == ({"empty": b""}, {})


def test_padding_behind_gzip_is_no_damage() -> None:
    assert unpack(gzip.compress(TEXT) + bytes(1000), "a.gz") == ({"a": TEXT}, {})


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers(kind: str) -> None:
    members = {"a.txt": TEXT, "deep/" + "n" * 150 + "/b.txt": b"x" * 513, "ü/c": b"PK\x07\x08 is no end" * 9}
    assert unpack(CONTAINERS[kind](members)) == (members, {})


@given(
    st.lists(st.sampled_from([*COMPRESSIONS, *CONTAINERS]), min_size=1, max_size=6),
    st.binary(min_size=1, max_size=3000),
)
@settings(max_examples=150, deadline=None)
def test_any_nesting_is_opened(layers: list[str], content: bytes) -> None:
    content = b"text " + content
    body = content
    for layer in layers:
        body = (
            COMPRESSIONS[layer](body)
            if layer in COMPRESSIONS
            else CONTAINERS[layer]({"f": body, "other": b"o"})
        )
    found, cuts = unpack(body)
    assert content in found.values()
    assert cuts == {}


def test_a_member_path_names_containers_and_not_the_compression_around_them() -> None:
    inner = gzip.compress(tar({"b.env": TEXT}))
    found, _ = unpack(tar({"in/a.tgz": inner, "log.gz": gzip.compress(TEXT)}), "x.tar")
    assert list(found) == ["in/a.tgz!/b.env", "log.gz!/log"]


def test_a_tar_without_padding_or_trailer_is_whole() -> None:
    body = tar({"a": TEXT})
    unpadded = body[: 512 + len(TEXT)]
    assert unpack(unpadded) == ({"a": TEXT}, {})
    assert unpack(gzip.compress(unpadded), "a.tar.gz") == ({"a": TEXT}, {})


def test_a_truncated_member_is_scanned_as_far_as_it_goes() -> None:
    body = tar({"a": TEXT, "b": TEXT})
    found, cuts = unpack(body[: 512 + 1024 + 512 + 100])
    assert found == {"a": TEXT, "b": TEXT[:100]}
    assert cuts == {"b": f"truncated: 100 of {len(TEXT)} bytes are there"}
    found, cuts = unpack(body[: 512 + 1024 + 90])
    assert (found, cuts) == ({"a": TEXT}, {"": "truncated tar archive"})


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_a_truncated_stream_says_so_once(kind: str) -> None:
    noise = random.Random(7).randbytes(2_500_000)
    body = COMPRESSIONS[kind](tar({"a": b"text" + noise, "b": TEXT}))
    found, cuts = unpack(body[: len(body) // 2], f"x.tar.{kind}")
    assert list(found) == ["a"]
    assert (b"text" + noise).startswith(found["a"])
    assert list(cuts) == [""]
    assert cuts[""] == f"truncated {NAMES[kind]} data"


def test_damage_in_the_middle_leaves_what_was_before() -> None:
    noise = random.Random(7).randbytes(300_000)
    body = bytearray(gzip.compress(tar({"a": TEXT, "b": noise})))
    body[150_000:150_400] = b"\xff" * 400
    found, cuts = unpack(bytes(body), "x.tar.gz")
    assert found["a"] == TEXT
    assert any(reason.startswith(("damaged gzip data", "damaged tar header")) for reason in cuts.values())


def test_what_only_looks_compressed_is_scanned_as_it_is() -> None:
    found, cuts = unpack(b"\x1f\x8b\x08 but no gzip: " + TEXT)
    assert found == {"": b"\x1f\x8b\x08 but no gzip: " + TEXT}
    assert list(cuts) == [""]
    assert unpack(b"BZh is the start of a sentence") == ({"": b"BZh is the start of a sentence"}, {})


def test_a_truncated_zip_is_read_as_far_as_it_goes() -> None:
    noise = random.Random(1).randbytes(5000)
    body = zipped({"a": TEXT, "b": noise, "c": TEXT})
    found, cuts = unpack(body[: body.index(b"PK\x03\x04", 4) + 2000])
    assert found["a"] == TEXT
    assert noise.startswith(found["b"])
    assert found["b"]
    assert cuts == {"b": "truncated deflate data"}


def test_an_encrypted_member_is_named() -> None:
    body = bytearray(zipped({"a": TEXT, "b": TEXT}))
    body[6] |= 1
    assert unpack(bytes(body)) == ({"b": TEXT}, {"a": "encrypted"})


def test_archives_that_are_not_unpacked_are_named() -> None:
    assert list(unpack(b"Rar!\x1a\x07\x01\x00" + bytes(100))[1].values()) == ["rar archives are not unpacked"]


def test_links_devices_and_folders_hold_nothing() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind in [
            ("s", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("d", tarfile.DIRTYPE),
            ("n", tarfile.CHRTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("f")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT))
    assert unpack(file.getvalue()) == ({"f": TEXT}, {})


def header(size: bytes, kind: bytes = b"0", name: bytes = b"x") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


@pytest.mark.parametrize(
    "size",
    [
        b"-0000000001\0",
        b"77777777777\0",
        b"\xff" * 12,
        b"\x80" + b"\xff" * 11,
        b"\x80" + bytes(3) + b"\x7f" * 8,
        b"zzz\0",
    ],
)
@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"g", b"S", b"5"])
def test_lies_about_sizes_are_cuts_and_cost_nothing(size: bytes, kind: bytes) -> None:
    begun = monotonic()
    found, cuts = unpack(tar({"ok": TEXT})[: -10240 + 2048][: 512 + 1024] + header(size, kind) + TEXT)
    assert found["ok"] == TEXT
    assert cuts or kind == b"5"
    assert monotonic() - begun < 2


def test_gnu_sparse_files_are_read_without_their_holes() -> None:
    body = bytearray(header(f"{len(TEXT):011o}\0".encode(), b"S", b"sparse"))
    body[257:265] = b"ustar  \0"
    body[482] = 1
    body[148:156] = b" " * 8
    body[148:156] = f"{sum(body):06o}\0 ".encode()
    assert unpack(bytes(body) + bytes(512) + TEXT)[0] == {"sparse": TEXT}


# --- bombs ---------------------------------------------------------------------------------------

SMALL = Budget(depth=4, unpacked=40 << 20, ratio=100, ratio_floor=4 << 20, entries=500, seconds=20)


def bombs() -> Iterator[tuple[str, bytes]]:
    zeros = bytes(64 << 20)
    yield "gzip", gzip.compress(zeros)
    yield "bzip2", bz2.compress(zeros)
    yield "xz", lzma.compress(zeros, preset=1)
    yield "zstd", zstandard.ZstdCompressor().compress(zeros)
    yield "gzip of gzip", gzip.compress(gzip.compress(zeros))
    yield "zip", zipped({"z": zeros})
    block = zipped({"z": bytes(16 << 20)})
    yield "zip of zips", zipped({f"{n}.zip": block for n in range(400)}, zipfile.ZIP_STORED)
    yield "many entries", tar({f"{n}": b"" for n in range(3000)})
    yield "tar in tar in tar", _nested(30)


def _nested(depth: int) -> bytes:
    body = b"core"
    for _ in range(depth):
        body = tar({"n": body})
    return body


@pytest.mark.parametrize(("name", "body"), [pytest.param(*bomb, id=bomb[0]) for bomb in bombs()])
def test_a_bomb_is_cut_off(name: str, body: bytes) -> None:
    account = Account(SMALL)
    begun = monotonic()
    cuts = []
    tracemalloc.start()
    for piece in leaves(Reader.of(body), name, account):
        if isinstance(piece, Leaf):
            while piece.reader.read(1 << 20):
                pass
        else:
            cuts.append(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cuts
    assert account.unpacked <= SMALL.unpacked + (2 << 20)
    assert peak < 48 << 20
    assert monotonic() - begun < 20


def test_overlapping_zip_entries_gain_nothing() -> None:
    """Every directory entry of such a bomb points at the same kernel; read in order it is there once."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = kernel.compress(bytes(1 << 20)) + kernel.flush()
    entry = (
        struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(packed), 1 << 20, 1, 0) + b"k" + packed
    )
    directory = struct.pack(
        "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, 0, len(packed), 1 << 20, 1, 0, 0, 0, 0, 0, 0
    )
    found, cuts = unpack(entry + (directory + b"k") * 1000)
    assert (len(found["k"]), cuts) == (1 << 20, {})


@given(
    st.sampled_from(
        [
            b"",
            b"\x1f\x8b\x08\x00",
            b"BZh91AY&SY",
            b"\xfd7zXZ\0",
            b"\x28\xb5\x2f\xfd",
            b"PK\x03\x04",
            b"7z\xbc\xaf\x27\x1c",
        ]
    ),
    st.binary(max_size=2000),
)
@settings(max_examples=300, deadline=None)
def test_random_bytes_never_crash(magic: bytes, noise: bytes) -> None:
    unpack(magic + noise, budget=SMALL)


PACKED = gzip.compress(TEXT, mtime=0)
#: Made once: archives carry times, and a property must draw from the same bytes each time.
WHOLE = {kind: compress(tar({"a": TEXT, "b": PACKED})) for kind, compress in COMPRESSIONS.items()}
WHOLE |= {kind: contain({"a": TEXT, "b.gz": PACKED}) for kind, contain in CONTAINERS.items()}


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_archives_never_crash(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([*COMPRESSIONS, *CONTAINERS]))
    body = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(body)))
    begun = monotonic()
    unpack(bytes(body[:end]), budget=SMALL)
    assert monotonic() - begun < 5


# --- what stands outside of the entries ----------------------------------------------------------


def joined(body: bytes) -> tuple[bytes, dict[str, str]]:
    """All that is scanned of ``body``, joined."""
    content, cuts = [], {}
    for piece in leaves(Reader.of(body), "top", Account(Budget())):
        if isinstance(piece, Leaf):
            content.append(piece.reader.read(1 << 40))
        else:
            cuts[piece.member] = piece.reason
    return b"\0".join(content), cuts


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, lambda text: tar({"a": text})],
    ids=["gzip", "bzip2", "xz", "tar"],
)
def test_what_stands_behind_an_archive_is_scanned(pack: Callable[[bytes], bytes]) -> None:
    for behind in (
        b"appended by hand\n",
        tar({"b": b"appended by hand"}),
        zipped({"b": b"appended by hand"}),
    ):
        content, cuts = joined(pack(TEXT) + ZERO + behind)
        assert TEXT in content
        assert b"appended by hand" in content
        assert cuts == {}


def test_what_stands_behind_a_packed_archive_is_no_place_in_the_document() -> None:
    found, cuts = unpack(gzip.compress(tar({"a": b"one"}) + b"appended by hand"), "top.tar.gz")
    assert not cuts
    assert found == {"a": b"one", "top.tar": b"appended by hand"}


def test_what_is_damaged_inside_a_compression_is_no_place_in_the_document() -> None:
    found, cuts = unpack(gzip.compress(b"\x28\xb5\x2f\xfd and no zstd"), "top.gz")
    assert found == {"top": b"\x28\xb5\x2f\xfd and no zstd"}
    assert cuts
    found, _ = unpack(gzip.compress(b"by hand " + zipped({"a": b"one"})), "top.zip.gz")
    assert found["top.zip"].startswith(b"by hand ")


def test_what_a_zip_holds_beside_its_entries_is_scanned() -> None:
    packed = zipped({"a": TEXT, "b": TEXT}, zipfile.ZIP_STORED)
    second, directory = packed.index(b"PK\x03\x04", 4), packed.index(b"PK\x01\x02")
    for at in (second, directory):
        assert b"in between" in joined(packed[:at] + b"in between" + packed[at:])[0]
    assert b"behind" in joined(packed + b"behind")[0]
    assert joined(packed + zipped({"c": b"other"}))[0].count(b"other") == 1
    lying = bytearray(packed)
    struct.pack_into("<II", lying, 18, 1, 1)  # the directory states the true size, the entry another
    assert TEXT[1:] in joined(bytes(lying))[0]
    file = io.BytesIO(packed)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"said of the archive"
        archive.getinfo("a").comment = b"said of the entry"
    content, cuts = joined(file.getvalue())
    assert b"said of the archive" in content
    assert b"said of the entry" in content
    assert cuts == {}


def test_the_place_of_what_stands_behind_counts_from_the_start() -> None:
    packed = zipped({"a": TEXT})
    last = list(leaves(Reader.of(packed + b"behind"), "top", Account(Budget())))[-1]
    assert isinstance(last, Leaf)
    assert last.reader.position == len(packed)


def test_a_size_of_five_thousand_digits_costs_nothing() -> None:
    record = b"size=" + b"9" * 5000 + b"\n"
    raw = b"%d " % (len(record) + 5) + record
    extended = tarfile.TarInfo("pax")
    extended.size, extended.type = len(raw), tarfile.XHDTYPE
    found, cuts = unpack(
        extended.tobuf(tarfile.USTAR_FORMAT) + raw + bytes(-len(raw) % 512) + tar({"a": TEXT})
    )
    assert found == {"a": TEXT}
    assert cuts == {}


def test_many_small_entries_are_passed_over_quickly() -> None:
    header = tarfile.TarInfo("a")
    header.size = 1
    body = (header.tobuf(tarfile.USTAR_FORMAT) + b"x" + bytes(511)) * 20_000
    begin = monotonic()
    assert sum(1 for _ in leaves(Reader.of(body), "top", Account(Budget()))) == 20_000
    assert monotonic() - begin < 5
