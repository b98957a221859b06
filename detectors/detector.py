"""A document in, candidates out: unpacking, matching, filtering, and where each one stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from unsprawl.detectors import generic, offline
from unsprawl.detectors.allow import allowed
from unsprawl.detectors.archives import Cut, Leaf, leaves
from unsprawl.detectors.engine import Engine, Match, Tally
from unsprawl.detectors.positions import Lines
from unsprawl.detectors.resolution import resolve
from unsprawl.detectors.rules import RuleSet, load
from unsprawl.detectors.streams import Account, Budget, Reader
from unsprawl.detectors.views import SEGMENT, Segment, segments
from unsprawl.records import Candidate, Check, Document, Skipped
from unsprawl.secret import Secret

__all__ = ["ContentDetector", "build"]

#: Raise it when the same text gives other candidates with the same rules.
_VERSION: Final = 1
#: Bytes of the source that go with a candidate, on each side.
_CONTEXT: Final = 256
#: A stretch with this share of control bytes is no text in which someone assigns a password.
_JUNK: Final = 16
_CONTROLS: Final = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27}) + b"\x7f"


def build(
    rules: Sequence[Path] = (), exclude_rules: Collection[str] = (), backend: str = "auto"
) -> ContentDetector:
    """The detector with the built-in rules and those of ``rules``. Raises ``RuleError``."""
    return ContentDetector(load(rules, exclude_rules), backend=backend)


@dataclass(slots=True)
class _Content:
    """One document, file or archive member, while it is scanned."""

    member: str
    tally: Tally
    lines: Lines = field(default_factory=Lines)
    resume: dict[str, int] = field(default_factory=dict)
    claimed: list[tuple[int, int]] = field(default_factory=list)


class ContentDetector:
    """Implements ``records.Detector``. One serves one thread; ``limit`` bounds the candidates of a rule and document."""

    def __init__(
        self,
        rules: RuleSet,
        engine: Engine | None = None,
        *,
        backend: str = "auto",
        budget: Budget | None = None,
        limit: int = 1000,
        segment: int = SEGMENT,
    ) -> None:
        self.rules = rules
        self._engine = Engine(rules, backend) if engine is None else engine
        self._budget = budget or Budget()
        self._limit = limit
        self._segment = segment

    @property
    def version(self) -> str:
        return f"{self.rules.digest}.{_VERSION}"

    def scan(self, document: Document) -> Iterator[Candidate | Skipped]:
        """The candidates of ``document`` in the order of its content, and what was not read of it."""
        body = document.body
        if isinstance(body, bytes):
            yield from self._scan(document, Reader.of(body), len(body))
            return
        with closing(body.open(0)) as stream:
            yield from self._scan(document, Reader.of(stream), body.size or 0)

    def find_spans(self, text: bytes) -> list[tuple[int, int, str]]:
        """``(start, end, public prefix)`` of all that looks like a secret in a short text, for redaction.

        The filters do not apply: what is refused as a finding may still be one too many in a log.
        """
        spans = [(match.start, match.end, match.rule.prefix) for match in self._engine.search(text, Tally())]
        return sorted(set(spans))

    def _scan(self, document: Document, reader: Reader, size: int) -> Iterator[Candidate | Skipped]:
        account = Account(self._budget)
        tally = Tally(deadline=account.deadline, size=size)
        counts: dict[str, int] = {}
        name = document.path or document.uri
        for piece in leaves(reader, name, account):
            if isinstance(piece, Cut):
                yield _skipped(document, piece.member, piece.reason, piece.hint)
                continue
            for candidate in self._scan_leaf(piece, tally):
                count = counts[candidate.rule] = counts.get(candidate.rule, 0) + 1
                if count <= self._limit:
                    yield candidate
        yield from self._remarks(document, tally, counts)

    def _remarks(self, document: Document, tally: Tally, counts: dict[str, int]) -> Iterator[Skipped]:
        for rule, count in counts.items():
            if count > self._limit:
                yield _skipped(
                    document, "", f"{count - self._limit} more candidates of {rule} after the first {self._limit}",
                    "Exclude the document or the rule, or look at it by hand.",
                )
        for rule in sorted(tally.struck):
            yield _skipped(document, "", f"too many near matches of {rule}: not all were looked at")
        if tally.late:
            yield _skipped(document, "", f"takes more than {self._budget.seconds:.0f} s to scan")

    def _scan_leaf(self, leaf: Leaf, tally: Tally) -> Iterator[Candidate]:
        content = _Content(leaf.member, tally)
        for segment in segments(leaf.reader, self._segment):
            tally.size = max(tally.size, segment.base + segment.stop)
            yield from self._scan_segment(segment, content)

    def _scan_segment(self, segment: Segment, content: _Content) -> Iterator[Candidate]:
        data, stop = segment.data, segment.stop
        content.lines.enter(data, segment.first)
        matches = self._engine.search(data, content.tally, segment.first, content.resume)
        kept: list[Match] = []
        if matches:
            checks = {}
            for match in matches:
                verdict = _judge(match, data)
                if verdict is not offline.REFUTED:
                    checks[id(match)] = verdict
            kept = resolve([match for match in matches if id(match) in checks], content.claimed)
            for match in kept:
                if match.match_start < stop and not allowed(data, match.start, match.end):
                    yield _candidate(match, checks[id(match)], segment, content)
        if segment.last:
            return
        # What reaches over the border belongs to this segment: the next one must not find it again.
        content.resume = {
            match.rule.id: match.match_end - segment.shift
            for match in matches
            if match.match_start < stop < match.match_end
        }
        content.claimed = [
            (match.start - segment.shift, match.end - segment.shift)
            for match in kept
            if match.match_start < stop < match.end
        ]
        content.lines.leave(stop)


def _judge(match: Match, data: bytes) -> offline.Result:
    """The offline verdict; REFUTED also for what a filter drops."""
    start, end = match.start, match.end
    value = data[start:end]
    before, after = data[max(0, start - _CONTEXT) : start], data[end : end + _CONTEXT]
    if match.rule.kind == "generic" and _is_junk(before + value + after):
        return offline.REFUTED
    if generic.refuses(match.rule, value, before, after):
        return offline.REFUTED
    return offline.check(match.rule, value, {name: data[a:b] for name, (a, b) in match.groups.items()})


def _is_junk(around: bytes) -> bool:
    return (len(around) - len(around.translate(None, _CONTROLS))) * _JUNK > len(around)


def _candidate(match: Match, check: Check | None, segment: Segment, content: _Content) -> Candidate:
    data, start, end = segment.data, match.start, match.end
    rule = match.rule
    line, column = content.lines.at(start)
    source_start, source_end = segment.locate(start, end)
    return Candidate(
        rule=rule.id,
        secret=Secret(data[start:end], rule.prefix),
        start=source_start,
        end=source_end,
        line=line,
        column=column,
        line_end=line + data.count(b"\n", start, end),
        member=content.member,
        views=(segment.view,),
        companions={name: Secret(data[a:b]) for name, (a, b) in match.groups.items()},
        before=data[max(0, start - _CONTEXT) : start],
        text=data[start:end],
        after=data[end : end + _CONTEXT],
        check=check,
    )


def _skipped(document: Document, member: str, reason: str, hint: str = "") -> Skipped:
    return Skipped(f"{document.uri}!/{member}" if member else document.uri, reason, hint)
