"""How a finding ends, and how it comes back: closed with proof, reopened by what contradicts the proof.

    proof = a check said that it no longer works  and  it stands nowhere any more

A crawl, a refetch and a check each end here, in their own transaction, so that whichever brings the last half
of the proof closes the finding. A person may stand in for the first half only, and only where it is gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from unsprawl.errors import ConfigError
from unsprawl.records import Check, Status
from unsprawl.store import audit
from unsprawl.store.prepare import SEVERITIES, VALIDITIES, plain
from unsprawl.store.rows import timestamp

__all__ = ["Settled", "due", "may_close", "note_check", "reopen", "schedule", "settle", "standing"]

_UNKNOWN, _INACTIVE, _ACTIVE = range(3)
#: A finding of these ends by proof.
_ENDS: Final = (Status.OPEN, Status.ACKNOWLEDGED, Status.ROTATED, Status.REOPENED)
#: Who waits for a proof looks every day; else the severe more often than the mild.
_WAITING: Final = timedelta(days=1)
_INTERVALS: Final = dict(
    zip(SEVERITIES, (timedelta(days=d) for d in (14, 7, 3, 1)), strict=True),
)
_MOST: Final = 900


@dataclass(frozen=True, slots=True)
class Settled:
    """Ids of the findings whose status changed by proof, or against it; sorted."""

    closed: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()


def settle(
    connection: sqlite3.Connection, now: datetime, who: str, findings: Iterable[str] | None = None
) -> Settled:
    """Close what is proven and reopen what is contradicted, of ``findings`` or of all; in a transaction.

    Closed ones give up their sealed values. Each change stands in the audit log.
    """
    reopened: list[str] = []
    closed: list[str] = []
    for chosen, values in _chosen(findings):
        for id_, why in connection.execute(f"{_CONTRADICTED} {chosen} ORDER BY f.id", values).fetchall():
            reopen(connection, id_, why, who)
            reopened.append(id_)
        for id_, evidence, places, last in connection.execute(
            f"{_PROVEN} {chosen} GROUP BY f.id ORDER BY f.id", values
        ).fetchall():
            dead = f"no longer works{f' ({evidence})' if evidence else ''}"
            many = "place" if places == 1 else "places"
            _close(connection, id_, f"{dead}; gone from {places} {many} since {last[:16]}", now, who)
            closed.append(id_)
    return Settled(tuple(sorted(closed)), tuple(sorted(reopened)))


def reopen(connection: sqlite3.Connection, finding: str, why: str, who: str) -> None:
    """Open a finding again, within the caller's transaction."""
    connection.execute(
        "UPDATE findings SET status = ?, closed_at = NULL, proof = '' WHERE id = ?",
        (str(Status.REOPENED), finding),
    )
    audit.record(connection, "finding.reopened", who=who, subject=finding, detail={"why": why})


def note_check(
    connection: sqlite3.Connection, finding: str, check: Check, now: datetime, who: str
) -> Settled:
    """What a live check said of a finding, and what follows from it; within the caller's transaction.

    Unlike the offline verdicts that a crawl brings, it replaces what was known: the newest check counts. An
    unknown one leaves the last proof as it is, for a network that fails proves nothing.
    """
    validity = VALIDITIES.index(check.validity)
    if validity != _UNKNOWN:
        connection.execute(
            "UPDATE findings SET validity = ?, evidence = ?, privilege = ? WHERE id = ?",
            (validity, plain(check.evidence), plain(check.privilege), finding),
        )
    row = connection.execute("SELECT status FROM findings WHERE id = ?", (finding,)).fetchone()
    if row is None:
        raise ConfigError(f"there is no finding {finding}", hint="`unsprawl findings list` shows all ids")
    # Somebody says that it was replaced, and it is alive.
    if validity == _ACTIVE and row[0] == Status.ROTATED:
        reopen(connection, finding, f"it still works: {plain(check.evidence)}", who)
        return Settled(reopened=(finding,))
    return settle(connection, now, who, [finding])


def standing(connection: sqlite3.Connection, finding: str) -> int:
    """In how many places a finding stands now."""
    (count,) = connection.execute(
        "SELECT count(*) FROM occurrences WHERE finding = ? AND gone_at IS NULL", (finding,)
    ).fetchone()
    return int(count)


def may_close(connection: sqlite3.Connection, finding: str) -> None:
    """``ConfigError`` unless a person's word is all that is missing: it stands nowhere, is not alive."""
    (validity,) = connection.execute("SELECT validity FROM findings WHERE id = ?", (finding,)).fetchone()
    if validity == _ACTIVE:
        raise ConfigError(
            f"finding {finding} is known to work",
            hint="revoke it, then `unsprawl verify` proves that it is dead",
        )
    count = standing(connection, finding)
    if count:
        raise ConfigError(
            f"finding {finding} still stands in {count} place{'' if count == 1 else 's'}",
            hint="clean them up (`unsprawl playbook`), then prove it with `unsprawl findings refetch`",
        )


def schedule(connection: sqlite3.Connection, findings: Iterable[str], now: datetime) -> None:
    """When each is looked at again; within the caller's transaction."""
    for id_ in findings:
        row = connection.execute("SELECT status, severity FROM findings WHERE id = ?", (id_,)).fetchone()
        if row is None:
            continue
        status, severity = row
        waits = status in (Status.ACKNOWLEDGED, Status.ROTATED)
        interval = _WAITING if waits else _INTERVALS[SEVERITIES[severity - 1]]
        again = timestamp(now + interval) if status in _ENDS else None
        connection.execute("UPDATE findings SET recheck_at = ? WHERE id = ?", (again, id_))


def due(connection: sqlite3.Connection, now: datetime) -> list[str]:
    """Findings that ask for another look: their time has come, or they never got one."""
    marks = ",".join("?" * len(_ENDS))
    rows = connection.execute(
        f"SELECT id FROM findings WHERE status IN ({marks}) AND (recheck_at IS NULL OR recheck_at <= ?)"
        " ORDER BY severity DESC, id",
        (*map(str, _ENDS), timestamp(now)),
    )
    return [id_ for (id_,) in rows]


_ENDING: Final = ",".join(f"'{status}'" for status in _ENDS)
_STANDS: Final = "EXISTS (SELECT 1 FROM occurrences o WHERE o.finding = f.id AND o.gone_at IS NULL)"
_PROVEN: Final = f"""
SELECT f.id, f.evidence, count(o.id), max(o.gone_at) FROM findings f JOIN occurrences o ON o.finding = f.id
WHERE f.status IN ({_ENDING}) AND f.validity = {_INACTIVE} AND NOT {_STANDS}
"""
_CONTRADICTED: Final = f"""
SELECT f.id, iif(f.validity = {_ACTIVE}, 'it works again: ' || f.evidence, 'it stands somewhere again')
FROM findings f WHERE f.status = '{Status.CLOSED}' AND ({_STANDS} OR f.validity = {_ACTIVE})
"""


def _close(connection: sqlite3.Connection, finding: str, proof: str, now: datetime, who: str) -> None:
    connection.execute(
        "UPDATE findings SET status = ?, closed_at = ?, proof = ?, sealed = NULL, recheck_at = NULL"
        " WHERE id = ?",
        (str(Status.CLOSED), timestamp(now), proof, finding),
    )
    audit.record(connection, "finding.closed", who=who, subject=finding, detail={"proof": proof})


def _chosen(findings: Iterable[str] | None) -> Iterator[tuple[str, list[str]]]:
    """A condition on ``f.id`` and its values, in parts that SQLite takes."""
    if findings is None:
        yield "", []
        return
    ids = sorted(set(findings))
    for at in range(0, len(ids), _MOST):
        part = ids[at : at + _MOST]
        yield f"AND f.id IN ({','.join('?' * len(part))})", part
