"""What a content is, by its first bytes."""

from __future__ import annotations

from typing import Final

from unsprawl.detectors.containers.mails import looks_like_mail
from unsprawl.detectors.containers.tars import BLOCK, checksum_fits
from unsprawl.detectors.containers.zips import DESCRIPTOR, END, ENTRY

__all__ = ["COMPRESSED", "HEAD", "is_container", "kind_of", "may_be_packed"]

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
    (b"%PDF-", "pdf"),
    (b"SQLite format 3\0", "sqlite"),
    (b"!<arch>\n", "ar"),
    (b"070701", "cpio"),
    (b"070702", "cpio"),
    (b"070707", "cpio"),
    (b"\xed\xab\xee\xdb", "rpm"),
    (b"Cr24\2\0\0\0", "crx"),
    (b"Cr24\3\0\0\0", "crx"),
)
#: Headers that a message begins with, by two letters, and the line before it in a mailbox.
_MAIL: Final = frozenset(
    b"ar au bc cc co da de dk en fr in li me mi re se st su th to us x- \xef\xbb".split()
)
#: The first two bytes of all of these, and of UTF-16.
_STARTS: Final = frozenset(magic[:2] for magic, _ in (*_COMPRESSED, *_MAGICS)) | {b"\xff\xfe", b"\xfe\xff"}


def may_be_packed(body: bytes) -> bool:
    """A quick look: no text and no picture starts like this, or it may be a container or UTF-16."""
    # The last line knows the oldest tars, which have no magic: a checksum in octal stands there.
    return (
        body[:2] in _STARTS
        or body[257:262] == b"ustar"
        or (body[:2].lower() in _MAIL and looks_like_mail(body[:HEAD]))
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
    if _is_tar(head[:BLOCK]):
        return "tar"
    return "mail" if head[:2].lower() in _MAIL and looks_like_mail(head) else ""


def is_container(body: bytes) -> bool:
    """Whether ``body`` is more than content to be scanned as it stands."""
    return may_be_packed(body) and bool(kind_of(body[:HEAD]))


def _is_tar(head: bytes) -> bool:
    return (
        len(head) == BLOCK
        and bool(head[0])
        and (head[257:262] == b"ustar" or head[148:155].strip(b" \x00").isdigit())
        and checksum_fits(head)
    )
