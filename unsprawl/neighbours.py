"""Which candidates of a document stand together: judged in one group, masked in each other's context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias

from unsprawl.records import Candidate
from unsprawl.secret import Secret

__all__ = ["GROUP", "SHOWN_COMPANIONS", "Blocks", "blocks_of", "groups", "neighbours", "values_of"]

#: Candidates are classified in groups: large enough for the model to gain, small enough to stay flat
#: when a hostile document holds a million of them.
GROUP: Final = 256
#: Values whose spans lie this near (bytes) may stand in each other's context.
_NEAR: Final = 1024
#: Companions that say whose credential it is and where it works. They are shown, and masked nowhere;
#: all others (key ids, second halves) are treated like the secret itself.
SHOWN_COMPANIONS: Final = frozenset(
    {"account", "database", "expiry", "host", "port", "region", "scheme", "user"}
)

Blocks: TypeAlias = "dict[tuple[str, int], list[Candidate]]"


def groups(candidates: Iterator[Candidate]) -> Iterator[tuple[list[Candidate], list[Candidate]]]:
    """Groups of candidates, each with all that may stand near one of them: the groups on both sides too."""
    before: list[Candidate] = []
    group = list(islice(candidates, GROUP))
    while group:
        after = list(islice(candidates, GROUP))
        yield group, before + group + after
        before, group = group, after


def blocks_of(candidates: Iterable[Candidate]) -> Blocks:
    """The candidates by the stretches of ``_NEAR`` bytes that they touch."""
    blocks: Blocks = {}
    for candidate in candidates:
        for block in range(candidate.start // _NEAR, candidate.end // _NEAR + 1):
            blocks.setdefault((candidate.member, block), []).append(candidate)
    return blocks


def neighbours(candidate: Candidate, blocks: Blocks) -> list[Secret]:
    """The values that may stand in what is stored about ``candidate``: its own, and those around it."""
    known = values_of(candidate)
    low, high = candidate.start - _NEAR, candidate.end + _NEAR
    for block in range(low // _NEAR, high // _NEAR + 1):
        for other in blocks.get((candidate.member, block), ()):
            if other is not candidate and other.start < high and other.end > low:
                known += values_of(other)
    return list(dict.fromkeys(known))


def values_of(candidate: Candidate) -> list[Secret]:
    halves = [value for name, value in candidate.companions.items() if name not in SHOWN_COMPANIONS]
    return [candidate.secret, *halves]
