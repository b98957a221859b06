"""From units to the rows of the ledger: what was read, what was not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from unsprawl.records import Batch, Counts, Gap
from unsprawl.store.sink import Coverage, CoverageRow
from unsprawl.structs import Struct, field

__all__ = ["State", "UnitEntry", "aggregate", "state_after", "status"]

#: ``open``: begun, not at its end. ``stopped``: given up because its source stopped; a resumed run tries
#: it again. ``gap``: no unit, the place of what ``Source.units`` skipped. ``source``: the listing failed.
#: ``canary`` and ``missed``: no units either, what was planted and met, or not.
State: TypeAlias = Literal["open", "done", "failed", "stopped", "gap", "source", "canary", "missed"]

_UNITS: Final = frozenset({"open", "done", "failed", "stopped"})
_REASONS_SHOWN: Final = 8


class UnitEntry(Struct):
    """What the ledger knows of one unit in one run."""

    source: str
    unit: str
    title: str
    parents: tuple[str, ...]
    state: State
    counts: Counts = Counts()
    failure: Gap | None = None
    gaps: list[Gap] = field(default_factory=list)


def state_after(batch: Batch) -> State:
    """Where a batch leaves its unit."""
    if batch.failure is None:
        return "done" if batch.done else "open"
    # The failure of a unit's own reading names the unit; that of another one, or of the listing, has
    # stopped the source before this unit had its turn.
    unit = batch.unit.id
    own = batch.failure.uri in (unit, unit.rpartition("#")[0])
    return "stopped" if batch.fatal or not own else "failed"


def status(entry: UnitEntry) -> Coverage:
    """How much of one unit was read."""
    missing = any(not gap.excluded for gap in entry.gaps)
    if entry.state == "gap":
        return "skipped" if missing else "complete"
    if entry.state in ("source", "missed"):
        return "failed"
    anything = entry.counts.documents + entry.counts.unchanged > 0
    if entry.failure is not None and not entry.failure.excluded:
        if anything:
            return "partial"
        never_reached = entry.state == "stopped" and entry.failure.uri not in (
            entry.unit,
            entry.unit.rpartition("#")[0],
        )
        return "skipped" if never_reached else "failed"
    if entry.state == "open" or missing:
        return "partial"
    return "complete"


def aggregate(entries: Iterable[UnitEntry]) -> list[CoverageRow]:
    """The ledger's rows, by source and title. A unit counts for each of its parents, or for itself."""
    groups: dict[tuple[str, str, str], list[UnitEntry]] = {}
    for entry in entries:
        own = "" if entry.state in ("gap", "source") else entry.unit
        for title, unit in [(parent, "") for parent in entry.parents] or [(entry.title, own)]:
            groups.setdefault((entry.source, title, unit), []).append(entry)
    return [_row(source, title, groups[source, title, unit]) for source, title, unit in sorted(groups)]


def _row(source: str, title: str, entries: list[UnitEntry]) -> CoverageRow:
    total = sum((entry.counts for entry in entries), Counts())
    gaps = [gap for entry in entries for gap in entry.gaps]
    gaps += [entry.failure for entry in entries if entry.failure is not None]
    gaps.sort(key=lambda gap: (gap.excluded, gap.uri, gap.reason, gap.hint))
    return CoverageRow(
        source=source,
        title=title,
        status=_joined([status(entry) for entry in entries]),
        units=sum(entry.state in _UNITS for entry in entries),
        documents=total.documents,
        unchanged=total.unchanged,
        skipped=total.skipped,
        excluded=total.excluded,
        read_bytes=total.read_bytes,
        reasons=_reasons(gaps),
        gaps=tuple(dict.fromkeys(gaps)),
    )


def _joined(statuses: list[Coverage]) -> Coverage:
    kinds = set(statuses)
    if len(kinds) == 1:
        return statuses[0]
    return "failed" if kinds == {"failed", "skipped"} else "partial"


def _reasons(gaps: list[Gap]) -> tuple[str, ...]:
    counted = Counter(gap.reason for gap in gaps)
    order = sorted(counted, key=lambda reason: (-counted[reason], reason))
    if len(order) <= _REASONS_SHOWN:
        return tuple(order)
    return (*order[: _REASONS_SHOWN - 1], f"and {len(order) - _REASONS_SHOWN + 1} other reasons")
