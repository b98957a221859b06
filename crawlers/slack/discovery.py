"""Slack's Discovery API: every conversation of an enterprise, with what was edited and deleted.

It takes a token with ``discovery:read``, which Slack gives to organisations that ask for it. Replies come
among the other messages, and edits are a feed of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from unsprawl.crawlers.slack.messages import Conversation
from unsprawl.crawlers.slack.past import assembled, past
from unsprawl.crawlers.slack.session import PAGE, Session
from unsprawl.crawlers.slack.times import DAY, SECOND, micros, midnight, stamp
from unsprawl.errors import UnreadableError
from unsprawl.records import Checkpoint, Cursor, Event, Seen, Unchanged

__all__ = ["discovered", "read_discovered"]


def discovered(session: Session) -> Iterator[dict[str, Any]]:
    """The conversations of all workspaces, each with its ``team_id``."""
    offset, used = "", set[str]()
    while True:
        params: dict[str, str | int] = {"limit": PAGE, **({"offset": offset} if offset else {})}
        answer = session.client.call("discovery.conversations.list", **params)
        yield from (raw for raw in answer.objects("channels") if isinstance(raw.get("id"), str))
        offset = _offset(answer.data, used)
        if not offset:
            return


def read_discovered(
    session: Session,
    place: Conversation,
    names: Mapping[str, str],
    lookback: int,
    oldest: int,
    since: Cursor | None,
    seen: Seen,
) -> Iterator[Event]:
    """One conversation, from its newest message back; later runs go back to the look-back window.

    The feed of edits is read from where it ended, so that what was taken out of a message is still found.
    """
    high = int((since or {}).get("high", 0))
    now = int(time.time() * SECOND)
    low = max(midnight(min(high, now - lookback)) if high else 0, oldest)
    newest = high

    def messages() -> Iterator[dict[str, Any]]:
        nonlocal newest
        for raw in _feed(session, "discovery.conversations.history", "messages", place, low):
            newest = max(newest, micros(raw.get("ts")) or 0)
            yield raw

    for made in assembled(place, messages(), names, after=high):
        yield Unchanged() if seen(made.key) == made.version else made
    for raw in _feed(session, "discovery.conversations.edits", "edits", place, low):
        for made in past(place, raw, names):
            yield Unchanged() if seen(made.key) == made.version else made
    yield Checkpoint({"high": newest})


def _feed(session: Session, method: str, key: str, place: Conversation, low: int) -> Iterator[dict[str, Any]]:
    """What one of the two feeds holds behind ``low``, newest first. Its offset is the time to go on from."""
    latest, used = stamp(int(time.time() * SECOND) + DAY), set[str]()
    while latest:
        params: dict[str, str | int] = {
            "channel": place.id, "team": place.team, "limit": PAGE, "latest": latest,
        }  # fmt: skip
        if low:
            params["oldest"] = stamp(low - 1)
        answer = session.client.call(method, **params)
        yield from sorted(answer.objects(key), key=lambda raw: micros(raw.get("ts")) or 0, reverse=True)
        latest = _offset(answer.data, used)


def _offset(data: Mapping[str, Any], used: set[str]) -> str:
    offset = data.get("offset")
    offset = str(offset) if isinstance(offset, str | int) and offset else ""
    if offset in used:
        raise UnreadableError("Discovery lists in a circle", hint="what came before was read")
    used.add(offset)
    return offset
