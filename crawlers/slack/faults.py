"""What Slack says when it refuses, sorted by what becomes of the work.

Nothing Slack wrote goes into a message except its error code and the names of scopes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from unsprawl.errors import AuthError, GoneError, RetryableError, SourceError, UnreadableError

__all__ = ["code_of", "refusal"]

_CREDENTIALS: Final = {
    "account_inactive": "the account of the token was deactivated",
    "enterprise_is_restricted": "the token is not allowed in this organisation",
    "invalid_auth": "the token is not valid",
    "not_allowed_token_type": "this kind of token is not allowed",
    "not_authed": "no token was sent",
    "org_login_required": "the workspace moved to an organisation: sign in again",
    "token_expired": "the token has expired",
    "token_revoked": "the token was revoked",
    "two_factor_setup_required": "the account has to set up two-factor authentication",
}
_LATER: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
_AUTHORS: Final = "take a token of its author or of an administrator, or ask them"
_MEANING: Final = {
    "access_denied": ("access is denied", ""),
    "cant_delete_file": ("the token may not delete this file", _AUTHORS),
    "cant_delete_message": ("the token may not delete this message", _AUTHORS),
    "cant_update_message": ("the token may not edit this message", _AUTHORS),
    "channel_not_found": (
        "the conversation is not visible to this token",
        "invite the app, or accept the gap",
    ),
    "ekm_access_denied": ("the organisation withholds the key of what is in it (EKM)", "ask its owner"),
    "file_deleted": ("the file was deleted", ""),
    "file_not_found": ("the file is not there, or not visible to this token", ""),
    "message_not_found": ("the message is no longer there", ""),
    "free_team_not_allowed": ("not part of the plan of this workspace", ""),
    "invalid_cursor": ("the place in the listing has expired", ""),
    "method_not_supported_for_channel_type": ("not for this kind of conversation", ""),
    "no_permission": ("the token has no permission", ""),
    "not_in_channel": ("the app is not a member of the conversation", "invite it: /invite @unsprawl"),
    "team_access_not_granted": ("the organisation has not let the app into this workspace", "ask its admin"),
    "thread_not_found": ("the thread is no longer there", ""),
    "unknown_method": ("this server does not know the method", ""),
}
#: Said of things that were there; `channel_not_found` and `file_not_found` are said of what is hidden too.
_GONE: Final = frozenset({"file_deleted", "message_not_found", "thread_not_found"})
_CODE = re.compile(r"[a-z0-9_.-]{1,64}\Z")
_SCOPES = re.compile(r"[a-z0-9:._, -]{1,200}\Z")


def code_of(data: Mapping[str, Any]) -> str:
    """Slack's error code, "" when there is none that could be one."""
    code = data.get("error")
    return code if isinstance(code, str) and _CODE.match(code) else ""


def refusal(method: str, data: Mapping[str, Any], status: int) -> SourceError:
    """The error that fits an answer that is not ``ok``."""
    code = code_of(data)
    if code in _CREDENTIALS:
        return AuthError(f"{_CREDENTIALS[code]} ({code})", hint="check `token` of this source")
    if code in _LATER:
        return RetryableError(
            f"Slack cannot answer {method} now ({code})", hint="the next run continues here"
        )
    if code == "missing_scope":
        return UnreadableError(f"{method}: the token lacks a scope ({code})", hint=_needed(data))
    meaning, hint = _MEANING.get(code, ("Slack refused", ""))
    fault = GoneError if code in _GONE else UnreadableError
    return fault(f"{method}: {meaning} ({code or status})", hint=hint)


def _needed(data: Mapping[str, Any]) -> str:
    needed = data.get("needed")
    scope = needed if isinstance(needed, str) and _SCOPES.match(needed) else "that the method needs"
    return f"add the scope {scope} to the app and install it again"
