"""The contents of a Slack workspace, for the server: conversations, members, files, as Slack describes
them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Channel", "SlackFile", "Workspace", "micros", "post", "stamp"]

_SECOND: Final = 1_000_000


def micros(ts: str) -> int:
    """Microseconds of a timestamp; 0 for anything else."""
    match = re.fullmatch(r"(\d+)(?:\.(\d{1,6}))?", ts)
    return int(match[1]) * _SECOND + int((match[2] or "").ljust(6, "0")) if match else 0


def stamp(at: int) -> str:
    return f"{at // _SECOND}.{at % _SECOND:06d}"


def post(at: float, user: str, text: str, **more: Any) -> dict[str, Any]:
    """A message at ``at`` (seconds since 1970), as the API gives it."""
    return {
        "type": "message",
        "ts": stamp(round(at * _SECOND)),
        "user": user,
        "text": text,
        **more,
    }


@dataclass(slots=True)
class Channel:
    """A conversation. ``messages`` holds those of the history, oldest first; it may make them as they are
    asked.

    ``threads`` maps a thread to its replies, oldest first. ``refusal`` is the error its history answers.
    """

    id: str
    raw: dict[str, Any]
    times: list[int] = field(default_factory=list)
    make: Callable[[int], dict[str, Any]] | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    threads: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    thread: Callable[[str], list[dict[str, Any]]] | None = None
    bookmarks: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    refusal: str = ""
    limited: bool = False

    def add(self, message: dict[str, Any]) -> dict[str, Any]:
        """Post a message."""
        at = micros(message["ts"])
        index = bisect_left(self.times, at)
        if index < len(self.times) and self.times[index] == at:
            raise ValueError(f"{self.id} has a message at {message['ts']}")
        self.times.insert(index, at)
        self.messages.insert(index, message)
        return message

    def reply(self, root: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        """Answer ``root``, which becomes or already is the beginning of a thread."""
        replies = self.threads.setdefault(root["ts"], [])
        replies.append({**message, "thread_ts": root["ts"], "parent_user_id": root.get("user", "")})
        root |= {
            "thread_ts": root["ts"],
            "reply_count": len(replies),
            "reply_users_count": len({one.get("user") for one in replies}),
            "latest_reply": max(one["ts"] for one in replies),
        }
        return replies[-1]

    def edit(self, message: dict[str, Any], text: str, at: float) -> None:
        """Change what a message says."""
        previous = dict(message)
        message |= {
            "text": text,
            "edited": {"user": message.get("user", ""), "ts": stamp(round(at * _SECOND))},
        }
        message.pop("blocks", None)
        self.edits.append({**previous, "subtype": "message_changed", "edited_ts": message["edited"]["ts"]})

    def delete(self, message: dict[str, Any]) -> None:
        index = self.times.index(micros(message["ts"]))
        del self.times[index], self.messages[index]
        self.edits.append({**message, "subtype": "message_deleted"})

    def between(self, oldest: int, latest: int, *, inclusive: bool) -> tuple[int, int]:
        """The indices of the messages between two times."""
        left, right = (bisect_left, bisect_right) if inclusive else (bisect_right, bisect_left)
        return left(self.times, oldest), right(self.times, latest)

    def at(self, index: int) -> dict[str, Any]:
        return self.make(index) if self.make else self.messages[index]

    def replies(self, ts: str) -> list[dict[str, Any]] | None:
        """The first message of a thread and its replies; None when there is no such message."""
        index = bisect_left(self.times, micros(ts))
        if index == len(self.times) or self.times[index] != micros(ts):
            return None
        rest = self.thread(ts) if self.thread else self.threads.get(ts, [])
        return [self.at(index), *rest]


@dataclass(slots=True)
class SlackFile:
    """A file: what ``files.list`` says of it, and its content. ``rows`` are those of a list."""

    raw: dict[str, Any]
    content: bytes = b""
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(slots=True)
class Workspace:
    """A workspace (team). Lists are in the order in which they are given out."""

    id: str = "T0ACME"
    name: str = "Acme"
    domain: str = "acme"
    channels: list[Channel] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=list)
    usergroups: list[dict[str, Any]] = field(default_factory=list)
    files: list[SlackFile] = field(default_factory=list)
    deleted_files: set[str] = field(default_factory=set)

    def channel(self, name: str, **raw: Any) -> Channel:
        """A new channel; ``is_private``, ``is_im``, ``is_mpim``, ``is_ext_shared`` and the like as given."""
        number = len(self.channels)
        identity = raw.pop("id", f"C{number:08X}")
        kind = raw.pop("kind", "public_channel")
        base = {
            "id": identity,
            "name": name,
            "is_channel": kind == "public_channel",
            "is_group": kind == "private_channel",
            "is_im": kind == "im",
            "is_mpim": kind == "mpim",
            "is_private": kind != "public_channel",
            "is_member": True,
            "is_archived": False,
            "is_ext_shared": False,
            "is_general": number == 0,
            "is_org_shared": False,
            "is_shared": False,
            "created": 1_600_000_000,
            "creator": "U00000001",
            "name_normalized": name,
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }
        channel = Channel(identity, {**base, **raw})
        self.channels.append(channel)
        return channel

    def user(self, name: str, real_name: str, **raw: Any) -> str:
        """A new member; answers the id."""
        identity = str(raw.pop("id", f"U{len(self.users) + 1:08X}"))
        profile = {"real_name": real_name, "display_name": name, **raw.pop("profile", {})}
        base = {"id": identity, "team_id": self.id, "name": name, "deleted": False, "updated": 1_600_000_000}
        self.users.append({**base, "real_name": real_name, "profile": profile, **raw})
        return identity

    def file(self, name: str, content: bytes, created: int, **raw: Any) -> SlackFile:
        """A new file. The server adds where it is to be had."""
        identity = raw.pop("id", f"F{len(self.files) + 1:08X}")
        base = {
            "id": identity,
            "created": created,
            "timestamp": created,
            "name": name,
            "title": name,
            "mimetype": "text/plain",
            "filetype": "text",
            "user": "U00000001",
            "size": len(content),
            "mode": "hosted",
            "is_external": False,
            "is_public": True,
            "public_url_shared": False,
            "channels": [],
            "groups": [],
            "ims": [],
        }
        file = SlackFile({**base, **raw}, content)
        self.files.append(file)
        return file
