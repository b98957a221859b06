"""The Hyperscan backend: where in a text could which pattern have ended.

One block-mode database, no start of match (it makes the database fourteen times larger and the scan
eight times slower), kept on disk, since compiling costs seconds and loading a millisecond.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from unsprawl.errors import RuleError

__all__ = ["Automaton"]

#: Raise it when expressions or flags are made in another way.
_FORMAT: Final = 1
#: Ends closer than this, in bytes, belong to one stretch; a flood of hits then costs no memory.
_GAP: Final = 64


class Automaton:
    """Expressions in one database. ``hits`` is not reentrant: one automaton a thread."""

    __slots__ = ("_database", "_scan")

    def __init__(self, expressions: Sequence[tuple[str, str]], cache: Path | None) -> None:
        """``expressions`` are pairs of a pattern and the place of its rule, for errors."""
        import hyperscan

        self._database = _load_or_compile(hyperscan, expressions, cache)
        self._database.scratch = hyperscan.Scratch(self._database)
        self._scan = self._database.scan

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

        self._scan(data, match_event_handler=on_match)
        return found


def _load_or_compile(hyperscan: Any, expressions: Sequence[tuple[str, str]], cache: Path | None) -> Any:
    file = None if cache is None else cache / f"hyperscan-{_key(hyperscan, expressions)}.db"
    if file is not None:
        try:
            raw = file.read_bytes()
            body, digest = raw[:-32], raw[-32:]
            # Hyperscan trusts what it loads: a torn or altered file must not reach it.
            if hashlib.sha256(body).digest() == digest:
                return hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
        except (OSError, hyperscan.error):
            pass
    database = _compile(hyperscan, expressions)
    if file is not None:
        body = hyperscan.dumpb(database)
        _write(file, body + hashlib.sha256(body).digest())
    return database


def _key(hyperscan: Any, expressions: Sequence[tuple[str, str]]) -> str:
    digest = hashlib.sha256(
        f"{_FORMAT}\0{hyperscan.__version__}\0{platform.machine()}\0{platform.system()}".encode()
    )
    digest.update(_cpu_features())
    for pattern, _ in expressions:
        digest.update(b"\0" + pattern.encode("utf-8", "surrogatepass"))
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


def _write(file: Path, body: bytes) -> None:
    """Best effort: a read-only home directory costs seconds at every start, not findings."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".hyperscan-")
        with os.fdopen(handle, "wb") as stream:
            stream.write(body)
        Path(temporary).replace(file)
    except OSError:
        return
