"""A helper process that does what the document says, none of it well."""

from __future__ import annotations

import ctypes
import os
import sys

from unsprawl.detectors.containers.helper import Members, serve


def obey(body: bytes, members: Members) -> None:
    members.leaf("first", "text")
    if body == b"loop":
        while True:
            pass
    if body == b"grow":
        held = []
        while True:
            held.append(bytes(32 << 20))
    if body == b"crash":
        ctypes.string_at(0)
    if body == b"raise":
        raise RuntimeError("out of luck")
    if body == b"quote":
        b"\xff".decode("ascii")
    if body == b"leave":
        sys.exit(0)
    if body == b"print":
        os.write(1, b"noise of a library")
    if body == b"nonsense":
        members._out.write(b"D" + b"\xff" * 8)
        members._out.flush()
    if body == b"flood":
        members.begin("flood")
        while True:
            members.data(bytes(1 << 20))


if __name__ == "__main__":
    serve(obey, seconds=1, memory=300 << 20)
