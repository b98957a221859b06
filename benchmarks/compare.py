"""Two tools over one corpus, in turn, so that a machine whose speed drifts is unfair to neither."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.corpora import Corpus
from benchmarks.measure import Run, measure
from benchmarks.tools import Tool, environment

__all__ = ["Figures", "compare", "ratio"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one tool took for one corpus: the single runs and what its report held."""

    tool: str
    version: str
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    peak_bytes: int
    code: int
    findings: int
    planted: int
    planted_found: int

    @property
    def median_wall_s(self) -> float:
        return median(self.wall_s)

    @property
    def median_cpu_s(self) -> float:
        return median(self.cpu_s)


def compare(corpus: Corpus, tools: list[Tool], *, jobs: int, repeat: int) -> list[Figures]:
    """A warm-up each (page cache, compiled rules), then the counted runs in turn, then one for memory."""
    with tempfile.TemporaryDirectory(prefix="unsprawl-bench-") as scratch:
        reports = {tool.name: Path(scratch, f"{tool.name}.jsonl") for tool in tools}
        runs: dict[str, list[Run]] = {tool.name: [] for tool in tools}

        def once(tool: Tool, *, memory: bool = False) -> Run:
            report = reports[tool.name]
            report.unlink(missing_ok=True)
            run = measure(tool.argv(corpus.path, jobs, report), environment(), memory=memory)
            if run.code not in tool.codes:
                print(run.stderr, file=sys.stderr)
                raise SystemExit(f"{tool.name} ended with exit code {run.code} on {corpus.name}")
            return run

        for tool in tools:
            once(tool)
        for turn in range(repeat):
            for tool in tools if turn % 2 == 0 else reversed(tools):
                runs[tool.name].append(once(tool))
        peaks = {tool.name: once(tool, memory=True) for tool in tools}
        return [
            _figures(tool, corpus, runs[tool.name], peaks[tool.name], reports[tool.name]) for tool in tools
        ]


def _figures(tool: Tool, corpus: Corpus, runs: list[Run], memory: Run, report: Path) -> Figures:
    prefix = f"{corpus.path}/"
    places = [(path.removeprefix(prefix), line) for path, line in tool.places(report)]
    found = {(place.path, place.line) for place in corpus.places} & set(places)
    return Figures(
        tool.name,
        tool.version,
        tuple(run.wall_s for run in runs),
        tuple(run.cpu_s for run in runs),
        memory.peak_bytes or 0,
        memory.code,
        len(places),
        len(corpus.places),
        len(found),
    )


def ratio(ours: float, theirs: float) -> float:
    """Above 1: we take less."""
    return theirs / ours if ours else float("inf")
