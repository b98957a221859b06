"""What every keeper tells: entries, one value each, and what could not be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from unsprawl.secret import Secret

__all__ = ["SHORTEST", "Kept", "flat", "values_in"]

#: Shorter values are names, numbers and switches.
SHORTEST: Final = 6
_LARGEST: Final = 64 << 10
_DEPTH: Final = 8
_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class Kept:
    """One value of a keeper. ``version`` is "" where there are none; ``current``: it is the one in use."""

    path: str
    key: str
    version: str
    current: bool
    secret: Secret


def values_in(path: str, content: str | bytes, version: str, *, current: bool) -> Iterator[Kept]:
    """The entries of a text: those of the object it may be in JSON, else itself."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    if text.lstrip().startswith(("{", "[")):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict | list):
            yield from flat(path, parsed, version, current=current)
            return
    yield from flat(path, {"": content}, version, current=current)


def flat(path: str, values: Any, version: str, *, current: bool) -> Iterator[Kept]:
    """An entry for each text among ``values`` that may be a secret; the way to it is its key."""
    for count, (key, value) in enumerate(_leaves(values, "", 0)):
        if count >= _MOST:
            return
        data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        if SHORTEST <= len(data.strip()) <= _LARGEST:
            yield Kept(path, key, version, current, Secret(data))


def _leaves(value: Any, key: str, depth: int) -> Iterator[tuple[str, str | bytes]]:
    if isinstance(value, str | bytes):
        yield key, value
    elif depth < _DEPTH and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name), depth + 1)
    elif depth < _DEPTH and isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{key}[{index}]", depth + 1)
