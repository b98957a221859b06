"""A program that scans an archive with twins and tells what it found: ``PATH IDLE MISHAP [STOP]``.

A process with threads is not forked, and one that runs tests has some, so this runs by itself. ``IDLE``
processors have nothing to do. ``MISHAP`` is what befalls the twins: ``none``, ``killed`` or ``raises``, where
their original does not, ``once``: killed, and no processor is idle any more, or ``crowded``: there are none,
since the system has no room for a process. ``STOP``: so many candidates are taken.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable
from multiprocessing import RawValue
from pathlib import Path

from forks import counted, made, no_room

from unsprawl import spare
from unsprawl.detectors import twins
from unsprawl.detectors.containers.pieces import Leaf
from unsprawl.detectors.detector import build
from unsprawl.records import Candidate, Document, Skipped, Stream

original, found = os.getpid(), twins._Content.leaf
#: Shared with the twins.
idle = RawValue("i")


def killed(self: twins._Content) -> Leaf:
    """Nobody survives a batch with the member 050 in it but the process that everything began with."""
    if os.getpid() != original and "050" in self.member:
        os.kill(os.getpid(), signal.SIGKILL)
    return found(self)


def once(self: twins._Content) -> Leaf:
    if os.getpid() != original:
        idle.value = 0
    return killed(self)


def raises(self: twins._Content) -> Leaf:
    if os.getpid() != original and "050" in self.member:
        raise MemoryError
    return found(self)


def told(one: Candidate | Skipped) -> list[object]:
    if isinstance(one, Skipped):
        return [one.uri, one.reason]
    return [one.member, one.rule, hash(one.secret), one.start, one.end, one.line, one.column, one.views]


def main(path: str, processors: str, mishap: str, stop: str = "1000000") -> None:
    twins._ALONE, twins._BATCH = 1 << 13, 1 << 16  # type: ignore[misc]
    if mishap not in ("none", "crowded"):
        twins._Content.leaf = {"killed": killed, "raises": raises, "once": once}[mishap]  # type: ignore[method-assign]
    os.fork = no_room if mishap == "crowded" else counted
    idle.value = int(processors)
    spare.count_in(idle)
    file = Path(path)
    document = Document(
        uri="file:///a.tar", path="a.tar", body=Stream(lambda _: file.open("rb"), file.stat().st_size)
    )
    scanned: Iterable[Candidate | Skipped] = build().scan(document)
    candidates = []
    for one in scanned:
        candidates.append(told(one))
        if len(candidates) == int(stop):
            break
    scanned.close()  # type: ignore[attr-defined]
    left = [process for process in made if Path(f"/proc/{process}").exists()]
    sys.stdout.write(json.dumps({"found": candidates, "twins": len(made), "left": left}))


main(*sys.argv[1:])
