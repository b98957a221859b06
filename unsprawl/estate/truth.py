"""Comparing what was found with what was planted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unsprawl.estate.planted import GAPS, PLANTED, Planted
from unsprawl.secret import Keys, Secret

__all__ = ["finding_of", "misses"]


def misses(rows: Sequence[Mapping[str, Any]], ledger: Sequence[Mapping[str, Any]], keys: Keys) -> list[str]:
    """What is planted and was not reported, one line each. Empty: everything was found.

    ``rows`` are occurrences and ``ledger`` rows of the coverage, both as JSON lines give them.
    """
    lines: list[str] = []
    for planted in PLANTED:
        own = _of(planted, rows, keys)
        cases = {row["finding"] for row in own}
        if len(cases) != planted.cases:
            lines.append(f"{planted.name}: {len(cases)} findings instead of {planted.cases}")
        for sighting in planted.sightings:
            here = [row for row in own if row["source"] == sighting.source and sighting.path in row["path"]]
            if not here:
                lines.append(f"{planted.name}: not seen in {sighting.source} at {sighting.path}")
            elif sighting.attr and not any(sighting.attr in row["attrs"] for row in here):
                lines.append(f"{planted.name}: seen in {sighting.path}, but without {sighting.attr}")
    untold = [gap.uri for gap in GAPS if not _told(ledger, gap.source, gap.uri, gap.excluded)]
    return lines + [f"the ledger does not say that {uri} was not read" for uri in untold]


def finding_of(planted: Planted, rows: Iterable[Mapping[str, Any]], keys: Keys) -> str:
    """The id of the (first) finding of what was planted, "" when there is none."""
    return next((str(row["finding"]) for row in _of(planted, rows, keys)), "")


def _of(planted: Planted, rows: Iterable[Mapping[str, Any]], keys: Keys) -> list[Mapping[str, Any]]:
    fingerprint = keys.fingerprint(Secret(planted.value))
    return [row for row in rows if row["fingerprint"] == fingerprint]


def _told(ledger: Iterable[Mapping[str, Any]], source: str, uri: str, excluded: bool) -> bool:
    return any(
        gap["uri"].startswith(uri) and gap["excluded"] is excluded
        for row in ledger
        if row["source"] == source
        for gap in row["gaps"]
    )
