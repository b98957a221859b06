"""What the crawl and its HTTP process say to each other: one request in, one answer out.

A frame is its size and a MessagePack value. Credentials travel in it, over a pipe that nobody else holds:
never on a command line, never in the environment, never on disk.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["ALIVE", "LONGEST", "SIZE", "Answer", "Ask", "framed"]

SIZE: Final = struct.Struct("<I")
#: Bytes of the longest frame: the largest body that may be asked for, with its headers.
LONGEST: Final = 256 << 20
#: The id of an answer that says no more than that the process lives.
ALIVE: Final = 0


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """One request. ``secret`` headers go to the origin of ``base`` alone.

    ``lane`` names the budget it counts for on each host: ``interval`` seconds between two requests at
    least, ``concurrency`` of them at once, and no pause that a host asks for beyond ``patience`` seconds.
    At most ``limit`` bytes are read, unpacked, within ``seconds``. ``robots``: robots.txt is obeyed.
    """

    id: int
    url: str
    base: str
    headers: Mapping[str, str]
    secret: Mapping[str, str]
    lane: str
    interval: float
    concurrency: int
    patience: float
    limit: int
    seconds: float
    robots: bool = False
    method: str = "GET"
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Ask({self.id}, {self.method})"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of it. ``fault`` is empty, or a kind of failure with its ``words``. Header names are in lower
    case. ``sent`` requests were made for it, redirects too, robots.txt not.
    """

    id: int
    url: str = ""
    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""
    fault: str = ""
    words: str = ""
    sent: int = 1

    def __repr__(self) -> str:
        return f"Answer({self.id}, {self.status}, {self.fault!r})"


def framed(value: Ask | Answer) -> bytes:
    content = msgspec.msgpack.encode(value)
    return SIZE.pack(len(content)) + content
