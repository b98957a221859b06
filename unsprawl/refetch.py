"""Is it gone? Each place of a finding is read again through its own source, with the caller's credentials.

Only an answer counts: the document is there and holds the secret no more, or the surface says that it is not
there any more. What is refused, masked, broken or only partly read stays where it is believed to stand.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from unsprawl.errors import SourceError, UnsprawlError
from unsprawl.examine import Examined, Examiner, defect
from unsprawl.records import Document, Refetchable, Skipped, Source
from unsprawl.store.places import Look, Place

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.store.findings import Store

__all__ = ["Looked", "Outcome", "refetch"]

#: A stretch that was masked in what is stored: the address cannot be asked for.
_MASK: Final = "…"
#: Shorter values stand in other words by chance.
_TELLING_BYTES: Final = 8
_HELD: Final = "it holds the secret"
_CLEAN: Final = "it is there, without the secret"


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at one place told, and why."""

    place: Place
    look: Look
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one finding. ``status`` is that after the look."""

    finding: str
    looked: tuple[Looked, ...]
    status: str
    closed: bool = False
    reopened: bool = False

    @property
    def counts(self) -> Counter[str]:
        return Counter(one.look for one in self.looked)


def refetch(
    store: Store, config: Config, examiner: Examiner, findings: Sequence[str], who: str
) -> Iterator[Outcome]:
    """Look at every place of these findings, one finding a transaction, and settle what that proves.

    Places that are known to be gone are looked at as well: what was put back reopens its case.
    """
    from unsprawl.workers import sources_of

    places = {finding: store.places(finding, gone=True) for finding in findings}
    wanted = {place.source for found in places.values() for place in found}
    sources: dict[str, Source | Skipped] = {}
    for name in sorted(wanted):
        try:
            built = sources_of(config, {name}).get(name)
            sources[name] = built or Skipped("", "no source of this name is configured", _NO_SOURCE)
        except UnsprawlError as error:
            sources[name] = Skipped("", error.message, error.hint)
    try:
        for finding, found in places.items():
            looked = tuple(_looks(store, examiner, sources, finding, found))
            seen = [(one.place.id, one.look) for one in looked]
            _, settled = store.look([finding], seen, who)
            counts = Counter(one.look for one in looked)
            detail = {name: counts[name] for name in ("stands", "gone", "unknown")}
            store.record("finding.refetched", who=who, subject=finding, detail=detail)
            status = str(store.finding(finding)["status"])
            yield Outcome(finding, looked, status, finding in settled.closed, finding in settled.reopened)
    finally:
        for source in sources.values():
            close = getattr(source, "close", None)
            if callable(close):
                with contextlib.suppress(SourceError):
                    close()


_NO_SOURCE: Final = "give the configuration with which it was crawled"


@dataclass(frozen=True, slots=True)
class _Search:
    """What is looked for, and with what. ``value`` is b"" where the store keeps none."""

    examiner: Examiner
    finding: str
    value: bytes
    known: frozenset[str]

    def within(
        self, name: str, source: Refetchable, document: Document
    ) -> tuple[Examined, bool, Counter[str]]:
        """What it holds, whether the value stands in it as bytes, and how often the finding at each uri."""
        examined = self.examiner.examine(name, str(getattr(source, "type", "")), document)
        body, value = document.body, self.value
        raw = len(value) >= _TELLING_BYTES and isinstance(body, bytes) and value in body
        return examined, raw, Counter(one.uri for one in examined.occurrences if one.finding == self.finding)


def _looks(
    store: Store,
    examiner: Examiner,
    sources: Mapping[str, Source | Skipped],
    finding: str,
    places: Sequence[Place],
) -> Iterator[Looked]:
    value = store.sealed_values(finding).get("secret", b"")
    search = _Search(examiner, finding, value, frozenset(place.uri for place in places))
    for (name, uri), group in groupby(places, lambda place: (place.source, place.document_uri)):
        held = list(group)
        source = sources[name]
        if isinstance(source, Skipped):
            yield from (Looked(place, "unknown", source.reason, source.hint) for place in held)
        elif not isinstance(source, Refetchable):
            yield from (Looked(place, "unknown", "this source cannot read one thing again") for place in held)
        elif _MASK in uri:
            hint = "its address held a secret, so it was masked: the next full crawl tells"
            yield from (Looked(place, "unknown", "its address is not known", hint) for place in held)
        else:
            yield from _look(source, name, search, held)


def _look(source: Refetchable, name: str, search: _Search, places: Sequence[Place]) -> Iterator[Looked]:
    """The places of one document."""
    fetched = _fetched(source, places[0].document_uri)
    if isinstance(fetched, Skipped):
        for place in places:
            if fetched.gone:
                yield _older(source, name, search, place, fetched.reason)
            else:
                yield Looked(place, "unknown", fetched.reason, fetched.hint)
        return
    examined, raw, standing = search.within(name, source, fetched)
    # It may have moved, or stand there in a form that no rule would take for one any more.
    moved = any(uri not in search.known for uri in standing) or (raw and not standing)
    for place in places:
        if standing[place.uri] > 0:
            standing[place.uri] -= 1
            yield Looked(place, "stands", _HELD)
        elif moved:
            yield Looked(place, "stands", "it moved within what was read")
        elif not examined.whole:
            yield Looked(place, "unknown", "it could not be read to its end", "the next full crawl tells")
        else:
            yield _older(source, name, search, place, _CLEAN)


def _older(source: Refetchable, name: str, search: _Search, place: Place, reason: str) -> Looked:
    """Gone from what is there now; a bucket that keeps versions may still have the one that was read."""
    version = place.attrs.get("version_id")
    if not isinstance(version, str) or version in ("", "null"):
        return Looked(place, "gone", reason)
    older = _fetched(source, f"{place.document_uri}?versionId={version}")
    if isinstance(older, Skipped):
        if older.gone:
            return Looked(place, "gone", f"{reason}; the version that held it is deleted")
        return Looked(place, "unknown", older.reason, older.hint)
    _, raw, standing = search.within(name, source, older)
    if raw or standing:
        return Looked(place, "stands", "an older version still holds it", f"delete version {version}")
    return Looked(place, "gone", reason)


def _fetched(source: Refetchable, uri: str) -> Document | Skipped:
    try:
        return source.fetch(uri)
    except SourceError as error:
        return Skipped(uri, error.message, error.hint)
    except Exception as error:  # noqa: BLE001  # a plug-in's defect costs one place, not the others
        return defect(error, uri, "reading it again")
