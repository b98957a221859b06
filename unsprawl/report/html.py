"""One self-contained HTML file: it loads nothing, and runs no script but its own.

Style and script are inlined, and the content security policy admits exactly those two by their hash.
All text passes two escapes: Jinja's for markup, ours for what cannot be seen.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, TextIO
from urllib.parse import unquote

from jinja2 import Environment
from markupsafe import Markup

from unsprawl.report import escape
from unsprawl.report.cases import SEVERITIES, Case, account, attributes, gather, place, surface
from unsprawl.store.playbook import KINDS, Step, compose

if TYPE_CHECKING:
    from unsprawl.report.export import Report

__all__ = ["MOST_FINDINGS", "MOST_PLACES", "MOST_PLAYBOOKS", "finalize", "hashed", "write"]

#: A page with more is slow to open; the text says how many are left out, and other formats hold all.
MOST_FINDINGS: Final = 5_000
MOST_PLACES: Final = 50
#: The most urgent ones have their whole playbook on the page, the others the steps of their rule.
MOST_PLAYBOOKS: Final = 200
_SURFACES: Final = {"file": "files"}
_LONGEST_CONTEXT: Final = 2_000
_BAR: Final = 240


def write(report: Report, out: TextIO) -> None:
    """Write the page."""
    folder = resources.files("unsprawl.report") / "templates"
    style = (folder / "report.css").read_text("utf-8")
    script = (folder / "report.js").read_text("utf-8")
    environment = Environment(autoescape=True, finalize=finalize, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "number": "{:,}".format,
        "link": _link,
        "marked": _marked,
        "moment": _moment,
        "unquoted": unquote,
        "worded": _worded,
    }
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    cases = gather(report.rows(), MOST_PLACES)
    counts = report.tally()
    page = template.generate(
        report=report,
        counts=counts,
        cases=cases[:MOST_FINDINGS],
        hidden=max(0, len(cases) - MOST_FINDINGS),
        severities=SEVERITIES,
        charts=_charts(cases, counts.severity),
        sources=sorted({p["source"] for case in cases for p in case.places}),
        gaps=report.gaps(),
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        policy=f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704  # our own file
        script=Markup(script),  # noqa: S704  # our own file
        playbooks=MOST_PLAYBOOKS,
        playbook=lambda case: _playbook(case, report),
        account=account,
        attributes=attributes,
        place=place,
        surface=surface,
        text=_searched,
        newline=Markup("\n"),
    )
    out.writelines(page)


def _playbook(case: Case, report: Report) -> list[tuple[str, int, list[Step]]]:
    """The steps of one finding by their kind, each kind with the number of its first step."""
    row = case.row
    known = {"evidence": "", "owner_because": "", **row}
    rule = report.rules.get(row["rule"])
    surfaces = {str(place["source"]): _SURFACES.get(surface(place), surface(place)) for place in case.places}
    made = report.playbooks.get(row["fingerprint"])
    steps = (made or compose(known, case.places, surfaces, rule.remediation if rule else ())).steps
    groups = []
    for kind, title in KINDS.items():
        numbers = [number for number, step in enumerate(steps, 1) if step.kind == kind]
        if numbers:
            groups.append((title, numbers[0], [steps[number - 1] for number in numbers]))
    return groups


def hashed(text: str) -> str:
    """What a content security policy calls an inlined style or script that it admits."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def finalize(value: Any) -> Any:
    """What a template shows of a value: texts without what cannot be seen."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return escape.plain(value)


def _link(url: str | None) -> str:
    """The address, when a click on it can only open a page."""
    return url if url and url.startswith(("https://", "http://")) else ""


def _marked(context: str, secret: str) -> list[list[tuple[str, bool]]]:
    """The lines of a context as stretches of text, with the preview of the secret marked."""
    lines = context[:_LONGEST_CONTEXT].splitlines()
    if len(secret.strip("…")) < 2:
        return [[(line, False)] for line in lines]
    marked = []
    for line in lines:
        stretches = [(part, False) for part in line.split(secret)]
        for at in range(len(stretches) - 1, 0, -1):
            stretches.insert(at, (secret, True))
        marked.append(stretches)
    return marked


def _moment(value: Any) -> str:
    return str(value).replace("T", " ")[:16] if value else "–"


def _worded(value: Any) -> str:
    """An attribute: lists as enumerations, all else as it reads."""
    if isinstance(value, list | tuple):
        return ", ".join(_worded(each) for each in value)
    return value if isinstance(value, str) else escape.json_line(value)


def _searched(case: Case) -> str:
    """What the search box looks through."""
    row = case.row
    words = [row["finding"], row["rule"], row["name"], row["secret"], row["owner"] or "", account(row)]
    words += [f"{p['path']} {p['source']} {p['author'] or ''}" for p in case.places[:10]]
    return escape.plain(" ".join(words).lower())


def _charts(cases: list[Case], severity: Mapping[str, int]) -> list[dict[str, Any]]:
    """Bars of findings by severity, surface and rule; widths are ready for SVG."""
    surfaces: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    for case in cases:
        surfaces.update(case.surfaces.keys())
        rules[case.row["rule"]] += 1
    bars = {
        "Findings by severity": [(name, severity.get(name, 0)) for name in SEVERITIES],
        "Findings by surface": surfaces.most_common(6),
        "Findings by rule": rules.most_common(6),
    }
    charts = []
    for title, counted in bars.items():
        most = max([count for _, count in counted], default=0) or 1
        series = [
            {"name": name, "count": count, "width": max(2, round(_BAR * count / most)) if count else 0}
            for name, count in counted
        ]
        charts.append({"title": title, "bars": series, "height": 26 * len(series) + 4})
    return charts
