"""A body that survives broken connections: what is missing is asked for again, from where it broke."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from unsprawl.errors import RetryableError

__all__ = ["Connection", "ResumingFile"]

#: Breaks in a row without a byte in between, and breaks in all. The second bounds a server that drops
#: every connection after a few bytes.
_FRUITLESS: Final = 5
_BREAKS: Final = 200
#: Bytes asked for at once. After a break the steps are small, so that a line which breaks often still
#: brings something, and grow again with success.
_STEP: Final = 256 << 10
_SMALL_STEP: Final = 8 << 10
#: Seconds to wait behind the first break; they double with each that follows.
PAUSE = 0.2
_LONGEST_PAUSE: Final = 8.0


class Connection(Protocol):
    """One answer of the far side."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class ResumingFile(io.RawIOBase):
    """Bytes ``offset`` to ``end`` of a body, read forward over as many connections as it takes.

    ``connect(position)`` opens one and raises ``SourceError`` when that is refused. ``dropped`` are
    the exceptions of a connection that broke; one that ends early broke as well.
    """

    def __init__(
        self,
        connect: Callable[[int], Connection],
        offset: int,
        end: int,
        *,
        dropped: tuple[type[Exception], ...],
        first: Connection | None = None,
    ) -> None:
        super().__init__()
        self._connect = connect
        self._position = offset
        self._end = end
        self._dropped = dropped
        self._connection = first
        self._step = _STEP
        self._fruitless = 0
        self._breaks = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._end - self._position)
        if wanted <= 0:
            return 0
        while True:
            try:
                if self._connection is None:
                    self._connection = self._connect(self._position)
                data = self._connection.read(min(wanted, self._step))
            except self._dropped:
                data = b""
            if data:
                break
            self._broken()
        view[: len(data)] = data
        self._position += len(data)
        self._fruitless = 0
        self._step = min(self._step * 2, _STEP)
        return len(data)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        super().close()

    def _broken(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._fruitless += 1
        self._breaks += 1
        self._step = _SMALL_STEP
        if self._fruitless > _FRUITLESS or self._breaks > _BREAKS:
            raise RetryableError(
                f"the connection broke {self._breaks} times, at last at byte {self._position} of {self._end}",
                hint="the next run reads it again",
            )
        time.sleep(min(PAUSE * 2 ** (self._fruitless - 1), _LONGEST_PAUSE))
