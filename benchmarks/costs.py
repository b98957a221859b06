"""What the detection costs by rule, by step, by document: CPU time of one process on samples of corpora."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import process_time
from typing import Final, TypeAlias

from benchmarks.corpora import Corpus
from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.matching.engine import Engine, Sight, Tally
from unsprawl.detectors.matching.hyper import Automaton
from unsprawl.detectors.rules import RuleSet, load
from unsprawl.detectors.search import search
from unsprawl.detectors.views import reading
from unsprawl.detectors.views.edits import Edit
from unsprawl.records import Document

__all__ = ["SAMPLED", "Costs", "costs"]

#: The corpora whose files are texts as they stand.
SAMPLED: Final = ("source", "logs", "chat", "small")

#: Bytes of each corpus that are looked at, and of one file at most.
_SAMPLE: Final = 32 << 20
_PIECE: Final = 1 << 20
#: Automatons of one rule each scan this much of the sample, in bytes: a thousand of them take a minute.
_ALONE: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Costs:
    """``steps`` in ns a byte; ``rules``, dearest first, in ps a byte; ``document_us`` a document."""

    corpus: str
    megabytes: float
    documents: int
    document_us: float
    steps: dict[str, float]
    rules: list[tuple[str, float, float]]
    """The rule, what it adds to the automaton, and what confirming its hits costs."""


def costs(corpora: list[Corpus]) -> Iterator[Costs]:
    """The costs on each of ``corpora``."""
    rules = load()
    for corpus in corpora:
        yield _costs(corpus, rules, list(_pieces(corpus.path)))


_Piece: TypeAlias = tuple[bytes, Sight, list[Edit]]


def _costs(corpus: Corpus, rules: RuleSet, pieces: list[bytes]) -> Costs:
    engine = Engine(rules)
    size = sum(map(len, pieces))
    sights = [engine.look(piece) for piece in pieces]
    changes = [reading.edits(piece, sight.clues) for piece, sight in zip(pieces, sights, strict=True)]
    both = list(zip(pieces, sights, changes, strict=True))

    def rest() -> None:
        for piece, sight, change in both:
            search(engine, piece, sight, change, Tally(size=len(piece)))

    def confirm() -> None:
        for piece, sight, _ in both:
            engine.confirm(piece, sight.windows, Tally(size=len(piece)))

    steps = {"automaton": _timed(lambda: [engine.look(piece) for piece in pieces])}
    steps["edits"] = _timed(lambda: [reading.edits(piece, sight.clues) for piece, sight, _ in both])
    steps["confirmation"] = _timed(confirm)
    steps["decoded and rewritten texts"] = max(0.0, _timed(rest) - steps["confirmation"])
    detector = ContentDetector(rules, engine)
    documents = [Document(uri="file:///x", body=piece, path="x") for piece in pieces]
    whole = _timed(lambda: [list(detector.scan(document)) for document in documents])
    steps["all, with filters and positions"] = whole
    return Costs(
        corpus.name,
        size / 1e6,
        len(pieces),
        whole / len(pieces) * 1e6,
        {name: seconds / size * 1e9 for name, seconds in steps.items()},
        _by_rule(engine, rules, both, size),
    )


def _by_rule(engine: Engine, rules: RuleSet, both: list[_Piece], size: int) -> list[tuple[str, float, float]]:
    sample = b"\n".join(piece for piece, _, _ in both)[:_ALONE]
    nothing = Automaton([("never-to-be-found-in-any-text", "")], None)
    floor = min(_timed(lambda: nothing.hits(sample)) for _ in range(3))
    found = []
    for number, rule in enumerate(rules.rules):
        alone = Automaton([engine.expressions[number]], None)
        scan = min(_timed(lambda alone=alone: alone.hits(sample)) for _ in range(2)) - floor  # type: ignore[misc]

        def confirm(number: int = number) -> None:
            for piece, sight, _ in both:
                if number in sight.windows:
                    engine.confirm(piece, {number: sight.windows[number]}, Tally(size=len(piece)))

        found.append((rule.id, max(0.0, scan) / len(sample) * 1e12, _timed(confirm) / size * 1e12))
    return sorted(found, key=lambda row: -(row[1] + row[2]))


def _timed(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began


def _pieces(tree: Path) -> Iterator[bytes]:
    left = _SAMPLE
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    Random(7).shuffle(files)  # a fair sample, not a secret
    for path in files:
        with path.open("rb") as file:
            piece = file.read(_PIECE)
        if piece:
            yield piece
            left -= len(piece)
        if left <= 0:
            return
