"""Occurrence rows gathered into cases, the way people read them: one secret, and where it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from unsprawl.structs import Struct, field

__all__ = [
    "SEVERITIES",
    "Case",
    "Row",
    "Tally",
    "account",
    "attributes",
    "gather",
    "near",
    "place",
    "surface",
    "tally",
    "urgency",
]

#: One occurrence, with the fields of the interface contract.
Row = Mapping[str, Any]

#: Worst first.
SEVERITIES: Final = ("critical", "high", "medium", "low")
_SETTLED: Final = frozenset({"false_positive", "accepted", "closed"})


class Case(Struct):
    """One finding. ``row`` is its worst sighting, ``places`` the first few rows, ``copies`` counts all."""

    row: Row
    places: list[Row] = field(default_factory=list)
    copies: int = 0
    surfaces: Counter[str] = field(default_factory=Counter)


def urgency(row: Row) -> tuple[float, bool, int, float, str]:
    """Sorts what to act on first to the front: the risky, of those what works, then the severe."""
    severity = SEVERITIES.index(row["severity"])
    return (-(row["risk"] or 0), row["validity"] != "active", severity, -row["confidence"], row["finding"])


def gather(rows: Iterable[Row], places: int) -> list[Case]:
    """Cases, most urgent first, with at most ``places`` rows each: memory follows the findings alone."""
    cases: dict[str, Case] = {}
    for row in rows:
        case = cases.get(row["finding"])
        if case is None:
            case = cases[row["finding"]] = Case(row)
        elif urgency(row) < urgency(case.row):
            case.row = row
        case.copies += 1
        case.surfaces[surface(row)] += 1
        if len(case.places) < places:
            case.places.append(row)
    return sorted(cases.values(), key=lambda case: urgency(case.row))


def surface(row: Row) -> str:
    """The kind of place: ``s3`` of ``s3://bucket/key``; a path without scheme is a file."""
    scheme, separator, _ = row["uri"].partition("://")
    return scheme if separator and scheme else "file"


def place(row: Row) -> str:
    """``path:line``, as editors and terminals understand it. Not escaped."""
    where = row["path"] or row["uri"]
    return f"{where}:{row['line']}" if row["line"] else str(where)


def near(row: Row) -> str:
    """:func:`place` for a terminal: what lies below the folder one stands in is named from there."""
    try:
        here = Path.cwd().as_posix()
    except OSError:  # the folder was deleted
        return place(row)
    return place(row).removeprefix(here.rstrip("/") + "/")


def account(row: Row) -> str:
    """Whose credential it is, as people write it; "" when nothing says so."""
    companions = row["companions"]
    return unquote(str(companions.get("account") or companions.get("user") or ""))


def attributes(row: Row) -> Iterator[tuple[str, Any]]:
    """What the surface knows beyond the place, without what was masked as a whole."""
    return ((name, value) for name, value in row["attrs"].items() if value not in ("", "…", None))


class Tally(Struct, frozen=True):
    """What a set of rows amounts to. Findings are counted once, whatever their copies."""

    findings: int = 0
    occurrences: int = 0
    severity: Mapping[str, int] = field(default_factory=dict)
    validity: Mapping[str, int] = field(default_factory=dict)
    surface: Mapping[str, int] = field(default_factory=dict)
    open_severity: Mapping[str, int] = field(default_factory=dict)
    """Findings by severity that still ask for something: neither settled by a person nor gone."""
    open_active: int = 0

    def counts(self) -> dict[str, Any]:
        """The ``counts`` object of the JSON report."""
        return {
            "findings": self.findings,
            "occurrences": self.occurrences,
            "by_severity": {name: self.severity.get(name, 0) for name in SEVERITIES},
            "by_validity": {name: self.validity.get(name, 0) for name in ("active", "inactive", "unknown")},
            "by_surface": dict(sorted(self.surface.items())),
        }


def tally(rows: Iterable[Row]) -> Tally:
    """Count in one pass."""
    occurrences = 0
    surfaces: Counter[str] = Counter()
    worst: dict[str, int] = {}
    pending: dict[str, int] = {}
    validity: dict[str, str] = {}
    for row in rows:
        occurrences += 1
        surfaces[surface(row)] += 1
        finding, severity = row["finding"], SEVERITIES.index(row["severity"])
        validity[finding] = row["validity"]
        worst[finding] = min(severity, worst.get(finding, severity))
        if row["status"] not in _SETTLED and not row["gone_at"]:
            pending[finding] = min(severity, pending.get(finding, severity))
    return Tally(
        findings=len(worst),
        occurrences=occurrences,
        severity=Counter(SEVERITIES[severity] for severity in worst.values()),
        validity=Counter(validity.values()),
        surface=surfaces,
        open_severity=Counter(SEVERITIES[severity] for severity in pending.values()),
        open_active=sum(validity[finding] == "active" for finding in pending),
    )
