"""The interface contract: one occurrence as one flat record, with the same fields in every format."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from unsprawl.records import Occurrence
from unsprawl.store.risk import Exposure
from unsprawl.store.risk import risk as risk_of

__all__ = ["FIELDS", "row", "timestamp"]

_ALONE: Final = Exposure()
#: The fields of a row, in their order.
FIELDS: Final = (
    "finding",
    "rule",
    "name",
    "provider",
    "secret",
    "fingerprint",
    "confidence",
    "label",
    "environment",
    "severity",
    "risk",
    "validity",
    "status",
    "source",
    "uri",
    "url",
    "path",
    "line",
    "column",
    "start",
    "end",
    "line_end",
    "views",
    "attrs",
    "companions",
    "author",
    "modified_at",
    "audience",
    "first_seen",
    "last_seen",
    "gone_at",
    "owner",
    "context",
    "because",
    "evidence",
)


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with ``Z``, to the millisecond, so that texts sort as times. Naive times are UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def row(
    occurrence: Occurrence,
    *,
    first_seen: datetime | str | None,
    last_seen: datetime | str | None,
    status: str = "open",
    because: str = "",
    risk: int | None = None,
    doubted: bool = False,
    owner: str | None = None,
    gone_at: datetime | str | None = None,
    exposure: Exposure = _ALONE,
    show_secrets: bool = False,
) -> dict[str, Any]:
    """The record of one occurrence. ``risk`` is computed unless given; times may come as stored texts.

    ``because`` tells which decision gave it its status.
    ``doubted``: it is like a false positive and kept all the same, which halves its risk.

    ``secret`` and ``context`` are redacted, unless ``show_secrets`` and the occurrence carries its value.
    """
    it = occurrence
    if risk is None:
        risk = risk_of(
            it.severity, it.validity, it.confidence, it.audience, it.environment, it.label, exposure
        )
        risk = risk // 2 if doubted else risk
    clear = it.clear if show_secrets else None
    clear_context = it.clear_context if show_secrets else None
    return {
        "finding": it.finding,
        "rule": it.rule,
        "name": it.title,
        "provider": it.provider,
        "secret": it.secret if clear is None else clear,
        "fingerprint": it.fingerprint,
        "confidence": it.confidence,
        "label": str(it.label),
        "environment": str(it.environment),
        "severity": str(it.severity),
        "risk": risk,
        "validity": str(it.validity),
        "status": str(status),
        "source": it.source,
        "uri": it.uri,
        "url": it.url,
        "path": it.path,
        "line": it.line,
        "column": it.column,
        "start": it.start,
        "end": it.end,
        "line_end": it.line_end,
        "views": list(it.views),
        "attrs": dict(it.attrs),
        "companions": dict(it.companions),
        "author": it.author,
        "modified_at": _text(it.modified_at),
        "audience": str(it.audience),
        "first_seen": _text(first_seen),
        "last_seen": _text(last_seen),
        "gone_at": _text(gone_at),
        "owner": owner,
        "context": it.context if clear_context is None else clear_context,
        "because": because or None,
        "evidence": it.evidence or None,
    }


def _text(moment: datetime | str | None) -> str | None:
    return timestamp(moment) if isinstance(moment, datetime) else moment
