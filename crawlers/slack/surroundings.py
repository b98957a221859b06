"""What stands around the messages: profiles, user groups, and what a channel says of itself.

slack://TEAM/people/ID          a profile
slack://TEAM/usergroups/ID      a user group
slack://TEAM/CHANNEL?about      name, topic and purpose of a channel, with its tabs
slack://TEAM/CHANNEL?bookmarks  its bookmarks
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.slack.messages import Conversation, document, parse
from unsprawl.crawlers.slack.session import Person, Session, Workspace, asking
from unsprawl.crawlers.slack.text import mrkdwn, strings
from unsprawl.crawlers.slack.times import micros, moment
from unsprawl.errors import AuthError, SourceError
from unsprawl.records import Audience, Document, Event, Seen, Skipped, Unchanged

__all__ = ["about", "bookmarks", "group_documents", "person_document", "pins", "read_people"]

_PROFILE: Final = (
    "title", "status_text", "status_emoji", "phone", "skype", "pronouns", "start_date", "real_name",
    "display_name", "first_name", "last_name", "email",
)  # fmt: skip


def read_people(session: Session, workspace: Workspace, seen: Seen, *, custom: bool) -> Iterator[Event]:
    """Profiles and user groups. ``custom``: with the fields of one's own making, a request a changed
    profile.
    """
    people: tuple[Person, ...] = ()
    try:
        people = session.people(workspace)
    except AuthError:
        raise
    except SourceError as error:
        yield Skipped(f"slack://{workspace.id}/people", error.message, error.hint)
    for person in people:
        made = person_document(workspace, person)
        if made is None:
            continue
        if seen(made.key) == made.version:
            yield Unchanged()
            continue
        if custom:
            try:
                profile = session.client.call("users.profile.get", user=person.id).data.get("profile")
                made = (
                    person_document(workspace, person, profile if isinstance(profile, dict) else {}) or made
                )
            except AuthError:
                raise
            except SourceError as error:
                yield Skipped(f"{made.uri}?fields", error.message, error.hint)
        yield made
    if not session.may("usergroups:read"):
        return
    try:
        groups = list(group_documents(session, workspace))
    except AuthError:
        raise
    except SourceError as error:
        yield Skipped(f"slack://{workspace.id}/usergroups", error.message, error.hint)
        return
    for made in groups:
        yield Unchanged() if seen(made.key) == made.version else made


def person_document(
    workspace: Workspace, person: Person, profile: Mapping[str, Any] | None = None
) -> Document | None:
    """What a profile says, a line for each of its fields. None when it says nothing."""
    held = person.raw.get("profile")
    basic = held if isinstance(held, dict) else {}
    lines = [f"{key}: {basic[key]}" for key in _PROFILE if isinstance(basic.get(key), str) and basic[key]]
    fields = (profile or basic).get("fields")
    if isinstance(fields, dict):
        lines += [
            " ".join(strings([field.get("label"), field.get("value"), field.get("alt")]))
            for field in fields.values()
            if isinstance(field, dict)
        ]
    if not lines:
        return None
    uri = f"slack://{quote(workspace.id, safe='')}/people/{quote(person.id, safe='')}"
    updated = person.raw.get("updated")
    # Custom fields are asked for when something else has changed, so they are no part of the version.
    shown = "\n".join(f"{key}: {basic.get(key)}" for key in _PROFILE)
    return Document(
        uri=uri,
        body="\n".join(lines).encode("utf-8", "replace") + b"\n",
        path=f"people/{person.name}",
        media_type="text/plain",
        key=uri,
        version=f"{updated}:{_hash(shown)}",
        url=f"{workspace.url}team/{quote(person.id, safe='')}" if workspace.url else None,
        author=person.name,
        modified_at=moment(updated) if isinstance(updated, int) else None,
        audience=Audience.ORGANISATION,
        attrs={"workspace": workspace.name or workspace.id, "kind": "profile", "guest": person.guest},
    )


def group_documents(session: Session, workspace: Workspace) -> Iterator[Document]:
    """User groups, with their handle and description."""
    answer = session.client.call("usergroups.list", include_disabled="true", **asking(workspace))
    for raw in answer.objects("usergroups"):
        identity = raw.get("id")
        lines = [str(raw[key]) for key in ("name", "handle", "description") if raw.get(key)]
        if not isinstance(identity, str) or not lines:
            continue
        uri = f"slack://{quote(workspace.id, safe='')}/usergroups/{quote(identity, safe='')}"
        text = "\n".join(mrkdwn(line) for line in lines)
        updated = raw.get("date_update")
        yield Document(
            uri=uri,
            body=text.encode("utf-8", "replace") + b"\n",
            path=f"usergroups/{raw.get('handle') or identity}",
            media_type="text/plain",
            key=uri,
            version=_hash(text),
            modified_at=moment(updated) if isinstance(updated, int) else None,
            audience=Audience.ORGANISATION,
            attrs={"workspace": workspace.name or workspace.id, "kind": "usergroup"},
        )


# --- channels ------------------------------------------------------------------------------------


def about(place: Conversation, raw: Mapping[str, Any], names: Mapping[str, str]) -> Document:
    """Name, topic, purpose and tabs of a channel, as the listing gives them: no request is needed."""
    lines = [place.title]
    author, changed = "", 0
    for key in ("topic", "purpose"):
        value = raw.get(key)
        if isinstance(value, dict) and isinstance(value.get("value"), str) and value["value"]:
            lines.append(f"{key}: {mrkdwn(value['value'])}")
            creator, at = value.get("creator"), value.get("last_set")
            if isinstance(at, int) and at >= changed and isinstance(creator, str):
                author, changed = names.get(creator, creator), at
    lines += [str(name) for name in raw.get("previous_names") or () if isinstance(name, str)]
    lines += strings(raw.get("properties") or {})
    text = "\n".join(lines)
    return _channel_document(place, "about", text, author, moment(changed) if changed else None)


def bookmarks(session: Session, place: Conversation, names: Mapping[str, str]) -> Document | None:
    """The bookmarks of a channel; None when it has none."""
    answer = session.client.call("bookmarks.list", channel_id=place.id)
    lines, author, changed = [], "", 0
    for one in answer.objects("bookmarks"):
        lines.append(" ".join(mrkdwn(str(one[key])) for key in ("title", "link") if one.get(key)))
        at = one.get("date_updated") or one.get("date_created")
        if isinstance(at, int) and at >= changed:
            user = str(one.get("last_updated_by_user_id") or "")
            author, changed = names.get(user, user), at
    if not lines:
        return None
    return _channel_document(
        place, "bookmarks", "\n".join(lines), author, moment(changed) if changed else None
    )


def pins(
    session: Session, place: Conversation, names: Mapping[str, str], oldest: int | None, seen: Seen
) -> Iterator[Event]:
    """Pinned messages older than ``oldest``, where the history did not reach: the others were read there."""
    answer = session.client.call("pins.list", channel=place.id)
    for item in answer.objects("items"):
        raw = item.get("message")
        message = parse(raw, names) if isinstance(raw, dict) else None
        if message is None or oldest is None or (micros(message.ts) or 0) >= oldest:
            continue
        made = document(place, [message], pinned=True)
        if made is not None:
            yield Unchanged() if seen(made.key) == made.version else made


def _channel_document(place: Conversation, what: str, text: str, author: str, changed: Any) -> Document:
    uri = f"{place.uri}?{what}"
    return Document(
        uri=uri,
        body=text.encode("utf-8", "replace") + b"\n",
        path=f"{place.title}/{what}",
        media_type="text/plain",
        key=uri,
        version=_hash(f"{place.audience} {text}"),
        url=f"{place.workspace}archives/{quote(place.id, safe='')}" if place.workspace else None,
        author=author or None,
        modified_at=changed,
        audience=place.audience,
        attrs={**place.attrs, "channel": place.title, "channel_id": place.id, "kind": what},
    )


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()
