"""An export of a workspace (a ZIP archive), read without Slack: standard, corporate, and what tools make
alike.

    users.json channels.json groups.json dms.json mpims.json    who and where
    integration_logs.json canvases.json …                       read as they stand
    CHANNEL/YYYY-MM-DD.json                                     a day of messages

Replies stand on the day they were written, so a conversation is read from its last day to its first.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote

from unsprawl.crawlers.slack.messages import Conversation
from unsprawl.crawlers.slack.past import assembled
from unsprawl.crawlers.slack.session import Person, Workspace, conversation
from unsprawl.crawlers.slack.surroundings import about, person_document
from unsprawl.errors import UnreadableError
from unsprawl.records import Checkpoint, Document, Event, Seen, Skipped, Stream, Unchanged, Unit

__all__ = ["Export"]

_DAY = re.compile(r"(.+)/(\d{4}-\d{2}-\d{2})\.json\Z")
_LISTS: Final = {
    "channels.json": {},
    "groups.json": {"is_private": True},
    "mpims.json": {"is_mpim": True, "is_private": True},
    "dms.json": {"is_im": True, "is_private": True},
}
#: One day of one conversation, and the lists of people and channels; Slack's own stay far below.
_LARGEST: Final = 256 << 20
_MOST_MEMBERS: Final = 1_000_000
#: What zipfile raises over archives that are damaged, encrypted or packed in a way it does not know.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
)


class Export:
    """One archive. Raises ``UnreadableError`` when it is none. Threads share it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = Lock()
        try:
            self._archive = zipfile.ZipFile(path)
        except _BROKEN as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else "no ZIP archive"
            raise UnreadableError(
                f"{Path(path).name}: {what}", hint="give the archive as Slack made it"
            ) from None
        members = [info for info in self._archive.infolist() if not info.is_dir()]
        if len(members) > _MOST_MEMBERS:
            raise UnreadableError(f"{Path(path).name} has {len(members)} members: that is no export")
        self._members = {info.filename: info for info in members}
        self._top = _top(self._members)
        self._days: dict[str, list[str]] = {}
        for name in sorted(self._members):
            match = _DAY.match(name)
            if match:
                self._days.setdefault(match[1], []).append(name)
        self.broken: list[Skipped] = []
        self._lists = {file: self._list(file) for file in _LISTS}
        self.people = tuple(self._people())
        self.names = {person.id: person.name for person in self.people}
        team = next((str(one.raw["team_id"]) for one in self.people if one.raw.get("team_id")), "export")
        self.workspace = Workspace(team, team)

    def close(self) -> None:
        self._archive.close()

    # --- what there is ---------------------------------------------------------------------------

    def conversations(self) -> Iterator[tuple[str, Conversation, Document]]:
        """Folder, conversation and what it says of itself; a folder that no list names is one too."""
        left = dict.fromkeys(self._days)
        for file, kind in _LISTS.items():
            for listed in self._lists[file]:
                raw = {**listed, **kind}
                if not isinstance(raw.get("id"), str):
                    continue
                if raw.get("is_im") and "user" not in raw:
                    members = [one for one in raw.get("members") or () if isinstance(one, str)]
                    raw["user"] = ", ".join(self.names.get(one, one) for one in members)
                place = conversation(raw, self.workspace, self.names, guests=False)
                folders = [f"{self._top}{raw.get(key)}" for key in ("name", "id") if raw.get(key)]
                folder = next((one for one in folders if one in left), "")
                left.pop(folder, None)
                yield folder, place, about(place, raw, self.names)
        for folder in left:
            name = folder.removeprefix(self._top)
            place = conversation({"id": name, "name": name}, self.workspace, self.names, guests=False)
            yield folder, place, about(place, {}, self.names)

    def units(self) -> Iterator[Unit]:
        team = self.workspace.id
        yield Unit(f"slack://{team}/export", "people, logs and other members", (), {"kind": "rest"})
        for folder, place, made in self.conversations():
            data = {"kind": "conversation", "folder": folder, "place": place, "about": made}
            yield Unit(place.uri, place.title, (), data)

    # --- reading ---------------------------------------------------------------------------------

    def read(self, data: Mapping[str, Any], seen: Seen) -> Iterator[Event]:
        """The documents of a unit, and at its end a checkpoint that begins anew."""
        if data["kind"] == "rest":
            yield from self.broken
            documents = self._rest()
        else:
            gaps: list[Skipped] = []
            documents = self._conversation(data["folder"], data["place"], data["about"], gaps)
        for made in documents:
            yield Unchanged() if seen(made.key) == made.version else made
        if data["kind"] != "rest":
            yield from gaps
        yield Checkpoint({})

    def _conversation(
        self, folder: str, place: Conversation, about_it: Document, gaps: list[Skipped]
    ) -> Iterator[Document]:
        yield about_it
        yield from assembled(place, self._messages(folder, place, gaps), self.names)

    def _messages(self, folder: str, place: Conversation, gaps: list[Skipped]) -> Iterator[dict[str, Any]]:
        linked = 0
        for name in reversed(self._days.get(folder, [])):
            try:
                raws = self._json(name)
            except UnreadableError as error:
                gaps.append(Skipped(f"{place.uri}?day={PurePosixPath(name).stem}", error.message, error.hint))
                continue
            linked += sum(len(raw.get("files") or ()) for raw in raws or () if isinstance(raw, dict))
            objects = [raw for raw in raws if isinstance(raw, dict)] if isinstance(raws, list) else []
            yield from sorted(objects, key=lambda raw: str(raw.get("ts", "")).rjust(20, "0"), reverse=True)
        if linked:
            hint = "a source with a token reads them"
            gaps.append(Skipped(f"{place.uri}?files", f"{linked} files are only linked in the export", hint))

    def _rest(self) -> Iterator[Document]:
        for person in self.people:
            made = person_document(self.workspace, person)
            if made is not None:
                yield made
        team = quote(self.workspace.id, safe="")
        read = {name for days in self._days.values() for name in days}
        read |= {f"{self._top}{name}" for name in (*_LISTS, "users.json", "org_users.json")}
        for name, info in self._members.items():
            if name in read:
                continue
            uri = f"slack://{team}/export/{quote(name)}"
            yield Document(
                uri=uri,
                body=Stream(partial(self._open, name), info.file_size),
                path=f"{Path(self.path).name}/{name}",
                key=uri,
                version=f"{info.CRC:08x}:{info.file_size}",
                attrs={"workspace": self.workspace.name, "kind": "export"},
            )

    def _open(self, name: str, offset: int) -> BinaryIO:
        if offset:
            raise UnreadableError("a member of an export is read from its start")
        try:
            with self._lock:
                return cast("BinaryIO", self._archive.open(name))
        except _BROKEN as error:
            raise UnreadableError(f"{name} cannot be unpacked ({type(error).__name__})") from None

    def find(self, uri: str) -> Document | None:
        """The document with this address, or with a message of this address in it."""
        for unit in self.units():
            if unit.data["kind"] != "rest" and not uri.startswith((f"{unit.id}/", f"{unit.id}?")):
                continue
            for event in self.read(unit.data, lambda _key: None):
                if isinstance(event, Document) and (
                    event.uri == uri or uri in {part.uri for part in event.parts}
                ):
                    return event
        return None

    # --- members ---------------------------------------------------------------------------------

    def _people(self) -> Iterator[Person]:
        known: set[str] = set()
        for file in ("users.json", "org_users.json"):
            for raw in self._list(file):
                identity = raw.get("id")
                if not isinstance(identity, str) or identity in known:
                    continue
                known.add(identity)
                held = raw.get("profile")
                profile = held if isinstance(held, dict) else {}
                name = profile.get("real_name") or raw.get("real_name") or raw.get("name") or identity
                guest = bool(raw.get("is_restricted") or raw.get("is_ultra_restricted"))
                yield Person(identity, str(name), guest, raw)

    def _list(self, name: str) -> list[dict[str, Any]]:
        if self._top + name not in self._members:
            return []
        try:
            content = self._json(self._top + name)
        except UnreadableError as error:
            self.broken.append(Skipped(f"slack://export/{name}", error.message, error.hint))
            return []
        return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []

    def _json(self, name: str) -> Any:
        try:
            with self._lock, self._archive.open(name) as file:
                content = file.read(_LARGEST + 1)
        except _BROKEN as error:
            raise UnreadableError(f"{name} cannot be unpacked ({type(error).__name__})") from None
        if len(content) > _LARGEST:
            raise UnreadableError(f"{name} is larger than {_LARGEST >> 20} MiB", hint="scan it as a file")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise UnreadableError(f"{name} is not JSON", hint="scan the export as a file") from None


def _top(members: Mapping[str, Any]) -> str:
    """The folder in which the lists lie: exports that were packed again have one around everything."""
    for name in sorted(members, key=len):
        if PurePosixPath(name).name in ("users.json", "channels.json"):
            return name.removesuffix(PurePosixPath(name).name)
    return ""
