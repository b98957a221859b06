"""Messages as exports and Discovery give them: replies among the others, and what was edited or deleted.

slack://TEAM/CHANNEL/TS?version=DIGEST    what a message said before it was changed or taken out
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from unsprawl.crawlers.slack.messages import Conversation, Message, Runs, document, parse
from unsprawl.records import Document
from unsprawl.structs import replace

__all__ = ["assembled", "past"]

_DELETED: Final = frozenset({"message_deleted", "tombstone"})
_BEFORE: Final = ("previous_message", "original", "previous")


def assembled(
    place: Conversation, raws: Iterable[Mapping[str, Any]], names: Mapping[str, str], *, after: int = 0
) -> Iterator[Document]:
    """Documents of all messages, which come newest first. Replies wait for the message that they answer.

    Where that one is not among them, its replies newer than ``after`` (microseconds) make documents of their
    own.
    """
    runs = Runs()
    waiting: dict[str, list[Message]] = {}
    told: set[int] = set()
    for raw in raws:
        yield from past(place, raw, names)
        changed = raw.get("message") if raw.get("subtype") == "message_changed" else None
        message = parse(changed if isinstance(changed, dict) else raw, names)
        if message is None or message.at in told or raw.get("subtype") in _DELETED:
            continue
        told.add(message.at)
        if message.root and message.root != message.ts:
            waiting.setdefault(message.root, []).append(message)
        elif message.ts in waiting or message.thread:
            replies = [message, *reversed(waiting.pop(message.ts, []))]
            made = document(
                place, [replace(message, replies=message.replies or len(replies) - 1), *replies[1:]]
            )
            if made is not None:
                yield made
        elif not message.noise:
            yield from _made(place, runs.add(message))
        if len(told) > _WINDOW:
            told = {at for at in told if at <= message.at + _NEAR}
    yield from _made(place, runs.rest())
    for replies in waiting.values():
        new = [reply for reply in reversed(replies) if reply.at > after]
        made = document(place, new) if new else None
        if made is not None:
            uri = place.message_uri(new[0].ts, new[0].root)
            yield replace(made, uri=uri, key=uri, url=place.permalink(new[0].ts, new[0].root))


#: How many times of messages are held to tell repeated ones, and how far repetitions may lie apart.
_WINDOW: Final = 50_000
_NEAR: Final = 3600 * 1_000_000


def _made(place: Conversation, runs: Iterator[list[Message]]) -> Iterator[Document]:
    for run in runs:
        made = document(place, run)
        if made is not None:
            yield made


def past(place: Conversation, raw: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Document]:
    """What an edited or deleted message said before, without the lines that it still says."""
    subtype = raw.get("subtype")
    before = next((raw[key] for key in _BEFORE if isinstance(raw.get(key), dict)), None)
    if before is None and subtype not in ("message_changed", "message_deleted"):
        return
    old = {"ts": raw.get("ts"), "user": raw.get("user"), **(before or raw)}
    if subtype == "message_changed" and before is None and isinstance(raw.get("message"), dict):
        return  # it tells only what the message says now
    message = parse(old, names)
    if message is None:
        return
    now = raw.get("message") if isinstance(raw.get("message"), dict) else raw if before is not None else None
    said = parse(now, names) if isinstance(now, dict) and subtype not in _DELETED else None
    kept = set(said.text.splitlines()) if said is not None else set()
    text = "\n".join(line for line in message.text.splitlines() if line not in kept)
    made = document(place, [replace(message, text=text)])
    if made is None:
        return
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()
    uri = f"{place.message_uri(message.ts)}?version={digest}"
    state = "deleted" if subtype in _DELETED else "edited"
    parts = tuple(replace(part, uri=uri) for part in made.parts)
    yield replace(made, uri=uri, key=uri, parts=parts, attrs={**made.attrs, "state": state})
