"""Canaries: values that were planted on a surface for each crawl to find, as a proof that it reads there.

A canary is met when the crawl reads it. Where nothing had to be read, since nothing changed, the place where
it stands is read again, through the source and the detector that everything goes through. Met neither way,
it is missed, and its source has failed: what looks like "nothing found" may be "nothing read".
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from unsprawl import globs
from unsprawl.budgets import Account
from unsprawl.errors import SourceError
from unsprawl.examine import Examiner, defect
from unsprawl.placeholders import base62_crc32
from unsprawl.records import Document, Gap, Occurrence, Refetchable, Skipped, Source
from unsprawl.references import resolve
from unsprawl.secret import Keys, Secret
from unsprawl.source_settings import CanarySettings, seconds_of
from unsprawl.step import CANARY
from unsprawl.store.canaries import Sight
from unsprawl.wire.usage import metered
from unsprawl.workers import sources_of

if TYPE_CHECKING:
    from unsprawl.config import Config, ConfiguredSource
    from unsprawl.store.findings import Store
    from unsprawl.store.run import Run

__all__ = ["Canary", "Checked", "check", "looked_for", "new_value", "planted"]

_PREFIX: Final = "unsprawl_canary_"
_MASK: Final = "…"
#: How the reasons of the ledger begin.
MISSED: Final = "canary missed"
_HINT: Final = "is it still there, and may this account still read it? `unsprawl canary new` plants another"


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary of a configuration. ``at`` is a uri, or a pattern over uris where a ``*`` stands in it."""

    source: str
    title: str
    fingerprint: str
    at: str
    max_age_s: float | None
    fault: str = ""
    """Why it cannot be looked for."""

    def stands_at(self, uri: str) -> bool:
        """Whether ``uri`` is the place, or within it."""
        if "*" in self.at:
            return globs.matches((self.at,), uri)
        return uri == self.at or uri.startswith(tuple(self.at + mark for mark in ("!/", "#", "?")))

    def too_old(self, modified_at: datetime | None, now: datetime) -> str:
        """Why a document of this time does not count; "" where it does."""
        if self.max_age_s is None:
            return ""
        if modified_at is None:
            return "the time of its document is not known, so max_age cannot be kept"
        aware = modified_at if modified_at.tzinfo else modified_at.replace(tzinfo=UTC)
        old = now - aware > timedelta(seconds=self.max_age_s)
        return f"its newest document is of {aware:%Y-%m-%d %H:%M} UTC" if old else ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one canary: ``uri`` is where it was met, "" and ``why`` where it was missed."""

    source: str
    title: str
    uri: str = ""
    why: str = ""


def new_value() -> str:
    """A canary: random, with a checksum, and good for nothing else."""
    body = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(30))
    return _PREFIX + body + base62_crc32(body.encode())


def planted(name: str, source: ConfiguredSource, keys: Keys) -> list[Canary]:
    """The canaries of one source. References are resolved now: ``ConfigError`` for one that leads nowhere."""
    return [_canary(name, index, one, keys) for index, one in enumerate(source.config.canaries)]


def check(
    sources: Sequence[Source],
    canaries: Mapping[str, Sequence[Canary]],
    run: Run,
    examiner: Examiner,
    accounts: Mapping[str, Account],
) -> list[Checked]:
    """Note for each canary whether this run has met it, and read its place again where it has not yet."""
    now = datetime.now(UTC)
    checked: list[Checked] = []
    for source in sources:
        # Who could not be listed is not asked again: that would cost the same patience once more.
        fault = run.fault(source.name)
        with metered(accounts[source.name].listing):
            for canary in canaries.get(source.name, ()):
                one = replace(canary, fault=canary.fault or fault)
                checked.append(_check(source, one, run, examiner, now))
    return checked


def looked_for(
    config: Config, store: Store, keys: Keys, examiner: Examiner, only: str | None
) -> Iterator[Checked]:
    """Look now for the canaries of a configuration, or of its source ``only``; nothing is written."""
    now = datetime.now(UTC)
    for name, configured in config.sources.items():
        canaries = planted(name, configured, keys) if only in (None, name) else []
        if not canaries:
            continue
        try:
            source = sources_of(config, {name})[name]
        except SourceError as error:
            yield from (Checked(name, one.title, why=f"{MISSED}: {error.message}") for one in canaries)
            continue
        for canary in canaries:
            found = _found(source, canary, store.canaries(name, canary.fingerprint), examiner, now, "")
            if isinstance(found, str):
                yield Checked(name, canary.title, why=f"{MISSED}: {examiner.redactor.text(found)}")
            else:
                yield Checked(name, canary.title, found.uri)


def _canary(source: str, index: int, settings: CanarySettings, keys: Keys) -> Canary:
    fingerprint, fault = settings.fingerprint or "", ""
    if settings.value:
        try:
            value = resolve(settings.value, f"sources.{source}.canaries[{index}].value").reveal().strip()
            fingerprint = keys.fingerprint(Secret(value))
        except SourceError as error:  # a vault that refuses: that costs one canary
            fault = error.message
    at = settings.at
    if at.startswith("/"):
        at = f"file://{at}" if "*" in at else PurePath(at).as_uri()
    title = f"canary {settings.name or fingerprint[:8] or index + 1}"
    age = seconds_of(settings.max_age) if settings.max_age else None
    return Canary(source, title, fingerprint, at, age, fault)


def _check(source: Source, canary: Canary, run: Run, examiner: Examiner, now: datetime) -> Checked:
    met, before = run.canaries(source.name, canary.fingerprint)
    old = ""
    for place in met:
        if canary.stands_at(place.uri):
            old = canary.too_old(place.modified_at, now)
            if not old:
                run.canary_named(source.name, canary.fingerprint, canary.title)
                return Checked(source.name, canary.title, place.uri)
    found = _found(source, canary, before, examiner, now, old)
    if not isinstance(found, str):
        run.canary_met([found], canary.title)
        return Checked(source.name, canary.title, found.uri)
    masked = examiner.redactor.text
    what = f"{source.name}: {canary.title}" + ("" if canary.at == "**" else f" at {masked(canary.at)}")
    gap = Gap(what, f"{MISSED}: {masked(found)}", _HINT)
    run.canary_missed(source.name, canary.fingerprint or canary.title, canary.title, gap)
    return Checked(source.name, canary.title, why=gap.reason)


def _found(
    source: Source, canary: Canary, before: Sequence[Sight], examiner: Examiner, now: datetime, old: str
) -> Occurrence | str:
    """A sighting at one of the places where it should be, or why there is none. ``old``: one too old."""
    why = old or canary.fault or "no crawl has met it there yet"
    places = [] if canary.fault else _places(canary, before)
    if not places and any(canary.stands_at(one.uri) for one in before):
        why = "the name of its place is masked in the store: write the place as `at`"
    for uri in places:
        found = _look(source, uri, canary, examiner)
        if isinstance(found, Skipped):
            why = old or found.reason
            continue
        for one in found:
            old = canary.too_old(one.modified_at, now)
            if not old:
                return one
        why = old or "it does not stand there any more"
    return why


def _look(source: Source, uri: str, canary: Canary, examiner: Examiner) -> list[Occurrence] | Skipped:
    """Read one place: the canary where it stands in it, or why it could not be read."""
    if not isinstance(source, Refetchable):
        return Skipped(uri, "this source cannot read one thing again")
    try:
        document = source.fetch(uri)
    except SourceError as error:
        return Skipped(uri, error.message, error.hint)
    except Exception as error:  # noqa: BLE001  # a plug-in's defect costs one canary
        return defect(error, uri, "reading it again")
    if not isinstance(document, Document):
        return document
    found = examiner.examine(source.name, source.type, document)
    met = [one for one in found.occurrences if one.rule == CANARY and one.fingerprint == canary.fingerprint]
    if not met and not found.whole:
        return Skipped(uri, "it could not be read to its end")
    return met


def _places(canary: Canary, before: Sequence[Sight]) -> list[str]:
    """Where to look: the place that is written, else where it was met before."""
    if "*" not in canary.at:
        return [canary.at]
    known = (one.uri.partition("!/")[0] for one in before if canary.stands_at(one.uri))
    return list(dict.fromkeys(uri for uri in known if _MASK not in uri))
