"""An event in the words of whoever reads it at three in the morning: whose it is, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from unsprawl.store.rows import FIELDS

__all__ = ["MENTION", "Tell", "note", "record"]

#: The hook through which alerts go. Called once an event; what it raises ends the watch, and the event is
#: told again by the next one.
Tell: TypeAlias = Callable[[Mapping[str, Any]], None]

#: The rule of an event without a credential.
MENTION: Final = "watch.mention"
_LONGEST_PATH: Final = 80


def record(event: Mapping[str, Any], row: Mapping[str, Any] | None) -> dict[str, Any]:
    """The row of the occurrence, with the key ``event`` beside the others."""
    about = event["about"]
    told = {
        "id": event["name"].lower(),
        "kind": event["kind"],
        "at": event["at"],
        "copies": event["copies"],
        "names": about["names"],
        "combo": about["combo"],
        "accounts": about["accounts"],
        "more": about.get("more", 0),
        "seen": about.get("seen", []),
        "seen_count": about.get("seen_count", 0),
        "known": about.get("known", []),
        "note": note(event),
    }
    return {**(dict(row) if row is not None else _without_occurrence(event)), "event": told}


def _without_occurrence(event: Mapping[str, Any]) -> dict[str, Any]:
    about = event["about"]
    fields: dict[str, Any] = dict.fromkeys(FIELDS)
    return fields | {
        "finding": event["finding"], "rule": MENTION, "name": "A paste names you", "provider": "unsprawl",
        "secret": "", "fingerprint": "", "confidence": 0.0, "label": "identifier", "environment": "unknown",
        "severity": "low", "risk": 0, "validity": "unknown", "status": "open", "source": event["source"],
        "uri": about["uri"], "url": about["url"], "path": about["path"], "line": about["line"] or 1,
        "column": 1, "line_end": about["line"] or 1, "start": 0, "end": 0, "views": [],
        "attrs": {}, "companions": {}, "author": about["author"], "modified_at": about["modified_at"],
        "audience": "public",
        "first_seen": event["at"], "last_seen": event["at"], "context": "",
    }  # fmt: skip


def note(event: Mapping[str, Any]) -> str:
    """One line that says what the paste has to do with the organisation."""
    about = event["about"]
    parts = [_head(event)]
    if event["kind"] == "ours":
        parts += _provenance(event)
    if about["combo"]:
        parts.append(f"a list of accounts, {about['accounts']} of yours")
    if about["names"]:
        parts.append(f"it names {', '.join(about['names'][:3])}")
    if about.get("more"):
        parts.append(f"{about['more']} more findings in the same paste")
    if event["copies"]:
        parts.append(f"posted {event['copies'] + 1} times")
    return ", ".join(parts)


def _head(event: Mapping[str, Any]) -> str:
    return {
        "ours": "ours",
        "beside": "beside one of yours",
        "named": "in a paste that names you",
        "mention": "a paste names you",
    }.get(event["kind"], "found in a feed")


def _provenance(event: Mapping[str, Any]) -> list[str]:
    about = event["about"]
    parts: list[str] = []
    seen = about.get("seen", [])
    if seen:
        first = seen[0]
        when = first["modified_at"] or first["first_seen"]
        parts.append(f"first seen in {first['source']} {_path(first)} {_ago(when, event['at'])}")
        others = about["seen_count"] - 1
        if others > 0:
            parts.append(f"in {others} other place{'s' * (others > 1)} inside")
        parts.append(
            {2: "still active", 1: "no longer works"}.get(about.get("validity"), "not known whether it works")
        )
        if all(place["gone_at"] for place in seen) and about["seen_count"] == len(seen):
            parts.append("gone from inside")
    for entry in about.get("known", [])[:1]:
        place = "#".join(str(entry[part]) for part in ("path", "key") if entry.get(part))
        version = f" version {entry['version']}" if entry.get("version") else ""
        state = (
            "" if "current" not in entry else ", which is current" if entry["current"] else ", replaced since"
        )
        parts.append(f"kept in {entry.get('vault') or 'a vault'}: {place}{version}{state}")
    return parts


def _path(place: Mapping[str, Any]) -> str:
    path = str(place["path"] or place["uri"])
    # A message is known by its channel; the rest is in the link.
    if path.startswith("#"):
        path = path.partition("/")[0]
    return path if len(path) <= _LONGEST_PATH else f"…{path[-_LONGEST_PATH:]}"


def _ago(then: str, now: str) -> str:
    try:
        length = (_moment(now) - _moment(then)).total_seconds()
    except ValueError:
        return "some time ago"
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if length >= size:
            count = int(length // size)
            return f"{count} {name}{'s' * (count > 1)} ago"
    return "just now"


def _moment(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
