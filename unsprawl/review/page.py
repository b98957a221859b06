"""A review as one self-contained HTML file: plots are drawn into it, it loads nothing and runs nothing.

The style is inlined and admitted by its hash; every text passes two escapes, as in ``report/html.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TextIO

from jinja2 import Environment
from markupsafe import Markup

from unsprawl.report.cases import SEVERITIES
from unsprawl.report.html import finalize, hashed
from unsprawl.report.wording import counted, lasting
from unsprawl.review import charts
from unsprawl.review.charts import Band
from unsprawl.review.gather import Review
from unsprawl.review.sections import facts, sections
from unsprawl.review.series import nightly, stretches
from unsprawl.store.figures import AGES

__all__ = ["write"]

_SOURCES = 10
_STATES = ("complete", "partial", "skipped", "failed")


def write(review: Review, out: TextIO, *, digest: bool) -> None:
    """Write the page."""
    ours = resources.files("unsprawl.review") / "templates"
    shared = resources.files("unsprawl.report") / "templates"
    style = (shared / "report.css").read_text("utf-8") + (ours / "review.css").read_text("utf-8")
    environment = Environment(autoescape=True, finalize=finalize, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((ours / "review.html").read_text("utf-8"))
    made = {section.key: section for section in sections(review, digest=digest)}
    page = template.generate(
        review=review,
        facts=list(facts(review)),
        sections=[made[key] for key in made if key not in {"changes", "changed", "top"}],
        changed=made.get("changed"),
        changes=made["changes"],
        top=made.get("top"),
        cases=review.top,
        charts=_charts(review, digest=digest),
        severities=SEVERITIES,
        policy=f"default-src 'none'; style-src {hashed(style)}; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704  # our own files
    )
    out.writelines(page)


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot with its heading; ``legend`` are classes with their words."""

    title: str
    svg: Markup
    legend: Mapping[str, str]
    note: str = ""


_BY_SEVERITY = {name: name for name in SEVERITIES}


def _charts(review: Review, *, digest: bool) -> list[Chart]:
    """What is worth a plot: nothing is drawn of nothing."""
    it = review.figures
    drawn: list[Chart] = []
    rows = stretches(it)
    if len(rows) > 1:
        length = (rows[0].last - rows[0].first).days + 1
        label = {row.last: f"{row.last:%d %b}" for row in rows}
        if len(label) > 50:
            label = {row.last: f"{row.last:%b %Y}" for row in rows}
        drawn.append(
            Chart(
                "Open exposures",
                charts.areas(
                    "Open exposures over time, by severity",
                    [Band(label[row.last], _mildest_first(row.open)) for row in rows],
                ),
                _BY_SEVERITY,
            )
        )
        drawn.append(
            Chart(
                "New above the line, ended below",
                charts.columns(
                    "New and ended exposures over time",
                    [
                        Band(
                            label[row.last],
                            _mildest_first(row.came),
                            {"ended": sum(row.ended.values())},
                        )
                        for row in rows
                    ],
                ),
                _BY_SEVERITY | {"ended": "ended"},
                "" if length == 1 else f"A column is {'a week' if length == 7 else 'a month'}.",
            )
        )
    sources = sorted(it.open.by_source.items(), key=lambda each: -sum(each[1].values()))[:_SOURCES]
    if sources:
        drawn.append(
            Chart(
                "Where they stand",
                charts.bars(
                    "Open exposures by source and severity",
                    [Band(name, {s: by.get(s, 0) for s in SEVERITIES}) for name, by in sources],
                ),
                _BY_SEVERITY,
                f"The {_SOURCES} sources with the most." if len(it.open.by_source) > _SOURCES else "",
            )
        )
    if it.open.total and not digest:
        drawn.append(
            Chart(
                "How long they have stood in the open",
                charts.bars(
                    "Open exposures by age and severity",
                    [Band(name, {s: it.open.by_age[name].get(s, 0) for s in SEVERITIES}) for name, _ in AGES],
                ),
                _BY_SEVERITY,
            )
        )
    runs = nightly(it.coverage.runs)
    if len(runs) > 1:
        drawn.append(
            Chart(
                "Coverage, run by run",
                charts.columns(
                    "Parts of the units that each run read wholly, in part or not",
                    [
                        Band(
                            f"{run.started_at[8:10]} {_MONTHS[int(run.started_at[5:7]) - 1]}",
                            {name: getattr(run, name) for name in _STATES},
                        )
                        for run in runs
                    ],
                    share=True,
                ),
                {name: name for name in _STATES},
                f"{counted(len(runs), 'run')} of {runs[0].job}.",
            )
        )
    if digest:
        return drawn
    times = [
        (f"{word}, {name}", name, spread.median, spread.p90)
        for word, spreads in (("detected", it.detection), ("ended", it.remediation))
        for name in SEVERITIES
        if (spread := spreads[name]).median is not None and spread.p90 is not None
    ]
    if times:
        drawn.append(
            Chart(
                "Time to detection and to remediation",
                charts.ranges("Median and 90th percentile of times, by severity", times, lasting),
                {},
                "From the median (dot) to the 90th percentile (line).",
            )
        )
    return drawn


def _mildest_first(counts: Mapping[str, int]) -> dict[str, float]:
    """As it is drawn: the worst on top."""
    return {name: counts[name] for name in reversed(SEVERITIES)}


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
