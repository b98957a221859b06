"""What judging costs a candidate in a scan: CPU time of every call of the classifier, corpus by corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Final

from benchmarks.corpora import Corpus
from unsprawl.crawlers.files import FilesSource
from unsprawl.detection import Detection, examiner
from unsprawl.examine import Examiner
from unsprawl.models.choice import default_confidence
from unsprawl.records import Candidate, Classifier, Document, Unit, Verdict
from unsprawl.secret import Keys
from unsprawl.step import Budget, step
from unsprawl.structs import replace

__all__ = ["Judged", "judging"]

#: Of no store: what is found here is thrown away.
_KEYS: Final = Keys.derive(bytes(32))


@dataclass(frozen=True, slots=True)
class Judged:
    """CPU ms a candidate: of all ``candidates``, and in the ``dearest`` call (mostly a lone one)."""

    corpus: str
    candidates: int
    calls: int
    mean_ms: float
    dearest_ms: float


@dataclass(slots=True)
class _Timed:
    """A classifier that keeps of each call how many candidates it had and how many seconds it took."""

    inner: Classifier
    calls: list[tuple[int, float]] = field(default_factory=list)

    @property
    def version(self) -> str:
        return self.inner.version

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> Sequence[Verdict]:
        began = process_time()
        verdicts = self.inner.score(candidates)
        self.calls.append((len(candidates), process_time() - began))
        return verdicts


def judging(corpora: list[Corpus]) -> Iterator[Judged]:
    """The costs on each of ``corpora`` that holds candidates, where everything is loaded."""
    whole = examiner(Detection((), (), default_confidence(), False, False, _KEYS))
    for corpus in corpora:
        timed = _Timed(whole.classifier)
        for _ in range(2):
            timed.calls.clear()
            _scan(corpus.path, replace(whole, classifier=timed))
        calls = [(count, seconds) for count, seconds in timed.calls if count]
        candidates = sum(count for count, _ in calls)
        if candidates:
            yield Judged(
                corpus.name,
                candidates,
                len(calls),
                sum(seconds for _, seconds in calls) / candidates * 1e3,
                max(seconds / count for count, seconds in calls) * 1e3,
            )


def _scan(tree: Path, judge: Examiner) -> None:
    """All steps one after the other: nothing else takes CPU time of this process."""
    source = FilesSource("files", FilesSource.Config(paths=(str(tree),)))
    for unit in source.units(_never):
        if isinstance(unit, Unit):
            step(source, unit, None, _never, Budget(), judge, remember=False)


def _never(_key: str) -> str | None:
    return None
