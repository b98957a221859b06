"""One holder a job and store: a second nightly is refused, a sweep beside the nightly is not."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from unsprawl.errors import ConfigError, StoreError

__all__ = ["job_lock"]


@contextlib.contextmanager
def job_lock(store: Path | str, job: str) -> Iterator[None]:
    """Hold ``job`` on ``store`` while the block runs; the kernel lets go when the process dies.

    ``ConfigError`` when another process holds it, ``StoreError`` when the lock file cannot be made.
    """
    from filelock import FileLock, Timeout

    # The real path, so that two links to one store are one lock.
    target = Path(os.path.realpath(store))
    if not target.parent.is_dir():
        raise StoreError(
            f"cannot lock the store {store}: there is no directory {target.parent}", hint="make it"
        )
    path = target.with_name(f"{target.name}.{re.sub(r'[^A-Za-z0-9_-]', '_', job)}.lock")
    lock = FileLock(path, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"a {job} into {store} is already running{_holder(path)}",
            hint="wait for it, or end it; the next one goes on where it stopped",
        ) from None
    except OSError as error:
        raise StoreError(
            f"cannot lock the store: {path}: {error.strerror}",
            hint="the store's directory has to be writable",
        ) from None
    try:
        # Only said, never trusted: the lock is the kernel's.
        with contextlib.suppress(OSError):
            path.write_text(f"{os.getpid()}\n", encoding="ascii")
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return f" (pid {text})" if text.isdigit() else ""
