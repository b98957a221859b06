"""Invented inputs, the same everywhere: the exported file has to answer them as the network did."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from unsprawl.models.features import BUCKETS, GRAMS, NUMBERS, WORDS
from unsprawl.models.window import WIDTH

__all__ = ["SAMPLES", "TOLERANCE", "example"]

#: How many answers of the network are kept beside the exported file, and how far its own may differ.
SAMPLES: Final = 16
TOLERANCE: Final = 1e-4


def example(count: int = SAMPLES, seed: int = 1) -> dict[str, Any]:
    """Inputs of the network for ``count`` candidates that do not exist."""
    draw = np.random.default_rng(seed)
    return {
        "rows": draw.integers(0, 256, (count, WIDTH), dtype=np.uint8),
        "numbers": draw.normal(size=(count, NUMBERS)).astype(np.float32),
        "words": draw.integers(0, BUCKETS, (count, WORDS), dtype=np.int32),
        "grams": draw.integers(0, BUCKETS, (count, GRAMS), dtype=np.int32),
    }
