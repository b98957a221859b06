"""Many patterns asked at once: RE2 walks a text a single time, whatever the number of patterns.

``re`` tries them one after the other, and each at every byte: for the words around a candidate it needs
fifty times as long. What stands in the patterns has to mean the same to both: no lookarounds, and ``$`` is
the very end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

__all__ = ["Together"]


class Together:
    """Answers which of ``patterns``, by their numbers, are found in a text. Compiled when first asked.

    ``utf8`` is for text in UTF-8, of which ``.`` is a character; otherwise it is a byte.
    """

    __slots__ = ("_match", "_patterns", "_utf8")

    def __init__(self, *patterns: str, utf8: bool = False) -> None:
        self._patterns = patterns
        self._utf8 = utf8
        self._match: Callable[[bytes], list[int] | None] | None = None

    @property
    def count(self) -> int:
        """How many patterns are asked."""
        return len(self._patterns)

    def __call__(self, text: bytes) -> Collection[int]:
        match = self._match or self._compiled()
        return match(text) or ()

    def _compiled(self) -> Callable[[bytes], list[int] | None]:
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.UTF8 if self._utf8 else re2.Options.Encoding.LATIN1
        found = re2.Set.SearchSet(options)
        for pattern in self._patterns:
            found.Add(pattern.encode())
        found.Compile()
        match: Callable[[bytes], list[int] | None] = found.Match
        self._match = match
        return match
