"""Reading the store: occurrences as rows of the interface contract, and cases in short."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import prod
from typing import Any, Final

import msgspec

from unsprawl import globs
from unsprawl.errors import ConfigError
from unsprawl.records import Audience, Environment, Label, Occurrence, Validity
from unsprawl.secret import Keys
from unsprawl.store.known import INCIDENT, read_known
from unsprawl.store.prepare import SEVERITIES, VALIDITIES
from unsprawl.store.risk import Exposure, Part, parts, privilege_of, product, urgency
from unsprawl.store.rows import row
from unsprawl.store.seal import unseal
from unsprawl.store.triage import EFFECTIVE, TOLD, TOLD_FROM, told
from unsprawl.structs import replace

__all__ = [
    "Filter",
    "find",
    "read_findings",
    "read_place",
    "read_rows",
    "risk_parts",
    "sealed_findings",
]

#: In how many places a finding stands now.
_COPIES: Final = "(SELECT count(*) FROM occurrences c WHERE c.finding = f.id AND c.gone_at IS NULL)"
#: Since when a place has been in the open, as far as it is known.
_SINCE: Final = "coalesce(min(f.first_seen, o.modified_at), f.first_seen)"
_ROWS: Final = f"""
SELECT o.finding, f.fingerprint, o.rule, o.title, o.provider, o.document, o.ordinal, o.secret, o.source,
  o.surface, o.uri, o.path, o.line, o.col, o.line_end, o.start, o.stop, o.confidence, o.severity, o.label,
  o.environment, f.validity, f.evidence, o.url, o.views, o.attrs, o.companions, o.author, o.modified_at,
  o.audience, o.last_version, o.context, o.first_seen, o.last_seen, o.gone_at, {EFFECTIVE}, f.sealed,
  f.owner, f.privilege, {_SINCE}, {TOLD}
FROM occurrences o JOIN findings f ON f.id = o.finding {TOLD_FROM}
"""
#: How many columns ``TOLD`` has, and which of them says whether a finding is silenced.
_TOLD: Final = TOLD.count(",") + 1
_SILENCED: Final = 4
_FINDINGS: Final = f"""
SELECT f.id AS finding, f.rule, f.title AS name, f.provider, f.secret, f.fingerprint, f.confidence, f.label,
  f.environment, f.severity, f.validity, f.evidence, {EFFECTIVE} AS status, f.until,
  f.first_seen, f.last_seen,
  count(*) AS occurrences, sum(o.gone_at IS NULL) AS live, group_concat(DISTINCT o.source) AS sources,
  f.owner, f.owner_because, f.privilege, f.closed_at, f.proof, f.recheck_at,
  urgency(max(hazard(o.severity, f.validity, o.confidence, o.audience, o.environment, o.label, f.privilege,
    {_SINCE})), {_COPIES}) / iif(m.silenced = 0, 2, 1) AS risk
FROM findings f JOIN occurrences o ON o.finding = f.id LEFT JOIN recalled m ON m.finding = f.id
"""
_TOLD_OF_KNOWN: Final = ("vault", "path", "key", "version", "current")
_HEX: Final = frozenset("0123456789abcdef")


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which occurrences are wanted. None or 0: all. ``finding`` is the beginning of an id.

    ``path`` is a pattern (:mod:`unsprawl.globs`) over paths and uris, ``without`` are statuses left out.
    """

    min_confidence: float = 0.0
    rule: str | None = None
    source: str | None = None
    status: str | None = None
    validity: str | None = None
    finding: str | None = None
    path: str | None = None
    without: tuple[str, ...] = ()
    include_gone: bool = False

    def clause(self) -> tuple[str, list[Any]]:
        """A WHERE clause over occurrences ``o`` and findings ``f``, and its parameters."""
        terms: list[str] = []
        values: list[Any] = []
        if not self.include_gone:
            terms.append("o.gone_at IS NULL")
        if self.min_confidence > 0:
            terms.append("o.confidence >= ?")
            values.append(self.min_confidence)
        for column, wanted in (("o.rule", self.rule), ("o.source", self.source), (EFFECTIVE, self.status)):
            if wanted is not None:
                terms.append(f"{column} = ?")
                values.append(wanted)
        if self.validity is not None:
            terms.append("f.validity = ?")
            values.append(VALIDITIES.index(Validity(self.validity)))
        if self.without:
            terms.append(f"{EFFECTIVE} NOT IN ({','.join('?' * len(self.without))})")
            values += self.without
        if self.path is not None:
            terms.append("globbed(?, o.path, o.uri)")
            values.append(self.path)
        if self.finding is not None:
            terms.append("f.id >= ? AND f.id < ?")
            values += [self.finding.lower(), self.finding.lower() + "g"]
        return (f"WHERE {' AND '.join(terms)}" if terms else ""), values


def read_rows(
    connection: sqlite3.Connection,
    keys: Keys,
    wanted: Filter,
    now: datetime,
    *,
    show_secrets: bool,
    urgent_first: bool = False,
) -> Iterator[dict[str, Any]]:
    """Rows by finding, source and place, one at a time. ``show_secrets`` opens what is sealed.

    ``urgent_first`` gives the findings in the order of their risk, else they come by their ids.
    """
    if urgent_first:
        for finding in [case["finding"] for case in read_findings(connection, wanted, now)]:
            one = msgspec.structs.replace(wanted, finding=finding)
            yield from read_rows(connection, keys, one, now, show_secrets=show_secrets)
        return
    connection.create_function("globbed", 3, _globbed, deterministic=True)
    where, values = wanted.clause()
    order = "ORDER BY o.finding, o.source, o.uri, o.start, o.document, o.ordinal"
    yield from _rows(connection, keys, f"{where} {order}", values, now, show_secrets=show_secrets)


def read_place(
    connection: sqlite3.Connection,
    keys: Keys,
    now: datetime,
    finding: str,
    source: str,
    document: bytes,
    ordinal: int,
) -> dict[str, Any] | None:
    """The row of one occurrence."""
    where = "WHERE o.finding = ? AND o.source = ? AND o.document = ? AND o.ordinal = ?"
    values = (finding, source, document, ordinal)
    return next(_rows(connection, keys, where, values, now, show_secrets=False), None)


def _rows(
    connection: sqlite3.Connection,
    keys: Keys,
    clauses: str,
    values: Sequence[Any],
    now: datetime,
    *,
    show_secrets: bool,
) -> Iterator[dict[str, Any]]:
    counted, copies = "", 0
    vaults = _Vaults(connection)
    for record in connection.execute(f"{_ROWS} {clauses}", values):
        columns, known = record[:-_TOLD], record[-_TOLD:]
        *columns, first_seen, last_seen, gone_at, status, sealed, owner, privilege, since = columns
        if record[0] != counted:
            counted = record[0]
            (copies,) = connection.execute(
                "SELECT count(*) FROM occurrences WHERE finding = ? AND gone_at IS NULL", (counted,)
            ).fetchone()
        clear = None
        if show_secrets and sealed is not None:
            clear = _secret(unseal(keys, record[0].encode(), sealed))
        yield row(
            vaults.told(_occurrence(columns, clear)),
            first_seen=first_seen,
            last_seen=last_seen,
            gone_at=gone_at,
            status=status,
            because=told(known),
            doubted=known[_SILENCED] == 0,
            owner=owner,
            exposure=Exposure(privilege_of(privilege), _days(since, now), copies),
            show_secrets=show_secrets,
        )


class _Vaults:
    """Tells of an occurrence which vault entries hold its value, and when it was swept for.

    Rows come finding by finding.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._any = connection.execute("SELECT 1 FROM known LIMIT 1").fetchone() is not None
        self._last: tuple[str, dict[str, Any]] = ("", {})

    def told(self, occurrence: Occurrence) -> Occurrence:
        if not self._any:
            return occurrence
        if self._last[0] != occurrence.fingerprint:
            more: dict[str, Any] = {}
            for entry in read_known(self._connection, occurrence.fingerprint):
                if entry["kind"] == INCIDENT:
                    more.setdefault("swept", []).append(entry["path"])
                else:
                    short = {name: entry[name] for name in _TOLD_OF_KNOWN}
                    more.setdefault("known", []).append(short)
            self._last = (occurrence.fingerprint, more)
        more = self._last[1]
        return replace(occurrence, attrs={**occurrence.attrs, **more}) if more else occurrence


def _occurrence(columns: list[Any], clear: str | None) -> Occurrence:
    (
        *identity, severity, label, environment, validity, evidence, url, views, attrs, companions, author,
        modified_at, audience, version, context,
    ) = columns  # fmt: skip
    return Occurrence(
        **dict(zip(_IDENTITY, identity, strict=True)),
        severity=SEVERITIES[severity - 1],
        label=Label(label),
        environment=Environment(environment),
        validity=VALIDITIES[validity],
        evidence=evidence,
        url=url,
        views=tuple(msgspec.json.decode(views)),
        attrs=msgspec.json.decode(attrs),
        companions=msgspec.json.decode(companions),
        author=author,
        modified_at=None if modified_at is None else datetime.fromisoformat(modified_at),
        audience=Audience(audience),
        version=version,
        context=context,
        clear=clear,
    )


#: The first fields of an occurrence, in the order of ``_ROWS``.
_IDENTITY: Final = (
    *("finding", "fingerprint", "rule", "title", "provider", "document", "ordinal", "secret", "source"),
    *("surface", "uri", "path", "line", "column", "line_end", "start", "end", "confidence"),
)


def _secret(opened: bytes) -> str:
    """The value among the sealed ones of a case (value and companions)."""
    values = msgspec.msgpack.decode(opened, type=dict[str, bytes])
    return values.get("secret", b"").decode("utf-8", "replace")


def read_findings(connection: sqlite3.Connection, wanted: Filter, now: datetime) -> Iterator[dict[str, Any]]:
    """One short record a case, the most urgent first; ``risk`` is that of its riskiest place."""

    def hazard(
        severity: int, validity: int, confidence: float, audience: str, environment: str, label: str,
        privilege: str, since: str,
    ) -> float:  # fmt: skip
        return product(
            SEVERITIES[severity - 1], VALIDITIES[validity], confidence, audience, environment, label,
            privilege=privilege_of(privilege), age_days=_days(since, now),
        )  # fmt: skip

    connection.create_function("hazard", 8, hazard)
    connection.create_function("urgency", 2, urgency, deterministic=True)
    connection.create_function("globbed", 3, _globbed, deterministic=True)
    where, values = wanted.clause()
    cursor = connection.execute(f"{_FINDINGS} {where} GROUP BY f.id ORDER BY risk DESC, f.id", values)
    names = [column[0] for column in cursor.description]
    for record in cursor:
        case = dict(zip(names, record, strict=True))
        case["severity"] = str(SEVERITIES[case["severity"] - 1])
        case["validity"] = str(VALIDITIES[case["validity"]])
        case["sources"] = sorted(case["sources"].split(","))
        yield case


def risk_parts(connection: sqlite3.Connection, finding: str, now: datetime) -> tuple[Part, ...]:
    """The factors of the worst place of a finding, those where it stands before those where it stood."""
    (copies,) = connection.execute(
        "SELECT count(*) FROM occurrences WHERE finding = ? AND gone_at IS NULL", (finding,)
    ).fetchone()
    rows = connection.execute(
        "SELECT o.severity, f.validity, o.confidence, o.audience, o.environment, o.label, f.privilege,"
        f" {_SINCE}, o.gone_at IS NULL FROM occurrences o JOIN findings f ON f.id = o.finding"
        " WHERE o.finding = ?",
        (finding,),
    )
    worst: tuple[bool, float, tuple[Part, ...]] | None = None
    for severity, validity, confidence, audience, environment, label, privilege, since, stands in rows:
        exposure = Exposure(privilege_of(privilege), _days(since, now), copies)
        found = parts(
            SEVERITIES[severity - 1], VALIDITIES[validity], confidence, audience, environment, label, exposure
        )
        weight = prod(part.factor for part in found)
        if worst is None or (bool(stands), weight) > worst[:2]:
            worst = (bool(stands), weight, found)
    return () if worst is None else worst[2]


def sealed_findings(connection: sqlite3.Connection, wanted: Filter) -> list[str]:
    """Ids of the findings whose values the store has: those that ``show_secrets`` would show."""
    connection.create_function("globbed", 3, _globbed, deterministic=True)
    where, values = wanted.clause()
    query = "SELECT DISTINCT f.id FROM occurrences o JOIN findings f ON f.id = o.finding"
    sealed = "f.sealed IS NOT NULL ORDER BY f.id"
    joined = f"{where} AND {sealed}" if where else f"WHERE {sealed}"
    return [id_ for (id_,) in connection.execute(f"{query} {joined}", values)]


def _days(since: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(since)).total_seconds() / 86_400


def _globbed(pattern: str, path: str, uri: str) -> bool:
    return globs.matches((pattern,), path) or globs.matches((pattern,), uri)


def find(connection: sqlite3.Connection, prefix: str) -> str:
    """The id of the one case that begins with ``prefix``. ``ConfigError`` for none or several."""
    wanted = prefix.strip().lower()
    if not wanted or not set(wanted) <= _HEX:
        raise ConfigError(
            f"{prefix!r} is no finding id", hint="ids are hex digits; `unsprawl findings list` shows them"
        )
    ids = [
        id_
        for (id_,) in connection.execute(
            "SELECT id FROM findings WHERE id >= ? AND id < ? ORDER BY id LIMIT 4", (wanted, wanted + "g")
        )
    ]
    if not ids:
        raise ConfigError(f"there is no finding {wanted}", hint="`unsprawl findings list` shows all ids")
    if len(ids) > 1 and wanted not in ids:
        some = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
        raise ConfigError(f"{wanted} is the beginning of several findings: {some}", hint="write more digits")
    return wanted if wanted in ids else str(ids[0])
