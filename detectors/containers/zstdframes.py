"""Where the frames of a zstd stream end: the library does not tell a truncated stream from a whole one."""

from __future__ import annotations

from typing import Final

__all__ = ["Frames"]

_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_DICTIONARY: Final = (0, 1, 2, 4)
_SIZE: Final = (0, 2, 4, 8)
_RLE: Final = 1


class Frames:
    """Follows the headers of frames (RFC 8878) as the compressed bytes go by."""

    __slots__ = ("_checksum", "_held", "_skip", "_state")

    def __init__(self) -> None:
        self._state = "magic"
        self._held = b""
        self._skip = 0
        self._checksum = 0

    @property
    def whole(self) -> bool:
        """Whether what has gone by ends where a frame ends, or in what is no frame."""
        return self._state == "other" or (self._state == "magic" and not self._held and not self._skip)

    def feed(self, data: bytes) -> None:
        """The next compressed bytes."""
        position = 0
        while position < len(data) and self._state != "other":
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                continue
            need = {"magic": 4, "skippable": 4, "descriptor": 1, "block": 3}[self._state] - len(self._held)
            self._held += data[position : position + need]
            if position + need > len(data):
                return
            position += need
            held, self._held = self._held, b""
            self._enter(held)

    def _enter(self, held: bytes) -> None:
        if self._state == "magic":
            skippable = held[1:] == b"\x2a\x4d\x18" and held[0] >> 4 == 5
            self._state = "descriptor" if held == _MAGIC else "skippable" if skippable else "other"
        elif self._state == "skippable":
            self._skip = int.from_bytes(held, "little")
            self._state = "magic"
        elif self._state == "descriptor":
            single = held[0] >> 5 & 1
            size = _SIZE[held[0] >> 6] or single
            self._skip = (1 - single) + _DICTIONARY[held[0] & 3] + size
            self._checksum = 4 if held[0] & 4 else 0
            self._state = "block"
        else:
            block = int.from_bytes(held, "little")
            self._skip = 1 if block >> 1 & 3 == _RLE else block >> 3
            if block & 1:
                self._skip += self._checksum
                self._state = "magic"
