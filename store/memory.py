"""The memory of one ``scan``: a run that ends with the process. It may hold values in clear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unsprawl.records import Batch, Check, Counts, Cursor, Gap, Occurrence, Seen, Status, Validity
from unsprawl.store.coverage import UnitEntry, aggregate, state_after
from unsprawl.store.rows import row
from unsprawl.store.sink import Committed, CoverageRow
from unsprawl.structs import replace

if TYPE_CHECKING:
    from unsprawl.store.sink import Sink

__all__ = ["MemorySink"]


class MemorySink:
    """Implements ``Sink`` without remembering anything of earlier runs."""

    full = True

    def __init__(self) -> None:
        self._started = datetime.now(UTC)
        self._occurrences: dict[tuple[str, str, bytes, int], Occurrence] = {}
        self._findings: set[str] = set()
        self._units: dict[tuple[str, str], UnitEntry] = {}
        self.finished = False

    def finished_units(self, source: str) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def cursor(self, source: str, unit_id: str) -> Cursor | None:  # noqa: ARG002
        return None

    def seen(self, source: str) -> Seen:  # noqa: ARG002
        return _never

    def turns(self, source: str) -> Mapping[str, int]:  # noqa: ARG002
        return {}

    def commit(self, batch: Batch) -> Committed:
        new = {occurrence.finding for occurrence in batch.occurrences} - self._findings
        self._findings |= new
        for it in batch.occurrences:
            self._occurrences[it.finding, it.source, it.document, it.ordinal] = it
        entry = self._entry(
            batch.source, batch.unit.id, batch.unit.title or batch.unit.id, batch.unit.parents
        )
        entry.state = state_after(batch)
        entry.counts += batch.counts
        entry.failure = batch.failure
        entry.gaps += batch.gaps
        return Committed(new=tuple(sorted(new)))

    def note_gap(self, source: str, gap: Gap, parents: Sequence[str] = ()) -> None:
        entry = self._entry(source, f"\x01gap{tuple(parents)!r}", source, tuple(parents))
        entry.state = "gap"
        entry.gaps.append(gap)
        counts = entry.counts
        entry.counts = (
            replace(counts, excluded=counts.excluded + 1)
            if gap.excluded
            else replace(counts, skipped=counts.skipped + 1)
        )

    def source_failed(self, source: str, gap: Gap) -> None:
        entry = self._entry(source, "\x01source", source, ())
        entry.state = "source"
        entry.failure = gap

    def coverage(self) -> list[CoverageRow]:
        return aggregate(self._units.values())

    def totals(self) -> Counts:
        return sum((entry.counts for entry in self._units.values()), Counts())

    def finish(self, *, complete: bool) -> None:  # noqa: ARG002
        self.finished = True

    @property
    def occurrences(self) -> list[Occurrence]:
        """Everything that was found, in the order of its arrival."""
        return list(self._occurrences.values())

    def settle(self, answers: Mapping[str, Check]) -> None:
        """Take what live checks said of findings; what proves nothing leaves the offline verdict."""
        for key, it in self._occurrences.items():
            check = answers.get(it.finding)
            if check is not None and (check.validity is not Validity.UNKNOWN or not it.evidence):
                self._occurrences[key] = replace(it, validity=check.validity, evidence=check.evidence)

    def rows(self, *, show_secrets: bool = False) -> Iterator[dict[str, Any]]:
        """Occurrences as rows of the interface contract, by place: the order of arrival leaves no trace.

        A finding all of whose places are like false positives is one, unless it proves itself or works;
        ``because`` is the id of the false positive that a place is like.
        """
        order = sorted(
            self._occurrences.values(), key=lambda it: (it.path, it.uri, it.start, it.end, it.finding)
        )
        kept = {it.finding for it in order if not it.like or it.proven or it.validity is Validity.ACTIVE}
        for it in order:
            yield row(
                it,
                first_seen=self._started,
                last_seen=self._started,
                status=Status.OPEN if it.finding in kept else Status.FALSE_POSITIVE,
                because=it.like,
                doubted=bool(it.like) and it.proven and it.validity is not Validity.ACTIVE,
                show_secrets=show_secrets,
            )

    def _entry(self, source: str, unit: str, title: str, parents: tuple[str, ...]) -> UnitEntry:
        key = (source, unit)
        if key not in self._units:
            self._units[key] = UnitEntry(source, unit, title, parents, "open")
        return self._units[key]


def _never(_key: str) -> str | None:
    return None


if TYPE_CHECKING:

    def _is_a_sink(sink: MemorySink) -> Sink:
        return sink
