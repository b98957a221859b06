"""Decisions brought to the training: the judged places of a store, as far as they can be had again.

The store holds no values, so each place is looked for in this order: read again from its source, when a
configuration names it; the sealed value in the stored line; a stand-in of the same kind in the stored line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from unsprawl.examine import finding_of
from unsprawl.records import Candidate, Detector, Document, Refetchable
from unsprawl.secret import Keys, Secret

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.models.embedding import Surroundings
    from unsprawl.models.feedback import Judged
    from unsprawl.store.findings import Store

__all__ = ["Gathered", "gather"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """``places`` to train on. ``read``, ``sealed`` and ``made`` count where their values come from.

    ``left`` counts those that teach nothing: of an exact format whose value nobody has, or with a vector of
    an earlier version.
    """

    places: tuple[Judged, ...]
    read: int
    sealed: int
    made: int
    left: int


def gather(store: Store, keys: Keys, config: Config | None, detector: ContentDetector) -> Gathered:
    """All judged places of ``store``. ``config`` lets its sources be read again; ``keys`` are the store's."""
    from unsprawl.models.embedding import Surroundings
    from unsprawl.models.feedback import Judged

    places: list[Judged] = []
    read = sealed = made = left = 0
    embedding = Surroundings(keys.namer("surroundings"))
    rows = sorted(store.feedback_rows(), key=lambda row: (row["source"], _address(row), row["finding"]))
    for (source, address), group in groupby(rows, key=lambda row: (row["source"], _address(row))):
        judged = list(group)
        wanted = {row["finding"]: row["harmless"] for row in judged}
        found: set[str] = set()
        document = _read(config, source, address)
        for candidate in _scan(detector, document):
            finding = finding_of(keys, detector.rules.by_id[candidate.rule], candidate)
            if document is not None and finding in wanted:
                places.append(Judged(finding, document, candidate, wanted[finding]))
                found.add(finding)
                read += 1
        for row in judged:
            if row["finding"] in found:
                continue
            rule = detector.rules.by_id.get(row["rule"])
            if row["value"] is None and (rule is None or rule.kind == "exact"):
                left += 1
                continue
            try:
                places.append(Judged(row["finding"], *_stored(row, embedding), row["harmless"]))
            except ValueError:  # a vector of an earlier version: the next crawl replaces it
                left += 1
                continue
            sealed += row["value"] is not None
            made += row["value"] is None
    return Gathered(tuple(places), read, sealed, made, left)


def _address(row: dict[str, Any]) -> str:
    return str(row["uri"]).partition("!/")[0]


def _read(config: Config | None, name: str, uri: str) -> Document | None:
    """The document, if its source is configured and still has it."""
    from unsprawl.plugins import build_source

    entry = config.sources.get(name) if config else None
    if entry is None:
        return None
    try:
        source = build_source(name, entry.type, entry.config)
        document = source.fetch(uri) if isinstance(source, Refetchable) else None
    except Exception:  # noqa: BLE001  # whatever fails costs the text around this place, and not the training
        return None
    return document if isinstance(document, Document) else None


def _scan(detector: Detector, document: Document | None) -> Iterator[Candidate]:
    found: Iterable[object] = detector.scan(document) if document is not None else ()
    try:
        yield from (one for one in found if isinstance(one, Candidate))
    except Exception:  # noqa: BLE001  # what came before a parser gave up is found
        return


def _stored(row: dict[str, Any], embedding: Surroundings) -> tuple[Document, Candidate]:
    """The stored line around the value, or around a stand-in."""
    from unsprawl.models.feedback import stand_in

    preview = str(row["secret"])
    prefix = preview.partition("…")[0]
    secret = row["value"] or Secret(stand_in(embedding.traits(row["vector"]), prefix, row["finding"]), prefix)
    value = secret.reveal()
    before, after = _around(str(row["context"]), preview, row["column"])
    path, _, member = str(row["path"]).partition("!/")
    return Document(uri=_address(row), path=path, body=b""), Candidate(
        rule=row["rule"],
        secret=secret,
        start=len(before),
        end=len(before) + len(value),
        line=row["line"],
        column=row["column"],
        line_end=row["line_end"],
        member=member,
        views=tuple(row["views"]),
        companions={name: Secret(shown) for name, shown in row["companions"].items()},
        before=before,
        text=value,
        after=after,
    )


def _around(context: str, preview: str, column: int) -> tuple[bytes, bytes]:
    """What stands on both sides of the preview; of several, the one nearest to the column."""
    starts = [at for at in range(len(context)) if context.startswith(preview, at)]
    if not starts:
        return context.encode(), b""
    start = min(starts, key=lambda at: abs(at - (column - 1)))
    return context[:start].encode(), context[start + len(preview) :].encode()
