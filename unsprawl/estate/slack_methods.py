"""The methods of the small Slack: what each answers, and which scope it asks for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from unsprawl.estate.slack_workspace import Channel, SlackFile, micros, post

if TYPE_CHECKING:
    from unsprawl.estate.slack_server import SlackServer

__all__ = ["METHODS", "Refused"]

_Form: TypeAlias = Mapping[str, str]
_Scopes: TypeAlias = "frozenset[str] | None"
_FAR: Final = 10**18


class Refused(Exception):  # noqa: N818 - what Slack calls an error
    """The answer is ``ok: false`` with this error."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more


def _needs(scopes: _Scopes, *any_of: str) -> None:
    if scopes is not None and not scopes.intersection(any_of):
        raise Refused("missing_scope", needed=any_of[0], provided=",".join(sorted(scopes)))


def _kind(channel: Channel) -> str:
    raw = channel.raw
    if raw["is_im"]:
        return "im"
    return "mpim" if raw["is_mpim"] else "private_channel" if raw["is_private"] else "public_channel"


_FAMILY: Final = {"public_channel": "channels", "private_channel": "groups", "mpim": "mpim", "im": "im"}


def _channel(slack: SlackServer, form: _Form, scopes: _Scopes, right: str = "history") -> Channel:
    identity = form.get("channel", "")
    channel = next((one for one in slack.workspace.channels if one.id == identity), None)
    if channel is None:
        raise Refused("channel_not_found")
    _needs(scopes, f"{_FAMILY[_kind(channel)]}:{right}")
    if channel.refusal and right == "history":
        raise Refused(channel.refusal)
    return channel


def _limit(slack: SlackServer, method: str, form: _Form, default: int = 100) -> int:
    asked = int(form.get("limit") or form.get("count") or default)
    return max(1, min(asked, 1000, slack.pages.get(method, 1000)))


def _page(
    slack: SlackServer, method: str, form: _Form, key: str, items: list[Any], default: int = 100
) -> dict[str, Any]:
    start, size = slack.offset(form.get("cursor", "")), _limit(slack, method, form, default)
    more = start + size < len(items)
    return {
        key: items[start : start + size],
        "response_metadata": {"next_cursor": slack.cursor(start + size) if more else ""},
    }


# --- the workspace -------------------------------------------------------------------------------


def _auth_test(slack: SlackServer, _form: _Form, _scopes: _Scopes) -> dict[str, Any]:
    team = slack.workspace
    return {
        "url": f"https://{team.domain}.slack.com/",
        "team": team.name,
        "user": "unsprawl",
        "team_id": team.id,
        "user_id": "U0UNSPRAWL",
        "bot_id": "B0UNSPRAWL",
        "is_enterprise_install": False,
    }


def _team_info(slack: SlackServer, _form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "team:read")
    team = slack.workspace
    return {"team": {"id": team.id, "name": team.name, "domain": team.domain, "email_domain": "", "icon": {}}}


def _users_list(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "users:read")
    return {
        "cache_ts": 1_600_000_000,
        **_page(slack, "users.list", form, "members", slack.workspace.users, 1000),
    }


def _users_conversations(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "channels:read", "groups:read", "mpim:read", "im:read")
    of = [one.raw for one in slack.workspace.channels if form.get("user", "") in one.members]
    return _page(slack, "users.conversations", form, "channels", of)


def _profile(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "users.profile:read", "users:read")
    user = next((one for one in slack.workspace.users if one["id"] == form.get("user")), None)
    if user is None:
        raise Refused("user_not_found")
    return {"profile": user["profile"]}


def _usergroups(slack: SlackServer, _form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "usergroups:read")
    return {"usergroups": slack.workspace.usergroups}


# --- conversations -------------------------------------------------------------------------------


def _conversations_list(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    kinds = form.get("types", "public_channel").split(",")
    for kind in kinds:
        if kind not in _FAMILY:
            raise Refused("invalid_types")
        _needs(scopes, f"{_FAMILY[kind]}:read")
    hidden = form.get("exclude_archived", "false") in ("1", "true")
    shown = [
        one.raw
        for one in slack.workspace.channels
        if _kind(one) in kinds and not (hidden and one.raw["is_archived"])
    ]
    return _page(slack, "conversations.list", form, "channels", shown)


def _info(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    return {"channel": _channel(slack, form, scopes, "read").raw}


def _members(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    channel = _channel(slack, form, scopes, "read")
    return _page(slack, "conversations.members", form, "members", channel.members)


def _history(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    method = "conversations.history"
    channel = _channel(slack, form, scopes)
    inclusive = form.get("inclusive") in ("1", "true")
    oldest = micros(form.get("oldest", "")) if "oldest" in form else -1
    latest = micros(form["latest"]) if "latest" in form else _FAR
    first, end = channel.between(oldest, latest, inclusive=inclusive)
    size = min(_limit(slack, method, form), 15 if slack.held_back else 1000)
    if "oldest" in form and "latest" not in form and not form.get("cursor"):
        # Without an end Slack gives the page nearest to the beginning.
        end = min(end, first + size)
    end -= slack.offset(form.get("cursor", ""))
    start = max(first, end - size)
    messages = [channel.at(index) for index in range(end - 1, start - 1, -1)]
    more = start > first
    answer: dict[str, Any] = {"messages": messages, "has_more": more, "pin_count": 0}
    answer |= {"channel_actions_ts": None, "channel_actions_count": 0}
    if more and not slack.described:
        passed = slack.offset(form.get("cursor", "")) + size if form.get("cursor") else size
        answer["response_metadata"] = {"next_cursor": slack.cursor(passed)}
    elif channel.limited:
        answer["is_limited"] = True
    return answer


def _replies(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    method = "conversations.replies"
    replies = _channel(slack, form, scopes).replies(form.get("ts", ""))
    if replies is None:
        raise Refused("thread_not_found")
    held = {**form, "limit": str(min(int(form.get("limit", "1000")), 15 if slack.held_back else 1000))}
    page = _page(slack, method, held, "messages", replies, 1000)
    more = bool(page["response_metadata"]["next_cursor"])
    return {**page, "has_more": more} if more else {"messages": page["messages"], "has_more": False}


def _bookmarks(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "bookmarks:read")
    channel = next((one for one in slack.workspace.channels if one.id == form.get("channel_id")), None)
    if channel is None:
        raise Refused("channel_not_found")
    return {"bookmarks": channel.bookmarks}


def _pins(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "pins:read")
    channel = next((one for one in slack.workspace.channels if one.id == form.get("channel")), None)
    if channel is None:
        raise Refused("channel_not_found")
    pinned = [one for one in channel.messages if one.get("pinned_to")]
    return {"items": [{"type": "message", "channel": channel.id, "message": one} for one in pinned]}


# --- files ---------------------------------------------------------------------------------------


def _described(slack: SlackServer, file: SlackFile) -> dict[str, Any]:
    """A file with its addresses, which only a running server knows."""
    address = f"{slack.root}/files-pri/{file.raw['id']}/{file.raw['name']}"
    return {
        "url_private": address,
        "url_private_download": address,
        "permalink": f"https://{slack.workspace.domain}.slack.com/files/{file.raw['user']}/{file.raw['id']}",
        **file.raw,
    }


def _files_list(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "files:read")
    low, high = int(form.get("ts_from", 0)), int(form.get("ts_to", _FAR))
    own = [one for one in slack.workspace.files if not one.raw.get("foreign")]
    found = sorted(
        (one for one in own if low <= one.raw["created"] <= high), key=lambda one: -int(one.raw["created"])
    )
    size, number = _limit(slack, "files.list", form), int(form.get("page", 1))
    shown = found[(number - 1) * size : number * size]
    paging = {"count": size, "total": len(found), "page": number, "pages": max(1, -(-len(found) // size))}
    return {"files": [_described(slack, one) for one in shown], "paging": paging}


def _file(slack: SlackServer, form: _Form) -> SlackFile:
    found = next((one for one in slack.workspace.files if one.raw["id"] == form.get("file")), None)
    if found is None:
        deleted = form.get("file") in slack.workspace.deleted_files
        raise Refused("file_deleted" if deleted else "file_not_found")
    return found


def _file_info(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "files:read")
    file = _described(slack, _file(slack, form))
    file.pop("file_access", None)
    return {"file": file, "comments": [], "response_metadata": {"next_cursor": ""}}


def _list_items(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "lists:read")
    file = _file(slack, {"file": form.get("list_id", "")})
    return _page(slack, "slackLists.items.list", form, "items", list(file.rows))


# --- what people do ------------------------------------------------------------------------------


def _post_message(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "chat:write")
    channel = _channel(slack, form, None, "read")
    message = channel.add(post(time.time(), "U0UNSPRAWL", form.get("text", "")))
    return {"channel": channel.id, "ts": message["ts"], "message": message}


def _delete_message(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    """A bot deletes its own messages, an administrator anybody's: here whoever has the scope does."""
    _needs(scopes, "chat:write")
    channel = _channel(slack, form, None, "read")
    ts = form.get("ts", "")
    for message in channel.messages:
        if message["ts"] == ts:
            channel.delete(message)
            return {"channel": channel.id, "ts": ts}
    for replies in channel.threads.values():
        for message in replies:
            if message["ts"] == ts:
                replies.remove(message)
                return {"channel": channel.id, "ts": ts}
    raise Refused("message_not_found")


def _delete_file(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "files:write")
    file = _file(slack, form)
    slack.workspace.files.remove(file)
    slack.workspace.deleted_files.add(file.raw["id"])
    return {}


# --- discovery -----------------------------------------------------------------------------------


def _discovery_list(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "discovery:read")
    start, size = int(form.get("offset") or 0), _limit(slack, "discovery.conversations.list", form)
    raws = [{**one.raw, "team_id": slack.workspace.id} for one in slack.workspace.channels]
    answer: dict[str, Any] = {"channels": raws[start : start + size]}
    return {**answer, "offset": str(start + size)} if start + size < len(raws) else answer


def _discovery_history(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "discovery:read")
    channel = _channel(slack, form, None, "read")
    first, end = channel.between(
        micros(form.get("oldest", "")) if "oldest" in form else -1,
        micros(form["latest"]) if "latest" in form else _FAR,
        inclusive=False,
    )
    every = [channel.at(index) for index in range(first, end)]
    every += [reply for one in list(every) for reply in channel.threads.get(one["ts"], [])]
    every.sort(key=lambda one: -micros(one["ts"]))
    size = _limit(slack, "discovery.conversations.history", form)
    answer: dict[str, Any] = {"messages": every[:size]}
    return {**answer, "offset": every[size - 1]["ts"]} if len(every) > size else answer


def _discovery_edits(slack: SlackServer, form: _Form, scopes: _Scopes) -> dict[str, Any]:
    _needs(scopes, "discovery:read")
    channel = _channel(slack, form, None, "read")
    oldest = micros(form.get("oldest", "")) if "oldest" in form else -1
    latest = micros(form["latest"]) if "latest" in form else _FAR
    found = [one for one in channel.edits if oldest < micros(one["ts"]) < latest]
    found.sort(key=lambda one: -micros(one["ts"]))
    size = _limit(slack, "discovery.conversations.edits", form)
    answer: dict[str, Any] = {"edits": found[:size]}
    return {**answer, "offset": found[size - 1]["ts"]} if len(found) > size else answer


METHODS: Final[Mapping[str, Callable[[Any, _Form, _Scopes], dict[str, Any]]]] = {
    "auth.test": _auth_test,
    "bookmarks.list": _bookmarks,
    "chat.delete": _delete_message,
    "chat.postMessage": _post_message,
    "conversations.history": _history,
    "conversations.info": _info,
    "conversations.list": _conversations_list,
    "conversations.members": _members,
    "conversations.replies": _replies,
    "discovery.conversations.edits": _discovery_edits,
    "discovery.conversations.history": _discovery_history,
    "discovery.conversations.list": _discovery_list,
    "files.delete": _delete_file,
    "files.info": _file_info,
    "files.list": _files_list,
    "pins.list": _pins,
    "slackLists.items.list": _list_items,
    "team.info": _team_info,
    "usergroups.list": _usergroups,
    "users.conversations": _users_conversations,
    "users.list": _users_list,
    "users.profile.get": _profile,
}
