"""Manifests of the first schema: what their digest covers, and their history as a person can read it."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from unsprawl.errors import UnreadableError

__all__ = ["is_first_schema", "payload", "readable"]

_MOST_SIGNATURES: Final = 16


def is_first_schema(body: bytes) -> bool:
    """Whether this is such a manifest, without trust in any media type."""
    return b'"fsLayers"' in body and _content(body).get("schemaVersion") == 1


def payload(body: bytes) -> bytes:
    """What the digest is of: the manifest without its signatures.

    A signature says after how many bytes the payload was cut open to put it in, and what followed there.
    """
    signatures = _content(body).get("signatures")
    if not isinstance(signatures, list):
        return body
    for signature in signatures[:_MOST_SIGNATURES]:
        try:
            header = json.loads(_unpacked(signature["protected"]))
            length = int(header["formatLength"])
            tail = _unpacked(header["formatTail"])
        except (KeyError, TypeError, ValueError, RecursionError):
            continue
        if 0 < length < len(body):
            return body[:length] + tail
    raise UnreadableError("a manifest of the first schema with a damaged signature")


def readable(body: bytes) -> bytes:
    """The manifest with the history of its layers unpacked: it is JSON within the strings of JSON."""
    content = _content(body)
    content.pop("signatures", None)
    history = content.get("history")
    if isinstance(history, list):
        content["history"] = [_step(entry) for entry in history]
    return json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _step(entry: object) -> object:
    text = entry.get("v1Compatibility") if isinstance(entry, dict) else None
    try:
        return json.loads(text) if isinstance(text, str) else entry
    except (ValueError, RecursionError):
        return entry


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {}


def _unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
