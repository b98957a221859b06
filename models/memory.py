"""What people decided about findings, held against what is found next.

A candidate is like a false positive when its surroundings are those of several findings that were marked so.
Only marks of the same rule count, each marked finding once, however often it stands somewhere, and none that
stands in a place of less weight: what was invented for a test says nothing of production
(:func:`~unsprawl.models.embedding.place`). It takes, of all findings that were decided,

- the three nearest, marked so and of nearly the same surroundings (cosine of ``NEAR`` or more); or
- the five nearest, marked so and resembling it (``LOOSE`` or more).

One mark silences nothing but its own finding: the password of production stands in the same file, under the
same name, as the one of the laptop. A finding that was confirmed (acknowledged, accepted) is a neighbour like
any other, and where it is among the nearest nothing is silenced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from unsprawl.models.embedding import DIMENSIONS, HEAD, VERSION, Embedding
from unsprawl.records import Candidate, Classifier, Document, Verdict
from unsprawl.structs import replace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CAPACITY", "LOOSE", "NEAR", "RULES", "Likeness", "Mark", "Memory", "Remembering"]

#: Marked sightings that are held, the newest: one product with them costs milliseconds.
CAPACITY: Final = 20_000
#: Measured in tests/unit/test_memory_families.py: the fifth nearest of 20 siblings is at .89 or nearer, of
#: what shares the name and not the kind of value, or stands elsewhere, at .88 or farther.
NEAR: Final = 0.92
LOOSE: Final = 0.87
#: How many of the nearest have to be false positives, and how near.
RULES: Final = ((3, NEAR), (5, LOOSE))
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
    """The marks of one rule: ``vectors`` of length 1, those of a finding together from its start on.

    ``places`` has one for each vector, ``harmless`` one for each finding.
    """

    vectors: NDArray[np.float32]
    places: NDArray[np.uint8]
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
    return len(vector) == HEAD + DIMENSIONS and vector[0] == VERSION


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
    vectors = [mark.vector for mark in marks]
    return _Rows(
        _matrix(vectors),
        _places(vectors),
        np.array(starts, dtype=np.intp),
        tuple(marks[start].finding for start in starts),
        np.array([marks[start].harmless for start in starts]),
    )


def _matrix(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    """Components as rows of length 1; those of another version become zeros, which are like nothing."""
    import numpy as np

    nothing = bytes(DIMENSIONS)
    held = b"".join(vector[HEAD:] if _fits(vector) else nothing for vector in vectors)
    rows = np.frombuffer(held, dtype=np.int8).reshape(-1, DIMENSIONS).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(lengths, np.float32(1))
    return unit


def _places(vectors: Sequence[bytes]) -> NDArray[np.uint8]:
    import numpy as np

    return np.array([vector[1] if _fits(vector) else 0 for vector in vectors], dtype=np.uint8)


def _judge(rows: _Rows, vectors: Sequence[bytes]) -> list[Likeness | None]:
    import numpy as np

    apart = np.float32(-1)
    nearness = _matrix(vectors) @ rows.vectors.T
    # Most are like nothing, and that is seen at once.
    some = np.flatnonzero(nearness.max(axis=1) >= np.float32(LOOSE) - np.float32(1e-4))
    found: list[Likeness | None] = [None] * len(vectors)
    if not len(some):
        return found
    nearness = np.round(nearness[some], 4)
    # The nearest sighting of each finding stands for it. Of a false positive: of those with weight.
    lighter = rows.places[None, :] < _places(vectors)[some, None]
    confirmed = np.where(rows.harmless, apart, np.maximum.reduceat(nearness, rows.starts, axis=1)).max(axis=1)
    false = np.where(
        rows.harmless,
        np.maximum.reduceat(np.where(lighter, apart, nearness), rows.starts, axis=1),
        apart,
    )
    nearest = -np.sort(np.partition(-false, min(_MOST, false.shape[1]) - 1, axis=1)[:, :_MOST], axis=1)
    nearest = np.pad(nearest, ((0, 0), (0, max(0, _MOST - nearest.shape[1]))), constant_values=apart)
    for number, radius in enumerate(_radii(nearest, confirmed).tolist()):
        if radius:
            best = int(false[number].argmax())
            agreeing = int((false[number] >= np.float32(radius)).sum())
            similarity = round(float(false[number, best]), 4)
            found[some[number]] = Likeness(rows.findings[best], similarity, agreeing)
    return found


#: Neighbours that are looked at.
_MOST: Final = max(count for count, _ in RULES)


def _radii(nearest: NDArray[np.float32], confirmed: NDArray[np.float32]) -> NDArray[np.float64]:
    """Within which radius false positives say so, 0 when they are too few. ``nearest``: the nearest first."""
    import numpy as np

    radii = np.zeros(len(nearest))
    for count, radius in reversed(RULES):
        last = nearest[:, count - 1]
        radii[(last >= np.float32(radius)) & (confirmed < last)] = radius
    return radii
