"""Deleting what holds a secret: a message, or a file out of all conversations at once.

Messages are deleted, not edited: who holds a copy of the event has the old text either way, and only its
author's own token may edit a message.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from unsprawl.errors import GoneError, UnreadableError
from unsprawl.records import Cleanup

if TYPE_CHECKING:
    from unsprawl.crawlers.slack.session import Session

__all__ = ["clean", "cleanups"]

_MESSAGE: Final = re.compile(
    r"slack://[^/?]+/(?P<channel>[A-Z0-9]+)/(?P<ts>\d+\.\d+)(?:\?thread_ts=(?P<root>\d+\.\d+))?"
)
_FILE: Final = re.compile(r"slack://[^/?]+/files/(?P<file>[A-Z0-9]+)")
#: What changes with the content of a message or file, and not with how it is shown.
_TELLING: Final = ("text", "blocks", "attachments", "files", "edited", "name", "size", "timestamp")
_TOMBSTONE: Final = "tombstone"


def cleanups(session: Session, uri: str) -> Sequence[Cleanup]:
    """What can be done about ``uri``."""
    if file := _FILE.fullmatch(unquote(uri)):
        raw = session.client.call("files.info", file=file["file"]).data.get("file")
        title = f"delete the file {file['file']} from every conversation it is shared in"
        return (Cleanup("delete-file", title, "none: load what else is needed of it first", _state(raw)),)
    if message := _MESSAGE.fullmatch(unquote(uri)):
        raw = _message(session, message["channel"], message["ts"], message["root"] or "")
        title = f"delete the message {message['ts']} in the conversation {message['channel']}"
        return (Cleanup("delete-message", title, "none: post again what else it said", _state(raw)),)
    return ()


def clean(session: Session, uri: str, action: str) -> str:
    """Delete it. What is gone already is as good."""
    try:
        if action == "delete-file" and (file := _FILE.fullmatch(unquote(uri))):
            session.client.call("files.delete", file=file["file"])
            return "the file is deleted"
        if action == "delete-message" and (message := _MESSAGE.fullmatch(unquote(uri))):
            session.client.call("chat.delete", channel=message["channel"], ts=message["ts"])
            return "the message is deleted"
    except GoneError:
        return "it was gone already"
    raise UnreadableError(f"{action} cannot be done here")


def _message(session: Session, channel: str, ts: str, root: str) -> Mapping[str, Any]:
    """One message as it is now. Raises ``GoneError`` when there is none."""
    if root:
        found = session.client.call("conversations.replies", channel=channel, ts=root, oldest=ts, limit=1000)
    else:
        found = session.client.call(
            "conversations.history", channel=channel, oldest=ts, latest=ts, inclusive="true", limit=1
        )
    for one in found.objects("messages"):
        if one.get("ts") == ts and one.get("subtype") != _TOMBSTONE:
            return one
    raise GoneError("the message is no longer there")


def _state(raw: Any) -> str:
    known = {name: raw[name] for name in _TELLING if name in raw} if isinstance(raw, dict) else {}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]
