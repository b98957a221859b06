"""What a sweep says of each value: where it stands, since when, who can read it, what stands beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from unsprawl.report import playbook as paper
from unsprawl.report.casefile import kept_as
from unsprawl.report.cases import SEVERITIES, Row, place
from unsprawl.report.export import Section
from unsprawl.report.wording import counted
from unsprawl.store.playbook import KINDS, Playbook, Step, compose

__all__ = ["Swept", "account", "playbooks", "sections"]

#: From the most to the least widely readable.
_AUDIENCES: Final = ("public", "external", "organisation", "unknown", "restricted")
#: Siblings of one value, and events of its timeline, that a report holds.
_SIBLINGS: Final = 50
_EVENTS: Final = 200
#: Lines of a section that people read.
_LINES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One value as it is told: never in clear.

    ``kind`` is the rule that knows its format, ``steps`` what that rule says is to be done. ``stored`` are
    the findings of the store with its fingerprint, ``refused`` the places where it was met and held for no
    credential, ``known`` the vault entries that hold it, ``leaks`` what lists of leaked values say.
    """

    number: int
    secret: str
    fingerprint: str
    kind: str = ""
    name: str = ""
    provider: str = ""
    steps: Sequence[str] = ()
    stored: Sequence[Mapping[str, Any]] = ()
    refused: Sequence[Mapping[str, Any]] = ()
    known: Sequence[Mapping[str, Any]] = ()
    leaks: Sequence[str] = field(default_factory=tuple)


def playbooks(
    swept: Sequence[Swept], hits: Iterable[Row], surfaces: Mapping[str, str], config: str
) -> dict[str, Playbook]:
    """By fingerprint, of each value that was found: the steps that end its exposure, in all of its places.

    ``surfaces`` tells the type of each source, ``config`` is the file that proofs are called with.
    """
    by_value = _by_value(hits)
    return {
        one.fingerprint: _composed(one, by_value[one.fingerprint], surfaces, config)
        for one in swept
        if one.fingerprint in by_value
    }


def _composed(one: Swept, rows: list[Row], surfaces: Mapping[str, str], config: str) -> Playbook:
    stored = one.stored[0] if one.stored else {}
    case = {
        "finding": rows[0]["finding"],
        "rule": one.kind or rows[0]["rule"],
        "name": one.name or rows[0]["name"],
        "provider": one.provider,
        "secret": one.secret,
        "risk": max(row["risk"] for row in rows),
        "severity": min((row["severity"] for row in rows), key=SEVERITIES.index),
        "validity": rows[0]["validity"],
        "evidence": "",
        "status": "open",
        "owner": None,
        "owner_because": "",
        "first_seen": min(row["first_seen"] or "" for row in rows),
        **stored,
    }
    made = compose(case, rows, surfaces, one.steps, config=config)
    if stored:
        return made
    # No store knows a finding that could be asked for: the proof is another sweep.
    steps = [step for step in made.steps if step.kind != "prove"]
    again = f"unsprawl sweep {config} --values -" if config else ""
    proof = Step("prove", "Sweep again, until no copy is found and everything was read.", again)
    return replace(made, steps=(*steps, proof))


def _by_value(hits: Iterable[Row]) -> dict[str, list[Row]]:
    by_value: dict[str, list[Row]] = {}
    for row in hits:
        by_value.setdefault(row["fingerprint"], []).append(row)
    return by_value


def account(
    swept: Sequence[Swept],
    hits: Iterable[Row],
    beside: Iterable[Row],
    ways: Mapping[str, Playbook],
) -> dict[str, Any]:
    """The ``sweep`` object of the JSON report: every value with all that is known of it, hits first.

    ``ways`` are the playbooks of :func:`playbooks`.
    """
    by_value = _by_value(hits)
    given = {one.fingerprint for one in swept}
    near: dict[str, list[Row]] = {}
    for row in beside:
        if row["fingerprint"] not in given:
            near.setdefault(_document(row), []).append(row)
    told = [_value(one, by_value.get(one.fingerprint, []), near, ways.get(one.fingerprint)) for one in swept]
    told.sort(key=lambda value: (-value["copies"], value["number"]))
    return {
        "values": len(told),
        "found": sum(1 for value in told if value["copies"]),
        "copies": sum(value["copies"] for value in told),
        "of": told,
    }


def _value(
    one: Swept, rows: list[Row], near: Mapping[str, list[Row]], way: Playbook | None
) -> dict[str, Any]:
    written = sorted(row["modified_at"] for row in rows if row["modified_at"])
    beside: dict[str, Row] = {}
    for document in dict.fromkeys(map(_document, rows)):
        for row in near.get(document, ()):
            beside.setdefault(row["finding"], row)
    audience = min((row["audience"] for row in rows), key=_wide, default="")
    return {
        "number": one.number,
        "secret": one.secret,
        "fingerprint": one.fingerprint,
        "kind": one.kind,
        "copies": len(rows),
        "documents": len({_document(row) for row in rows}),
        "sources": dict(sorted(Counter(row["source"] for row in rows).items())),
        "audience": audience,
        "audiences": dict(Counter(row["audience"] for row in rows)),
        "authors": sorted({row["author"] for row in rows if row["author"]}),
        "first_written": written[0] if written else None,
        "last_written": written[-1] if written else None,
        "timeline": _timeline(one, rows),
        "siblings": [
            {
                "finding": row["finding"],
                "rule": row["rule"],
                "secret": row["secret"],
                "severity": row["severity"],
                "uri": row["uri"],
                "line": row["line"],
            }
            for row in list(beside.values())[:_SIBLINGS]
        ],
        "siblings_more": max(0, len(beside) - _SIBLINGS),
        "stored": list(one.stored),
        "refused": list(one.refused),
        "known": list(one.known),
        "leaks": list(one.leaks),
        "steps": list(one.steps),
        "playbook": paper.document(way) if way else None,
    }


def _timeline(one: Swept, rows: list[Row]) -> list[dict[str, Any]]:
    """When it was written where, and what the store knows of it, oldest first; undated places at the end."""
    events = [
        {"at": row["modified_at"], "what": "written", "where": place(row), "author": row["author"]}
        for row in rows
    ]
    events += [
        {"at": case["first_seen"], "what": "first seen", "where": case["finding"], "author": None}
        for case in one.stored
    ]
    events.sort(key=lambda event: (event["at"] is None, event["at"] or "", event["where"]))
    return events[:_EVENTS]


def sections(told: Mapping[str, Any]) -> list[Section]:
    """The same for people."""
    found = [value for value in told["of"] if value["copies"]]
    lost = told["values"] - told["found"]
    values = [
        (
            value["secret"],
            value["kind"],
            str(value["copies"]),
            ", ".join(f"{name} {count}" for name, count in value["sources"].items()),
            value["audience"],
            _day(value["first_written"]),
            "; ".join(kept_as(entry) for entry in value["known"]) or "; ".join(value["leaks"]),
        )
        for value in found
    ]
    events = sorted(
        (
            (_day(event["at"]), event["what"], value["secret"], event["where"], event["author"] or "")
            for value in found
            for event in value["timeline"]
        ),
        key=lambda line: (line[0] == "", line),
    )
    beside = [
        (line["secret"], line["rule"], line["severity"], f"{line['uri']}:{line['line']}", value["secret"])
        for value in found
        for line in value["siblings"]
    ]
    columns = ("Value", "Kind", "Copies", "Sources", "Audience", "First written", "Known as")
    made = [
        _section(f"Values ({counted(lost, 'value')} not found)" if lost else "Values", columns, values),
        _section("Timeline", ("When", "What", "Value", "Where", "Author"), events),
        _section("Beside them", ("Secret", "Rule", "Severity", "Where", "Beside"), beside),
    ]
    todo = [
        (value["secret"], KINDS[step["kind"]], step["text"], step.get("command") or step.get("uri", ""))
        for value in found
        for step in value["playbook"]["steps"]
    ]
    made.append(_section("What to do", ("Value", "Phase", "Step", "Command or place"), todo))
    return [section for section in made if section.lines]


def _section(title: str, columns: tuple[str, ...], lines: Sequence[Sequence[str]]) -> Section:
    return Section(title, columns, lines[:_LINES], max(0, len(lines) - _LINES))


def _document(row: Row) -> str:
    """The text in which a row stands: a file, a member of an archive, all messages of a thread."""
    return f"{row['source']} {row['path']}"


def _wide(audience: str) -> int:
    return _AUDIENCES.index(audience) if audience in _AUDIENCES else len(_AUDIENCES)


def _day(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else ""
