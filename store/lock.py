"""One holder a job and store: a second nightly is refused, a sweep beside the nightly is not.

The lock is the kernel's, which lets go when the process dies. It does not reach to a machine that shares
the volume, so the holder also writes who it is and, every :data:`BEAT_S` seconds, that it is alive: another
machine waits for the last heartbeat to be :data:`STALE_S` seconds old.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from unsprawl.errors import ConfigError, StoreError
from unsprawl.printable import printable

__all__ = ["BEAT_S", "STALE_S", "Holder", "holder_of", "job_lock"]

BEAT_S: Final = 15.0
STALE_S: Final = 120.0
#: The record is written over in place, always this long: a reader meets the old or the new one, whole.
_RECORD_BYTES: Final = 512
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
#: Seconds in which another machine that took over at the same moment has written its record.
_SETTLE_S: Final = 0.5
_Moment: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock, as it says itself. ``since`` and ``beat`` are seconds since the epoch.

    ``boot`` is one running kernel, which all containers on it share: there the kernel's lock is the truth.
    """

    pid: int
    host: str
    boot: str
    since: _Moment
    beat: _Moment

    def here(self) -> bool:
        """Whether it ran on this machine, since it was started."""
        return self.boot == _boot()

    def silent_s(self, now: float) -> float:
        """Seconds since its last heartbeat; a clock that is ahead counts as now."""
        return max(0.0, now - self.beat)

    def told(self, now: float) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since))
        beat = f"last heartbeat {self.silent_s(now):,.0f} s ago"
        return f"pid {self.pid} on {printable(self.host)}, since {since}, {beat}"


@contextlib.contextmanager
def job_lock(
    store: Path | str, job: str, *, beat_s: float = BEAT_S, clock: Callable[[], float] = time.time
) -> Iterator[None]:
    """Hold ``job`` on ``store`` while the block runs.

    ``ConfigError`` when another process holds it, or one on another machine that was alive lately;
    ``StoreError`` when the lock file cannot be made.
    """
    from filelock import FileLock, Timeout

    path = _path(store, job)
    what = f"a {job} into {store}"
    lock = FileLock(path, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise _refused(what, _now_holding(path, clock), path, clock()) from None
    except OSError as error:
        raise StoreError(
            f"cannot lock the store: {path}: {error.strerror}",
            hint="the store's directory has to be writable",
        ) from None
    try:
        own = _take(what, path, clock)
        with _beating(path, own, beat_s, clock):
            yield
    finally:
        lock.release()


def holder_of(path: Path) -> Holder | None:
    """Who holds the lock file at ``path``, or held it and died. None: nobody, or nothing that can be read."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_RECORD_BYTES).strip(b"\0 \n"), type=Holder)
    except (OSError, ValueError):  # a lock file of an older version, or of somebody else
        return None


def _path(store: Path | str, job: str) -> Path:
    # The real path, so that two links to one store are one lock.
    target = Path(os.path.realpath(store))
    if not target.parent.is_dir():
        raise StoreError(
            f"cannot lock the store {store}: there is no directory {target.parent}", hint="make it"
        )
    return target.with_name(f"{target.name}.{re.sub(r'[^A-Za-z0-9_-]', '_', job)}.lock")


def _take(what: str, path: Path, clock: Callable[[], float]) -> Holder:
    """Write our record, unless another machine is at work. The kernel's lock is held."""
    before = holder_of(path)
    elsewhere = before is not None and not before.here()
    if before is not None and elsewhere and before.silent_s(clock()) < STALE_S:
        raise _refused(what, before, path, clock())
    now = clock()
    own = Holder(pid=os.getpid(), host=platform.node()[:64], boot=_boot(), since=now, beat=now)
    _write(path, own)
    if elsewhere:
        # Where the lock of the kernel ends at the machine, two may have seen the same dead holder.
        time.sleep(_SETTLE_S)
        after = holder_of(path)
        if after is not None and (after.boot, after.pid) != (own.boot, own.pid):
            raise _refused(what, after, path, clock())
    return own


def _now_holding(path: Path, clock: Callable[[], float]) -> Holder | None:
    """Who has the lock that we did not get. It may have got it this very moment, and not said so yet."""
    holder = holder_of(path)
    if holder is None or holder.silent_s(clock()) >= STALE_S:
        time.sleep(_SETTLE_S)
        holder = holder_of(path)
    return holder


def _refused(what: str, holder: Holder | None, path: Path, now: float) -> ConfigError:
    who = f" ({holder.told(now)})" if holder else ""
    hint = "wait for it, or end it; the next one goes on where it stopped"
    if holder is not None and holder.silent_s(now) >= STALE_S:
        where = "end that process" if holder.here() else f"if that machine is gone, remove {path.name}"
        hint = f"it hangs or was stopped: {where}; the next one goes on where it stopped"
    elif holder is not None and not holder.here():
        hint = f"wait for it; if that machine is gone, its lock ends {STALE_S:.0f} s after the last heartbeat"
    return ConfigError(f"{what} is already running{who}", hint=hint)


@contextlib.contextmanager
def _beating(path: Path, own: Holder, beat_s: float, clock: Callable[[], float]) -> Iterator[None]:
    """A heartbeat in a thread, which neither a long step nor a wait for a limit holds up."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(beat_s):
            _write(path, msgspec.structs.replace(own, beat=clock()))

    thread = threading.Thread(target=beat, name="unsprawl-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _write(path, None)


def _write(path: Path, holder: Holder | None) -> None:
    """Only said, never trusted on this machine: what cannot be written costs the message, not the job."""
    record = b"" if holder is None else msgspec.json.encode(holder)
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_WRONLY)
        try:
            os.write(file, record.ljust(_RECORD_BYTES)[:_RECORD_BYTES])
        finally:
            os.close(file)


def _boot() -> str:
    """This running machine. Where no kernel says it, its name has to do."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return platform.node()
