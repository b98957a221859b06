"""What looks at the documents of a job: rules, classifier and keys, built once a process."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unsprawl.examine import Examiner
from unsprawl.records import Classifier
from unsprawl.secret import Keys
from unsprawl.structs import Struct, replace

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.detectors.values.engine import Values
    from unsprawl.models.memory import Memory

__all__ = ["Detection", "examiner", "examiner_of"]


class Detection(Struct, frozen=True):
    """All that decides what a document gives: the same in every process of a job."""

    rules: tuple[Path, ...]
    exclude_rules: tuple[str, ...]
    min_confidence: float
    show_secrets: bool
    seal: bool
    keys: Keys
    remembers: bool = False
    """Whether vectors of the surroundings are made, for a store to keep."""
    memory: Memory | None = None
    """What was decided, for a job that has no store of its own."""
    values: Values | None = None
    """What is looked for instead of all that the rules know."""


_building = threading.Lock()
_held: tuple[Detection, Examiner] | None = None


def examiner(detection: Detection) -> Examiner:
    """The detection core of this process, which all of its threads share; forked workers inherit it."""
    global _held  # noqa: PLW0603  # rules and model take a second and 40 MB
    with _building:
        held = _held
        if held is None or not _same(held[0], detection):
            with _kept():
                held = _held = (detection, _build_examiner(detection))
        return held[1]


def _same(one: Detection, other: Detection) -> bool:
    """Memory and values are not looked through: they are the same objects, or others."""
    if one.memory is not other.memory or one.values is not other.values:
        return False
    return replace(one, memory=None, values=None) == replace(other, memory=None, values=None)


@contextmanager
def _kept() -> Iterator[None]:
    """What is built is kept to the end of the process, so nobody looks for garbage among it.

    To look once costs as much as to load the rules: now, in each worker, which writes to what it looks at
    and shares it no longer, and when the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()


def _build_examiner(detection: Detection) -> Examiner:
    from unsprawl.detectors.detector import build
    from unsprawl.models.choice import chosen
    from unsprawl.models.judge import shared
    from unsprawl.redaction import Redactor

    detector = build(detection.rules, detection.exclude_rules, doubts=True)
    kinds = {rule.id: rule.kind for rule in detector.rules.rules}
    classifier = shared(chosen(kinds), kinds)
    if detection.values is not None:
        return _sweeping(detection, detection.values, detector, classifier)
    if detection.remembers:
        from unsprawl.models.embedding import Surroundings
        from unsprawl.models.memory import Remembering

        embedding = Surroundings(detection.keys.namer("surroundings"))
        classifier = Remembering(classifier, embedding, detection.memory, least=detection.min_confidence)
    return Examiner(
        detector=detector,
        classifier=classifier,
        rules=detector.rules.by_id,
        keys=detection.keys,
        redactor=Redactor(detector.find_spans),
        min_confidence=detection.min_confidence,
        seal=detection.seal,
        show_secrets=detection.show_secrets,
        keep_refused=detection.remembers and detection.memory is None,
    )


def _sweeping(
    detection: Detection, values: Values, detector: ContentDetector, classifier: Classifier
) -> Examiner:
    """Looks for given values, and with the rules only where one of them stands."""
    from unsprawl.detectors.values.detector import ValueDetector
    from unsprawl.detectors.values.engine import RULE
    from unsprawl.detectors.values.given import GivenClassifier
    from unsprawl.redaction import Redactor

    given = ValueDetector(values, detector)
    return Examiner(
        detector=given,
        classifier=GivenClassifier(classifier),
        rules={**detector.rules.by_id, RULE.id: RULE},
        keys=detection.keys,
        # A name of a file may hold a given value that no rule knows.
        redactor=Redactor(lambda text: sorted({*detector.find_spans(text), *given.find_spans(text)})),
        min_confidence=detection.min_confidence,
        show_secrets=detection.show_secrets,
    )


def examiner_of(config: Config, keys: Keys) -> Examiner:
    """The rules and the model of ``config``, for documents that are looked at one by one.

    Nothing is refused for its confidence: what was reported once is to be found again.
    """
    return _build_examiner(Detection(config.rules, config.exclude_rules, 0.0, False, False, keys))
