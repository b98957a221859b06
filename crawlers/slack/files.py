"""Files of a workspace with what is in them: uploads, snippets, posts, canvases, lists.

    slack://TEAM/files/ID

They are listed newest first, by the time they were made: unlike pages with numbers, that does not move when
a file comes or goes.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from unsprawl.crawlers.slack.session import Session, Workspace, asking
from unsprawl.crawlers.slack.times import SECOND, moment
from unsprawl.errors import AuthError, SourceError, UnreadableError
from unsprawl.records import (
    Audience,
    Checkpoint,
    Cursor,
    Document,
    Event,
    Json,
    Seen,
    Skipped,
    Stream,
    Unchanged,
)

__all__ = ["file_document", "file_events", "read_files"]

_PAGE: Final = 200
#: Up to this size a file is read at once; larger ones are streamed when they are scanned.
_WHOLE_BYTES: Final = 1 << 20
_MOST_AGAIN: Final = 500
_MOST_ITEMS: Final = 100_000
_NOTHING_THERE: Final = frozenset({"tombstone", "deleted"})
_HTML = (b"<!doctype html", b"<html")
_DELETED: Final = ("file_deleted", "file_not_found")


def read_files(
    session: Session,
    workspace: Workspace,
    lookback: int,
    most: int | None,
    since: Cursor | None,
    seen: Seen,
    clock: Callable[[], float] = time.time,
) -> Iterator[Event]:
    """All files the token sees; later runs read those made since, and the recent ones that were edited.

    ``lookback`` is in microseconds, ``most`` in bytes. A file that could not be read is tried again.
    """
    cursor = since or {}
    high, low, before = cursor.get("high", 0), cursor.get("low", 0), cursor.get("before", 0)
    again: list[str] = list(cursor.get("again", ()))
    if since and not before:
        low = max(0, min(high, int(clock()) - lookback // SECOND))
    failed: list[str] = list(cursor.get("failed", ()))
    done: set[str] = set()
    for page, reached in _pages(session, workspace, low, before):
        for raw in page:
            identity = _text(raw, "id")
            if identity in done:
                continue
            done.add(identity)
            high = max(high, _number(raw, "created"))
            session.take(identity)
            for event in file_events(session, workspace, raw, most, seen):
                if isinstance(event, Skipped) and not event.excluded:
                    failed.append(identity)
                yield event
        if reached:
            yield Checkpoint(
                {"high": high, "low": low, "before": reached, "again": again, "failed": failed[:_MOST_AGAIN]}
            )
    for identity in again:
        if identity not in done and identity not in failed:
            for event in _one(session, workspace, identity, most, seen):
                if isinstance(event, Skipped) and not event.excluded:
                    failed.append(identity)
                yield event
    yield Checkpoint({"high": high, "again": failed[:_MOST_AGAIN]})


def _pages(
    session: Session, workspace: Workspace, low: int, before: int
) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Pages with the time at which the next one begins, 0 behind the last."""
    known: set[str] = set()
    number = 1
    while True:
        params: dict[str, str | int] = {"count": _PAGE, "page": number, **asking(workspace)}
        if low:
            params["ts_from"] = low
        if before:
            params["ts_to"] = before
        answer = session.client.call("files.list", **params)
        page = answer.objects("files")
        paging = answer.data.get("paging")
        pages = paging.get("pages") if isinstance(paging, dict) else 1
        last = not isinstance(pages, int) or number >= pages
        fresh = [raw for raw in page if _text(raw, "id") and _text(raw, "id") not in known]
        known |= {_text(raw, "id") for raw in fresh}
        oldest = min((_number(raw, "created") for raw in fresh), default=before)
        if last or not page:
            yield fresh, 0
            return
        moved = bool(oldest) and (not before or oldest < before)
        # Files of one and the same second fill a page: they are told apart by its number alone.
        before, number = (oldest, 1) if moved and fresh else (before, number + 1)
        yield fresh, before


def file_events(
    session: Session, workspace: Workspace, raw: Mapping[str, Any], most: int | None, seen: Seen
) -> Iterator[Event]:
    """One file: known, read, or why not."""
    uri = file_uri(workspace, _text(raw, "id"))
    if _text(raw, "mode") in _NOTHING_THERE:
        return
    try:
        if raw.get("file_access") == "check_file_info":
            raw = _info(session, _text(raw, "id"))
        if seen(uri) == _version(raw):
            yield Unchanged()
            return
        yield file_document(session, workspace, raw, most)
    except AuthError:
        raise
    except SourceError as error:
        if not any(code in error.message for code in _DELETED):
            yield Skipped(uri, error.message, error.hint, excluded=isinstance(error, _LeftOutError))


def _one(
    session: Session, workspace: Workspace, identity: str, most: int | None, seen: Seen
) -> Iterator[Event]:
    try:
        raw = _info(session, identity)
    except AuthError:
        raise
    except SourceError as error:
        if not any(code in error.message for code in _DELETED):
            yield Skipped(file_uri(workspace, identity), error.message, error.hint)
        return
    yield from file_events(session, workspace, raw, most, seen)


def _info(session: Session, identity: str) -> dict[str, Any]:
    file = session.client.call("files.info", file=identity).data.get("file")
    if not isinstance(file, dict):
        raise UnreadableError("Slack tells nothing of the file")
    return file


class _LeftOutError(UnreadableError):
    """Not read because the owner, or whoever shared it, wants it so."""


def file_document(
    session: Session, workspace: Workspace, raw: Mapping[str, Any], most: int | None
) -> Document:
    """A file with its content. Raises ``SourceError`` where there is none to be had."""
    identity, mode = _text(raw, "id"), _text(raw, "mode")
    size = _number(raw, "size")
    if mode == "hidden_by_limit":
        raise UnreadableError("hidden by the plan of the workspace", hint="an export may hold it")
    if raw.get("is_external") or mode == "external":
        raise _LeftOutError("it lies outside Slack, only its address is kept there")
    if raw.get("file_access") in ("access_denied", "file_not_found"):
        raise UnreadableError("the file belongs to somebody who does not let this token read it")
    if most is not None and size > most:
        raise _LeftOutError(f"a file of {size} bytes, left out by `max_file_bytes`")
    url = _text(raw, "url_private_download") or _text(raw, "url_private")
    media_type = _text(raw, "mimetype")
    body: bytes | Stream
    if mode == "list" or _text(raw, "filetype") == "list":
        body, media_type = _list_items(session, identity), "text/plain"
    elif not url:
        raise UnreadableError("Slack gives no address for its content")
    else:
        stream = Stream(partial(_open, session, url, size, media_type, mode), size or None, seekable=True)
        body = _whole(stream) if size <= _WHOLE_BYTES else stream
    names = session.names(workspace)
    user = _text(raw, "user")
    title = _text(raw, "name") or _text(raw, "title") or identity
    places = [str(one) for key in ("channels", "groups", "ims") for one in raw.get(key) or ()][:20]
    attrs: dict[str, Json] = {
        "workspace": workspace.name or workspace.id,
        "kind": mode or "file",
        "size": size,
    }
    if places:
        attrs["shared_in"] = places
    if raw.get("public_url_shared"):
        attrs["public_link"] = _text(raw, "permalink_public")
    uri = file_uri(workspace, identity)
    return Document(
        uri=uri,
        body=body,
        path=f"files/{title}",
        media_type=media_type,
        key=uri,
        version=_version(raw),
        url=_text(raw, "permalink") or None,
        author=names.get(user) or _text(raw, "username") or user or None,
        modified_at=moment(_number(raw, "updated") or _number(raw, "created")),
        audience=_audience(raw),
        attrs=attrs,
    )


def file_uri(workspace: Workspace, identity: str) -> str:
    return f"slack://{quote(workspace.id, safe='')}/files/{quote(identity, safe='')}"


def _audience(raw: Mapping[str, Any]) -> Audience:
    if raw.get("public_url_shared"):
        return Audience.PUBLIC
    if raw.get("is_ext_shared") or raw.get("has_more_shares_ext"):
        return Audience.EXTERNAL
    return Audience.ORGANISATION if raw.get("is_public") or raw.get("channels") else Audience.RESTRICTED


def _version(raw: Mapping[str, Any]) -> str:
    changed = raw.get("updated") or raw.get("edit_timestamp") or raw.get("timestamp") or raw.get("created")
    return f"{changed}:{raw.get('size')}:{raw.get('mode')}:{int(bool(raw.get('public_url_shared')))}"


# --- contents ------------------------------------------------------------------------------------


def _open(session: Session, url: str, size: int, media_type: str, mode: str, offset: int) -> BinaryIO:
    """The content from ``offset`` on. A page that asks to sign in is not the file."""
    if 0 < size <= offset:
        return io.BytesIO()
    stream = session.client.download(url, offset)
    try:
        if offset == 0:
            _no_login_page(stream, size, media_type, mode)
    except BaseException:
        stream.close()
        raise
    return stream


def _no_login_page(stream: BinaryIO, size: int, media_type: str, mode: str) -> None:
    """Without ``files:read`` Slack answers 200 with a web page instead of an error."""
    assert isinstance(stream, io.BufferedReader)
    head = stream.peek(1024)[:1024].lstrip().lower()
    if not head.startswith(_HTML):
        return
    given = getattr(stream.raw, "size", None)
    # Canvases and posts are web pages themselves, and Slack does not know how long they become.
    made_of_html = "html" in media_type or "xml" in media_type or mode in ("quip", "canvas", "space", "post")
    signing_in = b"slack" in head and (b"sign in" in head or b"signin" in head or b"login" in head)
    if not made_of_html or (given != size and signing_in):
        hint = "add the scope files:read to the app and install it again"
        raise UnreadableError("Slack sent a page to sign in instead of the file", hint=hint)


def _whole(stream: Stream) -> bytes:
    with stream.open(0) as file:
        body = file.read(_WHOLE_BYTES + 1)
        # It became longer than Slack says: what is beyond is read as well.
        return body if len(body) <= _WHOLE_BYTES else body + file.read(64 * _WHOLE_BYTES)


def _list_items(session: Session, identity: str) -> bytes:
    """The rows of a list, a line for each."""
    from unsprawl.crawlers.slack.text import strings

    lines: list[str] = []
    for page in session.client.pages("slackLists.items.list", "items", list_id=identity, limit=1000):
        lines += ["\t".join(strings(item.get("fields") or item)) for item in page]
        if len(lines) > _MOST_ITEMS:
            break
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _number(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
