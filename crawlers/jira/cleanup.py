"""Taking a secret out of a comment, or a file off an issue.

Comments are edited: Jira keeps no earlier text of them that the API would show. Fields are left to people,
for the changelog keeps what stood in them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from unsprawl.crawlers.atlassian.adf import is_adf, text_of
from unsprawl.errors import GoneError, UnreadableError
from unsprawl.records import Cleanup

if TYPE_CHECKING:
    from unsprawl.crawlers.jira.api import JiraApi

__all__ = ["clean", "cleanups"]

_COMMENT: Final = re.compile(r"/issue/(?P<issue>\d+)#comment-(?P<comment>\d+)\Z")
_FILE: Final = re.compile(r"/attachment/(?P<file>\d+)\Z")
_DEEPEST: Final = 200


def cleanups(api: JiraApi, uri: str) -> Sequence[Cleanup]:
    """What can be done about ``uri``."""
    if comment := _COMMENT.search(uri):
        told = _comment(api, comment["issue"], comment["comment"])
        title = f"edit comment {comment['comment']} of issue {comment['issue']}: the secret is taken out"
        undo = "none: the earlier text is not kept"
        return (Cleanup("redact-comment", title, undo, _state(told.get("body"), told.get("updated"))),)
    if file := _FILE.search(uri):
        told = api.attachment(file["file"])
        title = f"delete the attached file {file['file']}"
        undo = "none: load what else is needed of it first"
        return (Cleanup("delete-attachment", title, undo, _state(told.get("size"), told.get("created"))),)
    return ()


def clean(api: JiraApi, uri: str, action: str, redact: Callable[[str], str]) -> str:
    """Do it. What is gone already is as good."""
    try:
        if action == "redact-comment" and (comment := _COMMENT.search(uri)):
            path = f"{api.top}/issue/{comment['issue']}/comment/{comment['comment']}"
            body = _comment(api, comment["issue"], comment["comment"]).get("body")
            edited = _redacted(body, redact, 0)
            if edited == body:
                raise UnreadableError("the secret is spread over several pieces", hint="edit it by hand")
            rest = text_of(edited) if is_adf(edited) else str(edited)
            if redact(rest) != rest:
                raise UnreadableError("a part of the secret would be left", hint="edit it by hand")
            api.site.change("PUT", path, {"body": edited}, what="the comment", hint=_EDIT)
            return "the comment is edited"
        if action == "delete-attachment" and (file := _FILE.search(uri)):
            path = f"{api.top}/attachment/{file['file']}"
            api.site.change("DELETE", path, None, what="the attachment", hint=_DELETE)
            return "the attached file is deleted"
    except GoneError:
        return "it was gone already"
    raise UnreadableError(f"{action} cannot be done here")


_EDIT: Final = "give the account Edit all comments in the project"
_DELETE: Final = "give the account Delete all attachments in the project"


def _comment(api: JiraApi, issue: str, comment: str) -> dict[str, Any]:
    path = f"{api.top}/issue/{quote(issue)}/comment/{quote(comment)}"
    told = api.site.get(path, what=f"the comment {comment}")
    return told if isinstance(told, dict) else {}


def _redacted(value: Any, redact: Callable[[str], str], depth: int) -> Any:
    """Every text in a body without the secret; keys and structure stay."""
    if isinstance(value, str):
        return redact(value)
    if depth > _DEEPEST:
        raise UnreadableError("the comment is nested too deeply")
    if isinstance(value, dict):
        return {key: _redacted(inner, redact, depth + 1) for key, inner in value.items()}
    return [_redacted(inner, redact, depth + 1) for inner in value] if isinstance(value, list) else value


def _state(*known: Any) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:32]
