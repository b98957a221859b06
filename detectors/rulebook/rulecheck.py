"""``unsprawl rules check``: the contract that every rule file keeps, ours and the users'.

Both engines compile the rules; every example is found by exactly its rule when all rules run; no negative
is; keywords stand in every example; hostile repetitions take linear time; remediation is there.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from unsprawl.detectors.linear import linear
from unsprawl.detectors.rules import Note, Rule, RuleSet, load
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

if TYPE_CHECKING:
    from unsprawl.detectors.detector import ContentDetector

__all__ = ["Checked", "Problem", "check", "check_rule"]

_EXAMPLES: Final = 2
_NEGATIVES: Final = 1
#: The probe: an example repeated, whole and cut short. RE2 needs milliseconds for it.
_REPEATS: Final = 10_000
_PROBE_BYTES: Final = 1 << 20
_SECONDS: Final = 1.0
_MISSED: Final = (
    "Hyperscan misses some of its matches, so it is searched the slow way: "
    "give it a superset without the short words or signs before the longest one"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. ``place`` is ``file:line``."""

    place: str
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: rule '{self.rule}': {self.what}"


@dataclass(frozen=True, slots=True)
class Checked:
    """How many rules were tried, what is wrong with them, and what of other scanners' files was lost."""

    rules: int
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...] = ()


def check(paths: Sequence[Path] = ()) -> Checked:
    """Try the rules in ``paths`` beside all built-in ones (no path: those).

    Raises ``RuleError`` for what is no rule at all.
    """
    everything = load(paths)
    detectors = _detectors(everything)
    files = {str(path) for path in paths}
    own = [
        rule for rule in everything.rules if not paths or rule.file in files or _is_below(rule.file, paths)
    ]
    problems = tuple(problem for rule in own for problem in check_rule(rule, detectors))
    return Checked(len(own), problems, everything.notes)


def check_rule(rule: Rule, detectors: Sequence[ContentDetector]) -> list[Problem]:
    """The problems of one rule; ``detectors`` hold all rules, one an engine."""
    words = [*_formal(rule), *_examples(rule, detectors), *_negatives(rule, detectors), *_slow(rule)]
    if not rule.origin and any(rule in detector.missed for detector in detectors):
        words.append(_MISSED)
    return [Problem(rule.place, rule.id, what) for what in words]


def _is_below(file: str, paths: Sequence[Path]) -> bool:
    return any(path.is_dir() and path in Path(file).parents for path in paths)


def _detectors(rules: RuleSet) -> list[ContentDetector]:
    from unsprawl.detectors.detector import ContentDetector

    return [ContentDetector(rules, backend=backend, doubts=True) for backend in ("auto", "fallback")]


def _formal(rule: Rule) -> Iterator[str]:
    if rule.origin:
        return  # other scanners ask for other things
    stem = Path(rule.file).stem
    if rule.file.startswith("rules/") and rule.provider != stem:
        yield f"the id must begin with '{stem}.', the name of its file"
    if len(rule.examples) < _EXAMPLES:
        yield f"{len(rule.examples)} examples, {_EXAMPLES} are needed"
    if len(rule.negatives) < _NEGATIVES:
        yield "a negative is needed: the nearest miss you can think of"
    if not rule.remediation:
        yield "remediation is missing: where is it revoked, where is its use seen?"
    if rule.check is not None:
        url = urlsplit(rule.check["request"]["url"])
        if url.scheme != "https" or url.port not in (None, 443) or "@" in url.netloc or not url.hostname:
            yield "a check goes to https on the usual port"
        elif "{" not in url.netloc and not re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", url.hostname):
            yield f"'{url.hostname}' is no host name of a provider"
        yield from _proofs(rule.check)


def _proofs(check: Mapping[str, Any]) -> Iterator[str]:
    """What a matcher counts must be a proof: gateways give most statuses for reasons of their own."""
    for name in ("active", "limited", "inactive"):
        matcher = check.get(name, {})
        words = "json" in matcher or "contains" in matcher
        for status in matcher.get("status", ()):
            if status in (408, 425, 429) or status >= 500 or 300 <= status < 400:
                yield f"check.{name}: {status} says nothing of a credential"
            elif name == "active" and status >= 300:
                yield f"check.active: {status} is no success; what is known but denied is 'limited'"
            elif not words and status != 401 and status >= 300:
                yield f"check.{name}: {status} alone proves nothing, add 'json' or 'contains'"
            elif not words and name != "active" and status < 300:
                yield f"check.{name}: {status} alone is what a working credential gets"


def _examples(rule: Rule, detectors: Sequence[ContentDetector]) -> Iterator[str]:
    for number, template in enumerate(rule.examples, 1):
        text = fill(template, rule.id)
        if not any(keyword in text.lower() for keyword in rule.keywords):
            yield f"example {number} holds none of the keywords {', '.join(rule.keywords)}"
        for detector in detectors:
            found = _scan(detector, text, doubts=rule.tentative)
            own = [candidate for candidate in found if candidate.rule == rule.id]
            others = {c.rule for c in found if c.rule != rule.id}
            if not own:
                also = f", but {', '.join(sorted(others))} is" if others else ""
                yield f"example {number} is not found{also}"
                break
            if others:
                yield f"example {number} is found by {', '.join(sorted(others))} as well"
                break


def _negatives(rule: Rule, detectors: Sequence[ContentDetector]) -> Iterator[str]:
    for number, template in enumerate(rule.negatives, 1):
        text = fill(template, rule.id)
        found = [one for detector in detectors for one in _scan(detector, text, doubts=rule.tentative)]
        if any(candidate.rule == rule.id for candidate in found):
            yield f"negative {number} is found"


def _scan(detector: ContentDetector, text: str, *, doubts: bool) -> list[Candidate]:
    """What is found, with what a filter doubts or without."""
    document = Document(uri="rule:example", body=text.encode(), path="example.txt")
    found = [event for event in detector.scan(document) if isinstance(event, Candidate)]
    return [candidate for candidate in found if doubts or not candidate.doubt]


def _slow(rule: Rule) -> Iterator[str]:
    """Matching must be linear: text made of half matches is what an attacker would send."""
    if not rule.examples:
        return
    example = fill(rule.examples[0], rule.id).encode()
    find = _finder(rule)
    for piece in (example, example[: len(example) * 2 // 3]):
        text = (piece * _REPEATS)[:_PROBE_BYTES]
        began = process_time()
        try:
            deque(islice(find(text), _REPEATS), maxlen=0)
        except TimeoutError:
            yield f"the pattern takes more than {_SECONDS:.0f} s for a megabyte of its own example"
            return
        spent = process_time() - began
        if spent > _SECONDS:
            yield f"the pattern takes {spent:.1f} s for a megabyte of its own example"
            return


def _finder(rule: Rule) -> Callable[[bytes], Iterable[object]]:
    import re2

    try:
        compiled = linear(rule.pattern, lines=True)
    except re2.error:
        import regex

        compiled = regex.compile(rule.pattern.encode(), regex.MULTILINE)
        return lambda text: compiled.finditer(text, timeout=_SECONDS)
    find: Callable[[bytes], Iterable[object]] = compiled.finditer
    return find
