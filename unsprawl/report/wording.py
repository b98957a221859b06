"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from unsprawl.report.cases import SEVERITIES

__all__ = ["counted", "lasting", "reread", "severities", "size"]


def size(count: float) -> str:
    """Bytes in decimal units: ``1.2 GB``."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 99.5 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def counted(count: int, noun: str) -> str:
    """``1 finding``, ``2,000 findings``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def severities(counts: Mapping[str, int]) -> str:
    """``2 critical, 5 high``: what occurs, worst first."""
    return ", ".join(f"{counts[name]:,} {name}" for name in SEVERITIES if counts.get(name))


def reread(sources: Iterable[Mapping[str, Any]]) -> str:
    """How much of old text the present rules have read; "" when that is all."""
    rows = list(sources)
    documents, read = sum(row["documents"] for row in rows), sum(row["read"] for row in rows)
    units, whole = sum(row["units"] for row in rows), sum(row["whole"] for row in rows)
    told = [f"{read:,} of {counted(documents, 'document')}"] if read < documents else []
    told += [f"{whole:,} of {counted(units, 'unit')}"] if whole < units else []
    return f"by the present rules {' and '.join(told)}; --rescan goes on" if told else ""


def lasting(seconds: float) -> str:
    """How long, in the largest unit that leaves a number above one: ``40 min``, ``3.5 h``, ``12 days``."""
    for most, unit, length in _LENGTHS:
        if seconds < most:
            number = seconds / length
            shown = f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{number:,.0f}"
            return f"{shown} {unit}"
    return f"{seconds / (365 * 86_400):.1f} years"


_LENGTHS: Final = (
    (60.0, "s", 1.0), (5_400.0, "min", 60.0), (36 * 3_600.0, "h", 3_600.0),
    (730 * 86_400.0, "days", 86_400.0),
)  # fmt: skip
