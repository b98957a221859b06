"""What all threads that read one workspace share: the client with its limits, who we are, who is who."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

from unsprawl.crawlers.slack.client import SlackClient
from unsprawl.crawlers.slack.messages import Conversation
from unsprawl.crawlers.slack.times import SECOND
from unsprawl.errors import RetryableError, SourceError, UnreadableError
from unsprawl.records import Audience

__all__ = ["Identity", "Person", "Session", "Workspace"]

_log = logging.getLogger("unsprawl.slack")

#: Objects a page. Slack allows a thousand, and gives a page of users sooner when fewer are asked for.
PAGE: Final = 1000
#: What Slack gives the apps it holds back: fifteen messages a request, one request a minute.
_SLOW_PAGE: Final = 15
#: Guests whose channels are asked for, one request each.
_MOST_GUESTS: Final = 200


@dataclass(frozen=True, slots=True)
class Workspace:
    """``url`` ends with a slash, "" when unknown. ``ask`` names it in requests of an organisation's token."""

    id: str
    name: str = ""
    url: str = ""
    ask: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the token is. ``scopes`` is None where the server does not tell them."""

    team: str
    user: str
    name: str
    workspaces: tuple[Workspace, ...]
    enterprise: str = ""
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A member, as far as others see one. ``guest``: from outside, or let into some channels only."""

    id: str
    name: str
    guest: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class Session:
    """Shared by the threads of one source. ``begin`` forgets what an earlier run of this process learned."""

    def __init__(self, client: SlackClient) -> None:
        self.client = client
        self._lock = Lock()
        self._identity: Identity | None = None
        self._people: dict[str, tuple[Person, ...]] = {}
        self._names: dict[str, str] = {}
        self._people_fault: dict[str, SourceError] = {}
        self._taken: set[str] = set()
        self.slow = False

    def begin(self) -> None:
        with self._lock:
            self._identity = None
            self._people.clear()
            self._names.clear()
            self._people_fault.clear()
            self._taken.clear()

    # --- who we are ------------------------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        """Asked for once. Raises ``AuthError`` when the token is refused."""
        with self._lock:
            if self._identity is None:
                self._identity = self._ask()
            return self._identity

    def _ask(self) -> Identity:
        answer = self.client.call("auth.test")
        data = answer.data
        team, user = _text(data, "team_id"), _text(data, "user_id")
        if not team:
            hint = "is base_url the address of Slack's Web API?"
            raise UnreadableError("auth.test names no workspace", hint=hint)
        header = answer.headers.get("x-oauth-scopes")
        scopes = frozenset(part.strip() for part in header.split(",") if part.strip()) if header else None
        enterprise = _text(data, "enterprise_id")
        workspaces: tuple[Workspace, ...] = (Workspace(team, _text(data, "team"), _web(_text(data, "url"))),)
        if data.get("is_enterprise_install"):
            workspaces = tuple(self._teams()) or workspaces
        return Identity(team, user, _text(data, "user"), workspaces, enterprise, scopes)

    def _teams(self) -> Iterator[Workspace]:
        """The workspaces that an organisation's token was let into; every request has to name one."""
        for page in self.client.pages("auth.teams.list", "teams", limit=PAGE):
            for team in page:
                if _text(team, "id"):
                    url = _web(f"https://{_text(team, 'domain')}.slack.com/") if _text(team, "domain") else ""
                    yield Workspace(_text(team, "id"), _text(team, "name"), url, ask=_text(team, "id"))

    def may(self, scope: str) -> bool:
        """Whether the token has a scope. Where the server does not tell, one has to try."""
        scopes = self.identity.scopes
        return scopes is None or scope in scopes

    # --- who is who ------------------------------------------------------------------------------

    def people(self, workspace: Workspace) -> tuple[Person, ...]:
        """The members of a workspace, asked for once a run. Raises ``SourceError``, each time the same."""
        with self._lock:
            if workspace.id in self._people_fault:
                raise self._people_fault[workspace.id]
            if workspace.id not in self._people:
                try:
                    self._people[workspace.id] = tuple(self._list_people(workspace))
                except SourceError as error:
                    self._people_fault[workspace.id] = error
                    raise
                self._names |= {person.id: person.name for person in self._people[workspace.id]}
            return self._people[workspace.id]

    def names(self, workspace: Workspace) -> Mapping[str, str]:
        """Names by user id; empty where the token may not list members."""
        try:
            self.people(workspace)
        except (UnreadableError, RetryableError):
            return {}
        return self._names

    def _list_people(self, workspace: Workspace) -> Iterator[Person]:
        known: set[str] = set()
        for page in self.client.pages("users.list", "members", limit=PAGE, **asking(workspace)):
            for raw in page:
                identity = _text(raw, "id")
                if not identity or identity in known:
                    continue
                known.add(identity)
                profile = raw.get("profile")
                profile = profile if isinstance(profile, dict) else {}
                name = (
                    _text(profile, "real_name")
                    or _text(raw, "real_name")
                    or _text(profile, "display_name")
                    or _text(raw, "name")
                )
                guest = any(raw.get(key) for key in ("is_restricted", "is_ultra_restricted", "is_stranger"))
                yield Person(identity, name or identity, guest and not raw.get("deleted"), raw)

    def guest_channels(self, workspace: Workspace) -> frozenset[str]:
        """The channels that guests are in: one listing a guest, instead of the members of every channel."""
        try:
            guests = [person.id for person in self.people(workspace) if person.guest][:_MOST_GUESTS]
        except (UnreadableError, RetryableError):
            return frozenset()
        found: set[str] = set()
        types = "public_channel,private_channel,mpim"
        for guest in guests:
            try:
                for page in self.client.pages(
                    "users.conversations",
                    "channels",
                    user=guest,
                    types=types,
                    limit=PAGE,
                    **asking(workspace),
                ):
                    found |= {_text(channel, "id") for channel in page}
            except (UnreadableError, RetryableError):
                return frozenset(found)
        return frozenset(found)

    # --- the limits ------------------------------------------------------------------------------

    def page_size(self) -> int:
        """Messages to ask for at once."""
        return _SLOW_PAGE if self.slow else PAGE

    def watch(self, method: str, asked: int, given: int, *, more: bool) -> None:
        """Notice the regime of apps that Slack holds back: short pages, or a minute's pause.

        Asking such an app's way, less often and for less, is the fastest there is.
        """
        pace = self.client.pace(method)
        short = more and asked > _SLOW_PAGE and 0 < given <= _SLOW_PAGE
        if not self.slow and short and (pace.refusals or self.client.is_slack):
            self.slow = True
            pace.slow_to(1)
            _log.warning("Slack gives this app one request a minute: an internal app of your own has fifty")

    def take(self, file: str) -> bool:
        """Whether nobody has read this file in this run; it counts as read from now on."""
        with self._lock:
            new = file not in self._taken
            self._taken.add(file)
            return new


def asking(workspace: Workspace) -> dict[str, str]:
    return {"team_id": workspace.ask} if workspace.ask else {}


def conversation(
    raw: Mapping[str, Any], workspace: Workspace, names: Mapping[str, str], guests: bool
) -> Conversation:
    """A channel as ``conversations.list`` tells of it. ``guests``: somebody from outside is in it."""
    shared = any(raw.get(key) for key in ("is_ext_shared", "is_pending_ext_shared"))
    title, kind = title_of(raw, names)
    if shared or guests:
        audience = Audience.EXTERNAL
    elif kind == "channel":
        audience = Audience.ORGANISATION
    else:
        audience = Audience.RESTRICTED
    attrs: dict[str, Any] = {"workspace": workspace.name or workspace.id}
    if shared:
        teams = raw.get("connected_team_ids") or raw.get("shared_team_ids") or []
        attrs["shared_with"] = [team for team in teams if isinstance(team, str) and team != workspace.id][:20]
    if guests:
        attrs["guests"] = True
    if raw.get("is_archived"):
        attrs["archived"] = True
    created = raw.get("created")
    return Conversation(
        workspace.id,
        _text(raw, "id"),
        title,
        kind,
        audience,
        workspace.url,
        attrs,
        created * SECOND if isinstance(created, int) and created > 0 else 0,
        workspace.ask,
    )


def title_of(raw: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """What people call a conversation, and its kind."""
    name = _text(raw, "name") or _text(raw, "id")
    if raw.get("is_im"):
        user = _text(raw, "user")
        return f"@{names.get(user, user)}", "direct"
    if raw.get("is_mpim"):
        return f"@{name}", "group"
    return f"#{name}", "private" if raw.get("is_private") or raw.get("is_group") else "channel"


def _web(url: str) -> str:
    """An address fit for links, with one slash at its end."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/" if parts.scheme in ("http", "https") and parts.hostname else ""


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""
