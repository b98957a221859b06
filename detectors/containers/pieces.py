"""What containers come apart into: content to scan, and what of them was not read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final, TypeAlias

from unsprawl.detectors.containers.streams import Account, Reader
from unsprawl.detectors.views.edits import Edit
from unsprawl.structs import Struct, replace

__all__ = ["Cut", "Inside", "Leaf", "Pieces", "entry_name", "joined", "placed"]

#: Bytes that tell what a container is.
_HEAD: Final = 4 << 10
_HINT: Final = "The rest of it was not scanned: unpack it and scan the result, or exclude it."
_DAMAGED: Final = "What could be read of it was scanned. Look at it with the program it is meant for."


class Leaf(Struct, frozen=True):
    """Content to scan. It must be read before the next one is asked for.

    ``edits``, where it is given, says for any piece of the content how the member reads within its
    document: the cells of a sheet that name their strings by number, for one. ``closed`` is the file name and
    depth of a container within another that was left closed: ``leaves`` tells what is in it.
    """

    member: str
    reader: Reader
    edits: Callable[[bytes], list[Edit]] | None = None
    closed: tuple[str, int] | None = None


class Cut(Struct, frozen=True):
    """A member, or the rest of one, that was not read."""

    member: str
    reason: str
    hint: str = _HINT


#: Pieces of a container, and whether it ended as it should.
Pieces: TypeAlias = Generator[Leaf | Cut, None, bool]
#: All content of a reader, by its file name, its member path and its depth.
_Opener: TypeAlias = Callable[[Reader, str, Account, str, int], Iterator[Leaf | Cut]]


class Inside(Struct, frozen=True):
    """A container while it is read.

    ``path`` is its member path, ``own`` that of its own bytes, as far as they are read as they stand: behind
    a compression their places are none in what was compressed. ``opened`` opens what stands in it,
    ``packed`` knows whether something is a container itself.
    """

    account: Account
    path: str
    depth: int
    opened: _Opener
    packed: Callable[[bytes], bool]
    own: str

    def member(self, name: str) -> str:
        """The member path of an entry."""
        return joined(self.path, name)

    def below(self, reader: Reader, name: str) -> Iterator[Leaf | Cut]:
        """One entry, whatever it is. Its name is shown whole, its base name decides nothing."""
        member, depth = self.member(name), self.depth + 1
        if self.account.closed and self.packed(reader.peek(_HEAD)):
            yield Leaf(member, reader, closed=(name, depth))
        else:
            yield from self.opened(reader, name, self.account, member, depth)
        if reader.fault:
            yield self.cut(reader.fault, name)

    def cut(self, reason: str, name: str = "") -> Cut:
        return Cut(self.member(name) if name else self.path, reason)

    def damaged(self, reason: str, name: str = "") -> Cut:
        """A cut of what is scanned as it stands and could not be read as what it is."""
        return replace(self.cut(reason, name), hint=_DAMAGED)

    def counted(self) -> Cut | None:
        """Count an entry; a cut where that is one too many."""
        account = self.account
        account.entries += 1
        if account.entries <= account.budget.entries:
            return None
        account.spent = f"more than {account.budget.entries} archive entries"
        return Cut(self.path, account.spent)


def joined(path: str, name: str) -> str:
    return f"{path}!/{name}" if path else name


def placed(reader: Reader, position: int) -> Reader:
    """``reader``, which counts on from ``position`` of the container."""
    reader.position = position
    return reader


def entry_name(raw: bytes) -> str:
    """How the name of an entry is shown; never empty."""
    text = raw.decode("utf-8", "backslashreplace")
    while text.startswith(("./", "/")):
        text = text[1:] if text[0] == "/" else text[2:]
    return text or "."
