"""Telling every channel what it has not been told: once each, later again when it fails, never in a flood."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from unsprawl.alert_settings import ChannelSettings
from unsprawl.alerts.channels import Sender, sender
from unsprawl.config import ConfiguredChannel
from unsprawl.errors import StoreError, UnsprawlError
from unsprawl.printable import printable
from unsprawl.store.findings import Store
from unsprawl.store.outbox import Waiting, Wanted
from unsprawl.store.prepare import SEVERITIES

__all__ = ["Told", "deliver", "tell", "telling", "test"]

_log = logging.getLogger("unsprawl.alerts")

#: Seconds between two looks at what is to be told, and those that a message under way may still take.
_EVERY: Final = 1.0
_FAREWELL: Final = 20.0


@dataclass(frozen=True, slots=True)
class Told:
    """What one channel was told: events, in messages. ``failure``: why ``waiting`` events still wait."""

    channel: str
    events: int = 0
    messages: int = 0
    waiting: int = 0
    failure: str = ""

    def __str__(self) -> str:
        told = f" in {self.messages:,} messages" if self.messages > 1 else ""
        left = f", {self.waiting:,} wait: {self.failure}" if self.failure else ""
        return printable(f"{self.channel}: {self.events:,} told{told}{left}")


def tell(store: Store, channels: Iterable[ConfiguredChannel], run: str | None = None) -> list[Told]:
    """Collect what happened up to ``run`` (the latest), and deliver it. No channel that fails raises here."""
    chosen = list(channels)
    store.outbox.collect({one.name: wanted(one.settings) for one in chosen}, run)
    return deliver(store, chosen)


def deliver(store: Store, channels: Iterable[ConfiguredChannel], *, at_once: bool = False) -> list[Told]:
    """Send what waits; ``at_once`` also what failed a moment ago."""
    return [_deliver(store, one, at_once=at_once) for one in channels]


def test(channel: ConfiguredChannel) -> Told:
    """Send one message that says it is a test."""
    event = Waiting(0, "test", "test", {})
    try:
        sender(channel)([event])
    except UnsprawlError as error:
        return Told(channel.name, waiting=1, failure=error.message)
    return Told(channel.name, events=1, messages=1)


@contextmanager
def telling(store: Store, channels: Sequence[ConfiguredChannel]) -> Iterator[None]:
    """Tell the channels within seconds of what happens beside them, and once more at the end."""
    if not channels:
        yield
        return
    done = threading.Event()

    def keep_telling() -> None:
        known: tuple[object, ...] | None = None
        while not done.wait(_EVERY):
            try:
                # A look that finds nothing new writes nothing.
                if (news := store.outbox.news()) != known:
                    tell(store, channels)
                    known = news
                else:
                    deliver(store, channels)
            except StoreError as error:
                _log.warning("alerts wait: %s", error.message)

    thread = threading.Thread(target=keep_telling, name="unsprawl-alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_FAREWELL)
        if not thread.is_alive():
            tell(store, channels)


def wanted(settings: ChannelSettings) -> Wanted:
    names: Mapping[str, int] = {str(name): number for number, name in enumerate(SEVERITIES, 1)}
    return Wanted(frozenset(settings.on), names[settings.min_severity])


def _deliver(store: Store, channel: ConfiguredChannel, *, at_once: bool) -> Told:
    outbox = store.outbox
    waiting = outbox.waiting(channel.name, at_once=at_once)
    if not waiting:
        return Told(channel.name)
    events = messages = 0
    try:
        send: Sender = sender(channel)
        for message in _messages(waiting, channel.settings):
            send(message)
            # Marked as told only now: what dies in between is told again, under the same name.
            outbox.delivered([event.id for event in message])
            events += len(message)
            messages += 1
    except UnsprawlError as error:
        rest = waiting[events:]
        outbox.failed([event.id for event in rest], error.message)
        return Told(channel.name, events, messages, len(rest), error.message)
    return Told(channel.name, events, messages)


def _messages(waiting: Sequence[Waiting], settings: ChannelSettings) -> list[Sequence[Waiting]]:
    if settings.send == "digest":
        return [waiting]
    alone = [[event] for event in waiting[: settings.limit]]
    rest = waiting[settings.limit :]
    return [*alone, rest] if rest else list(alone)
