"""One case on one page: what it is, where it stands, what happened to it, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

from unsprawl.report import escape
from unsprawl.report.cases import Row, account, attributes, near, place

if TYPE_CHECKING:
    from unsprawl.report.export import RuleNote
    from unsprawl.store.risk import Part

__all__ = ["FORMATS", "CaseFile", "write"]

FORMATS: Final = ("table", "json", "markdown")


@dataclass(frozen=True, slots=True)
class CaseFile:
    """``case`` is the store's short record of a finding, ``rows`` are all its occurrences, gone ones too.

    ``decisions`` is the history of what people decided about it.
    """

    case: Mapping[str, Any]
    rows: Sequence[Row]
    rule: RuleNote | None = None
    decisions: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    """What the audit log holds of it."""
    risk: Sequence[Part] = ()
    """What the risk of its worst place is made of."""
    checks: Sequence[Mapping[str, Any]] = ()
    """What live checks said of it, the newest first."""

    @property
    def why(self) -> str:
        """Which decision gives it its status, in words; "" when none does."""
        return next((row["because"] for row in self.rows if row["because"]), "")

    def facts(self) -> Iterator[tuple[str, str]]:
        """Name and value of what is known of the case as a whole."""
        case = self.case
        yield "Secret", str(case["secret"])
        if self.rows and (whose := account(self.rows[0])):
            yield "Account", whose
        yield "Rule", f"{case['rule']} ({case['name']})"
        yield "Severity", str(case["severity"])
        yield "Risk", f"{case['risk']} of 100{self._parts()}"
        validity = str(case["validity"])
        yield "Validity", f"{validity}: {case['evidence']}" if case["evidence"] else validity
        for entry in self.rows[0]["attrs"].get("known", ()) if self.rows else ():
            yield "Kept as", kept_as(entry)
        if self.checks:
            newest = self.checks[0]
            may = f", may do: {newest['privilege']}" if newest["privilege"] else ""
            yield "Checked", f"{newest['at'][:16]}: {newest['validity']}, {newest['evidence']}{may}"
        until = f" until {case['until']}" if case.get("until") and case["status"] == "accepted" else ""
        yield "Status", f"{case['status']}{until}"
        if self.why:
            yield "Because", self.why
        if case.get("proof"):
            yield "Proof", f"closed {_day(case['closed_at'])}: {case['proof']}"
        if case.get("owner"):
            because = f" ({case['owner_because']})" if case["owner_because"] else ""
            yield "Owner", f"{case['owner']}{because}"
        where = f", {case['environment']}" if case["environment"] != "unknown" else ""
        yield "Looks like", f"{case['label']}{where} ({round(case['confidence'] * 100)} % sure)"
        first, last = _day(case["first_seen"]), _day(case["last_seen"])
        yield "Seen", f"{first} to {last}" if first != last else first
        gone = sum(1 for row in self.rows if row["gone_at"])
        yield "Places", f"{len(self.rows) - gone} now, {gone} gone"
        if case.get("recheck_at"):
            yield "Next look", _day(case["recheck_at"])
        yield "Fingerprint", str(case["fingerprint"])

    def _parts(self) -> str:
        """The product that the risk of the worst place is, as far as it is known."""
        told = " × ".join(f"{part.name} {part.value} {part.factor:g}" for part in self.risk)
        return f" = {told}" if told else ""

    def timeline(self, named: Callable[[Row], str] = place) -> list[tuple[str, str, str]]:
        """When, what, and where or why, oldest first."""
        events = []
        for row in self.rows:
            events.append((row["first_seen"] or "", "seen", named(row)))
            if row["gone_at"]:
                events.append((row["gone_at"], "gone", named(row)))
        for it in self.decisions:
            until = f" until {it['until']}" if it["until"] else ""
            events.append((it["at"], f"{it['decision']}{until} by {it['author']}:", it["reason"]))
            if it["undone_at"]:
                events.append((it["undone_at"], f"{it['decision']} taken back by {it['undone_by']}", ""))
        events += [
            (it["at"], f"{_TOLD[it['action']]} by {it['who']}", _why(it["detail"]))
            for it in self.events
            if it["action"] in _TOLD
        ]
        return sorted(events)

    def steps(self) -> Sequence[str]:
        return self.rule.remediation if self.rule else ()


#: What of the audit log belongs to the story of a finding, in words.
_TOLD: Final[Mapping[str, str]] = {
    "cleanup.done": "cleaned up",
    "cleanup.refused": "not cleaned up",
    "finding.closed": "closed with proof",
    "finding.reopened": "reopened",
    "owner.assigned": "assigned",
    "secret.revealed": "its value was shown",
}


def _why(detail: Mapping[str, Any]) -> str:
    words = (detail.get(name) for name in ("source", "uri", "told", "proof", "why", "owner"))
    return ", ".join(str(word) for word in words if word)


def write(file: CaseFile, format: str, out: TextIO) -> None:
    """Write the page in one of :data:`FORMATS`."""
    if format == "json":
        document = {
            **file.case,
            "because": file.why,
            "risk_parts": [
                {"name": part.name, "value": part.value, "factor": part.factor} for part in file.risk
            ],
            "triage": list(file.decisions),
            "checks": list(file.checks),
            "occurrences": list(file.rows),
            "remediation": list(file.steps()),
        }
        out.write(escape.json_line(document) + "\n")
    elif format == "markdown":
        _markdown(file, out)
    else:
        _page(file, out)


def _summary(row: Row) -> str:
    """Whose place it is, and how it came there."""
    words = [str(row["source"])]
    if row["audience"] != "unknown":
        words.append(f"audience {row['audience']}")
    if row["author"]:
        words.append(f"by {row['author']}")
    if row["modified_at"]:
        words.append(f"changed {_day(row['modified_at'])}")
    views = [view for view in row["views"] if view != "raw"]
    if views:
        words.append(f"read through {', '.join(views)}")
    if row["gone_at"]:
        words.append(f"gone {_day(row['gone_at'])}")
    return "; ".join(words)


def _attributes(row: Row) -> Iterator[tuple[str, str]]:
    """What the surface knows beyond the place, lists as enumerations."""
    for name, value in attributes(row):
        texts = value if isinstance(value, list | tuple) else [value]
        yield name, ", ".join(each if isinstance(each, str) else escape.json_line(each) for each in texts)


def kept_as(entry: Mapping[str, Any]) -> str:
    """Where a value belongs: its vault, path, key and version, and whether it is the one in use."""
    key = f"#{entry['key']}" if entry["key"] else ""
    version = f" version {entry['version']}" if entry["version"] else ""
    state = "the current version" if entry["current"] else "replaced since"
    return f"{entry['vault']}:{entry['path']}{key}{version}, {state}"


def _day(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else "unknown"


def _page(file: CaseFile, out: TextIO) -> None:
    from rich.text import Text

    from unsprawl.report.tables import console

    screen = console(out)

    def line(text: str, style: str = "", indent: int = 0) -> None:
        screen.print(Text(" " * indent + escape.plain(text), style=style), overflow="fold")

    line(f"Finding {file.case['finding']}", "bold")
    for name, value in file.facts():
        screen.print(
            Text(f"  {name:<12} ", style="dim").append(escape.plain(value), style="default"), overflow="fold"
        )
    line("Where it stands", "bold")
    for row in file.rows:
        line(near(row), "dim strike" if row["gone_at"] else "", 2)
        line(_summary(row), "dim", 6)
        if row["url"]:
            line(row["url"], "dim", 6)
        for name, value in _attributes(row):
            line(f"{name}: {value}", "dim", 6)
        if not row["gone_at"]:
            for context in row["context"].splitlines()[:_CONTEXT_LINES]:
                line(f"│ {context}", "", 6)
    line("What happened", "bold")
    for moment, what, where in file.timeline(near):
        line(f"{_day(moment)}  {what}  {where}".rstrip(), "", 2)
    if file.steps():
        line("What to do", "bold")
        for number, step in enumerate(file.steps(), 1):
            line(f"{number}. {step}", "", 2)
        line(f"All steps, for each place: unsprawl playbook {file.case['finding'][:12]}", "dim", 2)


_CONTEXT_LINES: Final = 9


def _markdown(file: CaseFile, out: TextIO) -> None:
    text = escape.markdown
    out.write(f"# Finding {text(file.case['finding'])}\n\n")
    out.writelines(f"- **{name}:** {text(value)}\n" for name, value in file.facts())
    out.write("\n## Where it stands\n\n")
    for row in file.rows:
        out.write(f"- {text(place(row))}<br>{text(_summary(row))}\n")
        out.writelines(f"  - {text(name)}: {text(value)}\n" for name, value in _attributes(row))
    out.write("\n## What happened\n\n")
    out.writelines(
        f"- {_day(moment)}: {', '.join(text(it) for it in (what, where) if it)}\n"
        for moment, what, where in file.timeline()
    )
    if file.steps():
        out.write("\n## What to do\n\n")
        out.writelines(f"{number}. {text(step)}\n" for number, step in enumerate(file.steps(), 1))
