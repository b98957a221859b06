"""Whose case a finding is: a file in the manner of CODEOWNERS, the vault's path, else who wrote it.

    # PATTERN                     OWNER
    laptop/**                     @desktop-team
    slack://T0ACME/C0OPS/**       @ops ops@acme.test
    rule:aws.*                    @cloud
    author:*@shop.acme.test       @shop
    vault:payments/**             @payments
    *                             @security

Patterns are those of ``exclude``, over ``SOURCE/PATH`` and over uris; the last line that fits wins, as in
CODEOWNERS. What a person has assigned stays.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from unsprawl import globs
from unsprawl.errors import ConfigError
from unsprawl.printable import printable
from unsprawl.store import audit
from unsprawl.store.prepare import plain

__all__ = ["Owners", "assign", "assign_all", "load"]

_LARGEST_BYTES: Final = 1 << 20
_LINE = re.compile(r"(?P<pattern>(?:\\.|[^\s\\])+)\s+(?P<owners>[^#\s][^#]*)")
_PREFIXES: Final = ("rule:", "author:", "vault:")
#: Where the surfaces and the vault's importer tell the path of a secret's home.
_VAULT_ATTRS: Final = ("vault_path", "secret_path", "vault")
_ASSIGNED: Final = "assigned by "


@dataclass(frozen=True, slots=True)
class Owners:
    """The lines of the file, in order: pattern and owner."""

    lines: tuple[tuple[str, str], ...] = ()

    def owner(self, place: Mapping[str, str]) -> tuple[str, str] | None:
        """Owner and the pattern that says so. ``place``: source, path, uri, rule, author, vault."""
        for pattern, owner in reversed(self.lines):
            if _fits(pattern, place):
                return owner, pattern
        return None


def load(path: Path) -> Owners:
    """Read the file. ``ConfigError`` names the line that is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the owners: {error.strerror}", hint="look at `owners:` of the configuration"
        ) from None
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(f"{path}: larger than 1 MiB, so it is no list of owners")
    lines: list[tuple[str, str]] = []
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _LINE.match(text)
        if found is None:
            raise ConfigError(
                f"{path}:{number}: a pattern without an owner", hint="write `PATTERN OWNER`, # for a comment"
            )
        owners = " ".join(printable(found["owners"]).split())
        lines.append((found["pattern"].replace("\\ ", " "), owners))
    return Owners(tuple(lines))


def assign(connection: sqlite3.Connection, finding: str, owner: str, who: str) -> None:
    """A person says whose it is; within the caller's transaction. "" gives it back to the rules."""
    because = f"{_ASSIGNED}{plain(who)}" if owner else ""
    connection.execute(
        "UPDATE findings SET owner = ?, owner_because = ? WHERE id = ?",
        (plain(owner) or None, because, finding),
    )
    audit.record(connection, "owner.assigned", who=who, subject=finding, detail={"owner": owner})


def assign_all(connection: sqlite3.Connection, owners: Owners) -> int:
    """Say for every finding whose it is, by its places; within the caller's transaction. How many changed.

    The mapping's answer for most places counts, then the author of most. Places where it stands now go
    before those where it stood.
    """
    held = {
        id_: (owner, because)
        for id_, owner, because in connection.execute("SELECT id, owner, owner_because FROM findings")
    }
    changes = []
    finding, places = "", list[dict[str, str]]()
    rows = connection.execute(
        "SELECT finding, source, path, uri, rule, author, attrs, gone_at IS NULL FROM occurrences"
        " ORDER BY finding, id"
    )

    def conclude() -> None:
        owner, because = _verdict(places, owners)
        if finding and not held[finding][1].startswith(_ASSIGNED) and held[finding] != (owner, because):
            changes.append((owner, because, finding))

    for id_, source, path, uri, rule, author, attrs, stands in rows:
        if id_ != finding:
            conclude()
            finding, places = id_, []
        places.append(
            {
                "source": source, "path": path, "uri": uri, "rule": rule, "author": author or "",
                "vault": _vault(attrs), "stands": "1" if stands else "",
            }
        )  # fmt: skip
    conclude()
    connection.executemany("UPDATE findings SET owner = ?, owner_because = ? WHERE id = ?", changes)
    return len(changes)


def _verdict(places: Iterable[Mapping[str, str]], owners: Owners) -> tuple[str | None, str]:
    listed = list(places)
    now = [place for place in listed if place["stands"]] or listed
    mapped = Counter(filter(None, (owners.owner(place) for place in now)))
    if mapped:
        (owner, pattern), _ = mapped.most_common(1)[0]
        return owner, f"owners: {pattern}"
    authors = Counter(place["author"] for place in now if place["author"])
    if authors:
        author, count = authors.most_common(1)[0]
        return author, f"wrote {count} of {len(now)} places"
    return None, ""


def _fits(pattern: str, place: Mapping[str, str]) -> bool:
    for prefix in _PREFIXES:
        if pattern.startswith(prefix):
            value = place.get(prefix[:-1], "")
            wanted = pattern.removeprefix(prefix)
            if prefix == "vault:":
                return bool(value) and globs.matches((wanted,), value)
            return bool(value) and fnmatchcase(value, wanted)
    named = f"{place['source']}/{place['path'].removeprefix('/')}"
    return globs.matches((pattern,), named) or globs.matches((pattern,), place["uri"])


def _vault(attrs: str) -> str:
    if "vault" not in attrs and "secret_path" not in attrs:
        return ""
    try:
        known = msgspec.json.decode(attrs)
    except msgspec.DecodeError:
        return ""
    return next((str(known[name]) for name in _VAULT_ATTRS if isinstance(known.get(name), str)), "")
