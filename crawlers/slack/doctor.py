"""What a token can see and what it cannot: for ``doctor`` and for the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from unsprawl.crawlers.slack.session import Session
from unsprawl.errors import SourceError
from unsprawl.records import Diagnosis
from unsprawl.wire.patience import Patience

if TYPE_CHECKING:
    from unsprawl.crawlers.slack.source import SlackSource

__all__ = ["examine", "missing"]

#: Scopes, and what is not read without them. The first four lists depend on ``types``.
_BY_KIND: Final = {
    "public_channel": (("channels:read", "public channels are"), ("channels:history", "their messages are")),
    "private_channel": (("groups:read", "private channels are"), ("groups:history", "their messages are")),
    "mpim": (("mpim:read", "group messages are"), ("mpim:history", "what is in them is")),
    "im": (("im:read", "direct messages are"), ("im:history", "what is in them is")),
}
_COMMON: Final = (
    ("users:read", "names and profiles are"),
    ("usergroups:read", "user groups are"),
    ("bookmarks:read", "bookmarks are"),
)
_FILES: Final = (("files:read", "files, snippets and canvases are"),)


def missing(scopes: frozenset[str] | None, config: SlackSource.Config) -> list[tuple[str, str]]:
    """Scopes that the token lacks, with what is not read for it. Empty where the server does not tell."""
    if scopes is None:
        return []
    wanted = [pair for kind in config.types for pair in _BY_KIND[kind]]
    wanted += [*_COMMON, *(_FILES if config.files else ())]
    return [(scope, what) for scope, what in wanted if scope not in scopes]


def examine(session: Session, config: SlackSource.Config) -> Iterator[Diagnosis]:
    """A few requests, one line each."""
    # Somebody sits and waits for the answer.
    session.client.patience = Patience(attempts=2, total=min(config.max_wait, 20.0))
    try:
        identity = session.identity
    except SourceError as error:
        yield Diagnosis(f"sign in: {error.message}", False, error.hint)
        return
    where = ", ".join(one.name or one.id for one in identity.workspaces)
    yield Diagnosis(f"signed in to {where} as {identity.name or identity.user}", True)
    if identity.scopes is None:
        yield Diagnosis("its scopes are not told: each surface is tried when it is read", True)
    for scope, what in missing(identity.scopes, config):
        yield Diagnosis(f"scope {scope}", False, f"{what} not read: add it to the app and install it again")
    for workspace in identity.workspaces[:5]:
        yield from _reach(session, workspace.ask, config)


def _reach(session: Session, ask: str, config: SlackSource.Config) -> Iterator[Diagnosis]:
    team = {"team_id": ask} if ask else {}
    kinds = [kind for kind in config.types if session.may(_BY_KIND[kind][0][0])]
    try:
        answer = session.client.call("conversations.list", types=",".join(kinds), limit=200, **team)
    except SourceError as error:
        yield Diagnosis(f"list the conversations: {error.message}", False, error.hint)
        return
    channels = answer.objects("channels")
    more = "at least " if answer.next_cursor else ""
    yield Diagnosis(f"conversations: {more}{len(channels)} are listed", True)
    outside = sum(one.get("is_member") is False and not one.get("is_archived") for one in channels)
    if outside:
        hint = "an app reads public channels it was invited to, the token of a person reads all"
        yield Diagnosis(f"not a member of {more}{outside} of them", True, hint)
    for channel in channels:
        if channel.get("is_member") is False or not isinstance(channel.get("id"), str):
            continue
        yield _history(session, channel["id"])
        break


def _history(session: Session, channel: str) -> Diagnosis:
    """Whether messages can be read, and whether Slack holds this app back."""
    try:
        answer = session.client.call("conversations.history", channel=channel, limit=200)
    except SourceError as error:
        return Diagnosis(f"read messages: {error.message}", False, error.hint)
    given = len(answer.objects("messages"))
    session.watch("conversations.history", 200, given, more=bool(answer.data.get("has_more")))
    if session.slow:
        hint = "make an internal app of your own: docs/sources/slack.md has its manifest"
        return Diagnosis("read messages: only 15 a request, one request a minute", False, hint)
    return Diagnosis("read messages", True)
