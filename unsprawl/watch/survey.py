"""One paste looked at: its own words against one's own secrets, its text against one's names.

This stands around the detector and the classifier, so that a value of one's own is a candidate even where no
rule knows it, and counts as real even where a stranger's would be doubted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from unsprawl.detectors.containers.archives import Cut, Leaf, leaves
from unsprawl.detectors.containers.streams import Account, Budget, Reader
from unsprawl.detectors.positions import Lines
from unsprawl.detectors.rules import Rule
from unsprawl.detectors.views.segments import Segment, segments
from unsprawl.errors import SourceError
from unsprawl.records import (
    Candidate,
    Check,
    Classifier,
    Detector,
    Document,
    Label,
    Severity,
    Skipped,
    Validity,
    Verdict,
)
from unsprawl.secret import Keys, Secret
from unsprawl.store.watch import Cue
from unsprawl.structs import replace
from unsprawl.watch.likeness import sketch
from unsprawl.watch.names import Names
from unsprawl.watch.words import words

__all__ = ["KNOWN", "Knowing", "Own", "Surveying"]

#: A value that is kept in a vault, or was seen inside, and that no rule knows.
KNOWN: Final = Rule(
    id="watch.known",
    name="A value of your own, known by its fingerprint",
    provider="unsprawl",
    severity=Severity.HIGH,
    keywords=(),
    pattern="",
)
_EXACT: Final = Check(Validity.UNKNOWN, "", exact=True)
_LINE = re.compile(rb"[^\r\n]+")
#: A line of a list of accounts, as they are traded: address, delimiter, password.
_ACCOUNT = re.compile(rb"\s*[^\s:;|,@]{1,128}@[^\s:;|,@]{1,128}\s*[:;|,\t ]\s*\S{1,256}\s*\Z")
_FEWEST: Final = 20
_SHARE: Final = 0.5
_AROUND: Final = 1024
#: Distinct words of one document that are compared.
_MOST_WORDS: Final = 1_000_000
#: Of what is unpacked of one document this much is looked at for words and names.
_BUDGET: Final = Budget(depth=4, unpacked=4 << 30, entries=100_000, seconds=600.0)


@dataclass(frozen=True, slots=True)
class Own:
    """One's own secrets: the rule of each by its fingerprint. ``feeble``: held for weak or for a test's."""

    rules: Mapping[str, str] = field(default_factory=dict)
    feeble: frozenset[str] = frozenset()

    def has(self, fingerprint: str, value: bytes) -> bool:
        """Whether the value is ours, and so unlike any other that nobody else came upon it."""
        return fingerprint in self.rules and (fingerprint not in self.feeble or _is_rare(value))


def _is_rare(value: bytes) -> bool:
    """Long, or of many kinds of signs: whoever has it as well has it from us."""
    kinds = (value.upper() != value, value.lower() != value, any(48 <= byte < 58 for byte in value))
    return len(value) >= 20 or (len(value) >= 14 and sum(kinds) == 3)


@dataclass(slots=True)
class _Look:
    """What has been seen of one document so far."""

    names: dict[str, int] = field(default_factory=dict)
    named_lines: set[int] = field(default_factory=set)
    accounts: int = 0
    own_accounts: int = 0
    lines: int = 0
    own: set[str] = field(default_factory=set)
    text: bytearray = field(default_factory=bytearray)
    own_text: bytearray = field(default_factory=bytearray)


class Surveying:
    """``records.Detector``: what ``base`` finds, then words of one's own; a :class:`Cue` for each document.

    ``own`` is asked at each document, for one's own secrets grow while one watches. ``take`` gives the cues
    since it was last asked.
    """

    def __init__(
        self,
        base: Detector,
        keys: Keys,
        source: str,
        names: Names,
        own: Callable[[], Own],
        rules: Mapping[str, Rule],
    ) -> None:
        self._base, self._keys, self._names, self._own = base, keys, names, own
        self._rules = rules
        self._named = keys.namer(source)
        self._sketch_key = keys.name("sketch")
        self._cues: dict[bytes, Cue] = {}

    @property
    def version(self) -> str:
        return self._base.version

    def take(self) -> dict[bytes, Cue]:
        """The cues by the keyed names of their documents."""
        cues, self._cues = self._cues, {}
        return cues

    def quiet(self, documents: Sequence[Document]) -> list[bool]:
        """None is known to hold nothing: names and accounts count too."""
        return [False] * len(documents)

    def scan(self, document: Document) -> Iterable[Candidate | Skipped]:
        own, look = self._own(), _Look()
        found: set[str] = set()
        for item in self._base.scan(document):
            if isinstance(item, Candidate):
                mark = self._keys.fingerprint(item.secret)
                found.add(mark)
                if own.has(mark, item.secret.reveal()):
                    look.own.add(mark)
            yield item
        title = f"{document.path} {document.attrs.get('title', '')}".encode("utf-8", "replace")
        for name, _ in self._names.find(title):
            look.names.setdefault(name, 0)
        try:
            for leaf in self._leaves(document):
                yield from self._words(leaf, look, own, found)
        except SourceError as error:
            yield Skipped(document.uri, error.message, error.hint)
        combo = look.accounts >= _FEWEST and look.accounts >= _SHARE * look.lines
        # Of a list of accounts our part tells whether it is a new one: the rest is shuffled and sold again.
        text = bytes(look.own_text if combo and look.own_text else look.text)
        self._cues[self._named(document.uri)] = Cue(
            uri=document.uri,
            url=document.url or "",
            path=document.path,
            author=document.author or "",
            modified_at=document.modified_at,
            own=frozenset(look.own),
            names=tuple(look.names),
            line=min((line for line in look.names.values() if line), default=0),
            lines=frozenset(look.named_lines),
            combo=combo,
            accounts=look.own_accounts,
            sketch=sketch(text, self._sketch_key),
        )

    def _leaves(self, document: Document) -> Iterator[Leaf]:
        account = Account(_BUDGET)
        name = document.path or document.uri
        body = document.body
        if isinstance(body, bytes):
            yield from (leaf for leaf in leaves(Reader.of(body), name, account) if not isinstance(leaf, Cut))
            return
        with closing(body.open(0)) as stream:
            yield from (
                leaf for leaf in leaves(Reader.of(stream), name, account) if not isinstance(leaf, Cut)
            )

    def _words(self, leaf: Leaf, look: _Look, own: Own, found: set[str]) -> Iterator[Candidate | Skipped]:
        fingerprint, rules = self._keys.fingerprint, own.rules
        tried: set[bytes] = set()
        lines = Lines()
        for segment in segments(leaf.reader):
            data, first, stop = segment.data, segment.first, segment.stop
            lines.enter(data, first)
            hits: list[tuple[int, int, Secret, str, str]] = []
            for start, end, value, view in words(data, first, stop) if rules else ():
                if value in tried or len(tried) >= _MOST_WORDS:
                    continue
                tried.add(value)
                secret = Secret(value)
                mark = fingerprint(secret)
                if mark not in found and own.has(mark, value):
                    found.add(mark)
                    look.own.add(mark)
                    hits.append((start, end, secret, view, rules[mark]))
            places = sorted(self._names.find(data, first, stop), key=lambda place: place[1])
            for name, at in places:
                line = lines.at(at)[0]
                look.names.setdefault(name, line)
                look.names[name] = look.names[name] or line
                look.named_lines.add(line)
            for hit in sorted(hits, key=lambda one: one[:2]):
                yield self._candidate(hit, segment, leaf, lines)
            self._lines(data[first:stop], look)
            lines.leave(stop)

    def _candidate(
        self, hit: tuple[int, int, Secret, str, str], segment: Segment, leaf: Leaf, lines: Lines
    ) -> Candidate:
        start, end, secret, view, rule = hit
        data = segment.data
        line, column = lines.at(start)
        source_start, source_end = segment.locate(start, end)
        known = self._rules.get(rule)
        return Candidate(
            rule=rule if known else KNOWN.id,
            secret=Secret(secret.reveal(), known.prefix if known else ""),
            start=source_start,
            end=source_end,
            line=line,
            column=column,
            line_end=line,
            member=leaf.member,
            views=(view,),
            before=data[max(0, start - _AROUND) : start],
            text=data[start:end],
            after=data[end : end + _AROUND],
            check=_EXACT,
        )

    def _lines(self, text: bytes, look: _Look) -> None:
        """Whether this is a list of accounts, and what of it is ours."""
        room = (256 << 10) - len(look.text)
        if room > 0:
            look.text += text[:room]
        for match in _LINE.finditer(text):
            line = match.group()
            look.lines += 1
            if b"@" in line and len(line) < 600 and _ACCOUNT.match(line):
                look.accounts += 1
                if next(self._names.find(line), None):
                    look.own_accounts += 1
                    if len(look.own_text) < 256 << 10:
                        look.own_text += line + b"\n"


class Knowing:
    """``records.Classifier``: what is one's own is real, whatever it looks like where it stands."""

    def __init__(self, base: Classifier, keys: Keys, own: Callable[[], Own]) -> None:
        self._base, self._keys, self._own = base, keys, own

    @property
    def version(self) -> str:
        return self._base.version

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> Sequence[Verdict]:
        own = self._own()
        verdicts = []
        for (_, candidate), verdict in zip(candidates, self._base.score(candidates), strict=True):
            if own.has(self._keys.fingerprint(candidate.secret), candidate.secret.reveal()):
                verdict = replace(verdict, confidence=max(verdict.confidence, 0.99), label=Label.REAL)  # noqa: PLW2901
            verdicts.append(verdict)
        return verdicts
