"""What a container knows that no image does: its environment, arguments, mounts, changed files and log."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote

from unsprawl.crawlers.engine.client import Engine, demultiplexed
from unsprawl.crawlers.ranges import ResumingFile
from unsprawl.errors import RetryableError, SourceError, UnreadableError
from unsprawl.globs import matches
from unsprawl.oci.tars import Content, Entry, Owned, entries
from unsprawl.records import Document, Event, Json, Seen, Skipped, Stream, Unchanged

__all__ = ["Container", "described"]

_WHOLE_BYTES: Final = 4 << 20
_PIECE: Final = 1 << 20
_CHANGED, _ADDED, _DELETED = 0, 1, 2
#: What of a container's description stands still while it runs, and may hold what somebody typed.
_TOLD: Final = ("Id", "Name", "Created", "Image", "Path", "Args", "Config", "HostConfig", "Mounts")
_STATE: Final = ("Error",)


def described(known: Mapping[str, Any], fields: Sequence[str]) -> bytes:
    """Some fields of an engine's answer as text, the same every time."""
    told = {name: known[name] for name in fields if name in known}
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as it was inspected."""

    engine: Engine
    top: str
    known: Mapping[str, Any]
    exclude: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return str(self.known["Id"])

    @property
    def name(self) -> str:
        return str(self.known.get("Name") or self.identity[:12]).removeprefix("/")

    @property
    def uri(self) -> str:
        return f"{self.top}/containers/{self.identity}"

    def description(self) -> Document:
        """Environment, command, labels, mounts and host settings, as text."""
        state = self.known.get("State")
        told = {name: state[name] for name in _STATE if state.get(name)} if isinstance(state, dict) else {}
        body = described({**self.known, **({"State": told} if told else {})}, (*_TOLD, "State"))
        return Document(
            uri=self.uri,
            path=f"container {self.name}",
            body=body,
            media_type="application/json",
            key=self.uri,
            version=blake2b(body, digest_size=12).hexdigest(),
            modified_at=moment(self.known.get("Created")),
            attrs=self._attrs(),
        )

    # --- changed files ---------------------------------------------------------------------------

    def files(self, seen: Seen) -> Iterator[Event]:
        """Every file that was added or changed since the start, outside of mounts."""
        mounts = [
            posixpath.normpath(mount["Destination"])
            for mount in self.known.get("Mounts") or []
            if isinstance(mount, dict) and isinstance(mount.get("Destination"), str)
        ]
        changes = {
            posixpath.normpath(change["Path"]): change.get("Kind")
            for change in self.engine.changes(self.identity)
            if isinstance(change.get("Path"), str) and change["Path"].startswith("/")
        }
        unchanged = 0
        for path in _roots(changes, mounts):
            try:
                for event in self._below(path, changes.get(path) == _CHANGED, mounts, seen):
                    if isinstance(event, Unchanged):
                        unchanged += 1
                    else:
                        yield event
            except RetryableError as error:
                yield Skipped(self._file_uri(path), error.message, error.hint)
            except UnreadableError as error:
                yield Skipped(self._file_uri(path), error.message, error.hint)
        if unchanged:
            yield Unchanged(unchanged)

    def _below(self, path: str, was_there: bool, mounts: Sequence[str], seen: Seen) -> Iterator[Event]:
        """A file, or a folder that is new with all that is in it."""
        parent = posixpath.dirname(path)
        with self.engine.archive(self.identity, path) as file:
            for entry, content in walked(file):
                if entry.is_directory and was_there:
                    return  # its rights were changed; what is new in it stands in the list itself
                if not entry.is_file:
                    continue
                place = posixpath.join(parent, entry.name)
                uri = self._file_uri(place)
                if any(_is_below(place, mount) for mount in mounts):
                    continue
                if matches(self.exclude, f"{self.name}{place}"):
                    yield Skipped(uri, "left out by exclude", excluded=True)
                elif seen(uri) == _version(entry):
                    yield Unchanged()
                else:
                    yield self.file(place, entry, content)

    def file(self, path: str, entry: Entry, content: Content) -> Document:
        """One file whose content begins to arrive."""
        uri = self._file_uri(path)
        body: bytes | Stream
        if entry.size <= _WHOLE_BYTES:
            body = content.readall()
        else:
            first = [content]

            def opened(offset: int) -> BinaryIO:
                begun = first.pop() if first else None
                live = begun if begun is not None and not offset and begun.left == entry.size else None
                connect = partial(self._reopened, path)
                return cast(
                    "BinaryIO", ResumingFile(connect, offset, entry.size, dropped=(OSError,), first=live)
                )

            body = Stream(opened, entry.size)
        modified = datetime.fromtimestamp(entry.modified, UTC) if 0 < entry.modified < 1 << 33 else None
        return Document(
            uri=uri,
            path=f"{self.name}:{path}",
            body=body,
            key=uri,
            version=_version(entry),
            modified_at=modified,
            attrs=self._attrs(),
        )

    def fetched(self, path: str) -> Document:
        """One file, asked for by its path."""
        with self.engine.archive(self.identity, path) as file:
            for entry, content in walked(file):
                if entry.is_file:
                    return self.file(path, entry, content)
        raise UnreadableError("no longer a file")

    def _reopened(self, path: str, position: int) -> BinaryIO:
        file = self.engine.archive(self.identity, path)
        for entry, content in walked(file):
            if entry.is_file:
                while position and (data := content.read(min(position, _PIECE))):
                    position -= len(data)
                return cast("BinaryIO", Owned(content, file))
        file.close()
        raise UnreadableError("no longer a file")

    # --- the log ---------------------------------------------------------------------------------

    def log(self) -> Document:
        """What it wrote so far. Only the log of one that has ended has a version: it grows no more."""
        state = self.known.get("State")
        state = state if isinstance(state, dict) else {}
        ended = str(state.get("FinishedAt") or "") if state.get("Running") is False else ""
        config = self.known.get("Config")
        terminal = isinstance(config, dict) and bool(config.get("Tty"))
        uri = f"{self.uri}/log"

        def opened(offset: int) -> BinaryIO:
            if offset:
                raise UnreadableError("a log is read from its start")
            file = self.engine.logs(self.identity)
            return file if terminal else demultiplexed(file)

        return Document(
            uri=uri,
            path=f"log of container {self.name}",
            body=Stream(opened),
            media_type="text/x-log",
            key=uri,
            version=f"{self.known.get('Created')}:{ended}" if ended else None,
            attrs=self._attrs(),
        )

    def events(self, seen: Seen, *, files: bool, logs: bool) -> Iterator[Event]:
        """All that is to be read of it."""
        for document in [self.description(), *([self.log()] if logs else [])]:
            if document.version is not None and seen(document.uri) == document.version:
                yield Unchanged()
            else:
                yield from self._readable(document)
        if files:
            try:
                yield from self.files(seen)
            except (RetryableError, UnreadableError) as error:
                yield Skipped(f"{self.uri}/files", error.message, error.hint)

    @staticmethod
    def _readable(document: Document) -> Iterator[Event]:
        """The document, or why its log cannot be had: some drivers send it elsewhere."""
        if isinstance(document.body, Stream):
            try:
                document.body.open(0).close()
            except SourceError as error:
                yield Skipped(document.uri, error.message, error.hint or "its log driver may keep none")
                return
        yield document

    def _attrs(self) -> dict[str, Json]:
        config = self.known.get("Config")
        image = config.get("Image") if isinstance(config, dict) else None
        attrs: dict[str, Json] = {"container": self.name, "container_id": self.identity[:12]}
        return {**attrs, "image": image} if isinstance(image, str) and image else attrs

    def _file_uri(self, path: str) -> str:
        return f"{self.uri}/files{quote(path, safe='/', errors='surrogateescape')}"


def walked(file: BinaryIO) -> Iterator[tuple[Entry, Content]]:
    """The entries of an answer. Raises ``RetryableError`` when it breaks off."""
    try:
        yield from entries(file)
    except OSError:
        raise RetryableError("the engine broke off", hint="its own log says why") from None


def moment(text: object) -> datetime | None:
    """A time as engines write it, with nanoseconds; None for what is none."""
    try:
        time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)) if isinstance(text, str) else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)


def _roots(changes: Mapping[str, Any], mounts: Sequence[str]) -> list[str]:
    """What to ask for: the topmost new folders and files, and changed things nothing below which changed.

    A folder that a mount stands in is not asked for as a whole: the answer would hold what is mounted.
    """
    above = {parent for path in changes for parent in _parents(path)}
    whole: set[str] = set()
    roots: list[str] = []
    for path in sorted(changes, key=lambda path: path.split("/")):
        kind = changes[path]
        covered = any(parent in whole for parent in _parents(path))
        if kind not in (_ADDED, _CHANGED) or covered or any(_is_below(path, mount) for mount in mounts):
            continue
        if any(_is_below(mount, path) for mount in mounts):
            continue
        if kind == _ADDED:
            whole.add(path)
            roots.append(path)
        elif path not in above:
            roots.append(path)
    return roots


def _parents(path: str) -> list[str]:
    found = []
    while (path := posixpath.dirname(path)) not in ("/", ""):
        found.append(path)
    return found


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _version(entry: Entry) -> str:
    return f"{entry.modified:.0f}.{entry.size:x}"
