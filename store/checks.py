"""What live checks answered, when the next is due, and what may be asked about: the store's part of them.

``checks`` is a history: a proof that flips stays visible. Answers are reused by finding, which is the value
alone for tokens, and value, account and host for passwords; the fingerprint stands beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from unsprawl.records import Check, Validity
from unsprawl.secret import Keys
from unsprawl.store.prepare import VALIDITIES, plain
from unsprawl.store.rows import timestamp
from unsprawl.store.triage import EFFECTIVE, SETTLED

__all__ = ["Checkable", "accepted", "attempts", "checkable", "due", "history", "latest", "note", "schedule"]

#: What ended, or asks for nothing, is not asked about.
_LEFT: Final = ",".join(f"'{status}'" for status in (*SETTLED, "closed"))
_ACTIVE: Final = VALIDITIES.index(Validity.ACTIVE)
#: A dead credential may be brought back to life: it is asked about now and then.
_DEAD: Final = timedelta(days=30)
#: An answer that proved nothing counts no longer than this.
_DOUBT: Final = timedelta(hours=1)
#: Answers kept a finding: enough to see how it went.
_KEPT: Final = 50
_PART: Final = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkable:
    """A finding as the store has it. ``sealed`` is its value, None where the store keeps none."""

    finding: str
    fingerprint: str
    rule: str
    secret: str
    validity: Validity
    evidence: str
    status: str
    sealed: bytes | None


def schedule(
    connection: sqlite3.Connection, findings: Iterable[str], reopened: Iterable[str], now: str
) -> None:
    """Findings whose value is kept are due; those that came back at once. In the caller's transaction."""
    connection.executemany(
        "INSERT INTO checks_due (finding, due_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(finding, now) for finding in sorted(findings)],
    )
    connection.executemany(
        "UPDATE checks_due SET due_at = ? WHERE finding = ?", [(now, finding) for finding in sorted(reopened)]
    )


def due(connection: sqlite3.Connection, now: datetime) -> list[str]:
    """Findings whose check is due, the severe first; not those that are settled or closed."""
    rows = connection.execute(
        "SELECT d.finding FROM checks_due d JOIN findings f ON f.id = d.finding"
        " LEFT JOIN recalled m ON m.finding = f.id"
        f" WHERE d.due_at <= ? AND {EFFECTIVE} NOT IN ({_LEFT}) ORDER BY f.severity DESC, f.id",
        (timestamp(now),),
    )
    return [finding for (finding,) in rows]


def checkable(connection: sqlite3.Connection, findings: Sequence[str]) -> Iterator[Checkable]:
    """These findings, in their order, a few at a time in memory."""
    for at in range(0, len(findings), _PART):
        part = findings[at : at + _PART]
        rows = connection.execute(
            f"SELECT f.id, f.fingerprint, f.rule, f.secret, f.validity, f.evidence, {EFFECTIVE}, f.sealed"
            " FROM findings f LEFT JOIN recalled m ON m.finding = f.id"
            f" WHERE f.id IN ({','.join('?' * len(part))})",
            part,
        ).fetchall()
        found = {row[0]: row for row in rows}
        for finding in part:
            if finding in found:
                id_, fingerprint, rule, secret, validity, evidence, status, sealed = found[finding]
                yield Checkable(
                    finding=id_,
                    fingerprint=fingerprint,
                    rule=rule,
                    secret=secret,
                    validity=VALIDITIES[validity],
                    evidence=evidence,
                    status=status,
                    sealed=sealed,
                )


def latest(connection: sqlite3.Connection, finding: str, now: datetime, age: timedelta) -> Check | None:
    """The newest answer about a finding, if it was asked for within ``age``."""
    row = connection.execute(
        "SELECT validity, evidence, privilege, at FROM checks WHERE finding = ? AND asked = 1"
        " ORDER BY id DESC LIMIT 1",
        (finding,),
    ).fetchone()
    if row is None:
        return None
    validity, at = VALIDITIES[row[0]], datetime.fromisoformat(row[3])
    fresh = min(age, _DOUBT) if validity is Validity.UNKNOWN else age
    return Check(validity, row[1], row[2], at) if timedelta(0) <= now - at < fresh else None


def accepted(connection: sqlite3.Connection, finding: str) -> bool:
    """Whether a provider has ever accepted it: then a later refusal is about it, and not about the place."""
    query = "SELECT 1 FROM checks WHERE finding = ? AND asked = 1 AND validity = ? LIMIT 1"
    return connection.execute(query, (finding, _ACTIVE)).fetchone() is not None


def attempts(connection: sqlite3.Connection, keys: Keys, account: str, since: datetime) -> int:
    """How many passwords of an account were tried since then."""
    (count,) = connection.execute(
        "SELECT count(*) FROM checks WHERE account = ? AND at >= ? AND asked = 1",
        (keys.name("account", account), timestamp(since)),
    ).fetchone()
    return int(count)


def note(
    connection: sqlite3.Connection,
    keys: Keys,
    it: Checkable,
    check: Check,
    *,
    asked: bool,
    account: str,
    again: timedelta,
    now: datetime,
) -> None:
    """Write an answer into the history, and when to ask again; what it proves is the lifecycle's business.

    What could not be asked is due again when it is read again. In the caller's transaction.
    """
    proven = check.validity is not Validity.UNKNOWN
    connection.execute(
        "INSERT INTO checks (finding, fingerprint, rule, validity, evidence, privilege, asked, account, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            it.finding,
            it.fingerprint,
            it.rule,
            VALIDITIES.index(check.validity),
            plain(check.evidence),
            plain(check.privilege),
            asked,
            keys.name("account", account) if account else None,
            timestamp(check.checked_at or now),
        ),
    )
    connection.execute(
        "DELETE FROM checks WHERE finding = ? AND id NOT IN"
        " (SELECT id FROM checks WHERE finding = ? ORDER BY id DESC LIMIT ?)",
        (it.finding, it.finding, _KEPT),
    )
    if not asked and not proven:
        connection.execute("DELETE FROM checks_due WHERE finding = ?", (it.finding,))
        return
    next_ = now + (max(again, _DEAD) if check.validity is Validity.INACTIVE else again)
    connection.execute(
        "INSERT INTO checks_due (finding, due_at) VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET due_at = excluded.due_at",
        (it.finding, timestamp(next_)),
    )


def history(connection: sqlite3.Connection, finding: str) -> list[dict[str, object]]:
    """What checks said of a finding, the newest first. ``asked``: a request was made."""
    rows = connection.execute(
        "SELECT validity, evidence, privilege, asked, at FROM checks WHERE finding = ? ORDER BY id DESC",
        (finding,),
    )
    return [
        {
            "validity": str(VALIDITIES[validity]),
            "evidence": evidence,
            "privilege": privilege,
            "asked": bool(asked),
            "at": at,
        }
        for validity, evidence, privilege, asked, at in rows
    ]
