"""What given values are told apart by, and the verdict on them: whoever gave them has judged already."""

from __future__ import annotations

from collections.abc import Sequence

from unsprawl.detectors.values.engine import RULE
from unsprawl.records import Candidate, Classifier, Document, Verdict

__all__ = ["GivenClassifier"]


class GivenClassifier:
    """Implements ``records.Classifier``: given values are what they are, the rest is judged by ``others``."""

    def __init__(self, others: Classifier) -> None:
        self._others = others

    @property
    def version(self) -> str:
        return self._others.version

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> Sequence[Verdict]:
        rest = [pair for pair in candidates if pair[1].rule != RULE.id]
        judged = iter(self._others.score(rest) if rest else ())
        return [Verdict(1.0) if pair[1].rule == RULE.id else next(judged) for pair in candidates]
