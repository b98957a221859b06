"""Findings and coverage in the formats that people and programs read.

Rows are streamed: csv, jsonl, json and sarif hold one row at a time, whatever the size of the store;
table, markdown and html hold one entry a finding. Values are what the rows carry: redacted, unless
whoever made them was asked for the values.
"""

from __future__ import annotations

import csv
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from unsprawl.errors import ConfigError
from unsprawl.records import Gap
from unsprawl.report import escape
from unsprawl.report.cases import Row, Tally, gather, place, tally
from unsprawl.report.wording import counted, severities
from unsprawl.store.rows import FIELDS
from unsprawl.store.sink import CoverageRow
from unsprawl.structs import Struct, field

if TYPE_CHECKING:
    from unsprawl.store.playbook import Playbook

__all__ = [
    "FORMATS",
    "Report",
    "RuleNote",
    "Section",
    "check_output",
    "coverage_record",
    "destination",
    "write",
]

FORMATS: Final = ("table", "json", "jsonl", "sarif", "csv", "markdown", "html", "ocsf", "defectdojo")


class RuleNote(Protocol):
    """What a report says about a rule. ``detectors.rules.Rule`` is one."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def remediation(self) -> Sequence[str]: ...


class Section(Struct, frozen=True):
    """A table below the findings, for people; programs find the same among the ``facts``."""

    title: str
    columns: tuple[str, ...]
    lines: Sequence[Sequence[str]]
    more: int = 0
    """Lines that were left out."""


class Report(Struct, frozen=True, kw_only=True):
    """All that a format may show. ``rows`` starts afresh at each call: some formats read them twice.

    ``facts`` are further fields of the JSON head (run, exit code, new, gone, seconds).
    """

    title: str
    rows: Callable[[], Iterable[Row]]
    coverage: Sequence[CoverageRow] = ()
    complete: bool = True
    rules: Mapping[str, RuleNote] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    sections: Sequence[Section] = ()
    playbooks: Mapping[str, Playbook] = field(default_factory=dict)
    """By fingerprint, where more is known than the rule's steps."""

    def tally(self) -> Tally:
        """Counts over all rows."""
        return tally(self.rows())

    def gaps(self) -> list[tuple[str, Gap]]:
        """Source and gap, each once: a layer that several repositories share stands in all their rows."""
        return list(dict.fromkeys((row.source, gap) for row in self.coverage for gap in row.gaps))


def write(report: Report, format: str, out: TextIO) -> None:
    """Write the whole report in one of :data:`FORMATS`."""
    if format == "jsonl":
        out.writelines(escape.json_line(row) + "\n" for row in report.rows())
    elif format == "json":
        _json(report, out)
    elif format == "csv":
        _csv(report, out)
    elif format == "markdown":
        _markdown(report, out)
    elif format == "sarif":
        from unsprawl.report import sarif

        sarif.write(report, out)
    elif format == "ocsf":
        from unsprawl.report import ocsf

        ocsf.write(report, out)
    elif format == "defectdojo":
        from unsprawl.report import defectdojo

        defectdojo.write(report, out)
    elif format == "html":
        from unsprawl.report import html

        html.write(report, out)
    elif format == "table":
        from unsprawl.report import tables

        tables.findings(report, out)
    else:
        raise ConfigError(f"no format {format!r}", hint=f"choose one of {', '.join(FORMATS)}")


def coverage_record(row: CoverageRow) -> dict[str, Any]:
    """A ledger row as plain values, for JSON and CSV."""
    return {
        "source": row.source,
        "title": row.title,
        "status": str(row.status),
        "units": row.units,
        "documents": row.documents,
        "unchanged": row.unchanged,
        "skipped": row.skipped,
        "excluded": row.excluded,
        "read_bytes": row.read_bytes,
        "reasons": list(row.reasons),
        "gaps": [
            {"uri": gap.uri, "reason": gap.reason, "hint": gap.hint, "excluded": gap.excluded}
            for gap in row.gaps
        ],
    }


def _json(report: Report, out: TextIO) -> None:
    head = {"version": report.version, "title": report.title, "complete": report.complete, **report.facts}
    head["counts"] = report.tally().counts()
    out.write("{\n")
    out.writelines(f" {escape.json_line(name)}: {escape.json_line(value)},\n" for name, value in head.items())
    _array(out, "coverage", (coverage_record(row) for row in report.coverage))
    out.write(",\n")
    _array(out, "findings", report.rows())
    out.write("\n}\n")


def _array(out: TextIO, name: str, values: Iterable[object]) -> None:
    out.write(f' "{name}": [')
    separator = "\n  "
    for value in values:
        out.write(separator + escape.json_line(value))
        separator = ",\n  "
    out.write("]" if separator == "\n  " else "\n ]")


def _csv(report: Report, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in report.rows():
        writer.writerow([escape.cell(row.get(name)) for name in FIELDS])


_MARKDOWN_PLACES: Final = 3


def _markdown(report: Report, out: TextIO) -> None:
    text = escape.markdown
    counts = report.tally()
    worst = severities(counts.severity)
    out.write(f"# {text(report.title)}\n\n")
    out.write(f"{counted(counts.findings, 'finding')}{f' ({worst})' if worst else ''}, ")
    out.write(f"{counted(counts.occurrences, 'occurrence')}. ")
    out.write("Coverage is complete.\n" if report.complete else "**Coverage is incomplete**, see below.\n")
    if report.facts.get("audit_anchor"):
        out.write(f"\nAudit log: {text(str(report.facts['audit_anchor']))}\n")
    if counts.findings:
        out.write(
            "\n## Findings\n\n| Severity | Finding | Rule | Secret | Where | Copies | Validity | Status |\n"
        )
        out.write("|---|---|---|---|---|--:|---|---|\n")
        for case in gather(report.rows(), _MARKDOWN_PLACES):
            row = case.row
            where = "<br>".join(text(place(p)) for p in case.places)
            if case.copies > len(case.places):
                where += f"<br>and {case.copies - len(case.places)} more"
            cells = (row["severity"], row["finding"], row["rule"], row["secret"])
            out.write("| " + " | ".join(text(str(c)) for c in cells))
            out.write(f" | {where} | {case.copies} | {text(row['validity'])} | {text(row['status'])} |\n")
    for section in report.sections:
        out.write(f"\n## {text(section.title)}\n\n| {' | '.join(section.columns)} |\n")
        out.write(f"|{'---|' * len(section.columns)}\n")
        out.writelines(f"| {' | '.join(text(cell) for cell in line)} |\n" for line in section.lines)
        if section.more:
            out.write(f"\nand {section.more:,} more\n")
    if report.coverage:
        out.write("\n## Coverage\n\n| Source | What | Status | Read | Unchanged | Skipped | Excluded |\n")
        out.write("|---|---|---|--:|--:|--:|--:|\n")
        for line in report.coverage:
            numbers = (line.documents, line.unchanged, line.skipped, line.excluded)
            names = (line.source, line.title, str(line.status))
            out.write("| " + " | ".join([*(text(n) for n in names), *(str(n) for n in numbers)]) + " |\n")
    gaps = [(source, gap) for source, gap in report.gaps() if not gap.excluded]
    if gaps:
        out.write("\n## Not read\n\n")
        for source, gap in gaps:
            hint = f" ({text(gap.hint)})" if gap.hint else ""
            out.write(f"- {text(source)}, {text(gap.uri)}: {text(gap.reason)}{hint}\n")


# --- where a report goes ---------------------------------------------------------------------------


def check_output(path: Path) -> None:
    """Refuse a destination before the work, not after hours of it. Raises ``ConfigError``."""
    if path.is_dir():
        raise ConfigError(f"--output {escape.plain(str(path))} is a folder", hint="name a file in it")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ConfigError(
            f"the folder of --output does not exist: {escape.plain(str(folder))}", hint="create it first"
        )
    if not os.access(path if _special(path) else folder, os.W_OK):
        raise ConfigError(
            f"--output cannot be written: {escape.plain(str(path))}", hint="choose another place"
        )


@contextmanager
def destination(path: Path) -> Iterator[TextIO]:
    """A text file that appears whole, readable by its owner alone, or not at all.

    Devices and pipes (``/dev/null``) are written directly.
    """
    if _special(path):
        with path.open("w", encoding="utf-8", newline="") as out:
            yield out
        return
    target = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
