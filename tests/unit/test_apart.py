"""A parser in a process of its own: whatever it does, here is a cut and the next document is read."""

from __future__ import annotations

import pytest

from unsprawl.detectors.containers.apart import parsed
from unsprawl.detectors.containers.archives import leaves
from unsprawl.detectors.containers.kinds import is_container
from unsprawl.detectors.containers.pieces import Inside, Leaf
from unsprawl.detectors.containers.streams import Account, Budget


def read(body: bytes, budget: Budget | None = None) -> tuple[list[str], list[str]]:
    """The members and the reasons of cuts."""
    inside = Inside(Account(budget or Budget()), "", 0, leaves, is_container, "")
    members, reasons = [], []
    for piece in parsed("misbehaving_helper", body, inside):
        if isinstance(piece, Leaf):
            members.append(piece.member)
            while piece.reader.read(1 << 20):
                pass
        else:
            reasons.append(piece.reason)
    return members, reasons


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"loop", "takes too much processor time to read"),
        (b"grow", "takes more than 300 MiB of memory to read"),
        (b"crash", "the process that read it has crashed"),
        (b"leave", "the process that read it has crashed"),
        (b"raise", "cannot be read further: out of luck"),
        (b"quote", "cannot be read further: UnicodeDecodeError"),
        (b"nonsense", "the process that read it answers nonsense"),
    ],
)
def test_what_goes_wrong_is_a_cut(body: bytes, reason: str) -> None:
    assert read(b"fine") == (["first"], [])
    assert read(body) == (["first"], [reason])
    assert read(b"fine") == (["first"], [])


def test_what_a_library_prints_is_not_taken_for_an_answer() -> None:
    assert read(b"print") == (["first"], [])


def test_a_flood_ends_with_the_budget() -> None:
    members, reasons = read(b"flood", Budget(ratio=10, ratio_floor=8 << 20))
    assert members == ["first", "flood"]
    assert reasons == ["unpacks to more than 10 times its size"]
    members, reasons = read(b"flood", Budget(ratio_floor=1 << 40, unpacked=16 << 20))
    assert reasons == ["unpacks to more than 16 MiB"]


def test_a_deadline_that_has_passed_ends_it() -> None:
    assert read(b"loop", Budget(seconds=0.2))[1] == ["takes too long to read"]
