"""Bytes of a database's own protocol, read in known pieces: no server can make us hold or wait for more."""

from __future__ import annotations

import socket
from typing import Final

from unsprawl.validity.line import NoAnswer

__all__ = ["Stream"]

_LARGEST: Final = 256 << 10


class Stream:
    """A connection of which exactly so many bytes are read, 256 KiB in all at most."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = _LARGEST

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes. :class:`NoAnswer` when they do not come, or are too many."""
        if not 0 <= count <= self._left:
            raise NoAnswer("the server sends more than such a greeting can hold")
        self._left -= count
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self._connection.recv(count - len(parts))
            except OSError as error:
                raise NoAnswer("the server stopped answering") from error
            if not part:
                raise NoAnswer("the server closed the connection")
            parts += part
        return bytes(parts)

    def line(self, most: int = 1024) -> bytes:
        """The next line without its end, in the manner of Redis."""
        text = bytearray()
        while not text.endswith(b"\r\n"):
            if len(text) > most:
                raise NoAnswer("the server sends more than such a greeting can hold")
            text += self.take(1)
        return bytes(text[:-2])

    def send(self, content: bytes) -> None:
        try:
            self._connection.sendall(content)
        except OSError as error:
            raise NoAnswer("the server closed the connection") from error
