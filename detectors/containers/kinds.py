"""What a content is, by its first bytes."""

from __future__ import annotations

from typing import Final

from unsprawl.detectors.containers.tars import BLOCK, checksum_fits
from unsprawl.detectors.containers.zips import DESCRIPTOR, END, ENTRY

__all__ = ["COMPRESSED", "HEAD", "kind_of", "may_be_packed"]

#: Bytes that tell what a content is.
HEAD: Final = 4 << 10

_COMPRESSED: Final = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
#: Kinds that are one compressed stream, and hold no names.
COMPRESSED: Final = frozenset(kind for _, kind in _COMPRESSED)
_MAGICS: Final = (
    (ENTRY, "zip"),
    (DESCRIPTOR + ENTRY, "zip"),
    (END, "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)
#: The first two bytes of all of these, and of UTF-16.
_STARTS: Final = frozenset(magic[:2] for magic, _ in (*_COMPRESSED, *_MAGICS)) | {b"\xff\xfe", b"\xfe\xff"}


def may_be_packed(body: bytes) -> bool:
    """A quick look: no text and no picture starts like this, or it may be a container or UTF-16."""
    # The last line knows the oldest tars, which have no magic: a checksum in octal stands there.
    return (
        body[:2] in _STARTS
        or body[257:262] == b"ustar"
        or (body[148:155].strip(b" \0").isdigit() and bool(kind_of(body[:HEAD])))
    )


def kind_of(head: bytes) -> str:
    """The kind of what begins with ``head``; nothing where it is to be scanned as it stands."""
    for magic, kind in _COMPRESSED:
        if head.startswith(magic) and (kind != "bzip2" or head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")):
            return kind
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    return "tar" if _is_tar(head[:BLOCK]) else ""


def _is_tar(head: bytes) -> bool:
    return (
        len(head) == BLOCK
        and bool(head[0])
        and (head[257:262] == b"ustar" or head[148:155].strip(b" \x00").isdigit())
        and checksum_fits(head)
    )
