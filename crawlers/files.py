"""Files and folders of this machine, and standard input.

Walking happens in the coordinator, reading in the workers: a unit is up to 256 small files, or one
big one. Unchanged files are known by their times, size and inode and are not opened again.
"""

# A path object for every file would cost more than reading it:
# ruff: noqa: PTH111, PTH112, PTH116, PTH119

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final, Literal, cast
from urllib.parse import unquote_to_bytes

import msgspec

from unsprawl.config import FilePath, SourceConfig
from unsprawl.crawlers.layouts import layout_of
from unsprawl.crawlers.walk import (
    EXCLUDED,
    Entry,
    Folder,
    Rules,
    as_uri,
    entry_of,
    is_plain,
    kind_of,
    unreadable,
    walk,
)
from unsprawl.errors import UnreadableError
from unsprawl.globs import matches
from unsprawl.records import (
    Cursor,
    Diagnosis,
    Document,
    Event,
    Json,
    Seen,
    Skipped,
    Stream,
    Unchanged,
    Unit,
)
from unsprawl.structs import replace

if TYPE_CHECKING:
    from unsprawl.oci.saved import SavedImages

__all__ = ["FilesSource"]

#: Bodies up to this are read whole; larger ones are streamed.
_WHOLE_BYTES: Final = 4 << 20
#: A unit holds this many files or bytes at most; a larger file is a unit of its own.
_UNIT_FILES: Final = 256
_UNIT_BYTES: Final = 12 << 20
#: What ``-`` among the paths means.
_STDIN: Final = "-"

# O_NONBLOCK: a pipe that took the place of a file must not hold the worker for ever.
_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)
_NO_LINK: Final = os.O_NOFOLLOW


class FilesSource:
    """``files {paths}``: uris are ``file:///real/path``, paths what was typed joined with what lies below."""

    type = "files"

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``max_file_bytes`` leaves larger files out, ``hidden: false`` names that begin with a dot."""

        paths: Annotated[tuple[FilePath, ...], msgspec.Meta(min_length=1)]
        follow_symlinks: bool = False
        hidden: bool = True
        max_file_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._config = config
        self._flags = _FLAGS | (0 if config.follow_symlinks else _NO_LINK)
        self._saved: tuple[str, SavedImages] | None = None

    @property
    def reads_in(self) -> Literal["worker", "coordinator"]:
        """Standard input belongs to the process that was started, the rest to anyone."""
        return "coordinator" if _STDIN in self._config.paths else "worker"

    # --- what there is ---------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002
        """Walk the paths in the order they were given; a path given twice or below another is read once."""
        config = self._config
        real = {path: _real(path) for path in config.paths if path != _STDIN}
        given = frozenset(real.values())
        rules = Rules(config.exclude, config.hidden, config.follow_symlinks, config.max_file_bytes, given)
        taken: set[str] = set()
        single: list[Folder | Skipped] = []
        for path in dict.fromkeys(config.paths):
            if path == _STDIN:
                yield Unit("stdin:", "standard input", ("stdin:",))
            elif real[path] not in taken:
                taken.add(real[path])
                if os.path.isdir(real[path]):
                    row = as_uri(real[path].rstrip("/") + "/")
                    yield from _grouped(walk(real[path], path, rules), row, path)
                else:
                    single.append(_single(path, real[path], rules))
        if single:
            yield from _grouped(single, "file:", "single files")

    # --- reading ---------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:  # noqa: ARG002
        """Every file of the unit, whole or as a stream. Units are small, so there are no checkpoints."""
        if unit.id == "stdin:":
            yield _standard_input()
            return
        unchanged = 0
        for folder in cast("Iterable[Folder]", unit.data["folders"]):
            base = as_uri(folder.path)
            plain = is_plain("".join([entry[0] for entry in folder.entries]))
            layout = layout_of(folder.path)
            for entry in folder.entries:
                name = entry[0]
                uri = base + (name if plain else as_uri(name)[7:])
                version = _version(entry)
                if seen(uri) == version:
                    unchanged += 1
                    continue
                path = folder.path + name
                try:
                    body = self._body(path, entry[1])
                except OSError as error:
                    yield unreadable(uri, error)
                    continue
                if isinstance(body, str):
                    yield Skipped(uri, body, excluded=True)
                    continue
                attrs, member_attrs = layout.of(name) if layout else ({}, partial(self._of_archive, path))
                yield Document(
                    uri=uri,
                    body=body,
                    path=folder.alias or folder.shown + name,
                    key=uri,
                    version=version,
                    modified_at=_moment(entry[2]),
                    attrs=attrs,
                    member_attrs=member_attrs,
                )
        if unchanged:
            yield Unchanged(unchanged)

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one file again. Only what lies below the configured paths is ever opened."""
        path = os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))
        allowed = {_real(given) for given in self._config.paths if given != _STDIN}
        above = {path, *(os.fspath(parent) for parent in PurePath(path).parents)}
        if not uri.startswith("file:///") or not allowed & above or ".." in PurePath(path).parts:
            return Skipped(uri, "not below the paths of this source")
        try:
            entry = entry_of(os.path.basename(path), os.stat(path))
            body = self._body(path, entry[1])
        except FileNotFoundError:
            return Skipped(uri, "no longer there", gone=True)
        except OSError as error:
            return unreadable(uri, error)
        if isinstance(body, str):
            return Skipped(uri, body)
        return Document(
            uri=uri, body=body, path=path, key=uri, version=_version(entry), modified_at=_moment(entry[2])
        )

    def diagnose(self) -> Iterator[Diagnosis]:
        """Whether each path exists and may be read."""
        for path in self._config.paths:
            if path == _STDIN:
                continue
            try:
                if os.path.isdir(path):
                    with os.scandir(path) as listing:
                        next(listing, None)
                else:
                    os.close(os.open(path, _FLAGS))
            except FileNotFoundError:
                yield Diagnosis(f"{path}: no such file or folder", False)
            except OSError as error:
                refusal = unreadable(path, error)
                yield Diagnosis(f"{path}: {refusal.reason}", False, refusal.hint)
            else:
                yield Diagnosis(f"{path} can be read", True)

    def _body(self, path: str, size: int) -> bytes | Stream | str:
        """The content, or why there is none. ``size`` is what the walk saw; raises ``OSError``."""
        if size > _WHOLE_BYTES:
            return self._stream(path, size)
        descriptor = os.open(path, self._flags)
        try:
            data = os.read(descriptor, size + 1)
            if len(data) == size:
                return data
            # It changed since the walk, or it never tells its size. What is read now is newer than
            # its version, so the next run reads it again.
            if reason := kind_of(os.fstat(descriptor)):
                return reason
            pieces = [data]
            total = len(data)
            while data and total <= _WHOLE_BYTES:
                data = os.read(descriptor, _WHOLE_BYTES)
                pieces.append(data)
                total += len(data)
        finally:
            os.close(descriptor)
        return self._stream(path, None) if total > _WHOLE_BYTES else b"".join(pieces)

    def _of_archive(self, path: str, member: str) -> Mapping[str, Json]:
        """What is known of a member where the file holds saved images: its layer, and what hides it."""
        from unsprawl.oci.saved import may_be_layer, saved_tar

        if not may_be_layer(member):
            return {}
        if self._saved is None or self._saved[0] != path:
            self._saved = (path, saved_tar(partial(self._stream(path, None).open, 0)))
        return self._saved[1].member_attrs(member)

    def _stream(self, path: str, size: int | None) -> Stream:
        def opened(offset: int) -> BinaryIO:
            try:
                file = _Checked(os.open(path, self._flags), size or 0)
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    file.close()
                    raise UnreadableError("is no regular file any more")
                file.seek(offset)
            except OSError as error:
                raise _failed(path, error) from None
            return cast(BinaryIO, file)

        return Stream(opened, size, seekable=True)


class _Checked(io.FileIO):
    """A file whose errors are ours, and which says so when it ends before the size it had."""

    def __init__(self, descriptor: int, size: int) -> None:
        super().__init__(descriptor, "rb")
        self._expected = size

    def readinto(self, buffer: Any, /) -> int | None:
        try:
            count = super().readinto(buffer)
        except OSError as error:
            raise _failed("", error) from None
        self._check_end(count, len(buffer))
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            data = super().read(-1 if size is None else size)
        except OSError as error:
            raise _failed("", error) from None
        self._check_end(len(data or b""), 1 if size is None else size)
        return data or b""

    def _check_end(self, count: int | None, wanted: int) -> None:
        if not count and wanted and self.tell() < self._expected:
            raise UnreadableError("shrank while it was read", hint="the next run reads it again")


def _failed(path: str, error: OSError) -> UnreadableError:
    refusal = unreadable(as_uri(path), error)
    return UnreadableError(refusal.reason, hint=refusal.hint)


def _single(path: str, real: str, rules: Rules) -> Folder | Skipped:
    """A file that was named itself: exclusion by pattern still applies, so that hooks can pass everything."""
    if matches(rules.exclude, os.path.normpath(path)):
        return Skipped(as_uri(real), EXCLUDED, excluded=True)
    try:
        status = os.stat(real)
    except FileNotFoundError:
        return Skipped(as_uri(real), "no such file or folder", "check paths: in the configuration")
    except OSError as error:
        return unreadable(as_uri(real), error)
    if reason := kind_of(status):
        return Skipped(as_uri(real), reason, "give it on standard input", excluded=False)
    if rules.largest is not None and status.st_size > rules.largest:
        return Skipped(as_uri(real), f"larger than max_file_bytes: {rules.largest}", excluded=True)
    folder, name = os.path.split(real)
    typed_name = os.path.basename(path)
    shown = path[: len(path) - len(typed_name)]
    return Folder(
        folder.rstrip("/") + "/", shown, (entry_of(name, status),), path if name != typed_name else ""
    )


def _grouped(found: Iterable[Folder | Skipped], row: str, title: str) -> Iterator[Unit | Skipped]:
    """Folders cut and joined to units; what was skipped keeps its place.

    A folder without files has one unit, so that it stands in the ledger as well. One that could not be
    listed has none: nothing of it was read.
    """
    group: list[Folder] = []
    files = size = given = refused = 0
    for item in found:
        if isinstance(item, Skipped):
            refused += not item.excluded
            yield replace(item, parents=(row,))
            continue
        start = 0
        for index, entry in enumerate(item.entries):
            if files == _UNIT_FILES or size + entry[1] > _UNIT_BYTES:
                if start < index:
                    group.append(replace(item, entries=item.entries[start:index]))
                    start = index
                if entry[1] > _UNIT_BYTES:
                    yield _unit([replace(item, entries=(entry,))], row, title)
                    given += 1
                    start = index + 1
                    continue
                yield _unit(group, row, title)
                given += 1
                group, files, size = [], 0, 0
            files += 1
            size += entry[1]
        if start < len(item.entries):
            group.append(replace(item, entries=item.entries[start:]) if start else item)
    if group or not (given or refused):
        yield _unit(group, row, title)


def _unit(group: list[Folder], row: str, title: str) -> Unit:
    """The id stands for the very set of files, so that a resumed run takes no newcomer for read."""
    digest = blake2b(digest_size=12)
    for folder in group:
        digest.update(os.fsencode(folder.path) + b"\0")
        digest.update(os.fsencode("\0".join([entry[0] for entry in folder.entries])) + b"\0\0")
    return Unit(f"{row}#{digest.hexdigest()}", title, (row,), {"folders": tuple(group)})


def _standard_input() -> Document:
    """Standard input whole when it is short, else as a stream that can be read once."""
    source = sys.stdin.buffer
    head = b""
    while len(head) <= _WHOLE_BYTES and (piece := source.read(_WHOLE_BYTES + 1 - len(head))):
        head += piece
    if len(head) <= _WHOLE_BYTES:
        return Document(uri="stdin:", body=head, path=_STDIN)

    def opened(offset: int) -> BinaryIO:
        if offset or not rest:
            raise UnreadableError("standard input can be read once only")
        return cast(BinaryIO, io.BufferedReader(rest.pop(), 1 << 20))

    rest = [_Chained(head, source)]
    return Document(uri="stdin:", body=Stream(opened), path=_STDIN)


class _Chained(io.RawIOBase):
    """What was read ahead, then the rest."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._head[: len(view)] or self._rest.read(len(view))
        self._head = self._head[len(data) :]
        view[: len(data)] = data
        return len(data)


def _real(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def _version(entry: Entry) -> str:
    _, size, modified, changed, inode = entry
    return f"{modified:x}.{changed:x}.{size:x}.{inode:x}"


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    except (ValueError, OverflowError, OSError):  # a file system may hold any number
        return None
