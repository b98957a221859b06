"""A review of a period: the figures of the store, and the next step of each case that matters most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from unsprawl.store.figures import Figures
from unsprawl.store.findings import Filter, Store
from unsprawl.store.playbook import Step, compose

if TYPE_CHECKING:
    from unsprawl.report.export import RuleNote

__all__ = ["Case", "Review", "gather", "record"]

#: Places of one case that its next step is chosen by.
_PLACES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An open case as a review tells it. ``next`` is what to do now, in words; ``command`` shows the rest."""

    finding: str
    name: str
    secret: str
    severity: str
    risk: int
    validity: str
    status: str
    owner: str
    first_seen: str
    places: int
    sources: tuple[str, ...]
    where: str
    next: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """``title`` names the period, ``made_at`` is when it was made (ISO 8601, UTC)."""

    title: str
    made_at: str
    figures: Figures
    top: tuple[Case, ...]
    version: str = ""


def gather(
    store: Store,
    rules: Mapping[str, RuleNote],
    *,
    title: str,
    since: datetime | None,
    until: datetime,
    most: int,
    version: str = "",
) -> Review:
    """Read the store. ``most`` cases are named of each kind."""
    figures = store.figures(since, until, most=most)
    return Review(
        title=title,
        made_at=until_minute(datetime.now(UTC)),
        figures=figures,
        top=tuple(_case(store, rules, short) for short in figures.top),
        version=version,
    )


def until_minute(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="minutes").removesuffix("+00:00") + "Z"


def record(review: Review) -> dict[str, Any]:
    """The JSON report. Durations are seconds, times ISO 8601 in UTC."""
    figures = asdict(review.figures)
    figures["judged"]["rate"] = review.figures.judged.rate
    figures["judged"]["by_rule"] = [
        {"rule": rule, "judged": judged, "false_positives": wrong}
        for rule, judged, wrong in review.figures.judged.by_rule
    ]
    figures["trend"] = [
        {"day": day, "by_severity": {name: {"new": c, "ended": e} for name, (c, e) in by.items()}}
        for day, by in review.figures.trend
    ]
    for name in ("runs", "sources"):
        for it, row in zip(figures["coverage"][name], getattr(review.figures.coverage, name), strict=True):
            it["share"] = row.share
    del figures["top"]
    return {
        "version": review.version,
        "title": review.title,
        "made_at": review.made_at,
        **figures,
        "top": [asdict(case) for case in review.top],
    }


def _case(store: Store, rules: Mapping[str, RuleNote], short: Mapping[str, Any]) -> Case:
    rows = []
    for row in store.rows(Filter(finding=short["finding"])):
        rows.append(row)
        if len(rows) == _PLACES:
            break
    worst = max(rows, key=lambda row: row["risk"])
    surfaces = {place.source: place.surface for place in store.places(short["finding"])}
    rule = rules.get(short["rule"])
    steps = compose(short, rows, surfaces, rule.remediation if rule else ()).steps
    return Case(
        finding=short["finding"],
        name=short["name"],
        secret=short["secret"],
        severity=short["severity"],
        risk=int(short["risk"]),
        validity=short["validity"],
        status=str(short["status"]),
        owner=short["owner"] or "",
        first_seen=short["first_seen"],
        places=int(short["live"]),
        sources=tuple(short["sources"]),
        where=f"{worst['path'] or worst['uri']}:{worst['line']}" if worst["line"] else str(worst["uri"]),
        next=_next(short, steps),
        command=f"unsprawl playbook {short['finding'][:12]}",
    )


def _next(short: Mapping[str, Any], steps: tuple[Step, ...]) -> str:
    """What is dead, or was replaced, is cleaned up; everything else is contained first."""
    dead = short["validity"] == "inactive" or short["status"] == "rotated"
    wanted = ("clean", "prove") if dead else ("contain", "rotate")
    chosen = next((step for kind in wanted for step in steps if step.kind == kind), None)
    return chosen.text if chosen else ""
