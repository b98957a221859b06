"""Slack workspaces: what was written, what was attached, and what stands around it.

    slack://TEAM/CHANNEL/TS[?thread_ts=ROOT]          a message
    slack://TEAM/CHANNEL?about, ?bookmarks            what a channel says of itself
    slack://TEAM/files/ID, people/ID, usergroups/ID   the rest of the workspace

A thread, or one author's run of messages, is one document whose parts are the messages. Conversations are
units; so are the files and the people of a workspace. With ``export`` the same is read from an export,
without Slack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import unquote
from uuid import uuid4
from weakref import WeakValueDictionary

import msgspec

from unsprawl.config import FilePath, Reference, SourceConfig, resolve
from unsprawl.crawlers.slack import cleanup, surroundings
from unsprawl.crawlers.slack.channels import Window, read_conversation
from unsprawl.crawlers.slack.client import SLACK_API, SlackClient
from unsprawl.crawlers.slack.discovery import discovered, read_discovered
from unsprawl.crawlers.slack.doctor import examine, missing
from unsprawl.crawlers.slack.export import Export
from unsprawl.crawlers.slack.files import file_document, file_events, read_files
from unsprawl.crawlers.slack.history import fetch_message
from unsprawl.crawlers.slack.messages import Conversation, Message
from unsprawl.crawlers.slack.session import PAGE, Session, Workspace, asking, conversation
from unsprawl.crawlers.slack.times import SECOND, duration
from unsprawl.errors import AuthError, ConfigError, GoneError, RetryableError, SourceError, UnreadableError
from unsprawl.records import (
    Checkpoint,
    Cleanup,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Seen,
    Skipped,
    Unchanged,
    Unit,
)
from unsprawl.structs import replace
from unsprawl.wire.patience import Patience

__all__ = ["SlackSource"]

_URI: Final = re.compile(r"slack://([^/?]+)/([^/?]+)(?:/([^/?]+))?(?:\?(.+))?\Z")
_EXCLUDED: Final = "left out by exclude"
_SCOPE_OF: Final = {
    "public_channel": "channels:read",
    "private_channel": "groups:read",
    "mpim": "mpim:read",
    "im": "im:read",
}

_Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,5}[mhdw]$")]
_Type = Literal["public_channel", "private_channel", "mpim", "im"]
_KINDS: Final[tuple[_Type, ...]] = ("public_channel", "private_channel", "mpim", "im")

#: Threads build their own source, and have to share one token's limits: a session for each configuration.
_sessions: WeakValueDictionary[tuple[str, SlackSource.Config], Session] = WeakValueDictionary()
_sessions_lock = Lock()


class SlackSource:
    """``slack {token, base_url}``: one workspace or organisation; ``{export}``: an export of one."""

    type: ClassVar[str] = "slack"
    needs: ClassVar[tuple[str, ...]] = ("slack_sdk", "slack_sdk.errors")

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Keys of a source of ``type: slack``.

        ``lookback`` is how far back edits and deletions are looked for, ``threads`` how long a thread
        without new replies is watched, ``reply_edits`` how long edited replies are looked for (a request a
        thread). ``oldest`` leaves older messages out. ``profile_fields`` reads custom fields, a request a
        member. ``file_hosts`` are other hosts that may see the token. ``discovery`` uses the Discovery API
        of an enterprise.
        """

        token: Reference | None = None
        export: FilePath | None = None
        base_url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/?#]+.*$")] = SLACK_API
        types: tuple[_Type, ...] = _KINDS
        lookback: _Duration = "14d"
        threads: _Duration = "90d"
        reply_edits: _Duration = "0d"
        oldest: _Duration | None = None
        files: bool = True
        max_file_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
        file_hosts: tuple[str, ...] = ()
        profile_fields: bool = False
        discovery: bool = False
        max_wait: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 900.0

    def __init__(self, name: str, config: Config) -> None:
        if (config.token is None) == (config.export is None):
            raise ConfigError(f"sources.{name}: give either `token` or `export`")
        self.name = name
        # A token's limits are shared by all who read; an export has none.
        self.reads_in: Literal["worker", "coordinator"] = "worker" if config.export else "coordinator"
        self._config = config
        self._held: Session | None = None
        self._archive: Export | None = None

    # --- what there is ---------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002
        """The people and the files of each workspace, then its conversations."""
        if self._config.export is not None:
            for unit in self._export.units():
                if self._excludes(unit.data.get("place")):
                    yield Skipped(unit.id, _EXCLUDED, excluded=True, parents=(unit.id,))
                else:
                    yield unit
            return
        session = self._session
        session.begin()
        # A cursor at a unit's end is where the next night begins, not where this one goes on.
        walk = uuid4().hex
        for item in self._work():
            yield replace(item, data={**item.data, "walk": walk}) if isinstance(item, Unit) else item

    def _work(self) -> Iterator[Unit | Skipped]:
        session = self._session
        for workspace in session.identity.workspaces:
            for scope, what in missing(session.identity.scopes, self._config):
                yield Skipped(
                    f"slack://{workspace.id}?{scope}",
                    f"the token lacks the scope {scope}: {what} not read",
                    f"add the scope {scope} to the app and install it again",
                    parents=(f"{workspace.name or workspace.id} (scopes)",),
                )
            if session.may("users:read"):
                data = {"kind": "people", "workspace": workspace}
                yield Unit(f"slack://{workspace.id}/people", f"people of {workspace.name}", (), data)
            if self._config.files and session.may("files:read"):
                data = {"kind": "files", "workspace": workspace}
                yield Unit(f"slack://{workspace.id}/files", f"files of {workspace.name}", (), data)
            if not self._config.discovery:
                yield from self._conversations(workspace)
        if self._config.discovery:
            yield from self._discovered()

    def _excludes(self, place: Conversation | None) -> bool:
        forms = (place.title, place.title[1:], place.id, place.uri) if place is not None else ()
        return any(map(self._config.excludes, forms))

    def _discovered(self) -> Iterator[Unit | Skipped]:
        """Every conversation of the enterprise, whoever is in it."""
        session = self._session
        known = {workspace.id: workspace for workspace in session.identity.workspaces}
        first = session.identity.workspaces[0]
        names = session.names(first) if session.may("users:read") else {}
        for raw in discovered(session):
            team = str(raw.get("team_id") or first.id)
            workspace = known.get(team, Workspace(team))
            yield from self._unit(workspace, raw, names, guests=False)

    def _unit(
        self, workspace: Workspace, raw: Mapping[str, Any], names: Mapping[str, str], *, guests: bool
    ) -> Iterator[Unit | Skipped]:
        place = conversation(raw, workspace, names, guests=guests)
        if self._excludes(place):
            yield Skipped(place.uri, _EXCLUDED, excluded=True, parents=(place.uri,))
            return
        about = surroundings.about(place, raw, names)
        data = {"kind": "conversation", "workspace": workspace, "place": place, "about": about}
        yield Unit(place.uri, place.title, (), data)

    def _conversations(self, workspace: Workspace) -> Iterator[Unit | Skipped]:
        session = self._session
        names = session.names(workspace) if session.may("users:read") else {}
        guests = session.guest_channels(workspace) if session.may("users:read") else frozenset()
        kinds = [kind for kind in self._config.types if session.may(_SCOPE_OF[kind])]
        listed: set[str] = set()
        for types in _attempts(kinds):
            try:
                for raw in self._listed(workspace, types, listed):
                    yield from self._unit(workspace, raw, names, guests=raw["id"] in guests)
            except UnreadableError as error:
                if "missing_scope" not in error.message:
                    raise
                if len(types) == 1:
                    yield Skipped(f"slack://{workspace.id}?{types[0]}", error.message, error.hint)
            else:
                if len(types) == len(kinds):
                    return

    def _listed(self, workspace: Workspace, types: list[_Type], listed: set[str]) -> Iterator[dict[str, Any]]:
        kinds = ",".join(types)
        for page in self._session.client.pages(
            "conversations.list",
            "channels",
            types=kinds,
            exclude_archived="false",
            limit=PAGE,
            **asking(workspace),
        ):
            for raw in page:
                if isinstance(raw.get("id"), str) and raw["id"] not in listed:
                    listed.add(raw["id"])
                    yield raw

    # --- reading ---------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """One conversation, or the files or people of a workspace. What is refused is told."""
        if self._config.export is not None:
            yield from self._export.read(unit.data, seen)
            return
        if since and since.get("ended") == unit.data["walk"]:
            return
        try:
            for event in self._read(unit.data, since, seen):
                if isinstance(event, Checkpoint) and "before" not in event.cursor:
                    yield Checkpoint({**event.cursor, "ended": unit.data["walk"]})
                else:
                    yield event
        except UnreadableError as error:
            yield Skipped(unit.id, error.message, error.hint)

    def _read(self, data: Mapping[str, Any], since: Cursor | None, seen: Seen) -> Iterator[Event]:
        session, config = self._session, self._config
        workspace: Workspace = data["workspace"]
        if data["kind"] == "people":
            yield from surroundings.read_people(session, workspace, seen, custom=config.profile_fields)
        elif data["kind"] == "files":
            back, most = duration(config.lookback), config.max_file_bytes
            yield from read_files(session, workspace, back, most, since, seen)
        else:
            yield from self._read_conversation(workspace, data["place"], data["about"], since, seen)

    def _read_conversation(
        self, workspace: Workspace, place: Conversation, about: Document, since: Cursor | None, seen: Seen
    ) -> Iterator[Event]:
        session = self._session
        names = session.names(workspace) if session.may("users:read") else {}
        if not since or "before" not in since:
            yield Unchanged() if seen(about.key) == about.version else about
        if self._config.discovery:
            back, oldest = duration(self._config.lookback), self._window().oldest
            yield from read_discovered(session, place, names, back, oldest, since, seen)
            return
        files = partial(self._stray_files, workspace, seen)
        around = partial(self._around, place, names, seen)
        yield from read_conversation(session, place, names, self._window(), since, seen, files, around)

    def _window(self) -> Window:
        import time

        config = self._config
        oldest = int(time.time() * SECOND) - duration(config.oldest) if config.oldest else 0
        return Window(
            duration(config.lookback), duration(config.threads), duration(config.reply_edits), max(0, oldest)
        )

    def _stray_files(self, workspace: Workspace, seen: Seen, message: Message) -> Iterator[Event]:
        """Files of others (Slack Connect) are no part of the workspace's own listing."""
        if not self._config.files or not message.files or not self._session.may("files:read"):
            return
        for raw in message.files:
            identity = raw.get("id")
            stray = raw.get("file_access") == "check_file_info" or raw.get("user_team") not in (
                None,
                workspace.id,
            )
            if isinstance(identity, str) and stray and self._session.take(identity):
                yield from file_events(self._session, workspace, raw, self._config.max_file_bytes, seen)

    def _around(
        self, place: Conversation, names: Mapping[str, str], seen: Seen, reached: int | None
    ) -> Iterator[Event]:
        session = self._session
        if session.may("bookmarks:read") and place.kind in ("channel", "private"):
            try:
                made = surroundings.bookmarks(session, place, names)
                if made is not None:
                    yield Unchanged() if seen(made.key) == made.version else made
            except AuthError:
                raise
            except (UnreadableError, RetryableError) as error:
                yield Skipped(f"{place.uri}?bookmarks", error.message, error.hint)
        if reached is not None and session.may("pins:read"):
            try:
                yield from surroundings.pins(session, place, names, reached, seen)
            except AuthError:
                raise
            except (UnreadableError, RetryableError) as error:
                yield Skipped(f"{place.uri}?pins", error.message, error.hint)

    # --- cleaned one by one ----------------------------------------------------------------------

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:  # noqa: ARG002
        """To delete a message or a file, if it is there; an export cannot be cleaned."""
        return () if self._config.export is not None else cleanup.cleanups(self._session, uri)

    def clean(
        self,
        uri: str,
        attrs: Mapping[str, Any],  # noqa: ARG002
        action: str,
        redact: Callable[[str], str],  # noqa: ARG002
    ) -> str:
        """Delete it, if the token may."""
        return cleanup.clean(self._session, uri, action)

    # --- asked for one by one --------------------------------------------------------------------

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one document again; for a message the thread or run it stands in."""
        match = _URI.fullmatch(uri)
        if self._config.export is not None:
            return (self._export.find(uri) if match else None) or Skipped(uri, "not in this export")
        session = self._session
        workspace = None
        if match:
            team = unquote(match[1])
            workspace = next((one for one in session.identity.workspaces if one.id == team), None)
        if match is None or workspace is None:
            return Skipped(uri, "not an address of this source")
        try:
            return self._fetch(workspace, uri, unquote(match[2]), unquote(match[3] or ""), match[4] or "")
        except AuthError:
            raise
        except SourceError as error:
            return Skipped(uri, error.message, error.hint, gone=isinstance(error, GoneError))

    def _fetch(
        self, workspace: Workspace, uri: str, first: str, second: str, query: str
    ) -> Document | Skipped:
        session = self._session
        found: Document | None = None
        if first == "files" and second:
            file = session.client.call("files.info", file=second).data.get("file")
            return file_document(session, workspace, file if isinstance(file, dict) else {}, None)
        if first == "people":
            people = (one for one in session.people(workspace) if one.id == second)
            found = next((surroundings.person_document(workspace, one) for one in people), None)
        elif first == "usergroups":
            groups = surroundings.group_documents(session, workspace)
            found = next((one for one in groups if one.uri == uri), None)
        else:
            names = session.names(workspace)
            raw = session.client.call("conversations.info", channel=first).data.get("channel")
            raw = raw if isinstance(raw, dict) else {"id": first}
            place = conversation({**raw, "id": first}, workspace, names, guests=False)
            if second:
                return fetch_message(session, place, names, second, query.removeprefix("thread_ts="))
            if query == "bookmarks":
                found = surroundings.bookmarks(session, place, names)
            elif query == "about":
                found = surroundings.about(place, raw, names)
        return found or Skipped(uri, "no longer there", gone=True)

    def diagnose(self) -> Iterator[Diagnosis]:
        """Who the token is, which scopes it has, what it reaches, and how fast Slack lets it."""
        if self._config.export is None:
            self._session.begin()
            yield from examine(self._session, self._config)
            return
        try:
            export = self._export
        except UnreadableError as error:
            yield Diagnosis(f"open the export: {error.message}", False, error.hint)
            return
        count = sum(1 for _ in export.conversations())
        yield Diagnosis(f"the export has {count} conversations and {len(export.people)} people", True)
        yield Diagnosis("files are links in it", True, "their contents are read with a token alone")

    @property
    def _export(self) -> Export:
        if self._archive is None:
            assert self._config.export is not None
            self._archive = Export(self._config.export)
        return self._archive

    @property
    def _session(self) -> Session:
        if self._held is None:
            config = self._config
            assert config.token is not None
            with _sessions_lock:
                self._held = _sessions.get((self.name, config))
                if self._held is None:
                    token = resolve(config.token, f"sources.{self.name}.token")
                    patience = Patience(attempts=10, total=config.max_wait)
                    client = SlackClient(
                        config.base_url, token, patience=patience, file_hosts=config.file_hosts
                    )
                    self._held = _sessions[self.name, config] = Session(client)
        return self._held


def _attempts(kinds: list[_Type]) -> list[list[_Type]]:
    """All kinds at once; where a scope is missing and nobody told before, one after the other."""
    return [kinds, *([kind] for kind in kinds)] if len(kinds) > 1 else [kinds] if kinds else []
