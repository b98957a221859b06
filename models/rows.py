"""What is counted and hashed in the rows of a batch: by the compiled part, or by numpy where it is missing.

Most batches hold a few candidates, for which numpy needs fifty calls; the compiled part needs microseconds.
Both give the same to the last bit (``tests/unit/test_model_rows.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unsprawl.models import counting, hashing
from unsprawl.models.window import WIDTH

__all__ = ["by_numpy", "compiled", "fill"]

compiled: Callable[..., None] | None
"""``by_numpy`` compiled; None where no compiler was at hand."""
try:
    from unsprawl.models._rows import fill as compiled
    from unsprawl.models._rows import prepare
except ImportError:
    compiled = None
else:
    prepare(*hashing.TABLES, *counting.TABLES)


def fill(rows: bytes, numbers: Any, words: Any, grams: Any) -> None:
    """Fill in what ``rows`` say: the end of each row of ``numbers`` and ``words``, and ``grams`` whole."""
    (compiled or by_numpy)(rows, numbers, words, grams)


def by_numpy(rows: bytes, numbers: Any, words: Any, grams: Any) -> None:
    """``fill`` without the compiled part."""
    table = np.frombuffer(rows, np.uint8).reshape(-1, WIDTH)
    counting.fill(numbers[:, -counting.COUNTED :], table)
    words[:, -hashing.TEXT_WORDS :] = hashing.words(rows)
    grams[:] = hashing.grams(rows)
