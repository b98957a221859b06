"""Ten thousand bombs: none crashes, hangs or takes more than the budgets say."""

from __future__ import annotations

import resource
from time import process_time

import pytest
from bombs import bomb

from unsprawl.detectors.containers.streams import Budget
from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.rules import load
from unsprawl.records import Document

MEGABYTES = 1 << 10  # of what getrusage counts, KiB
BUDGET = Budget(unpacked=32 << 20, entries=2000, seconds=20)
#: Bytes of memory that one document may add to what all before it needed.
ROOM = 512 * MEGABYTES


def scan_all(seeds: range) -> None:
    detector = ContentDetector(load(), budget=BUDGET)
    list(detector.scan(Document(uri="file:///warm", body=bomb(-1))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        began = process_time()
        list(detector.scan(Document(uri=f"file:///{seed}", body=bomb(seed), path="x")))
        assert process_time() - began < BUDGET.seconds + 10, seed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < ROOM


@pytest.mark.soak
def test_ten_thousand_bombs() -> None:
    scan_all(range(10_000))
