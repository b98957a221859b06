"""A store with a history: weeks of nightly runs, in which cases come, end, come back and are judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from batches import DETECTION, KEYS, batch, occurrence

from unsprawl.records import Audience, Check, Gap, Occurrence, Severity, Status, Unit, Validity
from unsprawl.store.findings import Store
from unsprawl.store.triage import Decision
from unsprawl.structs import replace

__all__ = ["NOW", "Nights", "nights", "quarter"]

#: When the history is looked at.
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


@dataclass(slots=True)
class Nights:
    """A store whose clock is set by hand."""

    store: Store
    now: datetime

    def night(self, day: datetime, sources: dict[str, Any], *, job: str = "crawl") -> None:
        """One run: for each source its documents with what stands in them, and what could not be read."""
        self.now = day
        run = self.store.begin(job, "nightly.yaml", DETECTION)
        complete = True
        for source, (documents, gaps) in sources.items():
            if isinstance(gaps, str):
                run.source_failed(source, Gap(source, gaps, "look at the address", excluded=False))
                complete = False
                continue
            given = {name: [replace(it, source=source) for it in found] for name, found in documents.items()}
            made = batch(Unit(f"{source}/all", source), given, gaps=gaps)
            run.commit(replace(made, source=source))
            complete &= not gaps
        self.now = day + timedelta(minutes=7)
        run.finish(complete=complete)

    def dead(self, finding: str, day: datetime) -> None:
        """A live check says that it no longer works."""
        self.now = day
        check = Check(Validity.INACTIVE, "the provider refuses it", "", day)
        self.store.note_check(finding, check, "ann")

    def judge(self, finding: str, status: Status, day: datetime, reason: str = "looked at it") -> None:
        self.now = day
        until = (day + timedelta(days=365)).date() if status is Status.ACCEPTED else None
        self.store.decide([finding], Decision(status=status, reason=reason, author="ann", until=until))


@contextmanager
def nights(path: Path, now: datetime = NOW) -> Iterator[Nights]:
    """An empty one."""
    with Store.open(path, KEYS, clock=lambda: made.now) as store:
        made = Nights(store, now)
        yield made


def sighting(number: int, document: str, written: datetime | None, **changes: Any) -> Occurrence:
    """A sighting of case ``number``; severities, titles and people take turns."""
    severities = (Severity.CRITICAL, Severity.HIGH, Severity.HIGH, Severity.MEDIUM, Severity.LOW)
    titles = ("AWS access key", "GitHub token", "Slack bot token", "Database password", "Generic key")
    rules = ("aws.access-key", "github.personal-token", "slack.bot-token", "generic.password", "generic.key")
    which = number % 5
    given: dict[str, Any] = {
        "severity": severities[which],
        "title": titles[which],
        "rule": rules[which],
        "secret": f"…{number:04d}",
        "modified_at": written,
        "author": ("ann", "bob", "eve")[number % 3],
        "audience": (Audience.ORGANISATION, Audience.RESTRICTED, Audience.PUBLIC)[number % 3],
        "confidence": 0.5 + (number % 50) / 100,
    }
    return occurrence(number, document, **given | changes)


def quarter(path: Path) -> None:
    """Thirteen weeks: a first crawl with much that is old, then a few cases a week, most of them ended."""
    sources = ("chat", "wiki", "tracker", "images", "buckets")
    start = NOW - timedelta(days=90)
    with nights(path, start) as made:
        standing: dict[int, tuple[str, str, datetime]] = {
            number: (sources[number % 5], f"d{number}", start - timedelta(days=3 + 11 * (number % 40)))
            for number in range(1, 61)
        }
        late = 61
        for day in range(90):
            today = start + timedelta(days=day)
            if day:
                for _ in range((2, 0, 1, 0, 3, 0, 0)[day % 7]):
                    written = today - timedelta(hours=2 + 9 * (late % 7))
                    standing[late] = (sources[late * 3 % 5], f"d{late}", written)
                    late += 1
            if day % 2:
                for number in [n for n in standing if n % 7 != 0][: 2 if day > 20 else 1]:
                    made.dead(f"{number:012x}", today - timedelta(hours=3))
                    del standing[number]
            if day in {50, 71}:
                standing[13 if day == 50 else 26] = ("chat", "d13", today - timedelta(hours=4))
            read: dict[str, Any] = {}
            for source in sources:
                documents: dict[str, list[Occurrence]] = {f"d{n}": [] for n in range(1, late)}
                for number, (place, document, written) in standing.items():
                    if place == source:
                        documents[document] = [*documents[document], sighting(number, document, written)]
                gaps: Any = ()
                if source == "wiki" and 30 <= day < 45:
                    gaps = (Gap("wiki/HR", "no permission (403)", "add the account to the space", False),)
                if source == "images" and day in {60, 61}:
                    gaps = "the registry cannot be reached"
                if source == "buckets" and day > 80:
                    gaps = tuple(
                        Gap(
                            f"s3://cold/{n}", "archived storage class", "restore it, or accept the gap", False
                        )
                        for n in range(4)
                    )
                read[source] = (documents, gaps)
            made.night(today, read)
            if day % 9 == 4:
                open_ones = sorted(standing)
                made.judge(f"{open_ones[day % len(open_ones)]:012x}", Status.ACKNOWLEDGED, today)
                made.judge(f"{open_ones[-1]:012x}", Status.FALSE_POSITIVE, today, "an example")
        oldest = f"{min(standing):012x}"
        made.judge(oldest, Status.ACCEPTED, NOW - timedelta(days=2), "ends with the move")
