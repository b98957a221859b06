"""The figures as a person reads them: rich tables on the terminal, the same as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.compare import Figures, ratio
from benchmarks.corpora import Corpus
from benchmarks.costs import Costs
from benchmarks.judging import Judged

__all__ = ["Report"]


#: Rules that the table of costs names.
_DEAREST = 12


class Report:
    """Prints each table as it comes and keeps it for :meth:`markdown`."""

    def __init__(self, machine: Mapping[str, object], jobs: int, repeat: int) -> None:
        self._console = Console(width=None if sys.stdout.isatty() else 120)
        self._head = (
            f"{machine['processor']}, {machine['cores']} cores, kernel {machine['kernel']}, Python "
            f"{machine['python']}; {jobs} jobs, warm cache, medians of {repeat} interleaved runs."
        )
        self._console.print(self._head)
        self._parts = [self._head]

    def scans(self, scans: Sequence[tuple[Corpus, Sequence[Figures]]]) -> None:
        columns = ["corpus", "tool", "wall s", "CPU s", "MB/s", "peak MB", "exit", "findings", "planted"]
        rows = [self._figures(corpus, figure) for corpus, figures in scans for figure in figures]
        self._table("Scans", columns, rows)
        pairs = [(corpus, figures[0], figures[1]) for corpus, figures in scans if len(figures) == 2]
        if pairs:
            columns = ["corpus", "wall", "CPU", "peak memory"]
            title = f"{pairs[0][2].tool} / unsprawl (above 1: unsprawl takes less)"
            self._table(title, columns, [_ratios(*pair) for pair in pairs])

    def startup(self, times: Mapping[str, Mapping[str, float]]) -> None:
        tools = list(next(iter(times.values())))
        rows = [[what, *(f"{by_tool[tool] * 1000:.0f}" for tool in tools)] for what, by_tool in times.items()]
        self._table("Start-up, ms", ["", *tools], rows)

    def costs(self, costs: Costs) -> None:
        title = f"Costs on {costs.corpus}: {costs.documents:,} documents, {costs.document_us:,.0f} µs each"
        steps = [[name, f"{each:.2f}"] for name, each in costs.steps.items()]
        self._table(title, ["step", "CPU ns a byte"], steps)
        whole = [sum(row[1] for row in costs.rules), sum(row[2] for row in costs.rules)]
        rows = [[rule, f"{alone:.0f}", f"{hits:.0f}"] for rule, alone, hits in costs.rules[:_DEAREST]]
        rows.append([f"all {len(costs.rules)} rules", f"{whole[0]:.0f}", f"{whole[1]:.0f}"])
        title = f"Dearest rules on {costs.corpus}, CPU ps a byte"
        self._table(title, ["rule", "its automaton alone", "confirming its hits"], rows)

    def judging(self, judged: Sequence[Judged]) -> None:
        rows = [
            [
                one.corpus,
                f"{one.candidates:,}",
                f"{one.calls:,}",
                f"{one.mean_ms:.3f}",
                f"{one.dearest_ms:.2f}",
            ]
            for one in judged
        ]
        candidates = sum(one.candidates for one in judged)
        if candidates:
            mean = sum(one.mean_ms * one.candidates for one in judged) / candidates
            dearest = max(one.dearest_ms for one in judged)
            calls = sum(one.calls for one in judged)
            rows.append(["all", f"{candidates:,}", f"{calls:,}", f"{mean:.3f}", f"{dearest:.2f}"])
        columns = ["corpus", "candidates", "calls", "mean", "in the dearest call"]
        self._table("Judging, CPU ms a candidate", columns, rows)

    def commits(self, rates: Mapping[str, float]) -> None:
        self._table("Store", ["", "a second"], [[what, f"{rate:,.0f}"] for what, rate in rates.items()])

    def markdown(self) -> str:
        return "\n\n".join(self._parts) + "\n"

    @staticmethod
    def _figures(corpus: Corpus, figure: Figures) -> list[str]:
        return [
            f"{corpus.name} ({corpus.size_bytes / 1e6:.0f} MB)",
            figure.tool,
            _spread(figure.wall_s, figure.median_wall_s),
            _spread(figure.cpu_s, figure.median_cpu_s),
            f"{corpus.size_bytes / 1e6 / figure.median_wall_s:.0f}",
            f"{figure.peak_bytes / 1e6:.0f}",
            str(figure.code),
            f"{figure.findings:,}",
            f"{figure.planted_found}/{figure.planted}",
        ]

    def _table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(title=title, title_justify="left")
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 or column == "tool" else "right")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)
        marks = [
            "---" if number == 0 or column == "tool" else "---:" for number, column in enumerate(columns)
        ]
        lines = [columns, marks, *rows]
        self._parts.append(f"**{title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))


def _spread(values: Sequence[float], middle: float) -> str:
    return f"{middle:.2f} ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else f"{middle:.2f}"


def _ratios(corpus: Corpus, ours: Figures, theirs: Figures) -> list[str]:
    return [
        corpus.name,
        f"{ratio(ours.median_wall_s, theirs.median_wall_s):.2f}",
        f"{ratio(ours.median_cpu_s, theirs.median_cpu_s):.2f}",
        f"{ratio(ours.peak_bytes, theirs.peak_bytes):.2f}",
    ]
