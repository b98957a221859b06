"""A digest through the channels that alerts go through: one message a channel, then and there.

Unlike an alert it does not wait in the store: who asks for a digest again gets the digest of that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Final

from unsprawl.alert_settings import Jira
from unsprawl.alerts.channels import sender
from unsprawl.alerts.delivery import Told
from unsprawl.config import ConfiguredChannel
from unsprawl.errors import UnsprawlError
from unsprawl.review.gather import Review
from unsprawl.review.sections import WORDS, facts
from unsprawl.store.outbox import Waiting

__all__ = ["message", "send"]

#: Cases that a message names: of those that changed, and of those that are open.
_CHANGED: Final = 10
_OPEN: Final = 10
#: Reasons why something was not read.
_UNREAD: Final = 5


def send(review: Review, channels: Iterable[ConfiguredChannel]) -> list[Told]:
    """Tell every channel but Jira, which keeps an issue a case. No channel that fails raises here."""
    said = message(review)
    return [_tell(channel, said) for channel in channels if not isinstance(channel.settings, Jira)]


def _tell(channel: ConfiguredChannel, said: Waiting) -> Told:
    try:
        sender(channel)([said])
    except UnsprawlError as error:
        return Told(channel.name, waiting=1, failure=error.message)
    return Told(channel.name, events=1, messages=1)


def message(review: Review) -> Waiting:
    """The digest as an event: ``lines`` for people, the rest of the payload for programs."""
    it = review.figures
    counts = [f"{it.changes[what]:,} {words.lower()}" for what, words in WORDS.items() if it.changes[what]]
    payload = {
        "name": f"{review.title}: {', '.join(counts) or 'nothing changed'}",
        "lines": [list(line) for line in _lines(review)],
        "since": it.since,
        "until": it.until,
        "open": it.open.total,
        "open_before": it.open.before,
        "by_severity": dict(it.open.by_severity),
        "changes": dict(it.changes),
        "changes_before": dict(it.changes_before),
        "changed": [asdict(change) for change in it.changed[:_CHANGED]],
        "top": [asdict(case) for case in review.top[:_OPEN]],
        "unread": [asdict(one) for one in it.coverage.unread[:_UNREAD]],
    }
    return Waiting(0, f"digest:{it.since or ''}:{it.until}", "digest", payload)


def _lines(review: Review) -> Iterator[tuple[str, str]]:
    """Names and what stands behind them, as people read them."""
    it = review.figures
    for fact in facts(review):
        yield fact.name.lower(), f"{fact.value}, {fact.note}" if fact.note else fact.value
    for change in it.changed[:_CHANGED]:
        where = f" in {', '.join(change.sources)}"
        why = f" ({change.why})" if change.why else ""
        yield WORDS[change.what].lower(), f"{change.severity}, {change.name} {change.secret}{where}{why}"
    for case in review.top[:_OPEN]:
        what = f"risk {case.risk}, {case.name} {case.secret} at {case.where}"
        yield "still open", f"{what}; {case.command}"
    for one in it.coverage.unread[:_UNREAD]:
        hint = f" ({one.hint})" if one.hint else ""
        yield "not read", f"{one.source}: {one.reason}, {one.count:,} times{hint}"
