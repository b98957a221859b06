"""Walking directories: what there is to read, in a stable order, without ever following a surprise.

Loops, devices, pipes and vanishing entries are normal on a real disk; each becomes a ``Skipped``.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Collection, Iterator
from operator import attrgetter
from typing import Final, TypeAlias
from urllib.parse import quote

from unsprawl.globs import matches
from unsprawl.records import Skipped
from unsprawl.structs import Struct

__all__ = [
    "EXCLUDED",
    "Entry",
    "Folder",
    "Rules",
    "as_uri",
    "entry_of",
    "is_plain",
    "kind_of",
    "unreadable",
    "walk",
]

#: The reason for what a pattern of the owner leaves out.
EXCLUDED: Final = "left out by exclude"
#: A regular file: name, size in bytes, mtime and ctime in nanoseconds, inode. A plain tuple, because
#: hundreds of thousands of them are pickled.
Entry: TypeAlias = tuple[str, int, int, int, int]

#: Whether a name stands in a uri as it is.
is_plain = re.compile(r"[A-Za-z0-9_.~/-]*\Z").match

_name = attrgetter("name")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0)

#: Views of the kernel, not files at rest: endless, blocking, or different at every read.
_PSEUDO_FILESYSTEMS: Final = frozenset(
    {"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs"}
    | {"efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs"}
    | {"selinuxfs", "sysfs", "tracefs"}
)

#: Where version control keeps its compressed history: the folder, and what must stand beside it.
_HISTORY: Final = {
    "objects": frozenset({"HEAD", "refs"}),
    "store": frozenset({"requires"}),
    "pristine": frozenset({"wc.db"}),
}

_REASONS: Final = {
    errno.EACCES: ("permission denied", "run as a user who may read it, or exclude it"),
    errno.EPERM: ("not permitted", "run as a user who may read it, or exclude it"),
    errno.ENOENT: ("vanished before it was read", "it was there when the folder was listed"),
    errno.ENOTDIR: ("vanished before it was read", "it was there when the folder was listed"),
    errno.ESTALE: ("vanished before it was read", "the network file system no longer knows it"),
    errno.ELOOP: ("became a symbolic link before it was read", "links are read with follow_symlinks: true"),
    errno.ENAMETOOLONG: ("the path is too long for this system", "start from a folder deeper down"),
    errno.EIO: ("the disk could not read it", "look at the system's log"),
    errno.EMFILE: ("too many open files", "raise the limit: ulimit -n"),
    errno.ENFILE: ("too many open files on this machine", "raise fs.file-max"),
}


class Folder(Struct, frozen=True):
    """Files of one folder. ``path`` is absolute, ``shown`` as people typed it; both end with ``/``.

    ``alias`` is shown in place of the only file's path: a link that was named as an argument.
    """

    path: str
    shown: str
    entries: tuple[Entry, ...]
    alias: str = ""


class Rules(Struct, frozen=True):
    """What a walk leaves out. ``elsewhere`` are real paths that another argument covers."""

    exclude: tuple[str, ...] = ()
    hidden: bool = True
    follow_symlinks: bool = False
    largest: int | None = None
    elsewhere: Collection[str] = ()


def walk(path: str, shown: str, rules: Rules) -> Iterator[Folder | Skipped]:
    """Everything below the folder ``path`` (absolute), folder by folder, each in the order of its names."""
    follow = rules.follow_symlinks
    selective = bool(rules.exclude) or not rules.hidden
    choosy = selective or rules.largest is not None
    # In few folders lies what another argument covers.
    above = {path[: path.rfind("/") + 1] for path in rules.elsewhere}
    pseudo = _pseudo_mounts()
    visited: set[tuple[int, int]] = set()
    links = 0
    top = len(_slashed(path))
    stack = [(_slashed(path), _slashed(shown))]
    while stack:
        folder, folder_shown = stack.pop()
        if follow and not _first_visit(folder, visited):
            continue
        try:
            # What lies in it is looked up from here: one step, however deep the folder is.
            descriptor = os.open(folder, _FOLDER)
        except OSError as error:
            yield unreadable(as_uri(folder), error)
            continue
        try:
            try:
                with os.scandir(descriptor) as listing:
                    children = sorted(listing, key=_name)
            except OSError as error:
                yield unreadable(as_uri(folder), error)
                continue
            entries: list[Entry] = []
            below: list[tuple[str, str]] = []
            plain = not choosy and folder not in above
            for child in children:
                name = child.name
                if not follow and child.is_symlink():
                    links += 1
                    continue
                try:
                    status = (
                        None if child.is_dir(follow_symlinks=follow) else child.stat(follow_symlinks=follow)
                    )
                except OSError as error:
                    dangling = Skipped(as_uri(folder + name), "a symbolic link to nothing", excluded=True)
                    yield dangling if child.is_symlink() else unreadable(as_uri(folder + name), error)
                    continue
                if status is not None and plain and stat.S_ISREG(status.st_mode):  # like most
                    entries.append(entry_of(name, status))
                    continue
                reason = _left_out(folder + name, name, top, rules) if selective else ""
                if status is None:
                    if reason := reason or _no_content(folder, name, children, pseudo):
                        yield Skipped(as_uri(f"{folder}{name}/"), reason, excluded=True)
                    elif f"{folder}{name}" not in rules.elsewhere:
                        below.append((f"{folder}{name}/", f"{folder_shown}{name}/"))
                elif reason := reason or kind_of(status) or _too_large(status, rules):
                    yield Skipped(as_uri(folder + name), reason, excluded=True)
                elif f"{folder}{name}" not in rules.elsewhere:
                    entries.append(entry_of(name, status))
        finally:
            os.close(descriptor)
        if entries:
            yield Folder(folder, folder_shown, tuple(entries))
        stack.extend(reversed(below))
    if links:
        hint = "their targets are read where they lie; follow_symlinks: true reads them through the links too"
        yield Skipped(as_uri(_slashed(path)), f"{links} symbolic links not followed", hint, excluded=True)


def entry_of(name: str, status: os.stat_result) -> Entry:
    return (name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def kind_of(status: os.stat_result) -> str:
    """Why this is nothing to read: what kind of special file it is. Empty for a regular file."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISFIFO(mode):
        return "a named pipe, not a file"
    if stat.S_ISSOCK(mode):
        return "a socket, not a file"
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return "a device, not a file"
    return "not a regular file"


def unreadable(uri: str, error: OSError) -> Skipped:
    """What the ledger says when the system refused."""
    code = error.errno or 0
    reason, hint = _REASONS.get(code, (os.strerror(code).lower() if code else "could not be read", ""))
    return Skipped(uri, reason, hint)


def as_uri(path: str) -> str:
    """``file:///…``; bytes that are no UTF-8 are kept as percent escapes."""
    return "file://" + (path if is_plain(path) else quote(os.fsencode(path), safe="/"))


def _slashed(path: str) -> str:
    return path if path.endswith("/") else path + "/"


def _left_out(path: str, name: str, top: int, rules: Rules) -> str:
    if not rules.hidden and name.startswith("."):
        return "hidden, and hidden: false"
    if matches(rules.exclude, path[top:]):
        return EXCLUDED
    return ""


def _too_large(status: os.stat_result, rules: Rules) -> str:
    if rules.largest is not None and status.st_size > rules.largest:
        return f"{status.st_size} bytes are more than max_file_bytes: {rules.largest}"
    return ""


def _no_content(folder: str, name: str, siblings: list[os.DirEntry[str]], pseudo: Collection[str]) -> str:
    if folder + name in pseudo:
        return "a file system of the kernel; name it as an argument to read it"
    beside = _HISTORY.get(name)
    if beside and beside <= {sibling.name for sibling in siblings}:
        return "the history of version control is not read; the working tree is"
    return ""


def _first_visit(folder: str, visited: set[tuple[int, int]]) -> bool:
    try:
        status = os.stat(folder)
    except OSError:
        return True  # listing it says why
    known = len(visited)
    visited.add((status.st_dev, status.st_ino))
    return len(visited) > known


def _pseudo_mounts() -> frozenset[str]:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return frozenset()
    mounts = set()
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ", 1)[0]
        if len(fields) > 4 and kind in _PSEUDO_FILESYSTEMS:
            mounts.add(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
    return frozenset(mounts)
