"""A document in, candidates out: unpacking, matching, filtering, and where each one stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final, cast

from unsprawl.detectors.allow import allowed
from unsprawl.detectors.attribution import Attribution
from unsprawl.detectors.composition import completed
from unsprawl.detectors.containers.archives import Cut, Leaf, leaves, may_be_packed, opened
from unsprawl.detectors.containers.streams import Account, Budget, Reader
from unsprawl.detectors.matching.engine import Engine, Sight, Tally
from unsprawl.detectors.positions import Lines
from unsprawl.detectors.resolution import resolve
from unsprawl.detectors.rules import Rule, RuleSet, load
from unsprawl.detectors.search import search
from unsprawl.detectors.sightings import SURROUNDINGS, Sighting
from unsprawl.detectors.views.edits import Edit
from unsprawl.detectors.views.logs import is_log
from unsprawl.detectors.views.reading import Editor, edits
from unsprawl.detectors.views.segments import SEGMENT, Segment, segments
from unsprawl.errors import SourceError
from unsprawl.records import Candidate, Document, Place, Skipped, Stream
from unsprawl.secret import Secret
from unsprawl.structs import Struct, field

__all__ = ["Content", "ContentDetector", "build"]

#: Raise it when the same text gives other candidates with the same rules.
_VERSION: Final = 6
_BLOCK: Final = 1 << 20


def build(
    rules: Sequence[Path] = (),
    exclude_rules: Collection[str] = (),
    backend: str = "auto",
    *,
    doubts: bool = False,
) -> ContentDetector:
    """The detector with the built-in rules and those of ``rules``. Raises ``RuleError``."""
    return ContentDetector(load(rules, exclude_rules), backend=backend, doubts=doubts)


class Content(Struct):
    """One document, file or archive member, while it is scanned. Offsets are those of the next segment."""

    member: str
    path: str
    edits: Editor | None
    tally: Tally
    log: bool = False
    lines: Lines = field(default_factory=Lines)
    resume: dict[str, int] = field(default_factory=dict)
    claimed: list[tuple[int, int]] = field(default_factory=list)


class _Breaking(Struct):
    """A stream that ends where it breaks off, so that what came before is scanned. ``error`` says why."""

    stream: BinaryIO
    error: SourceError | None = None

    def block(self) -> bytes:
        try:
            return b"" if self.error else self.stream.read(_BLOCK)
        except SourceError as error:
            self.error = error
            return b""


class ContentDetector:
    """Implements ``records.Detector``. One serves all threads of a process.

    ``limit`` bounds the candidates of one rule in one document, ``segment`` is the size in bytes of
    the pieces in which large contents are scanned. With ``doubts`` it also gives candidates that a filter
    holds for none, for a classifier that knows better.
    """

    def __init__(
        self,
        rules: RuleSet,
        engine: Engine | None = None,
        *,
        backend: str = "auto",
        budget: Budget | None = None,
        limit: int = 1000,
        segment: int = SEGMENT,
        doubts: bool = False,
    ) -> None:
        self.rules = rules
        self._engine = Engine(rules, backend) if engine is None else engine
        self._attribution = Attribution(rules.rules)
        self._budget = budget or Budget()
        self._limit = limit
        self._segment = segment
        self._doubts = doubts

    @property
    def version(self) -> str:
        return f"{self.rules.digest}.{_VERSION}{'+' * self._doubts}"

    @property
    def missed(self) -> list[Rule]:
        """The rules that Hyperscan misses matches of, and that are searched without it."""
        return self._engine.missed

    def scan(self, document: Document) -> Iterable[Candidate | Skipped]:
        """The candidates of ``document`` in the order of its content, and what was not read of it."""
        body = document.body
        if not isinstance(body, bytes):
            return self._scan_stream(document, body)
        if len(body) > self._segment or may_be_packed(body):
            return self._scan(document, Reader.of(body), len(body))
        # Most documents are one short text and hold nothing: nothing is set up for them.
        sight = self._engine.look(body)
        changes = edits(body, sight.clues, log=is_log(document.path, document.media_type))
        return self._scan_text(document, body, sight, changes) if changes or any(sight) else ()

    def quiet(self, documents: Sequence[Document]) -> list[bool]:
        """Which of some short texts hold nothing, told for less than it costs to look at each."""
        bodies = [cast(bytes, document.body) for document in documents]
        return [
            quiet
            and not may_be_packed(body)
            and not edits(body, (), log=is_log(document.path, document.media_type))
            for quiet, body, document in zip(self._engine.quiet(bodies), bodies, documents, strict=True)
        ]

    def find_spans(self, text: bytes) -> list[tuple[int, int, str]]:
        """``(start, end, public prefix)`` of all that looks like a secret in a short text, for redaction.

        The filters do not apply: what is refused as a finding may still be one too many in a log.
        """
        sight = self._engine.look(text)
        changes = edits(text, sight.clues)
        if not (any(sight) or changes):
            return []
        found = search(self._engine, text, sight, changes, Tally(size=len(text)))
        return sorted({(one.start, one.end, "" if one.derived else one.rule.prefix) for one in found})

    def _scan_text(
        self, document: Document, body: bytes, sight: Sight, changes: Sequence[Edit]
    ) -> Iterator[Candidate | Skipped]:
        """The same, of a text that was looked at already."""
        tally = Tally(deadline=Account(self._budget).deadline, size=len(body))
        segment = Segment(body, 0, len(body), 0, last=True)
        content = Content("", document.path or document.uri, None, tally)
        yield from self._counted(document, tally, self._scan_segment(segment, content, sight, changes))

    def _scan_stream(self, document: Document, body: Stream) -> Iterator[Candidate | Skipped]:
        with closing(body.open(0)) as stream:
            source = _Breaking(stream)
            for found in self._scan(document, Reader(source.block), body.size or 0):
                # An archive that is cut off by this has no damage of its own.
                if source.error is None or not isinstance(found, Skipped):
                    yield found
            if source.error is not None:
                raise source.error

    def _scan(self, document: Document, reader: Reader, size: int) -> Iterator[Candidate | Skipped]:
        account = Account(self._budget)
        tally = Tally(deadline=account.deadline, size=size)
        found = self._scan_leaves(document, reader, account, tally)
        yield from self._counted(document, tally, found)

    def _scan_leaves(
        self, document: Document, reader: Reader, account: Account, tally: Tally
    ) -> Iterator[Candidate | Skipped]:
        from unsprawl.detectors.twins import scanned

        def scan(leaf: Leaf) -> Iterator[Candidate | Cut]:
            if leaf.closed is None:
                yield from self._scan_leaf(leaf, document, tally)
                return
            for piece in opened(leaf, account):
                yield from [piece] if isinstance(piece, Cut) else scan(piece)

        pieces = leaves(reader, document.path or document.uri, account)
        for found in scanned(pieces, scan, tally, account):
            if isinstance(found, Cut):
                yield _skipped(document, found.member, found.reason, found.hint)
            else:
                yield found

    def _counted(
        self, document: Document, tally: Tally, found: Iterable[Candidate | Skipped]
    ) -> Iterator[Candidate | Skipped]:
        """``found``, as many of each rule as one document may have, and what was cut off."""
        counts: dict[str, int] = {}
        doubted: dict[str, int] = {}
        for item in found:
            if isinstance(item, Skipped):
                yield item
                continue
            if item.doubt:
                doubted[item.rule] = doubted.get(item.rule, 0) + 1
                if doubted[item.rule] <= self._limit:
                    yield item
                continue
            count = counts[item.rule] = counts.get(item.rule, 0) + 1
            if count <= self._limit:
                yield item
            else:
                tally.full.add(item.rule)
        yield from self._remarks(document, tally, counts)

    def _remarks(self, document: Document, tally: Tally, counts: dict[str, int]) -> Iterator[Skipped]:
        hint = "Look at it by hand, or exclude the document or the rule."
        for rule, count in counts.items():
            if count > self._limit:
                more = count - self._limit
                yield _skipped(
                    document, "", f"at least {more} more candidates of {rule} after {self._limit}", hint
                )
        for rule in sorted(tally.struck):
            yield _skipped(document, "", f"too many near matches of {rule}: not all were looked at", hint)
        for what in sorted(tally.cut):
            yield _skipped(document, "", what, hint)
        if tally.late:
            yield _skipped(document, "", f"takes more than {self._budget.seconds:.0f} s to scan", hint)

    def _scan_leaf(self, leaf: Leaf, document: Document, tally: Tally) -> Iterator[Candidate]:
        path, media_type = document.path or document.uri, document.media_type
        if leaf.member:
            path, media_type = f"{path}!/{leaf.member}", ""
        content = Content(leaf.member, path, leaf.edits, tally, is_log(path, media_type))
        for segment in segments(leaf.reader, self._segment):
            tally.size = max(tally.size, segment.base + segment.stop)
            sight = self._engine.look(segment.data)
            changes = edits(segment.data, sight.clues, content.edits, log=content.log)
            yield from self._scan_segment(segment, content, sight, changes)

    def _scan_segment(
        self, segment: Segment, content: Content, sight: Sight, changes: Sequence[Edit]
    ) -> Iterator[Candidate]:
        content.lines.enter(segment.data, segment.first)
        for sighting in self.sightings(segment, content, sight, changes):
            yield _candidate(sighting, segment, content)
        if not segment.last:
            content.lines.leave(segment.stop)

    def sightings(
        self, segment: Segment, content: Content, sight: Sight, changes: Sequence[Edit]
    ) -> Iterator[Sighting]:
        """What is a credential in ``segment``, in the order of the text."""
        data, stop = segment.data, segment.stop
        kept: list[Sighting] = []
        resume: dict[str, int] = {}
        if any(sight) or changes:
            found, resume = self.found(segment, content, sight, changes)
            if found:
                from unsprawl.detectors.judgement import judged

                good = judged(list(filter(None, map(completed, found))), content.path, doubts=self._doubts)
                kept = resolve(list(map(self._attribution.of, good)), content.claimed)
            for sighting in kept:
                owned = segment.first <= sighting.begin < stop
                if owned and not allowed(data, sighting.start, sighting.end):
                    yield sighting
        if not segment.last:
            # What reaches over the border was found here: the next segment must not find it again.
            shift = segment.shift
            content.resume = {rule: end - shift for rule, end in resume.items()}
            content.claimed = [
                (start - shift, end - shift)
                for sighting in kept
                if sighting.begin < stop
                for start, end in sighting.spans()
                if end > stop
            ]

    def found(
        self, segment: Segment, content: Content, sight: Sight, changes: Sequence[Edit]
    ) -> tuple[list[Sighting], dict[str, int]]:
        """What matches in ``segment``, and where matches that reach beyond it end, by rule."""
        if not (any(sight) or changes):
            return [], {}
        found = search(
            self._engine,
            segment.data,
            sight,
            changes,
            content.tally,
            segment.view,
            segment.first,
            content.resume,
        )
        resume: dict[str, int] = {}
        for one in found:
            match = one.match
            if not one.derived and match.match_start < segment.stop < match.match_end:
                resume[match.rule.id] = match.match_end
        return found, resume

    def again(self, segment: Segment, content: Content) -> Iterator[Sighting]:
        """:meth:`sightings` of a segment that another detector looks at."""
        sight = self._engine.look(segment.data)
        changes = edits(segment.data, sight.clues, content.edits)
        return self.sightings(segment, content, sight, changes)


def _candidate(sighting: Sighting, segment: Segment, content: Content) -> Candidate:
    data, start, end = segment.data, sighting.start, sighting.end
    match, text, rule = sighting.match, sighting.text, sighting.rule
    line, column = content.lines.at(start)
    source_start, source_end = segment.locate(start, end)
    return Candidate(
        rule=rule.id,
        secret=Secret(text[match.start : match.end], rule.prefix),
        start=source_start,
        end=source_end,
        line=line,
        column=column,
        line_end=line + data.count(b"\n", start, end),
        member=content.member,
        views=sighting.views,
        companions={name: Secret(text[a:b]) for name, (a, b) in match.groups.items()},
        places={
            name: Place(*segment.locate(*span), *content.lines.at(span[0]))
            for name, span in sighting.places.items()
        },
        before=data[max(0, start - SURROUNDINGS) : start],
        text=data[start:end],
        after=data[end : end + SURROUNDINGS],
        check=sighting.check,
        doubt=sighting.doubt,
    )


def _skipped(document: Document, member: str, reason: str, hint: str = "") -> Skipped:
    return Skipped(f"{document.uri}!/{member}" if member else document.uri, reason, hint)
