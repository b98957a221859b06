"""What the pipeline writes to: a run in the store, or the memory of one ``scan``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from unsprawl.records import Batch, Counts, Cursor, Gap, Seen
from unsprawl.structs import Struct

__all__ = ["Committed", "Coverage", "CoverageRow", "Sink"]

#: How much of a unit, or of a row of the ledger, was read.
Coverage: TypeAlias = Literal["complete", "partial", "skipped", "failed"]


class Committed(Struct, frozen=True):
    """What one batch changed. ``repeated``: the unit had already got it in this run, nothing was counted.

    ``new`` and ``reopened`` are finding ids, sorted; ``gone`` counts occurrences.
    """

    new: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()
    gone: int = 0
    repeated: bool = False


class CoverageRow(Struct, frozen=True, kw_only=True):
    """One row of the ledger: a channel, a repository, a bucket, or a unit that belongs to none.

    ``skipped`` and ``excluded`` count things, ``read_bytes`` bytes; ``reasons`` are distinct, the commonest
    first. ``gaps`` holds every thing that was not read, failures included.
    """

    source: str
    title: str
    status: Coverage
    units: int = 0
    documents: int = 0
    unchanged: int = 0
    skipped: int = 0
    excluded: int = 0
    read_bytes: int = 0
    reasons: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()


class Sink(Protocol):
    """Where one run's batches go. Texts arrive redacted; used by the coordinator of a job alone.

    ``full``: the run reads everything, whatever was seen before.
    """

    @property
    def full(self) -> bool: ...

    def finished_units(self, source: str) -> frozenset[str]:
        """Ids of the units this run has read to their end, or given up, before it was interrupted."""
        ...

    def cursor(self, source: str, unit_id: str) -> Cursor | None:
        """Where to go on reading a unit; None: from the start."""
        ...

    def seen(self, source: str) -> Seen:
        """The versions under which items were read before this run began. May be called from any thread."""
        ...

    def turns(self, source: str) -> Mapping[str, int]:
        """When each unit was last read by the present rules, to its end or not: later is greater.

        A unit that is not named never was. Asked where a budget may end a source before all had their turn.
        """
        ...

    def commit(self, batch: Batch) -> Committed:
        """Take a batch wholly or, raising ``StoreError``, not at all."""
        ...

    def note_gap(self, source: str, gap: Gap, parents: Sequence[str] = ()) -> None:
        """Record what ``Source.units`` skipped, where no unit exists."""
        ...

    def source_failed(self, source: str, gap: Gap) -> None:
        """Record that a source could not be enumerated, or not to its end."""
        ...

    def coverage(self) -> list[CoverageRow]: ...

    def totals(self) -> Counts:
        """What all units amount to. A unit that counts for several rows of the ledger counts once."""
        ...

    def finish(self, *, complete: bool) -> None:
        """The run came to its end. A run that never gets here is continued by the next."""
        ...
