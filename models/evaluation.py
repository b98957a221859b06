"""How good verdicts are, by line: one set of definitions for calibration, card and command line.

A labelled line is found when a finding of sufficient confidence lies on it. On a line labelled T that is a
hit, on one labelled F a false alarm; a line without any candidate is a miss like one that was refused. Where
values of one line are labelled T and F, a finding on it is right: such an F is left out. Lines labelled X
hold test values, examples and placeholders, on which people disagree: they are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from unsprawl import lexicon
from unsprawl.models.labelled import Row
from unsprawl.records import Candidate, Classifier, Detector, Document
from unsprawl.structs import Struct

__all__ = ["Figures", "Lines", "calibration_error", "figures", "judge", "macro", "reliability"]

Floats = npt.NDArray[np.float64]
_WORDY: Final = 0.8
_BINS: Final = 10


class Figures(Struct, frozen=True):
    """Precision, recall and F1 at one threshold, with the counts behind them.

    ``shown`` are findings on lines labelled X, ``strict`` is the precision with them as false alarms.
    """

    hits: int
    alarms: int
    misses: int
    shown: int = 0

    @property
    def precision(self) -> float:
        return self.hits / max(1, self.hits + self.alarms)

    @property
    def strict(self) -> float:
        return self.hits / max(1, self.hits + self.alarms + self.shown)

    @property
    def recall(self) -> float:
        return self.hits / max(1, self.hits + self.misses)

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(1, 2 * self.hits + self.alarms + self.misses)


class Lines(Struct, frozen=True, dict=True):
    """Labelled lines with the best confidence of a finding on each; 0 where there is none."""

    rows: tuple[Row, ...]
    best: Floats
    seconds: float = 0.0
    candidates: int = 0

    @cached_property
    def true(self) -> npt.NDArray[np.bool_]:
        return np.array([row.label == "T" for row in self.rows], bool)

    @cached_property
    def false(self) -> npt.NDArray[np.bool_]:
        told = {row.place for row in self.rows if row.label == "T"}
        return np.array([row.label == "F" and row.place not in told for row in self.rows], bool)

    @cached_property
    def disputed(self) -> npt.NDArray[np.bool_]:
        return np.array([row.label == "X" for row in self.rows], bool)

    @cached_property
    def core(self) -> npt.NDArray[np.bool_]:
        """Lines whose value is more than an identifier."""
        return np.array([row.is_core for row in self.rows], bool)

    @cached_property
    def strong(self) -> npt.NDArray[np.bool_]:
        """Core lines whose value is more than a word."""
        return np.array([row.is_core and not is_wordy(row.text) for row in self.rows], bool)


def is_wordy(value: bytes) -> bool:
    """A word, or a password that everybody tries first."""
    return lexicon.is_weak(value) or (value.isalpha() and lexicon.words_in(value) >= _WORDY)


def judge(
    rows: Sequence[Row],
    detector: Detector,
    score: Classifier | Callable[[Sequence[tuple[Document, Candidate]]], Sequence[float]],
) -> Lines:
    """Detect and classify every row's text as a scan would."""
    import time

    best = np.zeros(len(rows))
    pairs: list[tuple[Document, Candidate]] = []
    owners: list[int] = []
    for number, row in enumerate(rows):
        for found in detector.scan(row.document):
            if isinstance(found, Candidate) and found.start < row.end and found.end > row.start:
                pairs.append((row.document, found))
                owners.append(number)
    began = time.process_time()
    confidences: list[float] = []
    for start in range(0, len(pairs), 256):
        part = pairs[start : start + 256]
        if callable(score):
            confidences += score(part)
        else:
            confidences += [verdict.confidence for verdict in score.score(part)]
    seconds = time.process_time() - began
    np.maximum.at(best, np.array(owners, int), np.array(confidences))
    return Lines(tuple(rows), best, seconds, len(pairs))


def figures(lines: Lines, threshold: float, mask: npt.NDArray[np.bool_] | None = None) -> Figures:
    """The figures of the lines in ``mask``."""
    chosen = np.ones(len(lines.rows), bool) if mask is None else mask
    found, true = (lines.best >= threshold) & chosen & (lines.best > 0), lines.true & chosen
    hits, alarms = int((found & true).sum()), int((found & lines.false).sum())
    return Figures(hits, alarms, int(true.sum()) - hits, int((found & lines.disputed).sum()))


def macro(lines: Lines, threshold: float, mask: npt.NDArray[np.bool_]) -> float:
    """The mean F1 of the repositories that have a line labelled T."""
    names = np.array([row.repository for row in lines.rows])
    with_true = np.unique(names[mask & lines.true])
    scores = [figures(lines, threshold, mask & (names == name)).f1 for name in with_true]
    return float(np.mean(scores)) if scores else 0.0


def reliability(confidence: Floats, secret: Floats) -> list[tuple[float, float, int]]:
    """For tenths of confidence: the mean confidence, the share that was a secret, and how many there are."""
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    out = []
    for number in range(_BINS):
        held = place == number
        if held.any():
            out.append((float(confidence[held].mean()), float(secret[held].mean()), int(held.sum())))
    return out


def calibration_error(confidence: Floats, secret: Floats) -> float:
    """The expected calibration error over tenths."""
    table = reliability(confidence, secret)
    total = sum(count for _, _, count in table)
    return sum(abs(mean - share) * count for mean, share, count in table) / max(1, total)
