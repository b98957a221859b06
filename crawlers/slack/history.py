"""The answers of the history and of threads: in pages, in order, each message once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from unsprawl.crawlers.slack.messages import Conversation, Message, Runs, document, parse
from unsprawl.crawlers.slack.session import Session
from unsprawl.crawlers.slack.times import DAY, SECOND, micros, midnight, stamp
from unsprawl.errors import AuthError, RetryableError, UnreadableError
from unsprawl.records import Document, Event, Seen, Skipped, Unchanged

__all__ = ["Page", "fetch_message", "messages_of", "pages", "read_thread"]

#: Replies of one thread; Slack itself ends far below.
_MOST_REPLIES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the history, and where the next begins. ``note`` says something of the pace, once."""

    messages: list[dict[str, Any]]
    more: bool
    next: int
    limited: bool = False
    note: str = ""


def messages_of(page: list[dict[str, Any]], names: Mapping[str, str]) -> list[Message]:
    """The messages of a page, newest first and each once, whatever order they came in."""
    found = {message.at: message for message in (parse(raw, names) for raw in page) if message is not None}
    return [found[at] for at in sorted(found, reverse=True)]


def pages(session: Session, place: Conversation, low: int, end: int) -> Iterator[Page]:
    """Pages of the history between two times, newest first.

    Each is asked for by its time, which never expires and can be asked again. A page that brings nothing
    older is asked for once more; a server that ignores times is then asked by cursor.
    """
    method, cursor, used = "conversations.history", "", set[str]()
    reached = end
    latest, repeated = end, False
    told = False
    while True:
        size = session.page_size()
        params: dict[str, str | int] = {
            "channel": place.id, "limit": size, "latest": stamp(latest), **_asking(place)
        }  # fmt: skip
        if low:
            params["oldest"] = stamp(low - 1)
        if cursor:
            params["cursor"] = cursor
        answer = session.client.call(method, **params)
        page = answer.objects("messages")
        more = bool(answer.data.get("has_more")) or bool(answer.next_cursor)
        session.watch(method, size, len(page), more=more)
        times = [at for at in (micros(raw.get("ts")) for raw in page) if at is not None and at < reached]
        oldest = min(times, default=reached)
        note = ""
        if session.slow and more and times and not told:
            told, note = True, _estimate(times, place.created or low, len(page))
        yield Page(
            page, more and oldest >= low, min(reached, oldest), bool(answer.data.get("is_limited")), note
        )
        if not more or oldest < low:
            return
        if not cursor:
            repeated = oldest >= reached and not repeated
            if oldest < reached or repeated:
                reached = latest = oldest
                continue
        reached = oldest
        cursor = answer.next_cursor
        if not cursor or cursor in used:
            raise UnreadableError("the history turns in a circle", hint="what came before was read")
        used.add(cursor)


def _estimate(times: list[int], begin: int, count: int) -> str:
    """How long this conversation takes at one request a minute, if it was always as busy as on its last
    page.
    """
    span = max(max(times) - min(times), SECOND)
    rest = max(min(times) - begin, 0)
    hours = max(1, round(rest / span / 60))
    return (
        f"Slack gives this app one request a minute and {count} messages a request: "
        f"about {hours} h for this conversation"
    )


def _asking(place: Conversation) -> dict[str, str]:
    """What an organisation's token has to say besides the channel."""
    return {"team_id": place.ask} if place.ask else {}


# --- threads, and one document


def read_thread(
    session: Session,
    place: Conversation,
    names: Mapping[str, str],
    root: str,
    seen: Seen,
    first: Message | None = None,
) -> Iterator[Event]:
    """One thread with all its replies. What cannot be read of it is told, the channel goes on."""
    uri = place.message_uri(root)
    whole = True
    try:
        replies = _replies(session, place, names, root)
    except AuthError:
        raise
    except (UnreadableError, RetryableError) as error:
        if first is None or not isinstance(error, UnreadableError) or "thread_not_found" not in error.message:
            yield Skipped(f"{uri}?thread", error.message, error.hint)
        replies, whole = {}, False
    if first is not None:
        replies.setdefault(first.at, first)
    messages = [replies[at] for at in sorted(replies)]
    if not messages:
        return
    # A thread that was read in part is not known by what the listing tells of it.
    made = document(place, messages, (first or messages[0]).signature if whole else "")
    if made is not None:
        yield Unchanged() if seen(made.key) == made.version else made


def _replies(
    session: Session, place: Conversation, names: Mapping[str, str], root: str
) -> dict[int, Message]:
    found: dict[int, Message] = {}
    limit = session.page_size()
    for page in session.client.pages(
        "conversations.replies", "messages", channel=place.id, ts=root, limit=limit, **_asking(place)
    ):
        before = len(found)
        for message in messages_of(page, names):
            if root in (message.ts, message.root):
                found[message.at] = message
        if len(found) == before or len(found) > _MOST_REPLIES:
            break  # a page that brings nothing new is the last, whatever its cursor says
    return found


def fetch_message(
    session: Session, place: Conversation, names: Mapping[str, str], ts: str, root: str = ""
) -> Document | Skipped:
    """The thread or run that a message stands in, read again."""
    at = micros(ts) or 0
    uri = place.message_uri(ts, root)
    if not root:
        runs, found = Runs(), list[list[Message]]()
        for page in pages(session, place, midnight(at), midnight(at) + DAY):
            for message in messages_of(page.messages, names):
                if message.ts == ts and message.thread:
                    root = ts
                if not message.thread and not message.noise and not message.broadcast:
                    found += runs.add(message)
        found += runs.rest()
        for run in found:
            made = document(place, run) if any(message.ts == ts for message in run) else None
            if made is not None:
                return made
    if root:
        for event in read_thread(session, place, names, root, lambda _key: None):
            if isinstance(event, Document | Skipped):
                return event
    return Skipped(uri, "no longer there", gone=True)
