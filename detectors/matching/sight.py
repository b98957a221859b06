"""Where in a text a match of which rule may stand: what the quick part of both engines answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from unsprawl.detectors.matching.confirm import Confirmer, Window
from unsprawl.detectors.matching.drawn import SPACED_BEFORE, in_run, in_spaced
from unsprawl.detectors.rulebook.contextual import reach
from unsprawl.detectors.rules import Rule
from unsprawl.detectors.views.clues import Clue, Coding, Telling

__all__ = [
    "GATE",
    "NOTHING",
    "Found",
    "Sight",
    "Windows",
    "around",
    "before_runs",
    "gate",
    "is_clue",
    "merged",
    "words_of",
]

#: How far from its keyword a rule without a literal of its own may match, in bytes.
GATE: Final = 8 << 10

#: For each rule's number: the stretches to look at, and whether they must not be looked beyond.
Windows: TypeAlias = Mapping[int, tuple[list[Window], bool]]
Found: TypeAlias = dict[int, tuple[list[Window], bool]]


class Sight(NamedTuple):
    """Where matches may stand, and where something is encoded that may hold one."""

    windows: Windows
    clues: Sequence[Clue]


NOTHING: Final = Sight({}, ())


def around(confirmer: Confirmer, ends: Iterable[Sequence[int]], size: int) -> list[Window]:
    """The windows for hits that end there, each pair a first and a last end."""
    shape = confirmer.shape
    return merged(((first - shape.back, last + shape.ahead, last) for first, last in ends), size)


def gate(first: int, last: int) -> Window:
    """The window for a keyword that stands there."""
    return first - GATE, last + GATE, last + GATE


def merged(windows: Iterable[Window], size: int) -> list[Window]:
    """Sorted, joined where they touch, and cut to the text."""
    result: list[Window] = []
    for window in sorted(windows):
        low, high, last = max(window[0], 0), min(window[1], size), min(window[2], size)
        if result and low <= result[-1][1]:
            before = result[-1]
            result[-1] = (before[0], max(before[1], high), max(before[2], last))
        elif low < high:
            result.append((low, high, last))
    return result


def words_of(
    confirmers: Sequence[Confirmer], numbers: Iterable[int]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The keywords of some rules, each with the rules that have it."""
    words: dict[str, list[int]] = {}
    for number in numbers:
        for word in dict.fromkeys(word.lower() for word in confirmers[number].rule.keywords):
            words.setdefault(word, []).append(number)
    return ((word, tuple(of)) for word, of in words.items())


def before_runs(drawn: Sequence[Rule], encoded: Telling) -> int:
    """Bytes before a run that matter: its name may stand there, or a keyword in spaced-out letters."""
    return max([*(reach(rule.context) for rule in drawn), SPACED_BEFORE + 2 * encoded.longest])


def is_clue(data: bytes, end: int, width: int, coding: Coding) -> bool:
    """Whether the mark that ends there stands where marks matter: in the runs that Hyperscan is shown."""
    return end >= width and (in_spaced(data, end - width, end) if coding == "logs" else in_run(data, end - 1))
