"""Messages to documents: a thread, or one author's run of messages, with a part for each message.

    slack://TEAM/CHANNEL/TS                  a message, and the thread or run that begins with it
    slack://TEAM/CHANNEL/TS?thread_ts=ROOT   a reply

A run is what one author writes with no more than ten minutes between two messages, whoever else speaks
between them. It ends at midnight (UTC), and that of a bot every ten minutes, so that a window which begins
at midnight cuts no run and a channel that a bot fills makes no endless document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.slack.text import readable
from unsprawl.crawlers.slack.times import DAY, HOUR, micros, moment
from unsprawl.records import Audience, Document, Json, Part
from unsprawl.structs import Struct

__all__ = ["Conversation", "Message", "Runs", "document", "parse"]

#: Two messages of one author this far apart (microseconds) still belong together.
GAP: Final = HOUR // 6
#: Messages of one run; beyond, the next document begins.
_LONGEST: Final = 1000
#: What the system writes about comings and goings. Topics, purposes and names are told, and read.
_NOISE: Final = frozenset(
    {
        "bot_add", "bot_remove", "channel_archive", "channel_join", "channel_leave", "channel_unarchive",
        "group_archive", "group_join", "group_leave", "group_unarchive", "huddle_thread", "mpdm_move",
        "pinned_item", "reminder_add", "tombstone", "unpinned_item",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conversation:
    """A channel, group or direct message, as far as its documents tell of it.

    ``workspace`` is its address (``https://acme.slack.com/``), "" where none is known. ``created`` is a time
    in microseconds, ``ask`` the workspace that requests with an organisation's token have to name.
    """

    team: str
    id: str
    title: str
    kind: str = "channel"
    audience: Audience = Audience.UNKNOWN
    workspace: str = ""
    attrs: Mapping[str, Json] = field(default_factory=dict)
    created: int = 0
    ask: str = ""

    @property
    def uri(self) -> str:
        return f"slack://{quote(self.team, safe='')}/{quote(self.id, safe='')}"

    def message_uri(self, ts: str, root: str = "") -> str:
        return f"{self.uri}/{ts}" + (f"?thread_ts={root}" if root and root != ts else "")

    def permalink(self, ts: str, root: str = "") -> str | None:
        if not self.workspace:
            return None
        link = f"{self.workspace}archives/{quote(self.id, safe='')}/p{ts.replace('.', '')}"
        return f"{link}?thread_ts={root}&cid={quote(self.id, safe='')}" if root and root != ts else link


class Message(Struct, frozen=True):
    """What is kept of one message. ``at`` is its time in microseconds, ``root`` the thread it belongs to.

    ``who`` tells authors apart, ``author`` is what people call them. ``replies`` and ``latest`` are told by
    the first message of a thread.
    """

    ts: str
    at: int
    text: str
    who: str
    author: str
    modified_at: datetime | None
    root: str = ""
    replies: int = 0
    latest: str = ""
    edited: str = ""
    bot: bool = False
    broadcast: bool = False
    noise: bool = False
    pinned: bool = False
    files: tuple[Mapping[str, Any], ...] = ()

    @property
    def thread(self) -> bool:
        """Whether it begins a thread."""
        return self.replies > 0

    @property
    def signature(self) -> str:
        """Changes with the thread, as far as its first message tells."""
        return f"{self.latest}:{self.replies}:{self.edited}"


def parse(raw: Mapping[str, Any], names: Mapping[str, str]) -> Message | None:
    """The message in ``raw``; None when it has no time, and so no identity. ``names`` are users by id."""
    ts = raw.get("ts")
    at = micros(ts)
    if at is None or not isinstance(ts, str):
        return None
    profile = raw.get("bot_profile")
    bot = _text(raw, "bot_id") or (_text(profile, "id") if isinstance(profile, dict) else "")
    user = _text(raw, "user")
    edited = raw.get("edited")
    edited_ts = _text(edited, "ts") if isinstance(edited, dict) else ""
    label = _text(raw, "username") or (_text(profile, "name") if isinstance(profile, dict) else "")
    author = names.get(user) or label or user or bot
    root = _text(raw, "thread_ts")
    subtype = _text(raw, "subtype")
    replies = raw.get("reply_count")
    files = raw.get("files")
    return Message(
        ts=ts,
        at=at,
        text=readable(raw),
        who=bot or user or label,
        author=author,
        modified_at=moment(edited_ts) or moment(ts),
        root=root if micros(root) is not None else "",
        replies=replies if isinstance(replies, int) and root in ("", ts) else 0,
        latest=_text(raw, "latest_reply"),
        edited=edited_ts,
        bot=bool(bot),
        broadcast=bool(root) and root != ts,
        noise=subtype in _NOISE,
        pinned=bool(raw.get("pinned_to")),
        files=tuple(one for one in files if isinstance(one, dict)) if isinstance(files, list) else (),
    )


def document(
    place: Conversation, messages: list[Message], signature: str = "", **attrs: Json
) -> Document | None:
    """The document of a thread or run, oldest message first. None when nobody wrote anything in it.

    ``signature`` is what a listing tells of a thread: a version begins with it, so that it is known again
    without asking for the replies.
    """
    told = [one for one in messages if one.text]
    if not told:
        return None
    body = bytearray()
    parts = []
    digest = blake2b(digest_size=12)
    first = messages[0]
    for one in told:
        uri, url = place.message_uri(one.ts, one.root), place.permalink(one.ts, one.root)
        parts.append(Part(len(body), uri, url, one.author or None, one.modified_at))
        body += f"{one.text}\n".encode("utf-8", "replace")
        digest.update(f"{uri} {one.edited} {one.author}\n".encode("utf-8", "replace"))
    digest.update(body)
    digest.update(f"{place.title} {place.audience}".encode("utf-8", "replace"))
    uri = place.message_uri(first.ts)
    known: dict[str, Json] = {
        **place.attrs,
        "channel": place.title,
        "channel_id": place.id,
        "kind": place.kind,
    }
    if first.thread or len({one.root for one in messages if one.root}) == 1:
        known["thread"] = first.root or first.ts
    if any(one.pinned for one in messages):
        known["pinned"] = True
    return Document(
        uri=uri,
        body=bytes(body),
        path=f"{place.title}/{first.ts}",
        media_type="text/plain",
        key=uri,
        version=f"{signature}/{digest.hexdigest()}" if signature else digest.hexdigest(),
        url=place.permalink(first.ts),
        author=told[0].author or None,
        modified_at=max((one.modified_at for one in told if one.modified_at), default=None),
        audience=place.audience,
        attrs={**known, **attrs},
        parts=tuple(parts),
    )


@dataclass(slots=True)
class Runs:
    """Collects runs from messages that come newest first, as the history gives them.

    ``edge`` is the newest time that an open run reaches: what is newer was given out wholly.
    """

    _open: dict[str, list[Message]] = field(default_factory=dict)
    edge: int | None = None

    def add(self, message: Message) -> Iterator[list[Message]]:
        """The runs that end before this message, oldest message first in each."""
        yield from self.older_than(message.at)
        if not self._open:
            self.edge = message.at
        run = self._open.setdefault(message.who, [])
        if len(run) >= _LONGEST:
            yield run[::-1]
            run.clear()
        run.append(message)

    def older_than(self, at: int) -> Iterator[list[Message]]:
        """The runs that nothing at or before ``at`` can belong to.

        Midnight ends them all. So where somebody always speaks there still is a clean edge a day.
        """
        for who in [who for who, run in self._open.items() if run[-1].at - at > GAP or _parts(run[-1], at)]:
            yield self._open.pop(who)[::-1]
        if not self._open:
            self.edge = None

    def rest(self) -> Iterator[list[Message]]:
        """What is still open where the messages end."""
        yield from self.older_than(-DAY)


def _parts(message: Message, at: int) -> bool:
    """Whether a run is cut between ``message`` and the time ``at``, however close they are."""
    length = GAP if message.bot else DAY
    return message.at // length != at // length


def _text(raw: Any, key: str) -> str:
    value = raw.get(key) if isinstance(raw, Mapping) else None
    return value if isinstance(value, str) else ""
