"""All rules over one text: windows from an automaton, matches from the confirmation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from unsprawl.detectors.cache import default_folder
from unsprawl.detectors.matching.confirm import Confirmer, Match, Tally
from unsprawl.detectors.matching.pattern import shapes
from unsprawl.detectors.matching.sight import GATE, Sight, Windows
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.errors import ConfigError

__all__ = ["GATE", "Engine", "Match", "Sight", "Tally"]

_SHORTEST_KEYWORD: Final = 3


class Engine:
    """``backend`` is ``hyperscan``, ``fallback``, or ``auto``: the first that can be imported.

    Both give the same matches. ``cache`` is the folder of the compiled database (None: not kept).
    An engine serves all threads. Raises ``RuleError`` for a pattern that an engine refuses.
    """

    def __init__(
        self, rules: RuleSet, backend: str = "auto", cache: Path | None | Literal["user"] = "user"
    ) -> None:
        if backend not in ("auto", "hyperscan", "fallback"):
            raise ConfigError(f"unknown engine '{backend}'", hint="It is auto, hyperscan or fallback.")
        self.rules = rules
        folder = default_folder() if cache == "user" else cache
        found = shapes([(rule.pattern, rule.superset) for rule in rules.rules], folder)
        self._confirmers = tuple(map(Confirmer, rules.rules, found))
        gated = [
            number
            for number, confirmer in enumerate(self._confirmers)
            if (confirmer.rule.gated or not confirmer.shape.selective)
            and confirmer.rule.keywords
            and min(map(len, confirmer.rule.keywords)) >= _SHORTEST_KEYWORD
        ]
        self.backend, self._finder = _finder(backend, self._confirmers, gated, folder)

    @property
    def expressions(self) -> list[tuple[str, str]]:
        """What each rule is searched by, and its place, in the order of the rules."""
        return [confirmer.expression for confirmer in self._confirmers]

    @property
    def missed(self) -> list[Rule]:
        """The rules that Hyperscan misses matches of; they are searched as the fallback does."""
        return [self._confirmers[number].rule for number in self._finder.missed]

    def matches(self, data: bytes) -> Iterator[Match]:
        """All matches in ``data``, rule by rule; those of different rules may overlap."""
        return iter(self.search(data, Tally(size=len(data))))

    def search(self, data: bytes, tally: Tally) -> list[Match]:
        """The same, on account of ``tally``."""
        return self.confirm(data, self.look(data).windows, tally)

    def look(self, data: bytes) -> Sight:
        """The quick part: where something may be."""
        return self._finder.look(data)

    def quiet(self, texts: Sequence[bytes]) -> list[bool]:
        """Which of ``texts`` hold nothing to look for, told of all at once; of some it is not known."""
        return self._finder.quiet(texts)

    def confirm(
        self,
        data: bytes,
        windows: Windows,
        tally: Tally,
        begin: int = 0,
        resume: Mapping[str, int] | None = None,
    ) -> list[Match]:
        """The matches in the windows that ``look`` named, if they start at ``begin`` or later.

        ``resume`` tells for a rule's id from where on: matches of one rule do not overlap, not even
        across the border of two segments.
        """
        found: list[Match] = []
        for number in sorted(windows):
            confirmer = self._confirmers[number]
            if confirmer.rule.id in tally.full:
                continue
            first = begin if resume is None else max(begin, resume.get(confirmer.rule.id, 0))
            stretches, strict = windows[number]
            found += confirmer.matches(data, stretches, tally, first, strict=strict)
        return found


class _Finder(Protocol):
    @property
    def missed(self) -> Sequence[int]: ...
    def look(self, data: bytes) -> Sight: ...
    def quiet(self, texts: Sequence[bytes]) -> list[bool]: ...


def _finder(
    backend: str, confirmers: tuple[Confirmer, ...], gated: list[int], cache: Path | None
) -> tuple[str, _Finder]:
    if backend != "fallback":
        try:
            import hyperscan  # noqa: F401  (only whether it is there)
        except ImportError as error:
            if backend == "hyperscan":
                raise ConfigError(
                    f"Hyperscan cannot be loaded: {error}",
                    hint="Use the fallback engine: same findings, ten to fifty times slower.",
                ) from None
        else:
            from unsprawl.detectors.matching.automata import HyperscanFinder

            return "hyperscan", HyperscanFinder(confirmers, gated, cache)
    from unsprawl.detectors.matching.fallback import KeywordFinder

    return "fallback", KeywordFinder(confirmers, gated)
