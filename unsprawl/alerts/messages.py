"""What an alert says, in the words of each channel. Everything found is hostile text: it is escaped here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from unsprawl.printable import printable
from unsprawl.store.outbox import Waiting

__all__ = ["headline", "next_step", "slack_text", "subject", "text", "title"]

#: Events that a digest names one by one; the rest is counted.
_NAMED: Final = 25
_LINE: Final = 300
_VERBS: Final = {
    "new": "New",
    "active": "Known to work",
    "reopened": "Reopened",
    "closed": "Closed with proof",
    "incomplete": "Incomplete",
    "leak": "Leaked",
    "test": "Test",
}


def title(event: Waiting) -> str:
    """One line: what happened to what, where."""
    it = event.payload
    verb = _VERBS.get(event.kind, event.kind)
    if event.kind == "incomplete":
        count = it.get("count", 0)
        return f"{verb}: {count} {'part was' if count == 1 else 'parts were'} not read wholly"
    if event.kind == "test":
        return "Test: alerts of unsprawl arrive here"
    if event.kind == "digest":
        return _plain(it["name"])
    name = _plain(it.get("name") or it.get("rule") or "a secret")
    where = _plain(it.get("source") or "")
    severity = _plain(it.get("severity") or "")
    return f"{verb}: {name}" + (f" in {where}" if where else "") + (f" ({severity})" if severity else "")


def headline(events: Sequence[Waiting]) -> str:
    """A digest in one line: ``12 new, 1 reopened``."""
    counts = Counter(event.kind for event in events)
    return ", ".join(f"{count} {_VERBS.get(kind, kind).lower()}" for kind, count in counts.most_common())


def subject(events: Sequence[Waiting]) -> str:
    return f"unsprawl: {title(events[0]) if len(events) == 1 else headline(events)}"


def next_step(event: Waiting) -> str:
    """What to do now, as a command."""
    finding = event.payload.get("finding")
    if event.kind == "incomplete":
        return "unsprawl coverage"
    return f"unsprawl playbook {finding}" if finding else ""


def text(events: Sequence[Waiting]) -> str:
    """The whole message in plain text."""
    lines = [] if len(events) == 1 else [headline(events), ""]
    for event in events[:_NAMED]:
        lines += [title(event), *(f"  {name}: {value}" for name, value in _facts(event)), ""]
    if len(events) > _NAMED:
        lines += [f"and {len(events) - _NAMED} more: unsprawl findings list", ""]
    return "\n".join(lines)


def slack_text(events: Sequence[Waiting]) -> str:
    """The message as mrkdwn; nothing in it can mention, link or format but ourselves."""
    lines = [] if len(events) == 1 else [f"*{_mrkdwn(headline(events))}*"]
    for event in events[:_NAMED]:
        lines.append(f"*{_mrkdwn(title(event))}*")
        for name, value in _facts(event):
            shown = f"`{_mrkdwn(value).replace('`', ' ')}`" if name in ("secret", "next") else _mrkdwn(value)
            lines.append(f"• {name}: {shown}")
    if len(events) > _NAMED:
        lines.append(f"and {len(events) - _NAMED} more: `unsprawl findings list`")
    return "\n".join(lines)


def _facts(event: Waiting) -> list[tuple[str, str]]:
    it: Mapping[str, Any] = event.payload
    if event.kind == "digest":
        return [(_plain(name), _plain(value)) for name, value in it["lines"]]
    if event.kind == "incomplete":
        units = it.get("units", ())
        return [
            *(
                (_plain(f"{one['source']} {one['unit']}"), _plain(one["why"] or one["status"]))
                for one in units
            ),
            ("next", next_step(event)),
        ]
    places = it.get("occurrences") or 0
    where = it.get("url") or it.get("uri") or it.get("path") or ""
    facts = [
        ("secret", it.get("secret")),
        ("where", where),
        ("places", f"{places}, in {', '.join(it.get('sources', ()))}" if places > 1 else ""),
        ("risk", f"{it['risk']} of 100" if "risk" in it else ""),
        ("validity", it.get("validity") if it.get("validity") != "unknown" else ""),
        ("who can read it", it.get("audience") if it.get("audience") != "unknown" else ""),
        ("author", it.get("author")),
        ("owner", it.get("owner")),
        ("why", it.get("why")),
        ("leak", _leak(it.get("leak"))),
        ("next", next_step(event)),
    ]
    return [(name, _plain(value)) for name, value in facts if value]


def _leak(leak: Mapping[str, Any] | None) -> str:
    """What a paste has to do with the organisation."""
    if not leak:
        return ""
    known = "a secret of yours" if leak.get("kind") == "ours" else str(leak.get("kind") or "")
    first = next(iter(leak.get("seen") or ()), None)
    inside = f"first seen inside in {first.get('source')}" if isinstance(first, dict) else ""
    names = ", ".join(leak.get("names") or ())
    again = f"posted {leak['copies'] + 1} times" if leak.get("copies") else ""
    return ", ".join(part for part in (known, inside, f"names {names}" if names else "", again) if part)


def _plain(value: object) -> str:
    shown = printable(str(value)).replace("\n", " ")
    return shown if len(shown) <= _LINE else f"{shown[: _LINE - 1]}…"


def _mrkdwn(value: str) -> str:
    """Slack reads only three characters as markup for links and mentions; emphasis cannot leave a line."""
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A zero-width space keeps marks of found text from becoming emphasis.
    return "".join(f"{mark}\u200b" if mark in "*_~" else mark for mark in escaped)
