"""Names of layers, gathered while the layers are examined, for all processes of a crawl.

What hides a file is told by the names in the layers above it. Those layers are read anyway, before the one
below, and their names are written down on the way. Where images disagree about what is above, a layer is
wanted before its turn: then it is kept until that comes. So none is fetched twice to say what hides what.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import queue
import re
import shutil
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import filelock
import msgspec

from unsprawl.errors import SourceError, UnreadableError
from unsprawl.oci.layers import LayerNames, read_names

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

__all__ = ["Folder", "Gathered"]

_CHUNK: Final = 256 * 1024
#: Chunks that wait for the one who reads the names.
_WAITING: Final = 8
#: A reader that stops at the end of the archive leaves a little; so much is read for the names' sake.
_DRAINED: Final = 8 << 20
#: Seconds to wait for another process that is just reading a layer, before it is read once more.
_PATIENCE: Final = 300.0
_LARGEST: Final = 1 << 30
_NONCE: Final = 16
#: Bytes of layers that are kept on disk between two uses.
_MOST_KEPT: Final = 4 << 30


_PREFIX: Final = "unsprawl-layers-"
#: Held while the folder is used.
_LOCK: Final = "owner.busy"
#: Seconds in which a new folder may not have its lock yet.
_NEW: Final = 60.0

#: Made once: threads that ask msgspec for the fields of one class at the same time crash the process.
_DECODER: Final = msgspec.msgpack.Decoder(LayerNames | str)


class Gathered:
    """A folder with the names of each layer, encrypted: a crawl that is killed leaves nothing to be read.

    It belongs to one crawl. Whoever finds it gone reads layers anew.
    """

    def __init__(self, folder: str, key: bytes) -> None:
        self._folder = Path(folder)
        self._key = key

    def names(self, identity: str, open_layer: Callable[[], BinaryIO], *, keep: bool) -> LayerNames:
        """The names of a layer: written down, or awaited from whoever is reading it just now, or read.

        ``keep``: it is still to be examined, so what is fetched here is kept for that.
        Raises :class:`SourceError` when they cannot be known.
        """
        with self._held(identity):
            names = self._load(identity)
            if names is None:
                with self._kept(identity, open_layer(), keep=keep) as file:
                    names = read_names(cast("BinaryIO", _Lent(file)))
                    while file.read(_CHUNK):  # its digest is known at its end
                        pass
                self._put(identity, names)
            return names

    def examined(self, identity: str, open_layer: Callable[[], BinaryIO], *, covers: bool) -> BinaryIO:
        """A layer from its start: what was kept of it, else from afar.

        Its names are written down on the way when it ``covers`` another.
        """
        with self._held(identity):
            kept = self._path(identity, "blob")
            if kept.exists():
                return cast("BinaryIO", io.BufferedReader(_Last(kept, self._key), _CHUNK))
        if not covers or not self._folder.is_dir():
            return open_layer()
        # Let go by the thread that closes the file, which may be another one.
        lock = filelock.FileLock(self._path(identity, "busy"), 0, thread_local=False)
        with contextlib.suppress(OSError, filelock.Timeout):
            lock.acquire()
        try:
            file = open_layer()
        except BaseException:
            lock.release()
            raise

        def done(names: LayerNames | str | None) -> None:
            if names is not None:
                self._put(identity, names)
            lock.release()

        return cast("BinaryIO", io.BufferedReader(_Watched(file, done), _CHUNK))

    @contextlib.contextmanager
    def _held(self, identity: str) -> Iterator[None]:
        """While nobody else reads this layer, or after a long wait."""
        lock = filelock.FileLock(self._path(identity, "busy"), _PATIENCE)
        with contextlib.suppress(OSError, filelock.Timeout):
            if self._folder.is_dir():
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _kept(self, identity: str, file: BinaryIO, *, keep: bool) -> Iterator[BinaryIO]:
        """``file``; what is read of it is kept, if there is room, once it is whole."""
        with file:
            if not keep or self._room() <= 0:
                yield file
                return
            try:
                copy = tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False)  # noqa: SIM115
            except OSError:
                yield file
                return
            whole = False
            try:
                yield cast("BinaryIO", _Copied(file, copy, self._key))
                whole = not copy.closed
            finally:
                copy.close()
                with contextlib.suppress(OSError):
                    if whole:
                        Path(copy.name).replace(self._path(identity, "blob"))
                    else:
                        Path(copy.name).unlink()

    def _room(self) -> int:
        """Bytes that may still be kept; a layer that is larger than that is met once."""
        try:
            return _MOST_KEPT - sum(one.stat().st_size for one in self._folder.iterdir())
        except OSError:
            return 0

    def _load(self, identity: str) -> LayerNames | None:
        try:
            sealed = self._path(identity, "names").read_bytes()
            packed = _cipher(self._key, sealed[:_NONCE]).update(sealed[_NONCE:])
            content = zlib.decompressobj().decompress(packed, _LARGEST)
            names: LayerNames | str = _DECODER.decode(content)
        except (OSError, zlib.error, msgspec.MsgspecError):
            return None
        if isinstance(names, str):
            raise UnreadableError(names)
        return names

    def _put(self, identity: str, names: LayerNames | str) -> None:
        """Write names down for the others, or why there are none. That it fails costs time only."""
        nonce = os.urandom(_NONCE)
        content = _cipher(self._key, nonce).update(zlib.compress(msgspec.msgpack.encode(names), 1))
        part = self._path(identity, f"part-{nonce.hex()}")
        with contextlib.suppress(OSError):
            part.write_bytes(nonce + content)
            part.replace(self._path(identity, "names"))

    def _path(self, identity: str, kind: str) -> Path:
        return self._folder / f"{re.sub(r'[^a-z0-9]', '-', identity)}.{kind}"


class Folder:
    """A folder for :class:`Gathered`, removed by the process that made it, at its end at the latest.

    Where that was killed, the next one that anybody makes removes it: its lock is held no more.
    """

    def __init__(self) -> None:
        _remove_abandoned()
        self.path = tempfile.mkdtemp(prefix=_PREFIX)
        self.key = os.urandom(32)
        self._owner = os.getpid()
        self._lock = filelock.FileLock(Path(self.path, _LOCK))
        self._lock.acquire()
        atexit.register(self.remove)

    def remove(self) -> None:
        # A worker inherits this object, and the folder goes on to be used without that worker.
        if os.getpid() == self._owner:
            shutil.rmtree(self.path, ignore_errors=True)
            self._lock.release()
            atexit.unregister(self.remove)


def _remove_abandoned() -> None:
    """Remove the folders of crawls of this user that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, filelock.Timeout):
            found = path.lstat()
            mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if mine and time.time() - found.st_mtime > _NEW:
                with filelock.FileLock(path / _LOCK, timeout=0):
                    shutil.rmtree(path, ignore_errors=True)


class _Lent(io.RawIOBase):
    """A file that stays open when its reader closes it."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return cast("io.RawIOBase", self._file).readinto(buffer) or 0


class _Copied(io.RawIOBase):
    """Writes down what is read. A disk that is full ends the copy, never the reading."""

    def __init__(self, file: BinaryIO, copy: Any, key: bytes) -> None:
        super().__init__()
        self._file = file
        self._copy = copy
        nonce = os.urandom(_NONCE)
        self._cipher = _cipher(key, nonce)
        self._write(nonce)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = cast("io.RawIOBase", self._file).readinto(buffer) or 0
        if count and not self._copy.closed:
            self._write(self._cipher.update(memoryview(buffer)[:count]))
        return count

    def _write(self, data: bytes) -> None:
        try:
            self._copy.write(data)
        except OSError:
            self._copy.close()


class _Last(io.RawIOBase):
    """A kept layer, which nobody reads after this."""

    def __init__(self, path: Path, key: bytes) -> None:
        super().__init__()
        self._file = path.open("rb", 0)
        path.unlink(missing_ok=True)
        self._cipher = _cipher(key, self._file.read(_NONCE))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._cipher.update(self._file.read(len(buffer)))
        memoryview(buffer)[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _cipher(key: bytes, nonce: bytes) -> CipherContext:
    """One key stream for both ways. The content is checked by its digest where it came from."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.CTR(nonce.ljust(_NONCE, b"\0"))).encryptor()


class _Watched(io.RawIOBase):
    """Passes on what it reads, and gives a copy to a thread that looks for names."""

    def __init__(self, file: BinaryIO, done: Callable[[LayerNames | str | None], None]) -> None:
        super().__init__()
        self._file = file
        self._done = done
        self._ended = False
        self._copies = _Copies()
        self._names: LayerNames | str | None = None
        self._thread = threading.Thread(target=self._read, name="unsprawl-names", daemon=True)
        self._thread.start()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = cast("io.RawIOBase", self._file).readinto(buffer) or 0
        if count:
            self._copies.put(bytes(memoryview(buffer)[:count]))
        elif len(buffer):
            self._ended = True
        return count

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._drain()
        finally:
            self._copies.put(b"" if self._ended else None)
            self._thread.join()
            self._done(self._names if self._ended else None)
            self._file.close()
            super().close()

    def _drain(self) -> None:
        """Read the little that is left, so that the names are whole."""
        left = _DRAINED
        with contextlib.suppress(SourceError, OSError):
            while not self._ended and left > 0:
                left -= len(self.read(_CHUNK) or b"")

    def _read(self) -> None:
        try:
            self._names = read_names(cast("BinaryIO", self._copies))
        except SourceError as error:
            self._names = error.message
        except Exception as error:  # noqa: BLE001 - what is wrong with the layer, those who examine it tell
            self._names = f"its names cannot be read ({type(error).__name__})"
        finally:
            self._copies.ignore()


class _Copies(io.RawIOBase):
    """Chunks from one thread to another. An end that is None is a break: the rest never came."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._rest = memoryview(b"")
        self._ignored = threading.Event()
        self._ended = False

    def readable(self) -> bool:
        return True

    def put(self, chunk: bytes | None) -> None:
        while not self._ignored.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(chunk, timeout=0.1)
                return

    def ignore(self) -> None:
        """Nobody reads any more."""
        self._ignored.set()

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._ended:
            chunk = self._queue.get()
            self._ended = not chunk
            if chunk is None:
                raise EOFError
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        memoryview(buffer)[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
