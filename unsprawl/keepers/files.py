"""A file of values: lines, an environment file, JSON or YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from unsprawl.errors import ConfigError
from unsprawl.globs import matches
from unsprawl.keeper_settings import SecretFile
from unsprawl.keepers.entries import Kept, flat
from unsprawl.records import Skipped

__all__ = ["read"]

_LARGEST: Final = 64 << 20
_BY_ENDING: Final = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".env": "env"}
_ASSIGNED: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*$")


def read(name: str, settings: SecretFile) -> Iterator[Kept | Skipped]:
    """All values of the file; its version is when it was written."""
    path = Path(settings.path)
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"known.{name}: cannot read {path}: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise ConfigError(f"known.{name}: {path} is larger than 64 MiB")
    text = content.decode("utf-8-sig", "surrogateescape")
    form = settings.format or _BY_ENDING.get(path.suffix.lower() or path.name.lower(), "lines")
    version = written.strftime("%Y-%m-%dT%H:%M:%SZ")
    for key, value in _entries(name, text, form):
        if matches(settings.exclude, key):
            yield Skipped(f"{path}#{key}", "excluded by the configuration", excluded=True)
        else:
            for kept in flat(str(path), {key: value}, version, current=True):
                yield Kept(kept.path, kept.key or key, kept.version, kept.current, kept.secret)


def _entries(name: str, text: str, form: str) -> Iterator[tuple[str, Any]]:
    if form == "env":
        for line in text.splitlines():
            if match := _ASSIGNED.match(line):
                value = match[2]
                if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                    value = value[1:-1]
                yield match[1], value
    elif form == "lines":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield f"line {number}", line.strip()
    else:
        parsed = _parsed(name, text, form)
        if isinstance(parsed, dict):
            yield from ((str(key), value) for key, value in parsed.items())
        elif isinstance(parsed, list):
            yield from ((f"[{index}]", value) for index, value in enumerate(parsed))


def _parsed(name: str, text: str, form: str) -> Any:
    try:
        if form == "json":
            return json.loads(text)
        from unsprawl import yamltext

        return yamltext.parse(text, f"known.{name}")[0]
    except (ValueError, RecursionError):
        raise ConfigError(f"known.{name}: the file is no {form.upper()}") from None
