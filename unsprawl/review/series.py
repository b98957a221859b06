"""From days to what a plot can show: a row of equal stretches of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from unsprawl.report.cases import SEVERITIES
from unsprawl.store.figures import Figures
from unsprawl.store.readings import Reading

__all__ = ["Stretch", "nightly", "stretches"]

#: A plot of longer periods shows weeks, of the longest months of 30 days.
_DAILY: Final = 45
_WEEKLY: Final = 2 * 366
#: Runs that a plot shows, one a column.
_COLUMNS: Final = 92


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came and ended from ``first`` to ``last`` (days), and what was open at its end, by severity."""

    first: date
    last: date
    came: Mapping[str, int]
    ended: Mapping[str, int]
    open: Mapping[str, int]


def stretches(figures: Figures) -> list[Stretch]:
    """The period in days, weeks or months; for all time from the first finding on."""
    if not figures.trend:
        return []
    end = date.fromisoformat(figures.until[:10])
    begin = date.fromisoformat((figures.since or figures.trend[0][0])[:10])
    days = (end - begin).days + 1
    step = 1 if days <= _DAILY else 7 if days <= _WEEKLY else 30
    first = end - timedelta(days=step * -(-days // step) - 1)
    standing = dict.fromkeys(SEVERITIES, 0)
    came, ended = dict(standing), dict(standing)
    made: list[Stretch] = []

    def close(last: date) -> None:
        nonlocal came, ended
        made.append(Stretch(last - timedelta(days=step - 1), last, came, ended, dict(standing)))
        came, ended = dict.fromkeys(SEVERITIES, 0), dict.fromkeys(SEVERITIES, 0)

    last = first + timedelta(days=step - 1)
    for day, by_severity in figures.trend:
        moment = date.fromisoformat(day)
        while last < moment and last < end:
            close(last)
            last += timedelta(days=step)
        for name, (new, gone) in by_severity.items():
            standing[name] += new - gone
            if moment >= first:
                came[name] += new
                ended[name] += gone
    while last <= end:
        close(last)
        last += timedelta(days=step)
    return made


def nightly(runs: Sequence[Reading]) -> list[Reading]:
    """Runs of the commonest job whose ledger is there still; of too many the worst of each stretch."""
    kept = [run for run in runs if run.share is not None]
    jobs = [run.job for run in kept]
    job = max(dict.fromkeys(jobs), key=jobs.count, default="")
    chosen = [run for run in kept if run.job == job]
    if len(chosen) <= _COLUMNS:
        return chosen
    every = -(-len(chosen) // _COLUMNS)
    groups = [chosen[at : at + every] for at in range(0, len(chosen), every)]
    return [min(group, key=lambda run: run.share or 0.0) for group in groups]
