"""The Hyperscan backend: where in a text could which pattern have ended.

One block-mode database, no start of match (it makes the database fourteen times larger and the scan
eight times slower), kept on disk, since compiling costs seconds and loading a millisecond.
"""

from __future__ import annotations

import hashlib
import platform
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from unsprawl.detectors import cache
from unsprawl.errors import RuleError

__all__ = ["Automaton"]

#: Raise it when expressions or flags are made in another way.
_FORMAT: Final = 3
#: Ends closer than this, in bytes, belong to one stretch; a flood of hits then costs no memory.
_GAP: Final = 64


class Automaton:
    """Expressions in one database, which all threads search, each in a scratch space of its own."""

    __slots__ = ("_database", "_local", "_new_scratch", "_scan", "missed")

    def __init__(
        self,
        expressions: Sequence[tuple[str, str]],
        folder: Path | None,
        more: Callable[[], Sequence[tuple[str, str]]] = tuple,
        more_key: str = "",
    ) -> None:
        """``expressions`` pair a pattern with the place of its rule, for errors; ``folder`` is a cache.

        ``more`` makes those that follow them, only to compile: ``more_key`` stands for them in the cache.
        """
        import hyperscan

        key = _key(hyperscan, expressions, more_key)
        name = f"hyperscan-{key}.db"
        self._database = _load_or_compile(hyperscan, name, lambda: [*expressions, *more()], folder)
        self._new_scratch = hyperscan.Scratch
        self._local = threading.local()
        self._scan = self._database.scan
        #: The numbers of the expressions of whose matches it misses some.
        self.missed: list[int] = cache.kept(
            folder, "missed", key.encode(), list[int], lambda: self._tried([text for text, _ in expressions])
        )

    def _tried(self, expressions: Sequence[str]) -> list[int]:
        from unsprawl.detectors.matching.trial import missed

        return missed(expressions, self.hits)

    def hits(self, data: bytes | memoryview) -> dict[int, list[list[int]]]:
        """For each expression that hit: stretches ``[first end, last end]``, in the order of the text."""
        found: dict[int, list[list[int]]] = {}
        get = found.get

        def on_match(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            stretches = get(number)
            if stretches is None:
                found[number] = [[end, end]]
                return
            last = stretches[-1]
            if last[0] - _GAP <= end <= last[1] + _GAP:
                if end > last[1]:
                    last[1] = end
                elif end < last[0]:
                    last[0] = end
            else:
                stretches.append([end, end])

        try:
            scratch = self._local.scratch
        except AttributeError:
            scratch = self._local.scratch = self._new_scratch(self._database)
        self._scan(data, match_event_handler=on_match, scratch=scratch)
        return found


def _load_or_compile(
    hyperscan: Any, name: str, expressions: Callable[[], Sequence[tuple[str, str]]], folder: Path | None
) -> Any:
    # Hyperscan trusts what it loads; the cache answers nothing that was torn or altered.
    kept = None if folder is None else cache.recall(folder, name)
    if kept is not None:
        with suppress(hyperscan.error):
            return hyperscan.loadb(kept, hyperscan.HS_MODE_BLOCK)
    database = _compile(hyperscan, expressions())
    if folder is not None:
        cache.remember(folder, name, hyperscan.dumpb(database))
    return database


def _key(hyperscan: Any, expressions: Sequence[tuple[str, str]], more: str) -> str:
    digest = hashlib.sha256(
        f"{_FORMAT}\0{hyperscan.__version__}\0{platform.machine()}\0{platform.system()}\0{more}".encode()
    )
    digest.update(_cpu_features())
    digest.update("\0".join([pattern for pattern, _ in expressions]).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _cpu_features() -> bytes:
    """What the compiler tunes for: a home directory may be shared by unlike machines."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            for line in file:
                if line.startswith((b"flags", b"Features")):
                    return line
    except OSError:
        pass
    return platform.processor().encode()


def _compile(hyperscan: Any, expressions: Sequence[tuple[str, str]]) -> Any:
    def compile_all(chosen: Sequence[tuple[str, str]]) -> Any:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(
            expressions=[pattern.encode("utf-8", "surrogatepass") for pattern, _ in chosen],
            ids=list(range(len(chosen))),
            elements=len(chosen),
            flags=[hyperscan.HS_FLAG_MULTILINE] * len(chosen),
        )
        return database

    try:
        return compile_all(expressions)
    except hyperscan.error as error:
        for expression in expressions:
            try:
                compile_all([expression])
            except hyperscan.error as reason:
                raise RuleError(
                    f"{expression[1]}: Hyperscan does not take the pattern: {_words(reason)}",
                    hint="Give the rule a `superset` that matches at least as much.",
                ) from None
        raise RuleError(f"the rules cannot be compiled together: {_words(error)}") from None


def _words(error: Exception) -> str:
    text = str(error).strip()
    return text.rstrip(".") or type(error).__name__
