"""What a store amounts to over a period: exposures and their ages, what came and went, how long it took.

Everything is counted by SQLite over one table of cases that lives beside the store while it is read, so
memory does not grow with the store. An *exposure* is a finding that nobody called a false positive or
accepted, and that stands somewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from unsprawl.store.prepare import SEVERITIES, VALIDITIES
from unsprawl.store.query import Filter, read_findings
from unsprawl.store.readings import Coverage, read_coverage_of
from unsprawl.store.rows import timestamp
from unsprawl.store.triage import EFFECTIVE

__all__ = ["AGES", "CHANGES", "Change", "Figures", "Judged", "Open", "Spread", "read_figures"]

#: Names of ages, and from how many days on.
AGES: Final = (
    ("under a day", 0.0), ("1 to 7 days", 1.0), ("7 to 30 days", 7.0), ("30 to 90 days", 30.0),
    ("90 days to a year", 90.0), ("over a year", 365.0),
)  # fmt: skip
#: What may happen to a case in a period.
CHANGES: Final = ("new", "reopened", "closed", "gone", "accepted", "false_positive")
_SETTLED: Final = ("closed", "false_positive", "accepted")
_OWNERS: Final = 20
_FIRST_DAY: Final = datetime.min.replace(tzinfo=UTC)
_RULES: Final = 15


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds: nearest ranks over ``count`` cases, None where there are none."""

    count: int = 0
    median: float | None = None
    p90: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one case in the period. ``secret`` is its preview, ``why`` the proof or the reason."""

    what: str
    at: str
    finding: str
    name: str
    secret: str
    severity: str
    validity: str
    sources: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The exposures at the end of the period; severities and validities by their names."""

    total: int
    before: int
    """How many there were at its beginning."""
    by_severity: Mapping[str, int]
    by_validity: Mapping[str, int]
    by_age: Mapping[str, Mapping[str, int]]
    """Since when it has been in the open as far as is known, then by severity."""
    by_source: Mapping[str, Mapping[str, int]]
    by_audience: Mapping[str, int]
    by_owner: Mapping[str, int]
    """The largest ones; "" stands for nobody."""
    ages: Mapping[str, Spread]
    """By severity: how long since it was first seen."""
    gone: int
    """Cases that stand nowhere any more, and of which nothing proves that they are dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What people decided in the period. ``silenced`` are alike to false positives, as of now."""

    total: int
    false_positives: int
    silenced: int
    by_rule: tuple[tuple[str, int, int], ...]
    """Rule, judged, false positives: the worst first."""

    @property
    def rate(self) -> float | None:
        return self.false_positives / self.total if self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that a report of a period tells. Times are ISO 8601 in UTC; ``since`` is None for all time."""

    since: str | None
    until: str
    began: str | None
    """When the first run of the store began."""
    open: Open
    changes: Mapping[str, int]
    changes_before: Mapping[str, int]
    """The same for as long a time before the period; empty for all time."""
    changed: tuple[Change, ...]
    detection: Mapping[str, Spread]
    """From written to first seen: ``all``, ``fresh`` (since its source was first read), by severity."""
    detection_by_source: Mapping[str, Spread]
    remediation: Mapping[str, Spread]
    """From first seen to the end: ``closed`` (proven), ``gone``, and by severity (both)."""
    judged: Judged
    trend: tuple[tuple[str, Mapping[str, tuple[int, int]]], ...]
    """By day, with what came and what ended by severity."""
    coverage: Coverage
    top: tuple[Mapping[str, Any], ...]
    """Short records of the most urgent open findings, as :func:`read_findings` gives them."""


def read_figures(
    connection: sqlite3.Connection, since: datetime | None, until: datetime, *, most: int
) -> Figures:
    """Count. At most ``most`` cases are named of each kind of change, and of those that are open."""
    begin, end = None if since is None else timestamp(since), timestamp(until)
    with _cases(connection, end):
        before: dict[str, int] = {}
        if since is not None:
            earlier = since - min(until - since, since - _FIRST_DAY)
            before = _changes(connection, timestamp(earlier), timestamp(since))
        (began,) = connection.execute("SELECT min(started_at) FROM runs").fetchone()
        return Figures(
            since=begin,
            until=end,
            began=began,
            open=_open(connection, begin, end),
            changes=_changes(connection, begin or "", end),
            changes_before=before,
            changed=tuple(_changed(connection, begin or "", end, most)),
            detection=_detection(connection, begin or "", end),
            detection_by_source=_spreads(connection, _FOUND_IN_SOURCE, (end, end, begin or "")),
            remediation=_remediation(connection, begin or "", end),
            judged=_judged(connection, begin or "", end),
            trend=_trend(connection, end),
            coverage=read_coverage_of(connection, begin or "", end),
            top=tuple(_top(connection, end, until, most)),
        )


#: What is asked of places again and again, without the texts that make their rows wide.
_PLACES: Final = """
CREATE TEMP TABLE placed AS
SELECT finding, source, modified_at, first_seen, gone_at, audience FROM occurrences
"""
# `begun` is when a source was first read; where the ledger was pruned, when something was first found in it.
# `fresh` is what was written since, in all of its places. `ended` is when a case stopped being an exposure,
# `how` by what. A status by likeness has no time of its own, so such a case never counted.
_CASES: Final = f"""
CREATE TEMP TABLE figured AS
WITH begun AS (
  SELECT source, min(at) AS at FROM (
    SELECT source, min(first_seen) AS at FROM placed GROUP BY source
    UNION ALL
    SELECT c.source, min(r.started_at) FROM coverage c JOIN runs r ON r.id = c.run GROUP BY c.source
  ) GROUP BY source
), standing AS (
  SELECT o.finding, min(o.modified_at) AS written, min(o.modified_at >= b.at) AS fresh,
    max(o.gone_at) AS gone, sum(o.gone_at IS NULL) AS live
  FROM placed o JOIN begun b ON b.source = o.source GROUP BY o.finding
), known AS (
  SELECT f.*, p.written, p.fresh, p.gone, p.live, {EFFECTIVE} AS effective
  FROM standing p JOIN findings f ON f.id = p.finding LEFT JOIN recalled m ON m.finding = f.id
  WHERE f.first_seen <= ?
)
SELECT k.id AS finding, k.severity, k.validity, k.owner, k.first_seen, k.written, k.fresh,
  min(k.first_seen, coalesce(k.written, k.first_seen)) AS exposed,
  iif(k.effective IN {_SETTLED}, k.effective, iif(k.live = 0, 'gone', 'open')) AS how,
  CASE
    WHEN k.effective = 'false_positive' THEN k.first_seen
    WHEN k.effective IN ('closed', 'accepted') THEN coalesce(
      k.closed_at, (SELECT max(at) FROM triage t WHERE t.finding = k.id AND t.undone_at IS NULL), k.last_seen
    )
    WHEN k.live = 0 THEN k.gone END AS ended
FROM known k
"""
#: Of ``figured``: an exposure at the moment of the parameter.
_EXPOSED: Final = "how <> 'false_positive' AND (ended IS NULL OR ended > ?)"


@contextmanager
def _cases(connection: sqlite3.Connection, end: str) -> Iterator[None]:
    """One transaction: what other processes write meanwhile is not seen, and nothing of it stays."""
    connection.execute("BEGIN")
    try:
        connection.execute(_PLACES)
        connection.execute(_CASES, (end,))
        connection.execute("CREATE UNIQUE INDEX temp.figured_finding ON figured(finding)")
        yield
    finally:
        connection.execute("ROLLBACK")


def _open(connection: sqlite3.Connection, begin: str | None, end: str) -> Open:
    def counted(query: str, *values: Any) -> dict[Any, int]:
        return dict(connection.execute(query, values).fetchall())

    exposed = f"FROM figured WHERE {_EXPOSED}"
    severities = counted(f"SELECT severity, count(*) {exposed} GROUP BY severity", end)
    validities = counted(f"SELECT validity, count(*) {exposed} GROUP BY validity", end)
    before = "AND first_seen <= ?"
    steps = " ".join(f"WHEN age >= {days} THEN {at}" for at, (_, days) in reversed(list(enumerate(AGES))))
    ages = connection.execute(
        f"SELECT CASE {steps} ELSE 0 END, severity, count(*) FROM"
        f" (SELECT severity, julianday(?) - julianday(exposed) AS age {exposed}) GROUP BY 1, 2",
        (end, end),
    ).fetchall()
    standing = (
        f"FROM figured JOIN placed o USING (finding) WHERE {_EXPOSED}"
        " AND o.first_seen <= ? AND (o.gone_at IS NULL OR o.gone_at > ?)"
    )
    sources: dict[str, dict[str, int]] = {}
    for source, severity, count in connection.execute(
        f"SELECT o.source, figured.severity, count(DISTINCT finding) {standing} GROUP BY 1, 2 ORDER BY 1",
        (end, end, end),
    ):
        sources.setdefault(source, {})[_severity(severity)] = count
    return Open(
        total=sum(severities.values()),
        before=0
        if begin is None
        else counted(f"SELECT 0, count(*) {exposed} {before}", begin, begin).get(0, 0),
        by_severity={name: severities.get(_RANKS[name], 0) for name in _WORST_FIRST},
        by_validity={str(name): validities.get(at, 0) for at, name in enumerate(VALIDITIES)},
        by_age={
            name: {_severity(severity): count for age, severity, count in ages if age == at}
            for at, (name, _) in enumerate(AGES)
        },
        by_source=sources,
        by_audience=counted(
            f"SELECT o.audience, count(DISTINCT finding) {standing} GROUP BY 1 ORDER BY 2 DESC", end, end, end
        ),
        by_owner=counted(
            f"SELECT coalesce(owner, ''), count(*) {exposed} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_OWNERS}",
            end,
        ),
        ages=_by_severity(
            _spreads(connection, f"SELECT severity, {_seconds('first_seen', '?')} {exposed}", (end, end))
        ),
        gone=counted("SELECT 0, count(*) FROM figured WHERE how = 'gone' AND ended <= ?", end).get(0, 0),
    )


_WORST_FIRST: Final = tuple(str(name) for name in reversed(SEVERITIES))
_RANKS: Final = {str(name): rank for rank, name in enumerate(SEVERITIES, 1)}
#: Case, time and reason of what was opened again: by the log, or since an acceptance ended.
_REOPENED: Final = """
SELECT subject AS finding, max(at) AS at, json_extract(detail, '$.why') AS why FROM audit
  WHERE action = 'finding.reopened' GROUP BY subject, substr(at, 1, 10)
UNION ALL SELECT id, until || 'T23:59:59.999Z', 'its acceptance ended' FROM findings
  WHERE status = 'accepted' AND until < today()
"""


def _changes(connection: sqlite3.Connection, begin: str, end: str) -> dict[str, int]:
    counts = dict.fromkeys(CHANGES, 0)
    (counts["new"],) = connection.execute(
        "SELECT count(*) FROM figured WHERE how <> 'false_positive' AND first_seen > ? AND first_seen <= ?",
        (begin, end),
    ).fetchone()
    (counts["reopened"],) = connection.execute(
        f"SELECT count(DISTINCT finding) FROM ({_REOPENED}) JOIN figured USING (finding)"
        " WHERE at > ? AND at <= ?",
        (begin, end),
    ).fetchone()
    for how, count in connection.execute(
        "SELECT how, count(*) FROM figured WHERE how IN ('closed', 'gone', 'accepted') AND ended > ?"
        " AND ended <= ? GROUP BY how",
        (begin, end),
    ):
        counts[how] = count
    (counts["false_positive"],) = connection.execute(
        "SELECT count(*) FROM triage t WHERE decision = 'false_positive' AND at > ? AND at <= ? AND id ="
        " (SELECT max(id) FROM triage WHERE finding = t.finding AND undone_at IS NULL)",
        (begin, end),
    ).fetchone()
    return counts


def _changed(connection: sqlite3.Connection, begin: str, end: str, most: int) -> Iterator[Change]:
    """The most severe of each kind, without what is false, which nobody has to look at again."""
    ended = "SELECT finding, ended AS at, {} AS why FROM figured WHERE how = '{}'"
    kinds = {
        "new": "SELECT finding, first_seen AS at, '' AS why FROM figured WHERE how <> 'false_positive'",
        "reopened": _REOPENED,
        "closed": ended.format("(SELECT proof FROM findings WHERE id = finding)", "closed"),
        "gone": ended.format("''", "gone"),
        "accepted": ended.format(
            "(SELECT reason FROM triage t WHERE t.finding = figured.finding AND undone_at IS NULL"
            " ORDER BY id DESC LIMIT 1)",
            "accepted",
        ),
    }
    for what, query in kinds.items():
        for at, why, finding, name, secret, severity, validity, sources in connection.execute(
            "SELECT max(k.at), k.why, f.id, f.title, f.secret, f.severity, f.validity,"
            " (SELECT group_concat(DISTINCT source) FROM occurrences WHERE finding = f.id)"
            f" FROM ({query}) k JOIN figured g USING (finding) JOIN findings f ON f.id = k.finding"
            " WHERE k.at > ? AND k.at <= ? GROUP BY f.id ORDER BY f.severity DESC, 1 DESC, f.id LIMIT ?",
            (begin, end, most),
        ):
            known = str(VALIDITIES[validity])
            places = tuple(sorted(sources.split(",")))
            yield Change(what, at, finding, name, secret, _severity(severity), known, places, why or "")


def _seconds(start: str, stop: str) -> str:
    return f"(julianday({stop}) - julianday({start})) * 86400 AS seconds"


#: For each source: from when a place was last written to when it was first seen there.
_FOUND_IN_SOURCE: Final = f"""
SELECT source, {_seconds("written", "seen")} FROM (
  SELECT o.source, min(o.modified_at) AS written, min(o.first_seen) AS seen
  FROM placed o JOIN figured g USING (finding)
  WHERE g.how <> 'false_positive' AND o.first_seen <= ? GROUP BY o.source, o.finding
) WHERE written <= seen AND seen <= ? AND seen > ?
"""


def _detection(connection: sqlite3.Connection, begin: str, end: str) -> dict[str, Spread]:
    found = (
        f"SELECT {{}}, {_seconds('written', 'first_seen')} FROM figured WHERE how <> 'false_positive'"
        " AND written <= first_seen AND first_seen > ? AND first_seen <= ?"
    )
    every = _spreads(connection, found.format("'all'"), (begin, end))
    fresh = _spreads(connection, found.format("'fresh'") + " AND fresh", (begin, end))
    severities = _by_severity(_spreads(connection, found.format("severity"), (begin, end)))
    return {"all": Spread(), "fresh": Spread(), **every, **fresh, **severities}


def _remediation(connection: sqlite3.Connection, begin: str, end: str) -> dict[str, Spread]:
    ended = (
        f"SELECT {{}}, {_seconds('first_seen', 'ended')} FROM figured WHERE how IN ('closed', 'gone')"
        " AND ended > ? AND ended <= ?"
    )
    kinds = _spreads(connection, ended.format("how"), (begin, end))
    severities = _by_severity(_spreads(connection, ended.format("severity"), (begin, end)))
    return {"closed": Spread(), "gone": Spread(), **kinds, **severities}


def _spreads(connection: sqlite3.Connection, query: str, values: tuple[Any, ...]) -> dict[Any, Spread]:
    """Of a query that gives keys and seconds: a spread for each key."""
    rows = connection.execute(
        "SELECT key, n, max(iif(rank = (n + 1) / 2, seconds, NULL)),"
        " max(iif(rank = (9 * n + 9) / 10, seconds, NULL)) FROM ("
        "  SELECT key, seconds, row_number() OVER (PARTITION BY key ORDER BY seconds) AS rank,"
        "   count(*) OVER (PARTITION BY key) AS n"
        f"  FROM (SELECT 0 AS key, 0.0 AS seconds WHERE false UNION ALL {query})"
        ") GROUP BY key ORDER BY key",
        values,
    )
    return {key: Spread(n, round(median, 3), round(p90, 3)) for key, n, median, p90 in rows}


def _by_severity(spreads: Mapping[int, Spread]) -> dict[str, Spread]:
    return {name: spreads.get(_RANKS[name], Spread()) for name in _WORST_FIRST}


def _judged(connection: sqlite3.Connection, begin: str, end: str) -> Judged:
    """By the newest decision about each finding that was not taken back."""
    newest = (
        "FROM triage t JOIN findings f ON f.id = t.finding WHERE t.at > ? AND t.at <= ? AND t.id ="
        " (SELECT max(id) FROM triage WHERE finding = t.finding AND undone_at IS NULL)"
    )
    counts = "count(*), coalesce(sum(t.decision = 'false_positive'), 0)"
    total, wrong = connection.execute(f"SELECT {counts} {newest}", (begin, end)).fetchone()
    rules = connection.execute(
        f"SELECT f.rule, {counts} AS wrong {newest} GROUP BY f.rule ORDER BY 3 DESC, 2 DESC, 1"
        f" LIMIT {_RULES}",
        (begin, end),
    ).fetchall()
    (silenced,) = connection.execute(
        "SELECT count(*) FROM recalled m JOIN findings f ON f.id = m.finding"
        " WHERE m.silenced = 1 AND f.status IN ('open', 'reopened')"
    ).fetchone()
    return Judged(
        total=total, false_positives=wrong, silenced=silenced, by_rule=tuple((r, n, w) for r, n, w in rules)
    )


def _trend(connection: sqlite3.Connection, end: str) -> tuple[tuple[str, Mapping[str, tuple[int, int]]], ...]:
    """From the first finding on, for what is open on a day is the sum of all days before it."""
    days: dict[str, dict[str, tuple[int, int]]] = {}
    for day, severity, came, went in connection.execute(
        "SELECT day, severity, sum(came), sum(went) FROM ("
        " SELECT substr(first_seen, 1, 10) AS day, severity, 1 AS came, 0 AS went FROM figured"
        "  WHERE how <> 'false_positive'"
        " UNION ALL SELECT substr(ended, 1, 10), severity, 0, 1 FROM figured"
        "  WHERE how <> 'false_positive' AND ended <= ?"
        ") GROUP BY day, severity ORDER BY day",
        (end,),
    ):
        days.setdefault(day, {})[_severity(severity)] = (came, went)
    return tuple(days.items())


def _top(connection: sqlite3.Connection, end: str, until: datetime, most: int) -> Iterator[dict[str, Any]]:
    told = 0
    for case in read_findings(connection, Filter(without=_SETTLED), until):
        if told == most:
            return
        if case["first_seen"] <= end:
            told += 1
            yield case


def _severity(number: int) -> str:
    return str(SEVERITIES[number - 1])
