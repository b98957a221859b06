"""What the classifier reads of a candidate: the value and what stands around it, in typed stretches of bytes.

One row of ``WIDTH`` bytes a candidate. Zero is padding; every stretch has its place and its size, so that
the network knows what it looks at without being told:

    value     the first 64 bytes and, of longer ones, the last 16
    left      what precedes it on its line; its end stands at the end of the stretch
    right     what follows it on its line
    name      the field, variable or option that the value is given to
    path      the end of the path, member included
    before    the lines above, the nearest at the end of the stretch
    after     the lines below
"""

from __future__ import annotations

from typing import Final, NamedTuple

from unsprawl.records import Candidate, Document

__all__ = ["SEGMENTS", "WIDTH", "Window", "full_path", "window"]

_HEAD: Final = 64
_TAIL: Final = 16
#: name of the stretch → (first byte, one behind the last) in the row.
SEGMENTS: Final[dict[str, tuple[int, int]]] = {
    "value": (0, 80),
    "left": (80, 176),
    "right": (176, 208),
    "name": (208, 240),
    "path": (240, 288),
    "before": (288, 528),
    "after": (528, 640),
}
WIDTH: Final = 640
_LEFT: Final = 96
_RIGHT: Final = 32
_NAME: Final = 32
_PATH: Final = 48
_BEFORE: Final = 240
_AFTER: Final = 112
#: What may stand between a name and its value.
_JOINTS: Final = b" \t\"'`([{=:>,~|\\&*<?!-"
_NAMING: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-$@"


class Window(NamedTuple):
    """The parts of one candidate's surroundings, each within its bounds, and the row made of them.

    ``joint`` is what stands between the name and the value (``": "``).
    """

    row: bytes
    value: bytes
    left: bytes
    right: bytes
    name: bytes
    joint: bytes
    path: str


def full_path(document: Document, candidate: Candidate) -> str:
    """The path as people see it, with that of the archive member."""
    path = document.path or document.uri
    return f"{path}!/{candidate.member}" if candidate.member else path


def window(document: Document, candidate: Candidate) -> Window:
    """The surroundings of ``candidate``. Microseconds: slices of what the detector handed over."""
    value = candidate.secret.reveal()
    above, newline, left = candidate.before.rpartition(b"\n")
    right, _, below = candidate.after.partition(b"\n")
    left = left[-_LEFT:]
    right = right[:_RIGHT]
    stem = left.rstrip(_JOINTS)
    name = stem[len(stem.rstrip(_NAMING)) :].lstrip(b".-")
    path = full_path(document, candidate)
    tail = value[_HEAD:][-_TAIL:]
    row = b"".join(
        (
            value[:_HEAD].ljust(_HEAD, b"\0"),
            tail.ljust(_TAIL, b"\0"),
            left.rjust(_LEFT, b"\0"),
            right.ljust(_RIGHT, b"\0"),
            name[-_NAME:].ljust(_NAME, b"\0"),
            path[-_PATH:].encode("utf-8", "replace")[-_PATH:].rjust(_PATH, b"\0"),
            (above + newline)[-_BEFORE:].rjust(_BEFORE, b"\0"),
            below[:_AFTER].ljust(_AFTER, b"\0"),
        )
    )
    return Window(row, value, left, right, name, left[len(stem) :], path)
