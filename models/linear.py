"""A logistic regression over hashed words and stretches: a weight a bucket, held small.

Few real lines are labelled, so what has one weight a word learns more from them than a deep network, which
knows them by heart after some rounds. Needs the extra ``train``; the same data give the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from unsprawl.models.features import BUCKETS

__all__ = ["SCALE", "Linear", "fit"]

#: What stands in a bag of n words counts SCALE / sqrt(n).
SCALE: Final = 3.0
#: How little the samples count against small weights.
_HELD: Final = 0.05
#: Few rounds hold them small as well.
_ROUNDS: Final = 16


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight for each bucket of ``words`` and of ``grams``, and an offset."""

    words: npt.NDArray[np.float32]
    grams: npt.NDArray[np.float32]
    offset: float


def bag(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The scaled sum of the weights of each row of ``index``; bucket 0 is padding."""
    count = (index > 0).sum(1).clamp(min=1).to(torch.float32)
    return table[index.to(torch.int64)].sum(1) * (SCALE / count.sqrt())


def fit(
    words: npt.NDArray[Any], grams: npt.NDArray[Any], secret: npt.NDArray[Any], weight: npt.NDArray[Any]
) -> Linear:
    """The weights that tell ``secret`` (0 or 1); ``weight`` is how much each sample counts."""
    bags = [torch.from_numpy(np.asarray(one, np.int64)) for one in (words, grams)]
    truth = torch.from_numpy(np.asarray(secret, np.float32))
    share = torch.from_numpy(np.asarray(weight * (len(weight) / np.sum(weight)), np.float32))
    tables = [torch.zeros(BUCKETS, requires_grad=True) for _ in bags]
    offset = torch.zeros(1, requires_grad=True)
    search = torch.optim.LBFGS(
        [*tables, offset],
        max_iter=_ROUNDS,
        tolerance_grad=1e-3,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        search.zero_grad()
        scores = offset
        for table, index in zip(tables, bags, strict=True):
            kept = torch.cat([torch.zeros(1), table[1:]])
            scores = scores + bag(kept, index)
        each = torch.nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
        total = _HELD * (each * share).sum() + 0.5 * sum((table**2).sum() for table in tables)
        total.backward()
        return total

    search.step(loss)
    found = [table.detach().numpy() for table in tables]
    for one in found:
        one[0] = 0
    return Linear(found[0], found[1], float(offset))
