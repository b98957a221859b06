"""Source types by name: each is an entry point in the group ``unsprawl.sources``.

The built-in surfaces are registered like anybody's: in the ``pyproject.toml`` of their package,
``slack = "unsprawl.crawlers.slack.source:SlackSource"``. A module is imported when its type is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from unsprawl.errors import ConfigError, UnsprawlError
from unsprawl.records import Source
from unsprawl.references import check_references
from unsprawl.shape import nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "BuildsSource", "SourceType", "build_source", "load_needs", "source_type", "source_types"]

GROUP = "unsprawl.sources"


class SourceType(Protocol):
    """A class of sources: ``Config`` says what it can be told, a call builds one source."""

    Config: type[msgspec.Struct]

    def __call__(self, name: str, config: Any) -> Source: ...


#: What a :class:`SourceType` is where it is only called.
BuildsSource: TypeAlias = Callable[[str, Any], Source]


@cache
def source_types() -> Mapping[str, EntryPoint]:
    """All known source types, by name, without importing any of them."""
    from importlib.metadata import entry_points  # 20 ms, and a help text needs none of it

    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            both = f"{_provider(other)} and {_provider(entry)}"
            raise ConfigError(
                f"the source type {entry.name!r} comes from two packages: {both}",
                hint="uninstall one of them",
            )
    return found


def source_type(name: str) -> SourceType:
    """The class behind a source type, imported now."""
    types = source_types()
    if not types:
        raise ConfigError("no source type is installed", hint="install unsprawl as a package: pip install .")
    entry = types.get(name)
    if entry is None:
        near = nearest(name, types)
        raise ConfigError(
            f"unknown source type {name!r}" + (f"; did you mean {near!r}?" if near else ""),
            hint=f"known types: {', '.join(types)}",
        )
    try:
        kind = entry.load()
    except UnsprawlError:
        raise
    except Exception as error:  # foreign code: whatever it raises, the user learns whose it is
        cause = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"the source type {name!r} of {_provider(entry)} cannot be loaded: {cause}",
            hint="repair or uninstall that package",
        ) from error
    config = getattr(kind, "Config", None)
    if not (callable(kind) and isinstance(config, type) and issubclass(config, msgspec.Struct)):
        raise ConfigError(
            f"the source type {name!r} of {_provider(entry)} has no Config",
            hint="a source type is a class with a Config that derives from unsprawl.config.SourceConfig",
        )
    loaded: SourceType = kind
    return loaded


#: Sources are built in threads, and libraries whose modules import each other in circles deadlock when two
#: threads load them at once. So what a source type ``needs`` is loaded here, one after the other.
_loading = Lock()


def build_source(name: str, type: str | BuildsSource, config: msgspec.Struct) -> Source:
    """One source of a type or its name, ready to enumerate.

    Its local references must resolve; remote ones are left alone.
    """
    kind = source_type(type) if isinstance(type, str) else type
    check_references(config, f"sources.{name}")
    load_needs(kind)
    return kind(name, config)


def load_needs(kind: BuildsSource) -> None:
    """Load the modules that sources of this kind need, one thread at a time."""
    with _loading:
        for module in getattr(kind, "needs", ()):
            import_module(module)


def _provider(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
