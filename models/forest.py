"""A forest of symmetric trees over the counted numbers, which a network learns badly from few rows.

All nodes of one depth ask the same question, so a tree is a row of ``depth`` comparisons and a table of
``2 ** depth`` values, which the exported network evaluates with plain tensor operations. Growing is
gradient boosting on histograms, numpy alone, the same for the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Forest", "grow"]

_BINS: Final = 32
#: The share of numbers that a tree may ask for, and of samples that it is grown on.
_COLUMNS: Final = 0.3
_ROWS: Final = 0.8
_CALM: Final = 5.0


@dataclass(frozen=True, slots=True)
class Forest:
    """``columns`` and ``limits`` are (trees, depth), ``leaves`` (trees, 2 ** depth).

    A column above its limit is a one in the number of the leaf.
    """

    columns: npt.NDArray[np.int64]
    limits: npt.NDArray[np.float32]
    leaves: npt.NDArray[np.float32]
    offset: float

    def logits(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The logit of each row of ``numbers``."""
        out = np.full(len(numbers), self.offset, np.float32)
        bits = 1 << np.arange(self.columns.shape[1])
        for columns, limits, leaves in zip(self.columns, self.limits, self.leaves, strict=True):
            out += leaves[((numbers[:, columns] > limits) * bits).sum(1)]
        return out


def grow(
    numbers: npt.NDArray[Any],
    secret: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    *,
    seed: int,
    trees: int = 400,
    depth: int = 5,
    rate: float = 0.06,
) -> Forest:
    """A forest that tells ``secret`` (0 or 1) from ``numbers``; ``weight`` is how much each sample counts."""
    draw = np.random.default_rng(seed)
    edges = [_edges(column) for column in np.asarray(numbers, np.float32).T]
    binned = np.stack(
        [np.searchsorted(edge, column, side="left") for edge, column in zip(edges, numbers.T, strict=True)]
    ).astype(np.int32)
    useful = np.array([number for number, edge in enumerate(edges) if len(edge)])
    y = np.asarray(secret, np.float64)
    w = np.asarray(weight, np.float64) * (len(y) / np.sum(weight))
    share = float(np.clip((w * y).sum() / w.sum(), 1e-3, 1 - 1e-3))
    offset = float(np.log(share / (1 - share)))
    logit = np.full(len(y), offset)
    columns = np.zeros((trees, depth), np.int64)
    limits = np.zeros((trees, depth), np.float32)
    leaves = np.zeros((trees, 1 << depth), np.float32)
    for tree in range(trees):
        chance = 1 / (1 + np.exp(-logit))
        slope, bend = w * (chance - y), w * chance * (1 - chance)
        rows = np.flatnonzero(draw.random(len(y)) < _ROWS)
        asked = draw.choice(useful, max(1, int(len(useful) * _COLUMNS)), replace=False)
        node = np.zeros(len(y), np.int64)
        for level in range(depth):
            column, place = _split(binned, asked, node[rows], rows, slope[rows], bend[rows], 1 << level)
            columns[tree, level], limits[tree, level] = column, edges[column][place]
            node |= (binned[column] > place).astype(np.int64) << level
        total = np.bincount(node[rows], slope[rows], 1 << depth)
        mass = np.bincount(node[rows], bend[rows], 1 << depth)
        leaves[tree] = -rate * total / (mass + _CALM)
        logit += leaves[tree][node]
    return Forest(columns, limits, leaves, offset)


def _edges(column: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Where a column may be split: between its quantiles."""
    held = np.unique(np.quantile(column, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower"))
    values = np.unique(column)
    if len(values) <= _BINS:
        held = values
    edges: npt.NDArray[np.float32] = held[held < values[-1]].astype(np.float32)
    return edges


def _split(
    binned: npt.NDArray[np.int32],
    asked: npt.NDArray[Any],
    node: npt.NDArray[np.int64],
    rows: npt.NDArray[Any],
    slope: npt.NDArray[Any],
    bend: npt.NDArray[Any],
    nodes: int,
) -> tuple[int, int]:
    """The column and the edge that part all nodes best."""
    best, chosen = -1.0, (int(asked[0]), 0)
    base = node * _BINS
    for column in asked.tolist():
        key = base + binned[column][rows]
        total = np.bincount(key, slope, nodes * _BINS).reshape(nodes, _BINS).cumsum(1)
        mass = np.bincount(key, bend, nodes * _BINS).reshape(nodes, _BINS).cumsum(1)
        left = total**2 / (mass + _CALM)
        right = (total[:, -1:] - total) ** 2 / (mass[:, -1:] - mass + _CALM)
        gain = (left + right).sum(0)[: binned_edges(binned, column)]
        if len(gain) and gain.max() > best:
            best, chosen = float(gain.max()), (column, int(gain.argmax()))
    return chosen


def binned_edges(binned: npt.NDArray[np.int32], column: int) -> int:
    """How many edges a column has."""
    return int(binned[column].max())
