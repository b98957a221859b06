"""What a watch keeps: which pastes are copies of which, and the events that somebody has to be told.

An event is written in the transaction that commits the paste it is about, and marked as told after it was: a
watch that is killed between the two tells it again, and none is lost. One finding in one dump is one event,
however often the dump is posted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from unsprawl.records import Label, Occurrence, Status
from unsprawl.secret import Keys
from unsprawl.store.prepare import SEVERITIES, plain
from unsprawl.store.rows import timestamp
from unsprawl.store.triage import EFFECTIVE

__all__ = ["Cue", "Paste", "Sketches", "look_back", "own", "prune", "record", "redacted", "tell", "untold"]

#: Places inside the organisation that an event names.
_PLACES: Final = 5
#: Findings of one paste that are told one by one.
_TOLD_AT_ONCE: Final = 20
#: Sketches of pastes that made events and are compared with new ones.
_SKETCHES: Final = 5_000
#: What is held for no credential tells nothing when it turns up elsewhere.
_TELLING: Final = (Label.REAL, Label.WEAK, Label.TEST)
_CHARACTERS: Final = 300
#: Where an occurrence ``o`` stands inside: on no paste site, whichever configuration names it.
_INSIDE: Final = "o.surface <> 'paste' AND o.source NOT IN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What a paste says of the organisation. Its texts are as they were read: redacted before they are kept.

    ``own`` are the fingerprints in it that are surely ours. ``line`` is the first that holds a name (0: only
    the title does), ``lines`` all of them. ``combo``: it is a list of accounts, of which ``accounts`` are of
    the organisation.
    """

    uri: str
    url: str = ""
    path: str = ""
    author: str = ""
    modified_at: datetime | None = None
    own: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    line: int = 0
    lines: frozenset[int] = frozenset()
    combo: bool = False
    accounts: int = 0
    sketch: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paste:
    """A paste worth telling: ``occurrences`` are those that were kept of it, one a finding.

    ``own`` are the fingerprints among them that are known inside. ``cue`` is redacted.
    """

    source: str
    document: bytes
    cue: Cue
    occurrences: tuple[Occurrence, ...] = ()
    own: frozenset[str] = frozenset()
    tell_names: bool = True


class Sketches:
    """Which pastes are one dump. ``similarity`` compares two sketches, from ``alike`` on they are copies."""

    def __init__(self, similarity: Callable[[bytes, bytes], float], alike: float) -> None:
        self._similarity, self._alike = similarity, alike
        self._held: dict[bytes, tuple[bytes, bytes]] = {}
        self._loaded = False

    def cluster(self, connection: sqlite3.Connection, paste: Paste) -> bytes:
        """The name of the first paste that this one is a copy of; its own if it is new."""
        if not self._loaded:
            rows = connection.execute(
                "SELECT document, cluster, sketch FROM pastes ORDER BY at DESC LIMIT ?", (_SKETCHES,)
            )
            self._held = {
                document: (cluster, sketch) for document, cluster, sketch in reversed(rows.fetchall())
            }
            self._loaded = True
        if paste.document in self._held:
            return self._held[paste.document][0]
        best, cluster = self._alike, paste.document
        for other, sketch in self._held.values():
            if sketch == paste.cue.sketch != b"":
                return other
            near = self._similarity(sketch, paste.cue.sketch)
            if near >= best:
                best, cluster = near, other
        return cluster

    def keep(self, paste: Paste, cluster: bytes) -> None:
        """Compare later pastes with this one."""
        self._held[paste.document] = cluster, paste.cue.sketch
        while len(self._held) > _SKETCHES:
            del self._held[next(iter(self._held))]


def own(connection: sqlite3.Connection, feeds: Sequence[str]) -> tuple[dict[str, str], frozenset[str]]:
    """The rule of every secret of one's own by its fingerprint, and the fingerprints that many may share.

    One's own is what was seen in any source but ``feeds`` and not marked as a false positive, and what a
    vault holds. Weak and test values are others' as well.
    """
    marks = ",".join("?" * len(feeds))
    rules: dict[str, str] = {}
    feeble: set[str] = set()
    strong: set[str] = set()
    for fingerprint, rule, label, proven in connection.execute(
        "SELECT f.fingerprint, f.rule, f.label, max(o.proven) FROM findings f"
        " JOIN occurrences o ON o.finding = f.id LEFT JOIN recalled m ON m.finding = f.id"
        f" WHERE {EFFECTIVE} <> '{Status.FALSE_POSITIVE}' AND {_INSIDE} ({marks}) GROUP BY f.id",
        tuple(feeds),
    ):
        if label in _TELLING:
            rules.setdefault(fingerprint, rule)
            (strong if label == Label.REAL or proven else feeble).add(fingerprint)
    for (fingerprint,) in (
        connection.execute("SELECT fingerprint FROM known") if _has_known(connection) else ()
    ):
        rules.setdefault(fingerprint, "")
        strong.add(fingerprint)
    return rules, frozenset(feeble - strong)


def record(
    connection: sqlite3.Connection,
    keys: Keys,
    pastes: Iterable[Paste],
    feeds: Sequence[str],
    sketches: Sketches,
    now: str,
) -> None:
    """Write the events of ``pastes`` within the caller's transaction."""
    for paste in pastes:
        cluster = sketches.cluster(connection, paste)
        connection.execute(
            "INSERT OR IGNORE INTO pastes VALUES (?, ?, ?, ?)",
            (paste.document, cluster, paste.cue.sketch, now),
        )
        told, more = _told_of(paste)
        for occurrence in told:
            _write(connection, keys, paste, occurrence, cluster, feeds, now, more)
        if not paste.occurrences and paste.tell_names:
            _write(connection, keys, paste, None, cluster, feeds, now, 0)
        sketches.keep(paste, cluster)


def _told_of(paste: Paste) -> tuple[list[Occurrence], int]:
    """One of each finding, those known inside first, and how many are not told one by one.

    Of a list of accounts what is known inside is told, else one for all.
    """
    first: dict[str, Occurrence] = {}
    for occurrence in paste.occurrences:
        first.setdefault(occurrence.finding, occurrence)
    known = [one for one in first.values() if one.fingerprint in paste.own]
    rest = [one for one in first.values() if one.fingerprint not in paste.own]
    rest.sort(key=lambda one: -SEVERITIES.index(one.severity))
    room = 0 if paste.cue.combo else _TOLD_AT_ONCE
    told = known + rest[: max(0 if known else 1, room - len(known))]
    return told, len(first) - len(told)


def _write(
    connection: sqlite3.Connection,
    keys: Keys,
    paste: Paste,
    occurrence: Occurrence | None,
    cluster: bytes,
    feeds: Sequence[str],
    now: str,
    more: int,
) -> None:
    cue = paste.cue
    finding = "" if occurrence is None else occurrence.finding
    mine = occurrence is not None and occurrence.fingerprint in paste.own
    if occurrence is None:
        kind = "mention"
    elif mine:
        kind = "ours"
    else:
        kind = "beside" if paste.own else "named" if cue.names else "found"
    # A list of accounts is one event, whichever of its lines stands for it.
    about = "" if cue.combo and not mine else finding
    name = keys.name("event", "ours" if mine else "", about, cluster.hex())
    seen = _seen_inside(connection, occurrence.fingerprint, feeds) if occurrence and mine else {}
    ordinal = 0 if occurrence is None else occurrence.ordinal
    about_it = (name, kind, finding, paste.source, paste.document, ordinal)
    _insert(connection, about_it, _place(cue, more) | seen, now)


def _place(cue: Cue, more: int) -> dict[str, Any]:
    return {
        "uri": cue.uri, "url": cue.url or None, "path": cue.path, "author": cue.author or None,
        "modified_at": None if cue.modified_at is None else timestamp(cue.modified_at), "line": cue.line,
        "names": list(cue.names), "combo": cue.combo, "accounts": cue.accounts, "more": more,
    }  # fmt: skip


def _insert(connection: sqlite3.Connection, event: tuple[Any, ...], place: dict[str, Any], now: str) -> None:
    connection.execute(
        "INSERT INTO events (name, kind, finding, source, document, ordinal, about, at, copies, last_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"
        " ON CONFLICT (name) DO UPDATE SET"
        " copies = copies + (excluded.document <> events.document), last_at = excluded.last_at",
        (*event, plain(msgspec.json.encode(place).decode()), now, now),
    )


def look_back(
    connection: sqlite3.Connection, keys: Keys, rules: Collection[str], feeds: Sequence[str], now: str
) -> None:
    """Events for pastes that were kept before anybody knew that they hold something of ours.

    ``rules`` are the fingerprints of our own. Within the caller's transaction.
    """
    marks = ",".join("?" * len(feeds))
    rows = connection.execute(
        "SELECT f.fingerprint, o.finding, o.source, o.document, o.ordinal, o.uri, o.url, o.path, o.author,"
        " p.cluster FROM occurrences o JOIN findings f ON f.id = o.finding"
        " JOIN pastes p ON p.document = o.document"
        f" WHERE o.source IN ({marks}) AND NOT EXISTS (SELECT 1 FROM events e WHERE e.kind = 'ours'"
        " AND e.finding = o.finding) ORDER BY o.id",
        tuple(feeds),
    ).fetchall()
    for fingerprint, finding, source, document, ordinal, uri, url, path, author, cluster in rows:
        if fingerprint in rules:
            cue = Cue(uri=uri, url=url or "", path=path, author=author or "")
            place = _place(cue, 0) | _seen_inside(connection, fingerprint, feeds)
            name = keys.name("event", "ours", finding, cluster.hex())
            _insert(connection, (name, "ours", finding, source, document, ordinal), place, now)


def _seen_inside(connection: sqlite3.Connection, fingerprint: str, feeds: Sequence[str]) -> dict[str, Any]:
    """Where the same value stands inside, the first place first, and what is known of it."""
    marks = ",".join("?" * len(feeds))
    names = "source surface path uri url author audience first_seen modified_at gone_at".split()
    rows = connection.execute(
        f"SELECT {', '.join(f'o.{name}' for name in names)}, f.id, f.validity, {EFFECTIVE}"
        " FROM findings f JOIN occurrences o ON o.finding = f.id LEFT JOIN recalled m ON m.finding = f.id"
        f" WHERE f.fingerprint = ? AND {_INSIDE} ({marks})"
        " ORDER BY coalesce(o.modified_at, o.first_seen), o.id",
        (fingerprint, *feeds),
    ).fetchall()
    places = [dict(zip(names, row, strict=False)) for row in rows[:_PLACES]]
    held: dict[str, Any] = {"seen": places, "seen_count": len(rows)}
    if rows:
        held |= {
            "validity": max(row[11] for row in rows),
            "status": rows[0][12],
            "findings": sorted({r[10] for r in rows}),
        }
    if _has_known(connection):
        cursor = connection.execute(
            "SELECT * FROM known WHERE fingerprint = ? ORDER BY current DESC LIMIT ?", (fingerprint, _PLACES)
        )
        columns = [column[0] for column in cursor.description]
        vault = [dict(zip(columns, row, strict=True)) for row in cursor]
        held["known"] = [
            {
                name: value[:_CHARACTERS] if isinstance(value, str) else value
                for name, value in entry.items()
                if name != "fingerprint" and isinstance(value, str | int | float)
            }
            for entry in vault
        ]
    return held


def _has_known(connection: sqlite3.Connection) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'known'"
    return connection.execute(query).fetchone() is not None


def untold(connection: sqlite3.Connection, limit: int = 500) -> list[dict[str, Any]]:
    """Events that nobody was told yet, the oldest first."""
    cursor = connection.execute(
        "SELECT id, hex(name) AS name, kind, finding, source, document, ordinal, about, at, copies"
        " FROM events WHERE told_at IS NULL ORDER BY id LIMIT ?",
        (limit,),
    )
    names = [column[0] for column in cursor.description]
    events = [dict(zip(names, row, strict=True)) for row in cursor]
    for event in events:
        event["about"] = msgspec.json.decode(event["about"])
    return events


def tell(connection: sqlite3.Connection, ids: Iterable[int], now: str) -> None:
    """Mark events as told."""
    connection.executemany("UPDATE events SET told_at = ? WHERE id = ?", [(now, id_) for id_ in ids])


def prune(connection: sqlite3.Connection, old: str) -> None:
    """Forget sketches and told events from before ``old``: the same dump is news again."""
    connection.execute("DELETE FROM pastes WHERE at < ?", (old,))
    connection.execute("DELETE FROM events WHERE last_at < ? AND told_at IS NOT NULL", (old,))


def redacted(cue: Cue, text: Callable[[str], str]) -> Cue:
    """``cue`` fit to be stored."""
    return replace(cue, uri=text(cue.uri), url=text(cue.url), path=text(cue.path), author=text(cue.author))
