"""Logits to probabilities, and the thresholds of the presets.

A temperature and an offset for each family of rules on each surface, shrunk towards those of the family
and of all, so that a few samples move nothing; numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unsprawl.models.evaluation import Floats, Lines, figures
from unsprawl.structs import Struct, field

__all__ = ["PRESETS", "Calibration", "fit", "thresholds"]

#: Preset → the precision it keeps on lines of repositories that were not trained on.
PRESETS: Final = {"precise": 0.95, "balanced": 0.90, "broad": 0.80}
#: Below this many samples (of the rarer kind) a family or surface has no calibration of its own.
_LEAST: Final = 40
_ROUNDS: Final = 200
#: How strongly a family is held to the calibration of all.
_PRIOR: Final = 8.0
#: Logits are cut here.
_FAR: Final = 30.0


class Calibration(Struct, frozen=True):
    """``table`` maps ``surface/family``, ``*/family`` or ``*/*`` to (slope, offset) of the logit."""

    table: Mapping[str, tuple[float, float]] = field(default_factory=lambda: {"*/*": (1.0, 0.0)})

    def of(self, surface: str, family: str) -> tuple[float, float]:
        table = self.table
        return table.get(f"{surface}/{family}") or table.get(f"*/{family}") or table["*/*"]

    def probability(
        self, logits: npt.NDArray[Any], surfaces: Sequence[str], families: Sequence[str]
    ) -> Floats:
        """The probability that each is a credential value."""
        pairs = [self.of(surface, family) for surface, family in zip(surfaces, families, strict=True)]
        slope, offset = np.array(pairs, np.float64).reshape(-1, 2).T
        return _sigmoid(slope * np.asarray(logits, np.float64) + offset)

    def chance(self, logit: float, surface: str, family: str) -> float:
        """The probability of one; few at a time cost numpy more."""
        slope, offset = self.of(surface, family)
        return 1 / (1 + math.exp(-min(_FAR, max(-_FAR, slope * logit + offset))))


def _sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(values, -_FAR, _FAR)))


def fit(
    logits: npt.NDArray[Any],
    secret: npt.NDArray[Any],
    surfaces: Sequence[str],
    families: Sequence[str],
    weight: npt.NDArray[Any] | None = None,
) -> Calibration:
    """The calibration that makes held-out ``logits`` probabilities."""
    x, y = np.asarray(logits, np.float64), np.asarray(secret, np.float64)
    w = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    everything = _platt(x, y, w, (1.0, 0.0), 1e-3)
    table: dict[str, tuple[float, float]] = {"*/*": everything}
    family, surface = np.array(families), np.array(surfaces)
    for name in sorted(set(families)):
        held = family == name
        if _enough(y[held]):
            table[f"*/{name}"] = _platt(x[held], y[held], w[held], everything, _PRIOR)
            for place in sorted(set(surface[held].tolist())):
                both = held & (surface == place)
                if _enough(y[both]):
                    table[f"{place}/{name}"] = _platt(x[both], y[both], w[both], table[f"*/{name}"], _PRIOR)
    return Calibration({name: (round(a, 4), round(b, 4)) for name, (a, b) in table.items()})


def _enough(secret: Floats) -> bool:
    return min(float(secret.sum()), float((1 - secret).sum())) >= _LEAST


def _platt(
    x: Floats, y: Floats, w: Floats, prior: tuple[float, float], strength: float
) -> tuple[float, float]:
    """Newton's method for a slope and an offset, held to ``prior``."""
    point = np.array(prior)
    for _ in range(_ROUNDS):
        p = _sigmoid(point[0] * x + point[1])
        error = w * (p - y)
        slope = np.array([(error * x).sum(), error.sum()]) + strength * (point - prior)
        bend = w * p * (1 - p)
        matrix = np.array([[(bend * x * x).sum(), (bend * x).sum()], [(bend * x).sum(), bend.sum()]])
        matrix += np.eye(2) * (strength + 1e-6)
        step = np.linalg.solve(matrix, slope)
        point = point - np.clip(step, -1, 1)
        point[0] = max(0.05, point[0])
        if np.abs(step).max() < 1e-6:
            break
    return float(point[0]), float(point[1])


def thresholds(lines: Lines) -> dict[str, float]:
    """For each preset the lowest confidence at which core lines keep its precision.

    Where none does, the one with the highest precision among those that find a tenth of the best recall.
    """
    core = lines.core
    levels = np.unique(np.round(lines.best[core & (lines.best > 0)], 3))
    found = [(level, figures(lines, level, core)) for level in levels.tolist()]
    out = {}
    for name, precision in PRESETS.items():
        good = [(level, one) for level, one in found if one.precision >= precision]
        if good:
            out[name] = round(max(good, key=lambda pair: pair[1].recall)[0], 3)
        else:
            out[name] = round(max(found, key=lambda pair: (pair[1].precision, pair[1].recall))[0], 3)
    return out
