"""Containers inside containers, read as streams: never extracted to disk, within a budget.

Everything is recognised by its first bytes, not by its name. What can be read in the order of the
file is; the few kinds that cannot are held in memory up to a limit of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from unsprawl.detectors.containers.documents import pdf, sevenzip, sqlite, unread_rar
from unsprawl.detectors.containers.kinds import COMPRESSED, HEAD, is_container, kind_of, may_be_packed
from unsprawl.detectors.containers.mails import mails
from unsprawl.detectors.containers.packages import ar_entries, browser_extension, cpio_entries, rpm
from unsprawl.detectors.containers.pieces import Cut, Inside, Leaf, Pieces, joined
from unsprawl.detectors.containers.streams import Account, Reader, damaged_at_once, decompressed
from unsprawl.detectors.containers.tars import tar_entries
from unsprawl.detectors.containers.zips import zip_entries

__all__ = ["Cut", "Leaf", "leaves", "may_be_packed", "opened"]

_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst", ".tgz", ".tbz2", ".txz", ".gzip", ".zstd")
_PROBE: Final = 4 << 10


#: Kinds that are scanned as they stand, whatever else is read in them.
_READABLE: Final = frozenset(("mail", "pdf", "rar", "sqlite"))
#: What reads a kind that has members, up to its end.
_READERS: Final[dict[str, Callable[[Reader, Inside], Pieces]]] = {
    "7z": sevenzip,
    "ar": ar_entries,
    "cpio": cpio_entries,
    "crx": browser_extension,
    "mail": mails,
    "pdf": pdf,
    "rar": unread_rar,
    "rpm": rpm,
    "sqlite": sqlite,
    "tar": tar_entries,
    "zip": zip_entries,
}


def leaves(
    reader: Reader, name: str, account: Account, path: str = "", depth: int = 0, *, own: str | None = None
) -> Iterator[Leaf | Cut]:
    """All content of ``reader``, as deep as the budget allows.

    ``name`` is its file name, ``path`` its member path, ``own`` that of what is read as it stands (default:
    ``path``). What stands behind the end of an archive is content like any other: a second one, or text that
    someone appended.
    """
    own = path if own is None else own
    while (yield from _content(reader, name, account, path, depth, own)):
        if account.spent or not _more(reader):
            return


def opened(leaf: Leaf, account: Account) -> Iterator[Leaf | Cut]:
    """What is in a leaf that was left closed."""
    assert leaf.closed is not None
    name, depth = leaf.closed
    return leaves(leaf.reader, name, account, leaf.member, depth)


def _more(reader: Reader) -> bool:
    """Whether anything but padding is left."""
    while data := reader.some():
        if rest := data.lstrip(b"\0"):
            reader.give_back(rest)
            return True
    return False


def _content(reader: Reader, name: str, account: Account, path: str, depth: int, own: str) -> Pieces:
    """One container, or all there is; True if it was an archive that ended well."""
    kind = kind_of(reader.peek(HEAD))
    if not kind:
        yield Leaf(own, reader)
        return False
    if depth >= account.budget.depth:
        if kind in _READABLE:
            yield Leaf(own, reader)
        yield Cut(path, f"archives nested more than {account.budget.depth} deep")
        return False
    if kind in COMPRESSED:
        return (yield from _stream(reader, kind, name, account, path, depth, own))
    return (yield from _READERS[kind](reader, Inside(account, path, depth, leaves, is_container, own)))


def _stream(
    reader: Reader, kind: str, name: str, account: Account, path: str, depth: int, own: str
) -> Pieces:
    reason = damaged_at_once(reader.peek(_PROBE), kind)
    if reason:
        # It only looked compressed, or nothing of it can be had: scan what is there.
        yield Leaf(own, reader)
        yield Cut(path, reason)
        return False
    inner = decompressed(reader, kind, account)
    stem = _stem(name)
    yield from leaves(inner, stem, account, path, depth + 1, own=joined(path, stem))
    if inner.fault:
        yield Cut(path, inner.fault)
    return not inner.fault


def _stem(name: str) -> str:
    name = name.rsplit("/", 1)[-1]
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)] + (".tar" if suffix.startswith(".t") else "")
    return name or "content"
