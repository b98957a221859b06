"""Sightings of a content that was not read again: they follow it to new places and new surroundings."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from unsprawl.records import Carried, Json
from unsprawl.store.prepare import Key, Prepared, plain
from unsprawl.store.rows import timestamp

__all__ = ["with_carried"]

_FACE: Final = (
    *("fingerprint", "rule", "title", "provider", "secret", "severity", "confidence", "label", "environment"),
    *("validity", "evidence", "sealed"),
)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def with_carried(connection: sqlite3.Connection, prepared: Prepared, columns: tuple[str, ...]) -> Prepared:
    """``prepared`` with the sightings that the store has of each known content, as they are here and now.

    A source that has none of its own gets those of another one. What is gone stays gone.
    """
    if not prepared.batch.carried:
        return prepared
    source = prepared.batch.source
    occurrences, first = dict(prepared.occurrences), dict(prepared.first_versions)
    for carried in prepared.batch.carried:
        rows = connection.execute(
            f"SELECT source, finding, ordinal, first_version, {', '.join(columns)} FROM occurrences"
            " WHERE document = ? AND gone_at IS NULL ORDER BY source <> ?, source, finding, ordinal",
            (carried.document, source),
        ).fetchall()
        # Its own, or those of one other.
        for giver, finding, ordinal, version, *values in rows:
            if giver != rows[0][0]:
                break
            key: Key = (finding, carried.document, ordinal)
            if key not in occurrences:
                row = dict(zip(columns, values, strict=True))
                occurrences[key] = _moved(row, carried, own=giver == source)
                first[key] = version
    findings = dict(prepared.findings)
    for finding in sorted({key[0] for key in occurrences} - findings.keys()):
        face = connection.execute(
            f"SELECT {', '.join(_FACE)} FROM findings WHERE id = ?", (finding,)
        ).fetchone()
        findings[finding] = tuple(face)
    return replace(prepared, occurrences=occurrences, first_versions=first, findings=findings)


def _moved(row: dict[str, Any], carried: Carried, *, own: bool) -> tuple[Any, ...]:
    """The columns of a sighting in its place of today."""
    member = row["uri"].partition("!/")
    inner = "".join(member[1:])
    moved = {
        "surface": carried.surface,
        "uri": plain(carried.uri + inner),
        "path": plain(carried.path + inner),
        "url": row["url"] if carried.url is None else plain(carried.url),
        "attrs": _attrs(msgspec.json.decode(row["attrs"]), carried.attrs, own=own),
        "author": row["author"] if carried.author is None else plain(carried.author),
        "modified_at": row["modified_at"] if carried.modified_at is None else timestamp(carried.modified_at),
        "audience": str(carried.audience),
    }
    return tuple({**row, **moved}.values())


def _attrs(before: Mapping[str, Json], now: Mapping[str, Json], *, own: bool) -> str:
    """What the member alone has is kept; what another source said of its surroundings is not."""
    kept = before if own else {name: value for name, value in before.items() if name == "parts"}
    merged = {name: value for name, value in {**kept, **now}.items() if value is not None}
    return plain(_encode(merged).decode("utf-8")) if merged else "{}"
