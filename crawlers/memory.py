"""A source held in memory: the smallest that keeps the whole contract. For tests, and as a pattern.

    memory:BUNDLE/NAME

A bundle is a unit, its texts are the documents. What to copy from here: units and documents come in
a stable order, a refusal is told like anything else, and a version says whether a document changed.
Units that take minutes yield a ``Checkpoint`` now and then as well, these are too small for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Literal
from urllib.parse import quote

from unsprawl.config import SourceConfig
from unsprawl.records import Cursor, Document, Event, Seen, Skipped, Unchanged, Unit

__all__ = ["MemorySource"]


class MemorySource:
    """``memory {bundles}``: bundle → name → text. A text that is ``null`` stands for a refusal."""

    type = "memory"
    reads_in: Literal["worker"] = "worker"

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        bundles: Mapping[str, Mapping[str, str | None]]

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._bundles = config.bundles

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002
        for bundle in sorted(self._bundles):
            yield Unit(f"memory:{bundle}", bundle)

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:  # noqa: ARG002
        texts = self._bundles[unit.title]
        for name in sorted(texts):
            yield self._event(unit.title, name, texts[name], seen)

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one document again."""
        for bundle, texts in self._bundles.items():
            for name, text in texts.items():
                if uri == _uri(bundle, name):
                    event = self._event(bundle, name, text, lambda _: None)
                    return event if isinstance(event, Document | Skipped) else Skipped(uri, "unchanged")
        return Skipped(uri, "no longer there")

    def _event(self, bundle: str, name: str, text: str | None, seen: Seen) -> Event:
        uri = _uri(bundle, name)
        if text is None:
            return Skipped(uri, "access denied", "this text is not for you")
        body = text.encode()
        version = blake2b(body, digest_size=12).hexdigest()
        if seen(uri) == version:
            return Unchanged()
        return Document(uri=uri, body=body, path=f"{bundle}/{name}", key=uri, version=version)


def _uri(bundle: str, name: str) -> str:
    return f"memory:{quote(bundle, safe='')}/{quote(name)}"
