"""What a review says in words and tables: the same for a page, Markdown, a terminal and a message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from unsprawl.report.cases import SEVERITIES
from unsprawl.report.wording import counted, lasting, size
from unsprawl.review.gather import Review
from unsprawl.store.figures import AGES, CHANGES, Figures, Spread

__all__ = ["WORDS", "Fact", "Section", "facts", "sections", "share"]

#: What may happen to a case, in words.
WORDS: Final[Mapping[str, str]] = {
    "new": "New",
    "reopened": "Reopened",
    "closed": "Closed with proof",
    "gone": "Gone from everywhere",
    "accepted": "Accepted until a date",
    "false_positive": "Called false",
}
_NOTHING: Final = "–"


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure that heads the report; ``kind`` is ``good``, ``bad`` or "" and colours it."""

    name: str
    value: str
    note: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, a sentence that says what is shown, and a table. ``numbers`` are columns of figures."""

    key: str
    title: str
    note: str = ""
    columns: tuple[str, ...] = ()
    lines: Sequence[Sequence[str]] = ()
    numbers: frozenset[int] = frozenset()
    more: int = 0


def share(part: float | None) -> str:
    """A part of a whole; never 100 % for less than all."""
    if part is None:
        return _NOTHING
    percent = part * 100
    return f"{percent:.0f} %" if percent in (0, 100) or 1 <= percent <= 99 else f"{percent:.1f} %"


def facts(review: Review) -> Iterator[Fact]:
    """The figures that people ask for first."""
    it = review.figures
    period = it.since is not None
    drift = it.open.total - it.open.before
    arrow = f"{abs(drift):,} {'more' if drift > 0 else 'fewer'} than before" if drift else "as many as before"
    active = it.open.by_validity.get("active", 0)
    alive = f"{active:,} known to work" if active else "none is known to work"
    yield Fact("Open exposures", f"{it.open.total:,}", f"{arrow}; {alive}" if period else alive)
    yield Fact("New", f"{it.changes['new']:,}", _before(it, "new"))
    yield Fact("Closed with proof", f"{it.changes['closed']:,}", _before(it, "closed"))
    yield Fact("Reopened", f"{it.changes['reopened']:,}", _before(it, "reopened"))
    fresh = it.detection["fresh"]
    found = fresh if fresh.count else it.detection["all"]
    yield Fact("Time to detection", _median(found), _tail(found))
    both = it.remediation["closed"]
    yield Fact("Time to remediation", _median(both), _tail(both))
    judged = it.judged
    note = f"{judged.false_positives:,} of {judged.total:,} judged" if judged.total else "nothing was judged"
    yield Fact("False positives", share(judged.rate), note)
    read = _read(it)
    yield Fact(
        "Read wholly",
        share(read),
        "of all units, the last time",
        "" if read is None else "good" if read == 1 else "bad",
    )


def _read(it: Figures) -> float | None:
    units = sum(row.complete + row.partial + row.skipped + row.failed for row in it.coverage.sources)
    return sum(row.complete for row in it.coverage.sources) / units if units else None


def _before(it: Figures, what: str) -> str:
    return f"{it.changes_before[what]:,} in the period before" if it.changes_before else ""


def _median(spread: Spread) -> str:
    return _NOTHING if spread.median is None else lasting(spread.median)


def _tail(spread: Spread) -> str:
    return "no case to measure" if spread.p90 is None else f"median; 90 % within {lasting(spread.p90)}"


def sections(review: Review, *, digest: bool = False) -> list[Section]:
    """All of it in the order in which it is read; ``digest``: what changed, what is open, what was read."""
    made = [_changes(review), _top(review)]
    if review.figures.since is not None:
        made.insert(1, _changed(review))
    if not digest:
        made += [_by_severity(review), _by_source(review), _by_age(review), _by_owner(review)]
        made += [_times(review), _judged(review)]
    made += [_sources(review)]
    if not digest:
        made += [_runs(review)]
    made += [_unread(review)]
    return [section for section in made if section.lines or section.note]


def _changes(review: Review) -> Section:
    it = review.figures
    columns = ("Change", "Cases", "The period before") if it.changes_before else ("Change", "Cases")
    both = [it.changes, *([it.changes_before] if it.changes_before else [])]
    lines = [[WORDS[what], *(f"{counts[what]:,}" for counts in both)] for what in CHANGES]
    return Section(
        key="changes",
        title="What happened",
        note=_period(it),
        columns=columns,
        lines=lines,
        numbers=frozenset({1, 2}),
    )


def _period(it: Figures) -> str:
    if it.since is None:
        return f"Everything until {_minute(it.until)} UTC; the first crawl was on {_day(it.began)}."
    return f"From {_minute(it.since)} to {_minute(it.until)} UTC."


def _changed(review: Review) -> Section:
    it = review.figures
    lines = [
        (
            WORDS[change.what],
            _minute(change.at),
            change.severity,
            f"{change.name} {change.secret}",
            ", ".join(change.sources),
            change.finding[:12],
            change.why,
        )
        for change in it.changed
    ]
    total = sum(it.changes[what] for what in CHANGES if what != "false_positive")
    return Section(
        key="changed",
        title="Case by case",
        note="" if lines else "Nothing changed.",
        columns=("What", "When", "Severity", "Secret", "Sources", "Finding", "Why"),
        lines=lines,
        more=max(0, total - len(lines)),
    )


def _top(review: Review) -> Section:
    lines = [
        (
            str(case.risk),
            case.severity,
            f"{case.name} {case.secret}",
            case.where,
            f"{case.places:,}",
            case.validity if case.validity != "unknown" else _NOTHING,
            case.owner or _NOTHING,
            _day(case.first_seen),
            case.next,
            case.command,
        )
        for case in review.top
    ]
    standing = review.figures.open.total
    gone = review.figures.open.gone
    more = "" if not gone else (
        f" Besides, {counted(gone, 'case')} stand{'s' if gone == 1 else ''} nowhere any more, and nothing"
        " proves that the secret is dead: `unsprawl verify` asks."
    )  # fmt: skip
    return Section(
        key="top",
        title="Open, by risk",
        note=f"{counted(standing, 'exposure')} {'is' if standing == 1 else 'are'} open.{more}",
        columns=(
            *("Risk", "Severity", "Secret", "Where", "Places", "Validity", "Owner", "Since"),
            *("Next step", "All steps"),
        ),
        lines=lines,
        numbers=frozenset({0, 4}),
        more=max(0, standing - len(lines)),
    )


def _by_severity(review: Review) -> Section:
    it = review.figures.open
    lines = [
        (name, f"{it.by_severity[name]:,}", _median(it.ages[name]), _p90(it.ages[name]))
        for name in SEVERITIES
    ]
    others = [f"{count:,} {name}" for name, count in it.by_validity.items() if count]
    readers = [f"{count:,} {name}" for name, count in it.by_audience.items()]
    note = f"Validity: {', '.join(others) or 'none'}. Who can read them: {', '.join(readers) or 'nobody'}."
    return Section(
        key="severity",
        title="Exposures by severity",
        note=note,
        columns=("Severity", "Open", "Open for, median", "90 % for less than"),
        lines=lines,
        numbers=frozenset({1, 2, 3}),
    )


def _by_source(review: Review) -> Section:
    it = review.figures
    detected = it.detection_by_source
    names = sorted({*it.open.by_source, *detected}, key=lambda name: (-_sum(it.open.by_source, name), name))
    lines = [
        (
            name,
            *(_count(it.open.by_source.get(name, {}), severity) for severity in SEVERITIES),
            f"{_sum(it.open.by_source, name):,}",
            _median(detected.get(name, Spread())),
            _p90(detected.get(name, Spread())),
        )
        for name in names
    ]
    return Section(
        key="source",
        title="Exposures by source",
        note="A case that stands in several sources counts in each.",
        columns=("Source", *map(str.capitalize, SEVERITIES), "All", "Detected after, median", "90 % within"),
        lines=lines,
        numbers=frozenset(range(1, 8)),
    )


def _sum(by: Mapping[str, Mapping[str, int]], name: str) -> int:
    return sum(by.get(name, {}).values())


def _count(by: Mapping[str, int], name: str) -> str:
    return f"{by[name]:,}" if by.get(name) else _NOTHING


def _by_age(review: Review) -> Section:
    it = review.figures.open
    lines = [
        (name, *(_count(it.by_age[name], severity) for severity in SEVERITIES), f"{_sum(it.by_age, name):,}")
        for name, _ in AGES
        if it.by_age[name]
    ]
    return Section(
        key="age",
        title="Exposures by age",
        note="Since when they stand in the open: since they were written, as far as the surface tells,"
        " else since they were first seen.",
        columns=("Age", *map(str.capitalize, SEVERITIES), "All"),
        lines=lines,
        numbers=frozenset(range(1, 6)),
    )


def _by_owner(review: Review) -> Section:
    owners = review.figures.open.by_owner
    lines = [] if set(owners) <= {""} else [(name or "nobody yet", f"{n:,}") for name, n in owners.items()]
    return Section(
        key="owner",
        title="Exposures by owner",
        columns=("Owner", "Open"),
        lines=lines,
        numbers=frozenset({1}),
    )


def _times(review: Review) -> Section:
    it = review.figures
    rows = [
        ("Written to first seen", it.detection["all"]),
        ("of those written since their source was first read", it.detection["fresh"]),
        *((f"of those that are {name}", it.detection[name]) for name in SEVERITIES),
        ("First seen to closed with proof", it.remediation["closed"]),
        ("First seen to gone, not proven dead", it.remediation["gone"]),
        *((f"closed or gone, {name}", it.remediation[name]) for name in SEVERITIES),
    ]
    return Section(
        key="times",
        title="Time to detection and to remediation",
        note="Detection: of cases first seen in the period whose text tells when it was written. Remediation:"
        " of cases that ended in the period. A text that was edited since may be older than it says.",
        columns=("From … to", "Cases", "Median", "90 % within"),
        lines=[(name, f"{one.count:,}", _median(one), _p90(one)) for name, one in rows if one.count],
        numbers=frozenset({1, 2, 3}),
    )


def _p90(spread: Spread) -> str:
    return _NOTHING if spread.p90 is None else lasting(spread.p90)


def _judged(review: Review) -> Section:
    it = review.figures.judged
    note = (
        f"People judged {counted(it.total, 'case')}, and called {it.false_positives:,} of them false"
        f" ({share(it.rate)})." if it.total else "Nobody judged a case in this period."
    )  # fmt: skip
    if it.silenced:
        note += f" {counted(it.silenced, 'case')} more are silent, for they are like a false positive."
    lines = [(rule, f"{judged:,}", f"{wrong:,}", share(wrong / judged)) for rule, judged, wrong in it.by_rule]
    return Section(
        key="judged",
        title="False positives",
        note=note,
        columns=("Rule", "Judged", "False", "Rate"),
        lines=lines,
        numbers=frozenset({1, 2, 3}),
    )


def _sources(review: Review) -> Section:
    it = review.figures.coverage
    lines = [
        (
            row.source, _minute(row.at), share(row.share), f"{row.complete:,}", f"{row.partial:,}",
            f"{row.skipped:,}", f"{row.failed:,}", f"{row.documents:,}", f"{row.unchanged:,}",
            size(row.read_bytes),
        )
        for row in it.sources
    ]  # fmt: skip
    return Section(
        key="coverage",
        title="Coverage",
        note="How much of each source was read by the last run that came to it; what was unchanged counts as"
        " read." if lines else "No run has left a ledger.",
        columns=(
            *("Source", "Last read", "Wholly", "Complete", "Partial", "Skipped", "Failed", "Documents"),
            *("Unchanged", "Bytes"),
        ),
        lines=lines,
        numbers=frozenset(range(2, 10)),
    )  # fmt: skip


def _runs(review: Review) -> Section:
    runs = review.figures.coverage.runs
    lines = [
        (
            _minute(run.started_at), run.job, run.status, share(run.share), f"{run.documents:,}",
            f"{run.unchanged:,}", f"{run.new:,}", f"{run.reopened:,}", f"{run.gone:,}",
        )
        for run in runs[: -_RUNS - 1 : -1]
    ]  # fmt: skip
    return Section(
        key="runs",
        title="Runs",
        columns=("Began", "Job", "Ended", "Wholly", "Documents", "Unchanged", "New", "Reopened", "Gone"),
        lines=lines,
        numbers=frozenset(range(3, 9)),
        more=max(0, len(runs) - len(lines)),
    )


_RUNS: Final = 14


def _unread(review: Review) -> Section:
    it = review.figures.coverage
    lines = [(one.source, f"{one.count:,}", one.reason, one.hint, one.example) for one in it.unread]
    note = "" if lines else "Everything that was to be read was read." if it.sources else ""
    if it.excluded:
        note = f"{note} {counted(it.excluded, 'place')} left out by configuration, or accepted as a gap."
    return Section(
        key="unread",
        title="What could not be read, and why",
        note=note.strip(),
        columns=("Source", "Places", "Why", "What to do", "For example"),
        lines=lines,
        numbers=frozenset({1}),
    )


def _day(moment: str | None) -> str:
    return moment[:10] if moment else _NOTHING


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
