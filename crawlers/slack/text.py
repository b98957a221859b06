"""A Slack message as the text a person reads, whether it came from the API, an export or Discovery.

A message says the same up to four times: as mrkdwn, as blocks, in attachments and in their fallbacks. Each
line is taken once, from where it is most exact: rich text first, since its pieces are joined without marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any, Final

__all__ = ["mrkdwn", "readable", "strings"]

#: Mentions and links; anything else between angle brackets is what somebody wrote.
_LINK = re.compile(r"<((?:[@#!]|[a-z][a-z0-9+.-]{1,20}:)[^<>\n]{1,8000})>")
_LETTERS = re.compile(r"[\W_]+")
_EMOJI_NAME = re.compile(r":[a-z0-9_+-]+:")
_DEEPEST: Final = 60
_ATTACHMENT: Final = (
    "pretext", "author_name", "author_link", "title", "title_link", "text", "fields", "footer", "from_url",
    "original_url", "image_url", "thumb_url", "video_url", "actions", "blocks", "message_blocks", "fallback",
)  # fmt: skip
#: Keys that hold names of things and colours, never what somebody wrote.
_MECHANICS: Final = frozenset(
    {
        "type", "subtype", "block_id", "action_id", "app_id", "app_unfurl_url", "bot_id", "callback_id",
        "channel_id", "channel_team", "client_msg_id", "color", "emoji", "id", "indent", "is_msg_unfurl",
        "is_share", "mrkdwn_in", "msg_subtype", "service_icon", "skin_tone", "style", "team_id", "ts",
        "unicode", "user_id", "usergroup_id", "verbatim", "author_id", "author_icon", "author_subname",
        "footer_icon", "image_bytes", "image_height", "image_width", "thumb_height", "thumb_width", "border",
    }
)  # fmt: skip
_FILE_TEXTS: Final = ("title", "name", "alt_txt", "subject", "external_url")


def readable(message: Mapping[str, Any]) -> str:
    """The lines of a message, each once: blocks, text, attachments, metadata, names of files."""
    lines = _Lines()
    for text in _blocks(message.get("blocks")):
        lines.add(text)
    plain = message.get("text")
    if isinstance(plain, str):
        lines.add(mrkdwn(plain))
    for attachment in _objects(message.get("attachments")):
        for line in _attachment(attachment):
            lines.add(line)
    metadata = message.get("metadata")
    if isinstance(metadata, dict):
        lines.add("\n".join(_pairs(metadata.get("event_payload"))))
    for file in _objects(message.get("files")):
        for key in _FILE_TEXTS:
            if isinstance(file.get(key), str):
                lines.add(file[key])
        comment = file.get("initial_comment")
        if isinstance(comment, dict) and isinstance(comment.get("comment"), str):
            lines.add(mrkdwn(comment["comment"]))
    return lines.text


def mrkdwn(text: str) -> str:
    """Slack's markup as a reader sees it: entities decoded, links with their label, mentions by name."""
    if "<" in text:
        text = _LINK.sub(lambda link: _link(link[1]), text)
    return unescape(text) if "&" in text else text


def _link(inner: str) -> str:
    target, _, label = inner.partition("|")
    if target[:1] in "@#":
        return target
    if target.startswith("!"):
        return label or "@" + target[1:].partition("^")[0]
    return _labelled(target.removeprefix("mailto:"), label)


def _labelled(url: str, label: str) -> str:
    return f"{label} {url}" if label and label not in url else url


class _Lines:
    """Lines that were not there before, compared by their letters and digits alone."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._known = ""

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    def add(self, text: str) -> None:
        for line in text.splitlines():
            bare = _LETTERS.sub("", _EMOJI_NAME.sub("", line))
            if bare and bare not in self._known:
                self._lines.append(line)
                self._known += f"{bare}\n"


# --- blocks --------------------------------------------------------------------------------------


def _blocks(blocks: Any) -> Iterator[str]:
    for block in _objects(blocks):
        yield from _block(block)


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    if block.get("type") == "rich_text":
        yield "\n".join(_rich(block, 0))
        return
    fields = block.get("fields")
    yield from strings({key: value for key, value in block.items() if key != "fields"})
    for field in _objects(fields):
        yield from strings(field)


def _rich(element: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Lines of rich text. What stands in one section is one run of text, however it is styled."""
    children = _objects(element.get("elements"))
    if element.get("type") in ("rich_text", "rich_text_list") and depth < _DEEPEST:
        for child in children:
            yield from _rich(child, depth + 1)
    elif children:
        yield "".join(map(_inline, children))
    else:
        yield from strings(element)


def _inline(element: Mapping[str, Any]) -> str:
    kind = element.get("type")
    text = element.get("text")
    if kind == "link":
        return _labelled(_string(element.get("url")), _string(text))
    if kind == "text":
        return _string(text)
    for mark, key in (("@", "user_id"), ("#", "channel_id"), ("@", "usergroup_id"), ("@", "range")):
        if key in element:
            return mark + _string(element[key])
    if kind == "emoji":
        return f":{_string(element.get('name'))}:"
    if kind == "date":
        return _string(element.get("fallback"))
    return " ".join(strings(element))


def strings(value: Any) -> Iterator[str]:
    """Every text in a structure of any kind, in its order; names of things are left out.

    Objects with a title and a value give one line, so that "password" and what it is stay together.
    """
    pile: list[tuple[Any, int]] = [(value, 0)]
    while pile:
        top, depth = pile.pop()
        if isinstance(top, str):
            if top:
                yield mrkdwn(top)
        elif depth > _DEEPEST:
            # Slack's own limits are far below: what is nested so deeply is shown as it stands.
            yield _dump(top)
        elif isinstance(top, list):
            pile.extend((item, depth + 1) for item in reversed(top))
        elif isinstance(top, dict):
            if top.get("type") == "rich_text":
                yield "\n".join(_rich(top, 0))
                continue
            title, text = top.get("title"), top.get("value")
            if isinstance(title, str) and isinstance(text, str):
                yield f"{mrkdwn(title)}: {mrkdwn(text)}"
                top = {key: item for key, item in top.items() if key not in ("title", "value")}
            pile.extend((item, depth + 1) for key, item in reversed(top.items()) if key not in _MECHANICS)


def _attachment(attachment: Mapping[str, Any]) -> Iterator[str]:
    known = [(key, attachment[key]) for key in _ATTACHMENT if key in attachment]
    for key, value in known:
        if key == "blocks":
            yield from _blocks(value)
        else:
            yield from strings(value)
    rest = {key: value for key, value in attachment.items() if key not in _ATTACHMENT and key != "files"}
    yield from strings(rest)
    for file in _objects(attachment.get("files")):
        yield from (file[key] for key in _FILE_TEXTS if isinstance(file.get(key), str))


def _pairs(value: Any) -> Iterator[str]:
    """``key: value`` of the plain values of an object, and of those below it."""
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if isinstance(item, str | int | float):
            yield f"{key}: {item}"
        else:
            yield _dump({key: item})


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return ""
