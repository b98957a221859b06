"""What is costly to make and cheap to keep: compiled databases and parsed rules, in the user's cache folder.

Best effort throughout: a home directory that cannot be written costs time at every start, no findings.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

__all__ = ["default_folder", "kept", "recall", "remember"]

_Made = TypeVar("_Made")

#: A sum of the content stands behind it: the folder is its owner's, only damage is to be noticed.
_SUM_BYTES: Final = 4
#: Files of one kind that are kept: rules change, and old ones are never asked for again.
_KEPT: Final = 8


def default_folder() -> Path:
    """The user's cache folder for unsprawl."""
    import platformdirs

    return platformdirs.user_cache_path("unsprawl")


def kept(folder: Path | None, kind: str, key: bytes, form: Any, make: Callable[[], _Made]) -> _Made:
    """What ``make`` makes of what ``key`` tells, a ``form``; from ``folder`` if it was kept there."""
    import msgspec

    name = f"{kind}-{hashlib.sha256(key).hexdigest()[:32]}.msgpack"
    content = None if folder is None else recall(folder, name)
    if content is not None:
        with suppress(msgspec.MsgspecError):
            found: _Made = msgspec.msgpack.decode(content, type=form)
            return found
    made = make()
    if folder is not None:
        remember(folder, name, msgspec.msgpack.encode(made))
    return made


def recall(folder: Path, name: str) -> bytes | None:
    """What was kept under ``name``, unless it is missing, torn or altered."""
    try:
        with (folder / name).open("rb", buffering=0) as file:
            # Read in two, since to cut megabytes in two copies them.
            content = file.read(max(0, os.fstat(file.fileno()).st_size - _SUM_BYTES))
            found = file.read()
    except OSError:
        return None
    return content if _sum(content) == found else None


def remember(folder: Path, name: str, content: bytes) -> None:
    """Keep ``content`` under ``name`` (``kind-key.suffix``), and of its kind only the latest few."""
    kind = name.partition("-")[0]
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{kind}-")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content + _sum(content))
        Path(temporary).replace(folder / name)
        latest_first = sorted(folder.glob(f"{kind}-*"), key=lambda file: -file.stat().st_mtime_ns)
        for stale in latest_first[_KEPT:]:
            stale.unlink(missing_ok=True)


def _sum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_SUM_BYTES, "big")
