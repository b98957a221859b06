"""What people decided about findings, held against what is found next.

A candidate is like a false positive when its surroundings are those of findings that were marked so. Only
marks of the same rule count, and each marked finding once, however often it stands somewhere. It takes

- one mark of nearly identical surroundings (cosine of ``NEAR`` or more), unless a finding that was confirmed
  stands as near; or
- five marks that resemble it (``LOOSE`` or more), when the five nearest of all marks are these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from unsprawl.models.embedding import DIMENSIONS, VERSION, Embedding
from unsprawl.records import Candidate, Classifier, Document, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CAPACITY", "LOOSE", "NEAR", "NEIGHBOURS", "Likeness", "Mark", "Memory", "Remembering"]

#: Marked sightings that are held, the newest: one product with them costs milliseconds.
CAPACITY: Final = 20_000
NEAR: Final = 0.97
LOOSE: Final = 0.88
NEIGHBOURS: Final = 5
#: Candidates a product: bounds its result to some 40 MB.
_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True)
class Mark:
    """One sighting of a finding that somebody judged. ``harmless``: as a false positive, else confirmed."""

    finding: str
    rule: str
    harmless: bool
    vector: bytes


@dataclass(frozen=True, slots=True)
class Likeness:
    """Why something is held for a false positive: the nearest finding so marked, how near, how many agree."""

    finding: str
    similarity: float
    marks: int


@dataclass(frozen=True, slots=True)
class _Rows:
    """The marks of one rule: ``vectors`` of length 1, those of a finding together from its start on."""

    vectors: NDArray[np.float32]
    starts: NDArray[np.intp]
    findings: tuple[str, ...]
    harmless: NDArray[np.bool_]


class Memory:
    """Marks, ready to be compared with. Marks of another version of the embedding are left out."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        ordered = sorted(
            {mark for mark in marks if _fits(mark.vector)},
            key=lambda mark: (mark.rule, mark.finding, mark.vector, mark.harmless),
        )
        self.version = _digest(ordered)
        self._rules: Mapping[str, _Rows] = {
            rule: _rows(list(group)) for rule, group in groupby(ordered, key=lambda mark: mark.rule)
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (self.version, self._rules))

    @property
    def rules(self) -> frozenset[str]:
        """The rules that have marks: candidates of others are like nothing."""
        return frozenset(self._rules)

    def judge(self, rule: str, vectors: Sequence[bytes]) -> list[Likeness | None]:
        """For each vector, which false positive it is like, None when it is like none."""
        rows = self._rules.get(rule)
        if rows is None:
            return [None] * len(vectors)
        found: list[Likeness | None] = []
        for start in range(0, len(vectors), _AT_ONCE):
            found += _judge(rows, vectors[start : start + _AT_ONCE])
        return found


class Remembering:
    """A classifier whose verdicts carry the vector of the surroundings, and what they are like.

    ``records.Classifier``. Confidence and label stay those of ``classifier``. What is less likely than
    ``least`` is not looked at, unless its format proves itself: nobody keeps it. Without a ``memory``
    verdicts are like nothing; the version then changes with the embedding alone, so that a decision never
    makes a crawl read again what did not change (:mod:`unsprawl.recall`).
    """

    def __init__(
        self,
        classifier: Classifier,
        embedding: Embedding,
        memory: Memory | None = None,
        *,
        least: float = 0.0,
    ) -> None:
        self._classifier = classifier
        self._least = least
        self._embedding = embedding
        self._memory = memory
        parts = [classifier.version, embedding.version, *([memory.version] if memory else [])]
        self.version = "+".join(parts)

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> list[Verdict]:
        """One verdict a candidate, in order."""
        verdicts = list(self._classifier.score(candidates))
        places: dict[str, list[int]] = {}
        for place, (document, candidate) in enumerate(candidates):
            exact = candidate.check is not None and candidate.check.exact
            if exact or verdicts[place].confidence >= self._least:
                vector = self._embedding.embed(document, candidate)
                verdicts[place] = replace(verdicts[place], vector=vector)
                places.setdefault(candidate.rule, []).append(place)
        if self._memory is None:
            return verdicts
        for rule, which in places.items():
            likenesses = self._memory.judge(rule, [verdicts[place].vector for place in which])
            for place, likeness in zip(which, likenesses, strict=True):
                if likeness is not None:
                    verdicts[place] = replace(verdicts[place], like=likeness.finding)
        return verdicts


def _fits(vector: bytes) -> bool:
    return len(vector) == DIMENSIONS + 1 and vector[0] == VERSION


def _digest(marks: Iterable[Mark]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for mark in marks:
        digest.update(f"{mark.rule}\0{mark.finding}\0{mark.harmless}\0".encode() + mark.vector)
    return f"memory-{digest.hexdigest()}"


def _restored(version: str, rules: Mapping[str, _Rows]) -> Memory:
    memory = Memory(())
    memory.version, memory._rules = version, rules  # noqa: SLF001  # its own
    return memory


def _rows(marks: Sequence[Mark]) -> _Rows:
    import numpy as np

    starts = [
        place for place, mark in enumerate(marks) if not place or marks[place - 1].finding != mark.finding
    ]
    return _Rows(
        _matrix([mark.vector for mark in marks]),
        np.array(starts, dtype=np.intp),
        tuple(marks[start].finding for start in starts),
        np.array([marks[start].harmless for start in starts]),
    )


def _matrix(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    """Vectors as rows of length 1; those of another version become zeros, which are like nothing."""
    import numpy as np

    nothing = bytes(DIMENSIONS)
    held = b"".join(vector[1:] if _fits(vector) else nothing for vector in vectors)
    rows = np.frombuffer(held, dtype=np.int8).reshape(-1, DIMENSIONS).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(lengths, np.float32(1))
    return unit


def _judge(rows: _Rows, vectors: Sequence[bytes]) -> list[Likeness | None]:
    import numpy as np

    # The nearest sighting of each finding stands for it.
    nearness = np.maximum.reduceat(_matrix(vectors) @ rows.vectors.T, rows.starts, axis=1)
    confirmed = np.where(rows.harmless, np.float32(-1), nearness).max(axis=1)
    false = np.where(rows.harmless, nearness, np.float32(-1))
    best = false.argmax(axis=1)
    found: list[Likeness | None] = []
    for place in range(len(vectors)):
        similarity = float(false[place, best[place]])
        enough = _agreeing(nearness[place], false[place], float(confirmed[place]), similarity)
        finding = rows.findings[best[place]]
        found.append(Likeness(finding, round(similarity, 4), enough) if enough else None)
    return found


def _agreeing(
    nearness: NDArray[np.float32], false: NDArray[np.float32], confirmed: float, similarity: float
) -> int:
    """How many marks say so, 0 when they are too few or contradicted."""
    import numpy as np

    if similarity >= NEAR and confirmed < NEAR:
        return int((false >= NEAR).sum())
    if len(nearness) < NEIGHBOURS:
        return 0
    fifth = float(np.partition(nearness, -NEIGHBOURS)[-NEIGHBOURS])
    if fifth >= LOOSE and confirmed < fifth:
        return int((false >= LOOSE).sum())
    return 0
