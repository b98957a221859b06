"""Given values over one text: where they stand, and where they may stand in disguise.

Answers what the engine of the rules answers, so that views, segments and containers serve both alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from unsprawl.detectors.cache import default_folder
from unsprawl.detectors.matching.confirm import Match, Tally
from unsprawl.detectors.matching.engine import Sight
from unsprawl.detectors.matching.hyper import Automaton
from unsprawl.detectors.rules import Rule
from unsprawl.detectors.values.automaton import MOST, Backend, literals
from unsprawl.detectors.values.forms import WORD, Value, forms, key_body
from unsprawl.detectors.views.clues import Clue
from unsprawl.detectors.views.telling import EDITORS, GUARDS, TELLING
from unsprawl.detectors.views.telling import places as telling_places
from unsprawl.records import Severity
from unsprawl.secret import normalise

__all__ = ["RULE", "Found", "ValueEngine", "Values"]

#: What hits of given values are called.
RULE: Final = Rule(
    id="sweep.value",
    name="Value that was swept for",
    provider="sweep",
    severity=Severity.HIGH,
    keywords=(),
    pattern="",
    remediation=(
        "Revoke or change the credential at its provider first: copies that no longer work do no harm.",
        "Remove every copy that this sweep lists, the most widely readable first.",
        "Read the provider's log for uses since the value was first seen.",
        "Sweep again, until nothing is found.",
    ),
)

#: How far around a piece of a private key its borders may stand, in bytes.
_KEY_REACH: Final = 24 << 10
_PEM: Final = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{1,40}-----.{1,32768}?-----END [A-Z0-9 ]{1,40}-----", re.DOTALL
)
_BETWEEN: Final = re.compile(rb"(?:\\[rn]|[\s\"',])+")
#: What stands in a private key between its borders, escaped line ends too.
_BODY: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n\\"
_WORD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
#: Stands in the windows for more hits than are told.
_FLOOD: Final = -1


class Found(Match, frozen=True):
    """``value`` stands here, in the encoding that ``view`` names; none is UTF-8."""

    value: Value
    view: str


class Values:
    """Given values, compiled once for all threads; forked workers share that, spawned ones make their own."""

    def __init__(self, values: Sequence[Value], backend: Backend | None = None) -> None:
        self.values = tuple(values)
        self.backend = backend or _backend()
        self.forms = forms(self.values)
        self.words = self.forms.literals()
        self.automaton = literals(self.words, self.backend)
        self.bodies = {value.number: key_body(value.data) for value in self.values if value.key}

    def __reduce__(self) -> tuple[object, ...]:
        return (Values, (self.values, self.backend))


class ValueEngine:
    """Has the methods of ``matching.engine.Engine`` that a detector calls."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._words = values.words
        self._ends = values.automaton.ends
        made = values.forms
        self._meanings = [
            (len(word), made.wholes.get(word), made.keys.get(word), made.hints.get(word))
            for word in self._words
        ]
        self._telling = (
            Automaton([(pattern, coding) for coding, pattern in TELLING], default_folder())
            if values.backend == "hyperscan"
            else None
        )

    def quiet(self, texts: Sequence[bytes]) -> list[bool]:
        """None of ``texts`` is told to hold nothing."""
        return [False] * len(texts)

    def look(self, data: bytes) -> Sight:
        """Where values and pieces of keys stand, and what else is worth a look."""
        found: dict[int, list[tuple[int, int]]] = {}
        clues: list[Clue] = []
        pieces: list[int] = []
        whole: list[tuple[int, int]] = []
        ends = self._ends(data)
        if len(ends) >= MOST:
            found[_FLOOD] = []
        for number, end in ends:
            size, wholes, keys, hints = self._meanings[number]
            if wholes or keys:
                found.setdefault(number, []).append((end - size, end))
                whole.append((end - size, end))
            for hint in hints or ():
                if hint.coding is None:
                    pieces.append(end)
                elif end >= hint.width:
                    clues.append(Clue(end - hint.width, hint.coding))
        if pieces:
            covered = _Covered(whole)
            clues += [Clue(end, coding) for end in pieces if not covered.holds(end) for coding in EDITORS]
        clues += self._told(data)
        return Sight(found, clues)  # type: ignore[arg-type]

    def _told(self, data: bytes) -> list[Clue]:
        if self._telling is None:
            return [Clue(end, coding) for coding, end in telling_places(data)]
        found: list[Clue] = []
        for index, stretches in self._telling.hits(data).items():
            coding, pattern = TELLING[index]
            guard = GUARDS.get(pattern)
            for first, last in stretches:
                if guard is None or guard(data, first, last):
                    found += [Clue(at, coding) for at in (*range(first, last, 128), last)]
        return found

    def confirm(
        self,
        data: bytes,
        windows: Mapping[int, Sequence[tuple[int, int]]],
        tally: Tally,
        begin: int = 0,
        resume: Mapping[str, int] | None = None,  # noqa: ARG002  # a value is found wherever it begins
    ) -> list[Match]:
        """The values that stand in ``data`` and begin at ``begin`` or later."""
        found: list[Match] = []
        for number, places in windows.items():
            if number == _FLOOD:
                tally.cut.add(f"more than {MOST:,} places of values in it: not all were looked at")
                continue
            _size, wholes, keys, _hints = self._meanings[number]
            for start, end in places:
                for value, view in wholes or ():
                    if start >= begin and (view or len(value.data) >= WORD or _is_word(data, start, end)):
                        found.append(Found(RULE, start, end, {}, start, end, value, view))
                for value in keys or ():
                    span = self._key(data, start, end, value)
                    if span and span[0] >= begin:
                        found.append(Found(RULE, *span, {}, *span, value, ""))
        return found

    def _key(self, data: bytes, start: int, end: int, value: Value) -> tuple[int, int] | None:
        """The private key around one of its pieces, or its body, where it stands without its borders."""
        low, high = max(0, start - _KEY_REACH), min(len(data), end + _KEY_REACH)
        opening = data.rfind(b"-----BEGIN ", low, start)
        if opening >= 0 and (match := _PEM.match(data, opening, high)) and match.end() >= end:
            return match.span() if normalise(match.group()) == normalise(value.data) else None
        before, after = data[low:start], data[end:high]
        low = start - len(before) + len(before.rstrip(_BODY))
        high = end + len(after) - len(after.lstrip(_BODY))
        body = self._values.bodies[value.number]
        return (low, high) if body in _BETWEEN.sub(b"", data[low:high]) else None


class _Covered:
    """Spans, to be asked in any order whether one of them holds an offset."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self._stretches: list[list[int]] = []
        for start, end in sorted(spans):
            if self._stretches and start <= self._stretches[-1][1]:
                self._stretches[-1][1] = max(self._stretches[-1][1], end)
            else:
                self._stretches.append([start, end])
        self._starts = [stretch[0] for stretch in self._stretches]

    def holds(self, offset: int) -> bool:
        from bisect import bisect_left

        index = bisect_left(self._starts, offset) - 1
        return index >= 0 and offset <= self._stretches[index][1]


def _is_word(data: bytes, start: int, end: int) -> bool:
    return not (start and data[start - 1] in _WORD) and not (end < len(data) and data[end] in _WORD)


def _backend() -> Backend:
    try:
        import hyperscan  # noqa: F401  (only whether it is there)
    except ImportError:
        return "fallback"
    return "hyperscan"
