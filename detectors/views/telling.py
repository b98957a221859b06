"""Which view may have something to say, and where: what the engines search beside the rules.

To look for escapes and tags in every text costs more than all rules. But they only matter beside a token or a
telling word, and that is a pattern like any other, which the automaton takes along for almost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from unsprawl.detectors.linear import linear
from unsprawl.detectors.views import escapes, logs, markup, strings
from unsprawl.detectors.views.clues import Coding
from unsprawl.detectors.views.edits import Edit

__all__ = ["EDITORS", "GUARDS", "TELLING", "places"]

#: The views that edit a text, by what tells of them.
EDITORS: Final[Mapping[Coding, Callable[[bytes], list[Edit]]]] = {
    "escapes": escapes.edits,
    "logs": logs.edits,
    "markup": markup.edits,
    "strings": strings.edits,
}
_MODULES: Final[tuple[tuple[Coding, tuple[str, ...]], ...]] = (
    ("escapes", escapes.TELLING),
    ("logs", logs.TELLING),
    ("markup", markup.TELLING),
    ("strings", strings.TELLING),
)
#: What tells of a view is looked at once more where it stands in plain texts too.
GUARDS: Final[Mapping[str, Callable[[bytes, int, int], bool]]] = markup.GUARDS
TELLING: Final = tuple((coding, pattern) for coding, patterns in _MODULES for pattern in patterns)
_compiled: list[tuple[Coding, Any, Any]] = []


def places(data: bytes) -> list[tuple[Coding, int]]:
    """Where each view is told of, without Hyperscan."""
    if not _compiled:
        _compiled.extend((coding, linear(pattern), GUARDS.get(pattern)) for coding, pattern in TELLING)
    return [
        (coding, found.end())
        for coding, search, guard in _compiled
        for found in search.finditer(data)
        if guard is None or guard(data, found.end(), found.end())
    ]
