"""A transparent first classifier: points for what a reader would notice, no training.

``confidence`` is on the scale that the trained network is calibrated to, the probability that the
string is a credential value at all:

    0.98          the format proves itself (a checksum fits, a key parses)
    0.90          a vendor's distinctive format
    0.70 .. 0.85  a shape that is a key only beside the vendor's name
    0.30 .. 0.80  an assignment; moved by how random the value is and by the words around it
    0.05          a placeholder, a documented example, a public value

Label and environment come from the path and from the words of the line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

from unsprawl import lexicon
from unsprawl.models.together import Together
from unsprawl.records import Candidate, Document, Environment, Label, Verdict

__all__ = ["BaselineClassifier"]

_PROVEN: Final = 0.98
_EXACT: Final = 0.90
_CONTEXTUAL: Final = 0.75
_GENERIC: Final = 0.55
_NOTHING: Final = 0.05
#: Distinctive formats are longer; below, letters of a placeholder may stand in one by chance.
_SHORT: Final = 24


def _word(*words: str) -> str:
    """Any of the words, between anything but letters: ``db_prod1`` is production, ``produce`` is not."""
    return rf"(?i)(?:^|[^a-z])(?:{'|'.join(words)})(?:[^a-z]|$)"


#: The first of them that is found counts.
_PLACES: Final = (
    Environment.PRODUCTION,
    Environment.STAGING,
    Environment.TEST,
    Environment.DEVELOPMENT,
)
_PLACE_WORDS: Final = (
    _word("prod", "production", "live", "prd"),
    _word("stag(?:ing|e)", "stg", "pre-?prod", "uat", "qa"),
    _word("tests?", "testing", "ci", "sandbox", "e2e"),
    _word("dev", "develop(?:ment)?", "local(?:host)?", r"127\.0\.0\.1"),
)
_EXAMPLE_WORD: Final = (
    r"(?i)\b(?:e\.g\.|for example|example|sample|such as|looks like|placeholder|documentation)\b"
)
#: What is asked of a line: the words of places (numbers 0 to 3), then those that tell a label.
_LINE: Final = Together(
    *_PLACE_WORDS,
    r"(?i)\b(?:tests?|testing|unit[ _-]?test|mock(?:ed)?|fake|dummy|stub|fixture|assert\w*|expect)\b|\btest_",
    _EXAMPLE_WORD,
    r"(?i)sha-?\d|md5|hash|digest|checksum|commit|integrity|fingerprint|etag",
    r"(?i)public[_-]?key|publishable|pk_(?:test|live)_|site[_-]?key|client[_-]?id\b",
    r"(?i)pass(?:word|wd|phrase)?|pwd|secret|credential|private[_-]?key|api[_-]?key|auth",
)
_TEST, _EXAMPLE, _HASH, _PUBLIC, _STRONG = range(len(_PLACES), len(_PLACES) + 5)
_PATH: Final = Together(
    *_PLACE_WORDS,
    r"(?i)(?:^|[/_.!-])(?:tests?|testing|testdata|test-data|fixtures?|specs?|__tests__|e2e|mocks?|fakes?|stubs?"
    r"|cassettes|sandbox)(?:[/_.-]|$)",
    r"(?i)(?:^|/)(?:docs?|documentation|examples?|samples?|tutorials?|man|demo)/"
    r"|(?:^|/)(?:readme|changelog|news)[^/]*$"
    r"|\.(?:example|sample|dist|template|tmpl|tpl|skel)(?:\.[\pL\pN_]+)?$",
    utf8=True,
)
_AROUND: Final = Together(*_PLACE_WORDS)
_NEARBY: Final = Together(_EXAMPLE_WORD)


class BaselineClassifier:
    """``records.Classifier`` without a model.

    ``kinds`` maps rule ids to ``exact``, ``contextual`` or ``generic``, as the rule set says; a rule
    that is not in it is taken for exact.
    """

    version = "baseline-1"

    def __init__(self, kinds: Mapping[str, str] | None = None) -> None:
        self._kinds = kinds or {}

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> list[Verdict]:
        """One verdict a candidate, in order."""
        return [self._judge(document, candidate) for document, candidate in candidates]

    def _judge(self, document: Document, candidate: Candidate) -> Verdict:
        value = candidate.secret.reveal()
        path = document.path or document.uri
        if candidate.member:
            path = f"{path}!/{candidate.member}"
        words, ways = _LINE(_line(candidate)), _of_path(path)
        environment = _environment(words, ways, candidate)
        if candidate.doubt:
            # A filter refused it; only a classifier that reads the text around may take it up again.
            return Verdict(_NOTHING, Label.REFERENCE, environment)
        proven = candidate.check is not None and candidate.check.exact
        kind = self._kinds.get(candidate.rule, "exact")
        masked = lexicon.is_placeholder(_body(candidate, value)) and (kind != "exact" or len(value) < _SHORT)
        if masked and not proven:
            return Verdict(_NOTHING, Label.PLACEHOLDER, environment)
        label = _label(words, ways, candidate)
        if proven:
            return Verdict(_PROVEN, label, environment)
        if kind == "exact":
            return Verdict(_EXACT, label, environment)
        if kind == "contextual":
            bonus = 0.1 if lexicon.looks_random(value) else -0.05
            return Verdict(round(_CONTEXTUAL + bonus - _doubt(label), 3), label, environment)
        return self._judge_generic(value, words, label, environment)

    @staticmethod
    def _judge_generic(
        value: bytes, words: Collection[int], label: Label, environment: Environment
    ) -> Verdict:
        if lexicon.is_weak(value):
            weak = label if label in (Label.TEST, Label.EXAMPLE) else Label.WEAK
            return Verdict(0.5 - _doubt(label), weak, environment)
        score = _GENERIC
        if lexicon.looks_random(value):
            score += 0.15
        elif lexicon.words_in(value) > 0.8 and value.isalpha():
            score -= 0.1
        elif _mixed(value):
            score += 0.1
        if lexicon.alphabet(value) == "hex" and len(value) in (32, 40, 64, 128) and _HASH in words:
            return Verdict(0.15, Label.HASH, environment)
        if _PUBLIC in words and _STRONG not in words:
            return Verdict(0.15, Label.PUBLIC, environment)
        if _STRONG in words:
            score += 0.1
        return Verdict(round(min(0.85, max(_NOTHING, score - _doubt(label))), 3), label, environment)


def _body(candidate: Candidate, value: bytes) -> bytes:
    prefix = candidate.secret.prefix.encode()
    return value[len(prefix) :] if prefix and value.startswith(prefix) else value


def _line(candidate: Candidate) -> bytes:
    """The rest of the candidate's line, without the value."""
    left = candidate.before.rpartition(b"\n")[2][-200:]
    right = candidate.after.partition(b"\n")[0][:120]
    return left + b" " + right


@lru_cache(4096)
def _of_path(path: str) -> Collection[int]:
    return _PATH(path.encode("utf-8", "replace"))


def _label(words: Collection[int], ways: Collection[int], candidate: Candidate) -> Label:
    if _TEST in ways or _TEST in words:
        return Label.TEST
    if _EXAMPLE in ways or _EXAMPLE in words or _NEARBY(candidate.before[-240:]):
        return Label.EXAMPLE
    return Label.REAL


def _doubt(label: Label) -> float:
    return {Label.TEST: 0.02, Label.EXAMPLE: 0.1}.get(label, 0.0)


def _mixed(value: bytes) -> bool:
    """Letters with digits or punctuation: what password policies make people write."""
    letters = any(chr(byte).isalpha() for byte in value)
    return letters and any(48 <= byte <= 57 or byte in b"!@#$%^&*+?~" for byte in value)


def _environment(words: Collection[int], ways: Collection[int], candidate: Candidate) -> Environment:
    """The nearest word wins: first the line, then the path, then the lines around."""
    first = min(words, default=len(_PLACES))
    if first >= len(_PLACES):
        first = min(ways, default=len(_PLACES))
    if first >= len(_PLACES):
        first = min(_AROUND(candidate.before[-400:] + b" " + candidate.after[:200]), default=len(_PLACES))
    return _PLACES[first] if first < len(_PLACES) else Environment.UNKNOWN
