"""What the readers of other scanners' rule files share: building a rule, and saying what was lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from unsprawl.detectors.rulebook import dialects, freespacing
from unsprawl.detectors.rules import Allow, Companion, Note, Rule
from unsprawl.errors import RuleError
from unsprawl.records import Severity

__all__ = ["Translation"]

_SEVERITIES: Final = {"low": Severity.LOW, "medium": Severity.MEDIUM, "high": Severity.HIGH}
_LINE: Final = 80
"""Bytes that a line is taken for where a rule counts lines."""
_FARTHEST: Final = 16 << 10


class Translation:
    """The rules of one file of another scanner, and the notes on what could not be taken over.

    ``name`` is the file's, ``lines`` tells in which line a rule's id stands, ``origin`` whose format it is.
    """

    def __init__(self, name: str, origin: str, lines: Callable[[str], int]) -> None:
        self.name = name
        self.origin = origin
        self.rules: list[Rule] = []
        self.notes: list[Note] = []
        self._lines = lines

    def note(self, id: str, what: str) -> None:
        """Something of rule ``id`` ("": of the file) that was not taken over."""
        self.notes.append(Note(f"{self.name}:{self._lines(id) if id else 1}", id, what))

    def add(
        self,
        id: str,
        title: str,
        pattern: str,
        *,
        group: int | str | None,
        severity: str = "medium",
        keywords: Iterable[str] = (),
        min_entropy: float = 0.0,
        path: str = "",
        allow: Sequence[Allow] = (),
        companions: Sequence[Companion] = (),
    ) -> None:
        """Add a rule, or a note on why its pattern cannot be taken."""
        wrong = _unreadable(made := dialects.named(dialects.plain(pattern), group))
        if not wrong and path:
            wrong = _unreadable(path)
        if wrong:
            self.note(id, f"left out: {wrong}")
            return
        prefix = freespacing.literal_prefix(made)
        words = tuple(dict.fromkeys(word.lower() for word in keywords))
        gated = bool(words) and min(map(len, words)) >= 3
        self.rules.append(
            Rule(
                id=id,
                name=title or id,
                provider=_provider(id),
                severity=_SEVERITIES.get(severity, Severity.MEDIUM),
                keywords=words if gated else (),
                pattern=made,
                prefix=prefix,
                kind="exact" if prefix else "contextual",
                min_entropy=min_entropy,
                gated=gated,
                path=path,
                allow=tuple(self._allowed(id, allow)),
                companions=tuple(companions),
                origin=self.origin,
                file=self.name,
                line=self._lines(id),
            )
        )

    def companion(
        self, id: str, name: str, pattern: str, lines: int | None, *, required: bool
    ) -> Companion | None:
        """What another rule finds up to ``lines`` lines away; None and a note where its pattern is wrong."""
        made = dialects.named(dialects.plain(pattern), None).replace("(?P<secret>", "(")
        made = re.sub(r"\(\?P<part\d+>", "(?:", made)
        wrong = _unreadable(made)
        if wrong:
            self.note(id, f"the part '{name}' was left out: {wrong}")
            return None
        within = _FARTHEST if lines is None else min(max(1, lines) * _LINE, _FARTHEST)
        return Companion(re.sub(r"\W", "_", name), made, within, required=required)

    def _allowed(self, id: str, allow: Sequence[Allow]) -> Iterable[Allow]:
        for one in allow:
            wrong = next(filter(None, map(_unreadable, (*one.secret, *one.match, *one.line, *one.path))), "")
            if wrong:
                self.note(id, f"an allow list was left out: {wrong}")
            else:
                yield one


def texts(value: Any, place: str) -> list[str]:
    """A list of texts, where a single one may stand for a list. Raises ``RuleError``."""
    if value is None:
        return []
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise RuleError(f"{place} must be a list of texts")
    return found


def text(item: Mapping[str, Any], key: str, place: str) -> str:
    """The text under ``key``, "" where there is none. Raises ``RuleError``."""
    value = item.get(key, "")
    if not isinstance(value, str):
        raise RuleError(f"{place}: '{key}' must be text")
    return value


def number(item: Mapping[str, Any], key: str, place: str) -> float:
    """The number under ``key``, 0 where there is none. Raises ``RuleError``."""
    value = item.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RuleError(f"{place}: '{key}' must be a number")
    return value


def _provider(id: str) -> str:
    """``kingfisher.aws.1`` and ``aws-access-token`` are both of aws."""
    parts = re.split(r"[.]", id.lower())
    if len(parts) > 1:
        return parts[1] if parts[0] in ("kingfisher", "np", "betterleaks", "gitleaks") else parts[0]
    return parts[0].split("-")[0]


def _unreadable(pattern: str) -> str:
    """Why RE2 does not take ``pattern``; "" if it does."""
    import re2

    quiet = re2.Options()
    quiet.log_errors = False
    try:
        re2.compile(f"(?m){pattern}", options=quiet)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"RE2 does not take its pattern: {' '.join(words.split())[:120]}"
    return ""
