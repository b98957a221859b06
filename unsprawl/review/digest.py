"""A digest through the channels that alerts go through: one message a channel, then and there.

Unlike an alert it does not wait in the store: who asks for a digest again gets the digest of that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from unsprawl.alert_settings import Jira
from unsprawl.alerts.channels import sender
from unsprawl.alerts.delivery import Told
from unsprawl.config import ConfiguredChannel
from unsprawl.errors import UnsprawlError
from unsprawl.review.gather import Review
from unsprawl.review.sections import WORDS, facts
from unsprawl.store.outbox import Waiting

__all__ = ["events", "send"]

#: Cases that a message names: of those that changed, and of those that are open.
_CHANGED: Final = 10
_OPEN: Final = 10


def send(review: Review, channels: Iterable[ConfiguredChannel]) -> list[Told]:
    """Tell every channel but Jira, which keeps a case an issue. No channel that fails raises here."""
    said = list(events(review))
    return [_tell(channel, said) for channel in channels if not isinstance(channel.settings, Jira)]


def _tell(channel: ConfiguredChannel, said: list[Waiting]) -> Told:
    try:
        sender(channel)(said)
    except UnsprawlError as error:
        return Told(channel.name, waiting=len(said), failure=error.message)
    return Told(channel.name, events=len(said), messages=1)


def events(review: Review) -> Iterator[Waiting]:
    """The summary first, then what changed and what is open, as events that every channel can word."""
    it = review.figures
    name = f"{it.since or ''}/{it.until}"
    told = [f"{fact.name} {fact.value}" + (f" ({fact.note})" if fact.note else "") for fact in facts(review)]
    gaps = sum(one.count for one in it.coverage.unread)
    # In lines that no channel cuts off.
    summary = {f"why {at}" if at else "why": "; ".join(told[at : at + 3]) for at in range(0, len(told), 3)}
    yield _event(
        name,
        "digest",
        "",
        {
            "name": f"{review.title}: {_changes(review)}",
            "why": "; ".join(told),
            "units": [{"source": "", "unit": key, "why": value} for key, value in summary.items()],
            "since": it.since,
            "until": it.until,
            "open": it.open.total,
            "changes": dict(it.changes),
            "changes_before": dict(it.changes_before),
            "unread": gaps,
        },
    )
    for change in it.changed[:_CHANGED]:
        payload = {
            "finding": change.finding,
            "name": change.name,
            "secret": change.secret,
            "severity": change.severity,
            "validity": change.validity,
            "source": ", ".join(change.sources),
            "why": change.why,
        }
        yield _event(name, change.what, change.finding, payload)
    for case in review.top[:_OPEN]:
        yield _event(
            name,
            "open",
            case.finding,
            {
                "finding": case.finding,
                "name": case.name,
                "secret": case.secret,
                "severity": case.severity,
                "validity": case.validity,
                "risk": case.risk,
                "source": ", ".join(case.sources),
                "uri": case.where,
                "owner": case.owner,
                "occurrences": case.places,
                "sources": list(case.sources),
                "why": case.next,
            },
        )


def _changes(review: Review) -> str:
    counts = review.figures.changes
    told = [f"{counts[what]:,} {words.lower()}" for what, words in WORDS.items() if counts[what]]
    return ", ".join(told) or "nothing changed"


def _event(period: str, kind: str, finding: str, payload: dict[str, Any]) -> Waiting:
    return Waiting(0, f"digest:{period}:{kind}:{finding}", kind, payload)
