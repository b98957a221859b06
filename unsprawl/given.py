"""Whence the values of a sweep come: typed, from a file, from a text in which they leaked, or from findings.

They live in memory only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from unsprawl.errors import ConfigError, SourceError
from unsprawl.records import Document, Refetchable, Skipped
from unsprawl.secret import Keys, Secret

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.store.findings import Store

__all__ = ["Chosen", "Missing", "of_findings", "of_text", "read_lines", "read_text"]

_LARGEST_BYTES: Final = 64 << 20
_PEM: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL)
#: Places of one finding that are read again to learn its value.
_PLACES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which findings are meant: by the beginning of an id, a rule, an author, since when. None: all."""

    findings: tuple[str, ...] = ()
    rule: str | None = None
    author: str | None = None
    since: datetime | None = None

    def admits(self, row: dict[str, Any]) -> bool:
        """Whether an occurrence is chosen. What has no date of its own counts by when it was first seen."""
        if self.findings and not any(row["finding"].startswith(one) for one in self.findings):
            return False
        if self.rule is not None and not fnmatchcase(row["rule"], self.rule):
            return False
        if self.author is not None and self.author.casefold() not in (row["author"] or "").casefold():
            return False
        if self.since is not None:
            moment = datetime.fromisoformat(row["modified_at"] or row["first_seen"])
            return moment >= self.since
        return True


@dataclass(frozen=True, slots=True)
class Missing:
    """A finding whose value nobody knows any more."""

    finding: str
    fingerprint: str


def read_text(place: str, stdin: BinaryIO) -> bytes:
    """The content of a file, of standard input (``-``), or of a page (``https://…``).

    ``ConfigError`` when a file cannot be read, ``SourceError`` when a page cannot.
    """
    if place.startswith(("https://", "http://")):
        return _page(place)
    try:
        if place == "-":
            content = stdin.read(_LARGEST_BYTES + 1)
        else:
            with Path(place).open("rb") as file:
                content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {place}: {error.strerror}", hint="give a file, or - for stdin"
        ) from None
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(f"{place} is larger than 64 MiB", hint="sweep for its values in several parts")
    return content


def _page(url: str) -> bytes:
    from unsprawl.wire.client import Client
    from unsprawl.wire.patience import Patience

    with Client(url, patience=Patience(attempts=3, total=30.0)) as client:
        return client.get(url, limit=_LARGEST_BYTES).expect("the paste", "give a file instead").body


def read_lines(content: bytes) -> list[Secret]:
    """One value a line, and whole private keys. Blank lines count for nothing, all else as it stands."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    found = [Secret(match.group()) for match in _PEM.finditer(content)]
    found += [Secret(line.strip()) for line in _PEM.sub(b"\n", content).splitlines() if line.strip()]
    return found


def of_text(content: bytes, name: str, detector: ContentDetector) -> list[Secret]:
    """The values that leaked in a text: what the rules see in it, companions that are secrets too."""
    found: dict[bytes, Secret] = {}
    for item in detector.scan(Document(uri=name, body=content)):
        if not isinstance(item, Skipped):
            found.setdefault(item.secret.reveal(), item.secret)
    return list(found.values())


def of_findings(
    store: Store, keys: Keys, config: Config, chosen: Chosen, detector: Callable[[], ContentDetector]
) -> tuple[list[Secret], list[Missing]]:
    """The values of the chosen findings: those kept sealed, else read again where they stood."""
    from unsprawl.store.findings import Filter

    places: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in store.rows(Filter(include_gone=True), show_secrets=True):
        if chosen.admits(row):
            places.setdefault((row["finding"], row["fingerprint"]), []).append(row)
    values: dict[str, Secret] = {}
    missing: list[Missing] = []
    built: dict[str, Any] = {}
    for (finding, fingerprint), rows in places.items():
        if fingerprint in values:
            continue
        value = _sealed(rows, fingerprint, keys) or _read_again(
            rows, fingerprint, keys, config, built, detector
        )
        if value is None:
            missing.append(Missing(finding, fingerprint))
        else:
            values[fingerprint] = value
    return list(values.values()), missing


def _sealed(rows: Sequence[dict[str, Any]], fingerprint: str, keys: Keys) -> Secret | None:
    for row in rows:
        secret = Secret(row["secret"])
        if keys.fingerprint(secret) == fingerprint:
            return secret
    return None


def _read_again(
    rows: Sequence[dict[str, Any]],
    fingerprint: str,
    keys: Keys,
    config: Config,
    built: dict[str, Any],
    detector: Callable[[], ContentDetector],
) -> Secret | None:
    standing = [row for row in rows if not row["gone_at"]]
    for row in standing[:_PLACES]:
        configured = config.sources.get(row["source"])
        if configured is None:
            continue
        with suppress(SourceError):
            document = _fetched(configured, row, built)
            if document is None:
                continue
            for secret in _secrets(detector().scan(document)):
                if keys.fingerprint(secret) == fingerprint:
                    return secret
    return None


def _fetched(configured: Any, row: dict[str, Any], built: dict[str, Any]) -> Document | None:
    from unsprawl.plugins import build_source

    source = built.get(configured.name)
    if source is None:
        source = build_source(configured.name, configured.type, configured.config)
        built[configured.name] = source
    if not isinstance(source, Refetchable):
        return None
    document = source.fetch(row["uri"].partition("!/")[0])
    return None if isinstance(document, Skipped) else document


def _secrets(found: Iterable[Any]) -> Iterator[Secret]:
    for item in found:
        if not isinstance(item, Skipped):
            yield item.secret
