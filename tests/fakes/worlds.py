"""What a small world of a source is, and how worlds are collected (tests/contract/test_source.py)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from unsprawl.records import Source

__all__ = ["Prepare", "World", "Worlds"]


@dataclass(frozen=True)
class World:
    """``build`` makes the source afresh, as another process would; ``unreachable`` the same source where
    nothing answers. ``bodies`` are all readable documents by their uri, None where only the uri is known."""

    build: Callable[[], Source]
    bodies: dict[str, bytes | None]
    refused: frozenset[str] = frozenset()
    credentials: tuple[str, ...] = ()
    unreachable: Callable[[], Source] | None = None
    gone: str = ""
    grow: Callable[[], set[str]] | None = None
    """Adds something, and answers its uris. For sources whose last cursor passes over what was read
    before."""


Prepare = Callable[[Path, ExitStack], World]


class Worlds(dict[str, Prepare]):
    """Worlds by name."""

    def world(self, name: str) -> Callable[[Prepare], Prepare]:
        """Decorates what prepares the world of that name."""

        def register(prepare: Prepare) -> Prepare:
            self[name] = prepare
            return prepare

        return register
