"""The places of a finding, looked at one by one: where it still stands, and where it is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from unsprawl.secret import Keys
from unsprawl.store.seal import unseal

__all__ = ["Look", "Place", "look", "places", "sealed_values"]

#: What a look at a place told. ``unknown`` changes nothing: not to be able to look proves nothing.
Look: TypeAlias = Literal["stands", "gone", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One occurrence of a finding, with what finding it again takes. ``uri`` is redacted."""

    id: int
    finding: str
    source: str
    surface: str
    uri: str
    path: str
    url: str | None
    document: bytes
    ordinal: int
    attrs: dict[str, Any]
    gone_at: str | None

    @property
    def document_uri(self) -> str:
        """The uri without the archive member."""
        return self.uri.partition("!/")[0]


def places(connection: sqlite3.Connection, finding: str, *, gone: bool = False) -> list[Place]:
    """Where ``finding`` stands as far as it is known, by source and uri; ``gone``: also where it stood."""
    rows = connection.execute(
        "SELECT id, finding, source, surface, uri, path, url, document, ordinal, attrs, gone_at"
        " FROM occurrences WHERE finding = ? AND (? OR gone_at IS NULL)"
        " ORDER BY source, uri, start, document, ordinal",
        (finding, gone),
    )
    names = ("id", "finding", "source", "surface", "uri", "path", "url", "document", "ordinal")
    return [
        Place(
            **dict(zip(names, row[:-2], strict=True)),
            attrs=msgspec.json.decode(row[-2], type=dict[str, Any]),
            gone_at=row[-1],
        )
        for row in rows
    ]


def look(connection: sqlite3.Connection, seen: Iterable[tuple[int, Look]], now: str) -> int:
    """Write what looks at places told, by their ids; within the caller's transaction. How many are gone."""
    went = 0
    for place, told in seen:
        if told == "stands":
            connection.execute(
                "UPDATE occurrences SET last_seen = ?, refetched_at = ?, gone_at = NULL WHERE id = ?",
                (now, now, place),
            )
        elif told == "gone":
            went += connection.execute(
                "UPDATE occurrences SET gone_at = ?, refetched_at = ? WHERE id = ? AND gone_at IS NULL",
                (now, now, place),
            ).rowcount
            connection.execute(
                "UPDATE findings SET unsettled = 1 WHERE id = (SELECT finding FROM occurrences WHERE id = ?)",
                (place,),
            )
    return went


def sealed_values(connection: sqlite3.Connection, keys: Keys, finding: str) -> dict[str, bytes]:
    """The values of a finding that the store keeps: ``secret`` and its companions. Empty when it has none."""
    row = connection.execute("SELECT sealed FROM findings WHERE id = ?", (finding,)).fetchone()
    if row is None or row[0] is None:
        return {}
    return msgspec.msgpack.decode(unseal(keys, finding.encode(), row[0]), type=dict[str, bytes])
