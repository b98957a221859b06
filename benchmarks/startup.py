"""How long it takes to begin: help, and a scan of nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.measure import measure
from benchmarks.tools import Tool, environment

__all__ = ["startup"]


def startup(tools: Sequence[Tool], repeat: int) -> dict[str, dict[str, float]]:
    """Median wall seconds of each tool for ``--help`` and for an empty folder; caches warm."""
    with tempfile.TemporaryDirectory(prefix="unsprawl-bench-") as scratch:
        empty = Path(scratch, "empty")
        empty.mkdir()
        answers: dict[str, dict[str, float]] = {}
        for tool in tools:
            commands = {
                "help": [tool.command[0], "--help"],
                "empty folder": tool.argv(empty, 1, Path(scratch, "report")),
            }
            for name, command in commands.items():
                times = [measure(command, environment()).wall_s for _ in range(repeat + 1)]
                answers.setdefault(name, {})[tool.name] = median(times[1:])
        return answers
