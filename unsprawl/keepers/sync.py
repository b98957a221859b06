"""Every keeper of a configuration, read value by value: only fingerprints and where they belong are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from unsprawl.errors import SourceError
from unsprawl.keeper_settings import KeeperSettings
from unsprawl.keepers.entries import SHORTEST, Kept
from unsprawl.records import Gap, Skipped
from unsprawl.redaction import Redactor
from unsprawl.secret import Keys, Secret

if TYPE_CHECKING:
    from unsprawl.config import ConfiguredKeeper

__all__ = ["Ask", "Entry", "Synced", "entries", "read", "sync"]

#: Entries that are written at once.
_TOGETHER: Final = 500
_ASKED_TOGETHER: Final = 100
_STRUCTURED: Final = (b"://", b"=", b"\n", b'": ')


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as the store keeps it: never in clear."""

    fingerprint: str
    vault: str
    kind: str
    path: str
    key: str
    version: str
    current: bool


@dataclass(slots=True)
class Synced:
    """What became of one keeper."""

    vault: str
    kind: str
    values: int = 0
    secrets: set[str] = field(default_factory=set)
    replaced: int = 0
    gaps: list[Gap] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return all(gap.excluded for gap in self.gaps)


class Ledger(Protocol):
    """Where entries go: a store's table ``known``."""

    def write(self, entries: Sequence[Entry]) -> None: ...

    def finish(self, vault: str, unread: Sequence[str]) -> int:
        """What was not written since the beginning is current no more, except below ``unread``."""
        ...


#: Takes values that some list of leaked ones may know.
Ask = Callable[[Sequence[Kept]], None]
#: Secrets that stand within a value: a password in a connection string.
Within = Callable[[bytes], list[Secret]]


def read(keeper: ConfiguredKeeper) -> Iterator[Kept | Skipped]:
    """All values of one keeper. Raises ``SourceError`` and ``ConfigError``."""
    from unsprawl import keeper_settings as settings
    from unsprawl.keepers import aws, files, vault

    readers: Mapping[type[KeeperSettings], Callable[[str, Any], Iterator[Kept | Skipped]]] = {
        settings.Vault: vault.read,
        settings.AwsSecrets: aws.read_secrets,
        settings.AwsParameters: aws.read_parameters,
        settings.SecretFile: files.read,
    }
    return readers[type(keeper.settings)](keeper.name, keeper.settings)


def entries(keeper: ConfiguredKeeper, kept: Kept, keys: Keys, within: Within) -> Iterator[Entry]:
    """The entries of a value: its own, and those of secrets that stand in it."""
    masked = Redactor().text
    value = kept.secret.reveal()
    # A connection string, a file of settings: what is one word has nothing within.
    inner = within(value) if any(mark in value for mark in _STRUCTURED) else []
    inner = [one for one in inner if len(one.reveal()) >= SHORTEST]
    for fingerprint in dict.fromkeys(keys.fingerprint(one) for one in (kept.secret, *inner)):
        yield Entry(
            fingerprint,
            keeper.name,
            keeper.type,
            masked(kept.path),
            masked(kept.key),
            kept.version,
            kept.current,
        )


def sync(
    keeper: ConfiguredKeeper, ledger: Ledger, keys: Keys, within: Within, ask: Ask | None = None
) -> Synced:
    """Read one keeper into the ledger. A refusal is a gap; what was read before it stays.

    ``ask`` is shown the current values, some at a time.
    """
    done = Synced(keeper.name, keeper.type)
    waiting: list[Entry] = []
    asked: list[Kept] = []
    try:
        for item in read(keeper):
            if isinstance(item, Skipped):
                done.gaps.append(Gap(item.uri, item.reason, item.hint, item.excluded))
                continue
            done.values += 1
            done.secrets.add(item.path)
            waiting += entries(keeper, item, keys, within)
            if ask and item.current:
                asked.append(item)
                if len(asked) >= _ASKED_TOGETHER:
                    ask(asked)
                    asked = []
            if len(waiting) >= _TOGETHER:
                ledger.write(waiting)
                waiting = []
    except SourceError as error:
        done.gaps.append(Gap(f"{keeper.name}:", error.message, error.hint))
        ledger.write(waiting)
        return done
    ledger.write(waiting)
    if ask and asked:
        ask(asked)
    unread = [gap.uri for gap in done.gaps]
    if f"{keeper.name}:" in unread:
        return done
    done.replaced = ledger.finish(keeper.name, unread)
    return done
