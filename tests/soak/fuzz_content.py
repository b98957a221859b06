"""Coverage-guided fuzzing of all content handling: ``python fuzz_content.py CORPUS -max_total_time=3600``.

Atheris mutates what lies in CORPUS and keeps what reaches new code; a crash, a hang or a broken
promise (``hostile.check``) ends it and leaves the input beside.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

with atheris.instrument_imports(include=["unsprawl"]):
    from hostile import NAMES, check

    from unsprawl.detectors.containers.streams import Budget
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.detectors.rules import load

DETECTOR = ContentDetector(load(), budget=Budget(unpacked=64 << 20, seconds=20))


def one(data: bytes) -> None:
    """The first byte chooses the name, the rest is the content."""
    if data:
        check(DETECTOR, data[1:], NAMES[data[0] % len(NAMES)])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
