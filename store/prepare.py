"""A batch as the store takes it: deduplicated and encoded before the write lock is held."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from unsprawl.records import Batch, Occurrence, Severity, Validity
from unsprawl.secret import Keys
from unsprawl.store.ledger import seal_cursor
from unsprawl.store.rows import timestamp

__all__ = ["SEVERITIES", "VALIDITIES", "Key", "Prepared", "json_text", "plain", "prepare"]

#: What tells one sighting from another within a source: finding, document, ordinal.
Key: TypeAlias = tuple[str, bytes, int]

#: By rank, 1 for the lowest, as the store's columns have it.
SEVERITIES: Final = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
#: 0, 1, 2: knowledge beats no knowledge, and working beats dead.
VALIDITIES: Final = (Validity.UNKNOWN, Validity.INACTIVE, Validity.ACTIVE)
_SEVERITY_RANK: Final = {severity: rank for rank, severity in enumerate(SEVERITIES, 1)}
_VALIDITY_RANK: Final = {validity: rank for rank, validity in enumerate(VALIDITIES)}
_UNIT_NAME_BYTES: Final = 8

_encode: Final = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Prepared:
    """``occurrences`` are column values without times and run, ``findings`` the faces of the cases."""

    batch: Batch
    unit: bytes
    digest: bytes
    occurrences: dict[Key, tuple[Any, ...]]
    first_versions: dict[Key, str | None]
    findings: dict[str, tuple[Any, ...]]
    documents: frozenset[bytes]
    seen: dict[bytes, str]
    cursor: bytes | None


def plain(text: str) -> str:
    """``text`` as SQLite can hold it: bytes of file names that are no UTF-8 are written out."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def prepare(keys: Keys, batch: Batch) -> Prepared:
    occurrences: dict[Key, tuple[Any, ...]] = {}
    first_versions: dict[Key, str | None] = {}
    findings: dict[str, Occurrence] = {}
    for occurrence in batch.occurrences:
        key = (occurrence.finding, occurrence.document, occurrence.ordinal)
        first_versions.setdefault(key, occurrence.version)
        occurrences[key] = _columns(occurrence)
        known = findings.get(occurrence.finding)
        if known is None or _face(occurrence) < _face(known):
            findings[occurrence.finding] = occurrence
    return Prepared(
        batch=batch,
        unit=keys.name(batch.source, batch.unit.id)[:_UNIT_NAME_BYTES],
        digest=_digest(batch),
        occurrences=occurrences,
        first_versions=first_versions,
        findings=_findings(findings, batch),
        documents=frozenset(batch.documents),
        seen={name: plain(version) for name, version in batch.seen},
        cursor=None if batch.cursor is None else seal_cursor(keys, batch.source, batch.unit.id, batch.cursor),
    )


def _face(occurrence: Occurrence) -> tuple[Any, ...]:
    """A case wears the face of its worst sighting; ties go by content, never by the order of arrival."""
    return (
        -_SEVERITY_RANK[occurrence.severity],
        -occurrence.confidence,
        occurrence.rule,
        occurrence.secret,
        occurrence.label,
        occurrence.environment,
        occurrence.title,
        occurrence.provider,
    )


def _findings(faces: dict[str, Occurrence], batch: Batch) -> dict[str, tuple[Any, ...]]:
    checks = dict.fromkeys(faces, (0, ""))
    sealed: dict[str, bytes] = {}
    for occurrence in batch.occurrences:
        check = (_VALIDITY_RANK[occurrence.validity], plain(occurrence.evidence))
        checks[occurrence.finding] = max(check, checks[occurrence.finding])
        if occurrence.sealed is not None:
            sealed[occurrence.finding] = occurrence.sealed
    return {
        finding: (
            face.fingerprint,
            face.rule,
            plain(face.title),
            plain(face.provider),
            plain(face.secret),
            _SEVERITY_RANK[face.severity],
            face.confidence,
            str(face.label),
            str(face.environment),
            *checks[finding],
            sealed.get(finding),
        )
        for finding, face in faces.items()
    }


def _columns(it: Occurrence) -> tuple[Any, ...]:
    return (
        it.surface,
        it.rule,
        plain(it.title),
        plain(it.provider),
        plain(it.secret),
        plain(it.uri),
        plain(it.path),
        None if it.url is None else plain(it.url),
        it.line,
        it.column,
        it.line_end,
        it.start,
        it.end,
        it.confidence,
        _SEVERITY_RANK[it.severity],
        str(it.label),
        str(it.environment),
        json_text(it.views),
        json_text(it.attrs),
        json_text(it.companions),
        None if it.author is None else plain(it.author),
        None if it.modified_at is None else timestamp(it.modified_at),
        str(it.audience),
        plain(it.context),
        None if it.version is None else plain(it.version),
        it.vector or None,
        it.proven,
    )


def json_text(value: object) -> str:
    """``value`` as JSON that SQLite can hold."""
    if not value:
        return "[]" if isinstance(value, tuple) else "{}"
    try:
        return _encode(value).decode("utf-8")
    except UnicodeEncodeError:
        return _encode(_plain_within(value)).decode("utf-8")


def _plain_within(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(name): _plain_within(inner) for name, inner in value.items()}
    return [_plain_within(inner) for inner in value] if isinstance(value, list | tuple) else value


def _digest(batch: Batch) -> bytes:
    """Tells a batch delivered again from the next one of its unit."""
    failure = batch.failure
    content = hashlib.blake2b(digest_size=16)
    for part in (
        repr(batch.counts),
        repr(failure),
        repr((batch.done, batch.fatal)),
        repr(sorted((batch.cursor or {}).items(), key=lambda item: item[0])),
        repr(batch.gaps),
    ):
        content.update(part.encode("utf-8", "backslashreplace"))
        content.update(b"\0")
    content.update(b"".join(batch.documents))
    content.update(b"".join(one.document for one in batch.carried))
    return content.digest()
